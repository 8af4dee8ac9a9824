"""Looks at the database file from outside, whether a service has it open or not; creates and changes nothing."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from cs_archiver.db.database import DatabaseUnhealthy
from cs_archiver.db.troubles import advice_on, require_readable, unreadable

_PATIENCE_SECONDS = 5.0


class Health(NamedTuple):
    """`version` is None where there is no database, `damage` the first that was found, None for none.

    `is_private`: nobody but the owner of the file may read it.
    """

    version: int | None
    damage: str | None
    is_private: bool = True


def health_of(path: Path, *, is_whole: bool) -> Health:
    """Reads every page of the file with `is_whole`, and a few without. Raises DatabaseUnhealthy."""
    path = Path(os.path.realpath(path))  # what SQLite writes beside it lies beside the file itself
    try:
        return _health_of(path, is_whole=is_whole)
    except FileNotFoundError:
        return Health(None, None)
    except OSError as error:
        raise DatabaseUnhealthy(unreadable(path, error), problem="database-unhealthy") from error
    except sqlite3.DatabaseError as error:
        raise DatabaseUnhealthy(f"{path}: {error}; {advice_on(error)}", problem="database-unhealthy") from error


def _health_of(path: Path, *, is_whole: bool) -> Health:
    require_readable(path)  # what SQLite says of one that it may not open tells nobody why
    is_private = not path.stat().st_mode & 0o077
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists():
        version, damage = _read(path, "mode=ro", is_whole=is_whole)
    else:
        version, damage = _read(path, "immutable=1", is_whole=is_whole)  # nobody has it open, and no file is left there
        if wal.exists():
            version, damage = _read(path, "mode=ro", is_whole=is_whole)
    return Health(version, damage, is_private)


def _read(path: Path, how: str, *, is_whole: bool) -> tuple[int, str | None]:
    address = f"file:{quote(str(path.absolute()))}?{how}"
    with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS)) as connection:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if is_whole else "ok"
    return version, None if answer == "ok" else str(answer)
