"""Looks at the database file from outside, whether a service has it open or not; creates and changes nothing."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from cs_archiver.clock import from_text
from cs_archiver.db.copies import size_in
from cs_archiver.db.database import DatabaseUnhealthy
from cs_archiver.db.troubles import advice_on, require_readable, unreadable

_PATIENCE_SECONDS = 5.0

_Answer = TypeVar("_Answer")


class Health(NamedTuple):
    """`version` is None where there is no database, `damage` the first that was found, None for none.

    `is_private`: nobody but the owner of the file may read it.
    """

    version: int | None
    damage: str | None
    is_private: bool = True


class Usage(NamedTuple):
    """What a copy takes at most, and since when there are accounts; None where there is none yet."""

    size_bytes: int
    since: datetime | None


def health_of(path: Path, *, is_whole: bool) -> Health:
    """Reads every page of the file with `is_whole`, and a few without. Raises DatabaseUnhealthy."""
    return _asked(path, partial(_health, path=path, is_whole=is_whole)) or Health(None, None)


def hash_to_be_changed(path: Path, username: str) -> str | None:
    """Of the password of this user, if it must be changed at the next sign-in. Raises DatabaseUnhealthy."""
    return _asked(path, partial(_hash_to_be_changed, username=username))


def usage_of(path: Path) -> Usage:
    """Reads a few pages. Raises DatabaseUnhealthy."""
    return _asked(path, _usage) or Usage(0, None)


def _asked(path: Path, ask: Callable[[sqlite3.Connection], _Answer]) -> _Answer | None:
    """None where there is no database."""
    path = Path(os.path.realpath(path))  # what SQLite writes beside it lies beside the file itself
    try:
        return _answered(path, ask)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatabaseUnhealthy(unreadable(path, error), problem="database-unhealthy") from error
    except sqlite3.DatabaseError as error:
        raise DatabaseUnhealthy(f"{path}: {error}; {advice_on(error)}", problem="database-unhealthy") from error


def _answered(path: Path, ask: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
    require_readable(path)  # what SQLite says of one that it may not open tells nobody why
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists():
        return _read(path, "mode=ro", ask)
    answer = _read(path, "immutable=1", ask)  # nobody has it open, and no file is left beside it
    return _read(path, "mode=ro", ask) if wal.exists() else answer


def _read(path: Path, how: str, ask: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
    address = f"file:{quote(str(path.absolute()))}?{how}"
    with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS)) as connection:
        return ask(connection)


def _health(connection: sqlite3.Connection, *, path: Path, is_whole: bool) -> Health:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if is_whole else "ok"
    is_private = not path.stat().st_mode & 0o077
    return Health(version, None if answer == "ok" else str(answer), is_private)


def _hash_to_be_changed(connection: sqlite3.Connection, *, username: str) -> str | None:
    query = "SELECT password_hash FROM users WHERE username = ? AND must_change_password = 1"
    row = connection.execute(query, (username,)).fetchone()
    return None if row is None else str(row[0])


def _usage(connection: sqlite3.Connection) -> Usage:
    first = connection.execute("SELECT min(created_at) FROM users").fetchone()[0]
    return Usage(size_in(connection), None if first is None else from_text(first))
