"""Looks at the database file from outside, whether a service has it open or not; creates and changes nothing."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from cs_archiver.db.database import DatabaseUnhealthy

_PATIENCE_SECONDS = 5.0


class Health(NamedTuple):
    """`version` is None where there is no database, `damage` the first that was found, None for none."""

    version: int | None
    damage: str | None


def health_of(path: Path, *, is_whole: bool) -> Health:
    """Reads every page of the file with `is_whole`, and a few without. Raises DatabaseUnhealthy."""
    if not path.exists():
        return Health(None, None)
    path = Path(os.path.realpath(path))  # what SQLite writes beside it lies beside the file itself
    wal = path.with_name(f"{path.name}-wal")
    try:
        if wal.exists():
            return _read(path, "mode=ro", is_whole=is_whole)
        health = _read(path, "immutable=1", is_whole=is_whole)  # nobody has it open, and no file is left beside it
        return _read(path, "mode=ro", is_whole=is_whole) if wal.exists() else health
    except sqlite3.DatabaseError as error:
        raise DatabaseUnhealthy(
            f"{path}: {error}; check its disk and permissions, and if it is damaged restore the last backup",
            problem="database-unhealthy",
        ) from error


def _read(path: Path, how: str, *, is_whole: bool) -> Health:
    address = f"file:{quote(str(path.absolute()))}?{how}"
    with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS)) as connection:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if is_whole else "ok"
    return Health(version, None if answer == "ok" else str(answer))
