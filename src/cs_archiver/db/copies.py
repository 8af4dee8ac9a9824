"""Copies of a database, also of one in use: written aside, checked, and only then given their name."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from cs_archiver.db.troubles import advice_on, require_readable, unreadable
from cs_archiver.domain.sizes import human_size
from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.disk import free_bytes, sync_file
from cs_archiver.tools.removal import move_without_overwriting, remove_file
from cs_archiver.tools.threads import Stopped, Work

_BUSY_SECONDS = 30.0
_OPERATIONS_BETWEEN_LOOKS = 100_000  # of SQLite's machine, between two looks at whether to stop


class CopyFailed(NeedsOperator):
    """The database is not copied; it is as it was, and nothing is left of the attempt."""


class Unsuitable(NeedsOperator):
    """The file cannot be read, is damaged, or is no database of CS Archiver; the message says which."""


class Facts(NamedTuple):
    """What a sound database holds; `version` is that of its schema."""

    version: int
    jobs: int
    archives: int


@contextmanager
def to_read(path: Path, work: Work) -> Iterator[sqlite3.Connection]:
    """A connection that changes and checkpoints nothing; told to stop, it gives up its statement."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        connection.set_progress_handler(lambda: _is_stopped(work), _OPERATIONS_BETWEEN_LOOKS)
        connection.execute("PRAGMA trusted_schema = OFF")
        yield connection


def _is_stopped(work: Work) -> bool:
    try:
        work.add(0)
    except Stopped:
        return True
    return False


def inspect(path: Path, work: Work) -> Facts:
    """Read all of it and check it. Raises Unsuitable with what is wrong."""
    try:
        require_readable(path)
        with to_read(path, work) as connection:
            (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if answer != "ok":
                raise Unsuitable(f"{path} is damaged ({answer})")
            dangling = connection.execute("PRAGMA foreign_key_check").fetchone()
            if dangling is not None:
                raise Unsuitable(
                    f"{path} is damaged (a row of {dangling[0]} refers to one of {dangling[2]} that is gone)"
                )
            return _facts(path, connection)
    except OSError as error:
        raise Unsuitable(unreadable(path, error)) from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a table that is not there
            raise Unsuitable(f"{path} is no database of CS Archiver ({error})") from error
        raise Unsuitable(f"{path} cannot be read ({error}); {advice_on(error)}") from error
    except sqlite3.Error as error:
        raise Unsuitable(f"{path} is damaged, or no database of CS Archiver ({error})") from error


def _facts(path: Path, connection: sqlite3.Connection) -> Facts:
    version = version_in(connection)
    if version == 0:
        raise Unsuitable(f"{path} is no database of CS Archiver")
    counts = "(SELECT count(*) FROM jobs), (SELECT count(*) FROM archives)"
    return Facts(version, *connection.execute(f"SELECT {counts}").fetchone())


def version_in(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def size_in(connection: sqlite3.Connection) -> int:
    """What a copy takes at most."""
    ((pages,), (page,)) = (connection.execute(f"PRAGMA page_{what}").fetchone() for what in ("count", "size"))
    return int(pages * page)


def copy(
    database: Path,
    target: Path,
    work: Work,
    *,
    partial: Path | None = None,
    leave_bytes: int = 0,
    amend: Callable[[Path], None] | None = None,
) -> None:
    """A sound copy under a name that is free, durably, for its owner alone; whoever writes meanwhile is not held up.

    It is written as `partial` first, where one that a crash left there is given up; by default a name made of the
    target's. There `amend` may change it. On the disk of the copy `leave_bytes` stay free. Raises CopyFailed, also when
    what was copied is damaged.
    """
    partial = partial or target.with_name(f".{target.name}.partial")
    try:
        if os.path.lexists(target):
            raise CopyFailed(f"{target} is there already: nothing is ever written over a file")
        _remove(partial)
        try:
            _require_room(database, target.parent, work, leave_bytes)
            _write(database, partial, work, amend)
            move_without_overwriting(os.fsencode(partial), os.fsencode(target))
        except BaseException:
            _remove(partial)
            raise
    except OSError as error:
        raise CopyFailed(f"cannot write {target}: {error.strerror}: {advice_on(error)}") from error
    except sqlite3.Error as error:
        raise CopyFailed(f"cannot copy {database} to {target}: {error}: {advice_on(error)}") from error
    except Unsuitable as error:
        raise CopyFailed(f"the copy of {database} is not sound: {error}: check the database and its disk") from error


def _write(database: Path, partial: Path, work: Work, amend: Callable[[Path], None] | None) -> None:
    # VACUUM INTO takes an empty file, so nobody else can read the copy at any moment.
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    with to_read(database, work) as connection:
        connection.execute("VACUUM INTO ?", (str(partial),))
    if amend is not None:
        amend(partial)
    sync_file(os.fsencode(partial))
    inspect(partial, work)


def _require_room(database: Path, folder: Path, work: Work, leave_bytes: int) -> None:
    with to_read(database, work) as connection:
        size_bytes = size_in(connection)
    missing = size_bytes + leave_bytes - free_bytes(str(folder))
    if missing > 0:
        raise CopyFailed(f"no room for a copy of the database in {folder}: free another {human_size(missing)}")


def _remove(partial: Path) -> None:
    for ending in ("", "-journal"):
        remove_file(os.fsencode(f"{partial}{ending}"))
