"""What errors at the database's files mean for people, and whether a file can be read at all."""

import errno
import os
import sqlite3
from pathlib import Path

from cs_archiver.domain.checks import RESTORE
from cs_archiver.errors import NeedsOperator

_END_IT = "another program has locked it (fuser names it): end that one, and try again"
_MAKE_ROOM = "make room on its disk"
_MOUNTED_READ_ONLY = (
    "its disk is read-only: look in the system's log for why (journalctl -k), and mount it to be written"
)
_LOOK_AT_DISK = "look in the system's log for faults of its disk (journalctl -k)"
_ITS_OWNER = (
    "run this as the user of the service (sudo -u cs-archiver ...), or let this user read and write it and its folder"
)
_OTHERWISE = "check its disk, and that this user may read and write the file and its folder"

_OF_SQLITE = {
    sqlite3.SQLITE_CORRUPT: RESTORE,
    sqlite3.SQLITE_NOTADB: RESTORE,
    sqlite3.SQLITE_BUSY: _END_IT,
    sqlite3.SQLITE_LOCKED: _END_IT,
    sqlite3.SQLITE_FULL: _MAKE_ROOM,
    sqlite3.SQLITE_IOERR: _LOOK_AT_DISK,
    sqlite3.SQLITE_NOMEM: "the machine has no memory left: end what takes it, or give it more",
    sqlite3.SQLITE_READONLY_ROLLBACK: "a kill left it half written: start the service once, which puts it right",
    sqlite3.SQLITE_READONLY: "let this user write it and its folder, and look whether its disk is mounted read-only",
}
_OF_THE_SYSTEM = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: "the quota of this user is used up there: make room, or raise it",
    errno.EROFS: _MOUNTED_READ_ONLY,
    errno.EIO: _LOOK_AT_DISK,
    errno.EACCES: _ITS_OWNER,
    errno.EPERM: _ITS_OWNER,
    errno.ENOENT: "check that its folder is there, and mounted",
    errno.ENOTDIR: "check the path: a part of it is no folder",
}


class DatabaseUnusable(NeedsOperator):
    """The file is damaged, or was written by a newer version; nothing was changed in it."""


def advice_on(error: BaseException | None) -> str:
    """What to do about an error of SQLite or of a file: a backup is only restored where the file is damaged."""
    if isinstance(error, OSError):
        return _OF_THE_SYSTEM.get(error.errno or 0, _OTHERWISE)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    kind = code & 0xFF  # the rest of it tells more than is mostly needed
    return _OF_SQLITE.get(code) or _OF_SQLITE.get(kind, _OTHERWISE)


def require_readable(path: Path) -> None:
    """Raises OSError. The file is not opened: closing it would give up the locks that SQLite has on it in here."""
    os.stat(path)
    if not os.access(path, os.R_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def unreadable(path: Path, error: OSError) -> str:
    """That error for people, and what to do."""
    return f"{path}: {error.strerror}; {advice_on(error)}"
