"""Remembers what walks counted in the folders of level 3, so that one that is unchanged need not be walked again."""

import os
import threading
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cs_archiver.domain.folders import Content
from cs_archiver.tools.share import Names

MOST_DIRECTORIES: Final = 1_000_000  # about 60 bytes each, and their paths
_BITS: Final = 2**64 - 1
OLDEST_SECONDS: Final = 24 * 3600
_NS: Final = 10**9
_QUIET_NS: Final = 3600 * _NS


class Stamp(NamedTuple):
    """What changes with every entry that is made, removed or renamed in a directory; 64 bits each, without sign."""

    inode: int
    mtime_ns: int
    ctime_ns: int


def stamp_of(found: os.stat_result) -> Stamp:
    return Stamp(found.st_ino, found.st_mtime_ns & _BITS, found.st_ctime_ns & _BITS)


Directories = Sequence[tuple[bytes, Stamp]]
"""Of one folder: by their path below it, b"" for the folder itself."""


@dataclass(frozen=True, slots=True)
class Known:
    """A folder as it was counted, and its directories: 24 bytes and the path for each."""

    content: Content
    measured_at_ns: int
    _paths: bytes
    _stamps: "array[int]"

    @classmethod
    def of(cls, content: Content, measured_at_ns: int, directories: Directories) -> "Known":
        paths = b"\0".join(path for path, _ in directories)
        return cls(content, measured_at_ns, paths, array("Q", [number for _, stamp in directories for number in stamp]))

    def __len__(self) -> int:
        return len(self._stamps) // 3

    def directories(self) -> Iterator[tuple[bytes, Stamp]]:
        stamps = self._stamps
        for number, path in enumerate(self._paths.split(b"\0")):
            yield path, Stamp(*stamps[3 * number : 3 * number + 3])


class KnownFolders:
    """At most MOST_DIRECTORIES directories are remembered; what is beyond is walked each time.

    The stamp of a directory tells of what comes and goes in it, not of a file that is rewritten in place. So nothing
    is remembered of a folder in which anything was changed within the last hour before it was counted, as it is
    with what is still being written; and nothing for longer than a day. All this decides what is shown, never what
    is archived or deleted.
    """

    def __init__(self) -> None:
        self._known: dict[Names, Known] = {}
        self._directories = 0
        self._lock = threading.Lock()

    def find(self, names: Names, now_ns: int) -> Known | None:
        """What is remembered of a folder, unless it is more than a day old."""
        known = self._known.get(names)
        return known if known is not None and 0 <= now_ns - known.measured_at_ns < OLDEST_SECONDS * _NS else None

    def remember(self, names: Names, known: Known) -> None:
        """In place of what was remembered before; nothing if anything in it was changed just before."""
        is_quiet = known.content.newest_mtime_ns < known.measured_at_ns - _QUIET_NS
        with self._lock:
            self._forget(names)
            if is_quiet and self._directories + len(known) <= MOST_DIRECTORIES:
                self._known[names] = known
                self._directories += len(known)

    def forget(self, names: Names) -> None:
        with self._lock:
            self._forget(names)

    def forget_all_but(self, found: Collection[Names]) -> None:
        """Those that are on the NAS no more."""
        with self._lock:
            for names in self._known.keys() - found:
                self._forget(names)

    def _forget(self, names: Names) -> None:
        known = self._known.pop(names, None)
        self._directories -= 0 if known is None else len(known)
