"""Brings an older database to the present schema: a backup first, then one transaction for each step."""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from cs_archiver.db.backups import Backups, Kind
from cs_archiver.db.copies import version_in
from cs_archiver.db.schema import Migration, statements
from cs_archiver.db.troubles import DatabaseUnusable
from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.threads import Work

_log = logging.getLogger(__name__)


class UpgradeFailed(DatabaseUnusable):
    """A step could not be made; the database is as it was before that step."""


def upgrade(database: Path, backups: Backups, migrations: Sequence[Migration]) -> None:
    """Make every step that is missing. Only for whoever holds the lock of the database.

    A step is stored with its version or not at all: whatever ends it, the next start goes on there. Raises
    UpgradeFailed, and CopyFailed when there is no backup, before anything is changed.
    """
    with _opened(database) as connection:
        found = version_in(connection)
        missing = _missing(connection, migrations)
        if not missing:
            return
        kept = backups.make(Kind.UPGRADE, Work())
        backups.tidy_upgrades(kept)
        _log.warning("the database is upgraded from schema version %d; a backup of it is %s", found, kept)
        try:
            _make_steps(connection, missing)
        except UpgradeFailed as error:
            raise UpgradeFailed(
                f"{error}: nothing of this step is stored; mend that and start again, or start the older program with "
                f"the backup {kept}"
            ) from error
        _log.warning("the database has schema version %d", missing[-1].version)


def upgrade_copy(copy: Path, migrations: Sequence[Migration]) -> None:
    """The same for a copy that nobody else works on, and of which there is the original. Raises UpgradeFailed."""
    with _opened(copy) as connection:
        _make_steps(connection, _missing(connection, migrations))


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        # A table is rebuilt by dropping it, which must take no rows of others along; the check follows.
        # Only the service's own connection checkpoints (database.py says why).
        for pragma in ("foreign_keys = OFF", "synchronous = FULL", "wal_autocheckpoint = 0", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        yield connection


def _missing(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> list[Migration]:
    found = version_in(connection)
    return [migration for migration in migrations if migration.version > found]


def _make_steps(connection: sqlite3.Connection, missing: Sequence[Migration]) -> None:
    for migration in missing:
        try:
            _step(connection, migration)
        except (sqlite3.Error, OSError, NeedsOperator) as error:
            raise UpgradeFailed(
                f"the database cannot be upgraded to schema version {migration.version} ({error})"
            ) from error


def _step(connection: sqlite3.Connection, migration: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements(migration.script.read_text("utf-8")):
            connection.execute(statement)
        _require_whole(connection)
        connection.execute(f"PRAGMA user_version = {migration.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back after some errors
            connection.execute("ROLLBACK")
        raise


def _require_whole(connection: sqlite3.Connection) -> None:
    dangling = connection.execute("PRAGMA foreign_key_check").fetchone()
    if dangling is not None:
        raise NeedsOperator(f"a row of {dangling[0]} would refer to one of {dangling[2]} that is gone")
