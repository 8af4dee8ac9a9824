"""The NAS share as a walk sees it: which directories may be entered, and what tells one from its later self."""

import errno
import os
import stat

from cs_archiver.domain import folders as rules
from cs_archiver.domain.folders import Patterns
from cs_archiver.tools.disk import mounts_in

Names = tuple[bytes, ...]  # of folders from level 1 down; empty for the base


class LeftOutError(Exception):
    """The rules forbid to enter a folder; the text is the reason."""


class Share:
    """One file system below `base`; other ones, what is mounted in a folder of level 3, and links are never entered."""

    def __init__(self, base: bytes, device: int, patterns: Patterns) -> None:
        self.patterns = patterns
        self._base = base
        self._device = device
        mounts = mounts_in(self.path(()))
        # Levels 1 and 2 may be put together of mounts: no source is there.
        self._mounts = frozenset(base + b"/" + path for path in mounts if path.count(b"/") >= 2)

    def path(self, names: Names) -> bytes:
        return b"/".join((self._base, *names)) or b"/"

    def enter(self, names: Names) -> os.stat_result:
        """A folder of level 1 to 3. Raises as `look_at` does, and LeftOutError for its name."""
        reason = rules.unusable_name(names[-1]) if len(names) == 3 else rules.unusable_characters(names[-1])
        if reason is not None:
            raise LeftOutError(reason)
        return self.look_at(self.path(names))

    def look_at(self, directory: bytes) -> os.stat_result:
        """Raises OSError, and LeftOutError where the rules forbid to enter it."""
        found = os.lstat(directory)
        if stat.S_ISLNK(found.st_mode):
            raise LeftOutError(rules.SYMBOLIC_LINK)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if found.st_dev != self._device:
            raise LeftOutError(rules.OTHER_FILE_SYSTEM)
        if directory in self._mounts:
            raise LeftOutError(rules.MOUNTED)
        return found


def is_gone(error: Exception) -> bool:
    """Whether what was to be read is not there any more."""
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def reason_of(error: OSError | LeftOutError) -> str:
    """Why a folder was not read, for people."""
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
