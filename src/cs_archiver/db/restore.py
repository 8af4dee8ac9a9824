"""Puts a backup in the place of the database, so that a crash at any moment leaves the one or the other whole.

The backup knows nothing of a pause that was set since. So what takes the place of the database has everything paused
before it is complete, whatever became of the one before it, and only a person ends that. Nor does it know which
sessions were ended since: everybody signs in again.
"""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cs_archiver.clock import now_text
from cs_archiver.db import schema
from cs_archiver.db.copies import Facts, copy, inspect
from cs_archiver.db.pauses import pause_everything
from cs_archiver.db.upgrade import upgrade_copy
from cs_archiver.domain.manifest import shown
from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.disk import local_error, sync_folder
from cs_archiver.tools.removal import remove_file
from cs_archiver.tools.threads import Work


class RestoreRefused(NeedsOperator):
    """The backup is not taken; the database is as it was."""


class Restored(NamedTuple):
    """What the backup held, and where the database before it is kept; None where there was none."""

    facts: Facts
    kept: Path | None


def restore(database: Path, backup: Path, work: Work, *, by: str) -> Restored:
    """Put a sound copy of the backup there, of the present schema, with everything paused as asked for `by` a person.

    Only for whoever holds the lock of the database. Raises RestoreRefused, CopyFailed, Unsuitable, and
    DatabaseUnusable for the backup of a newer program, or one that cannot be upgraded.
    """
    real = _real(database)
    if not backup.is_file():
        raise RestoreRefused(f"{backup}: there is no such file")
    if real.exists() and backup.samefile(real):
        raise RestoreRefused(f"{backup} is the database itself: name a backup of it")
    facts = inspect(backup, work)
    schema.require_known(facts.version, str(backup))
    if is_pending(database):
        finish(database)
    copy(backup, _waiting(real), work, amend=partial(_amend, backup, by))
    return Restored(facts, finish(database))


def _amend(backup: Path, by: str, copied: Path) -> None:
    upgrade_copy(copied, schema.MIGRATIONS)
    with closing(sqlite3.connect(copied)) as connection, connection:
        pause_everything(connection, by=by)
        connection.execute("DELETE FROM sessions")  # some were ended since the backup was made, and it knows not which
        connection.execute(
            "INSERT INTO audit (at, action, target, detail, result) VALUES (?, 'database_restore', ?, ?, 'ok')",
            (now_text(), shown(os.fsencode(backup)), f"by {by}"),
        )


def is_pending(database: Path) -> bool:
    """Whether a backup is complete beside the database, and was to take its place."""
    return _waiting(_real(database)).exists()


def finish(database: Path) -> Path | None:
    """Let the backup that waits take the place of the database; gives back where the one before it is kept.

    Begun again after a crash it goes on where it was. Raises the JobError of a disk that cannot be written.
    """
    real = _real(database)
    waiting = _waiting(real)
    try:
        # The same name at every attempt, so that what belongs together stays together.
        stamp = datetime.fromtimestamp(waiting.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = real.with_name(f"{real.stem}.replaced.{stamp}.db")
        # What SQLite had not yet written into the file goes with the file: beside another it would destroy that one.
        for ending in ("-wal", "-journal", ""):
            if os.path.lexists(f"{real}{ending}"):
                os.rename(f"{real}{ending}", f"{aside}{ending}")
        remove_file(os.fsencode(f"{real}-shm"))
        sync_folder(os.fsencode(real.parent))
        os.rename(waiting, real)
        sync_folder(os.fsencode(real.parent))
    except OSError as error:
        raise local_error(os.fsencode(real), error) from error
    return aside if aside.exists() else None


def _real(database: Path) -> Path:
    return Path(os.path.realpath(database))  # where SQLite puts its other files, whatever link leads there


def _waiting(real: Path) -> Path:
    return real.with_name(f".{real.name}.restored")
