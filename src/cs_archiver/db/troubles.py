"""What SQLite's errors mean for people, and whether a file can be read at all: the two are told apart."""

import errno
import os
import sqlite3
from pathlib import Path

from cs_archiver.errors import NeedsOperator

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_ITS_OWNER = "run this as the user of the service (sudo -u cs-archiver ...), or let this user read it"


class DatabaseUnusable(NeedsOperator):
    """The file is damaged, or was written by a newer version; nothing was changed in it."""


def advice_on(error: BaseException | None) -> str:
    """What to do about an error of SQLite; only damage is a reason to put a backup in the place of the file."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest of it tells more than is needed
    if code in _DAMAGED:
        return "check the disk, then restore the last backup"
    if code in _LOCKED:
        return "another program has locked it: end that one, and try again"
    return "check its disk, and that this user may read and write the file and its folder"


def require_readable(path: Path) -> None:
    """Raises OSError. The file is not opened: closing it would give up the locks that SQLite has on it in here."""
    os.stat(path)
    if not os.access(path, os.R_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def unreadable(path: Path, error: OSError) -> str:
    """That error for people, and what to do."""
    advice = _ITS_OWNER if isinstance(error, PermissionError) else "check its disk, and the path"
    return f"{path}: {error.strerror}; {advice}"
