"""Brings an older database to the present schema: a backup first, then one transaction for each step."""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from cs_archiver.db.backups import Backups, Kind
from cs_archiver.db.copies import version_in
from cs_archiver.db.schema import DatabaseUnusable, Migration, statements
from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.threads import Work

_KEPT = 5  # of the backups before upgrades: an upgrade that fails at every start must not fill the disk

_log = logging.getLogger(__name__)


class UpgradeFailed(DatabaseUnusable):
    """A step could not be made; the database is as it was before that step."""


def upgrade(database: Path, backups: Backups, migrations: Sequence[Migration]) -> None:
    """Make every step that is missing. Only for whoever holds the lock of the database.

    A step is stored with its version or not at all: whatever ends it, the next start goes on there. Raises
    UpgradeFailed, and CopyFailed when there is no backup, before anything is changed.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        # A table is rebuilt by dropping it, which must take no rows of others along; the check follows.
        # Only the service's own connection checkpoints (database.py says why).
        for pragma in ("foreign_keys = OFF", "synchronous = FULL", "wal_autocheckpoint = 0", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        found = version_in(connection)
        missing = [migration for migration in migrations if migration.version > found]
        if not missing:
            return
        kept = backups.make(Kind.UPGRADE, Work())
        backups.keep_newest(Kind.UPGRADE, _KEPT)
        _log.warning("the database is upgraded from schema version %d; a backup of it is %s", found, kept)
        for migration in missing:
            with _failing_as_one(migration, kept):
                _step(connection, migration)
            _log.warning("the database has schema version %d", migration.version)


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


@contextmanager
def _failing_as_one(migration: Migration, kept: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, NeedsOperator) as error:
        raise UpgradeFailed(
            f"the database cannot be upgraded to schema version {migration.version} ({error}): nothing of this step is "
            f"stored; mend that and start again, or start the older program with the backup {kept}"
        ) from error
