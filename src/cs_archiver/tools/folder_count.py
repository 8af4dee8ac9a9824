"""Counts one folder of level 3, on several threads, or finds out that it is unchanged since it was counted."""

import os
import stat
import threading
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Final, Protocol

from cs_archiver.domain.folders import LONG_AGO_NS, Content, total
from cs_archiver.domain.manifest import shown
from cs_archiver.tools.crew import Crew
from cs_archiver.tools.known_folders import Directories, Known, Stamp, stamp_of
from cs_archiver.tools.share import LeftOutError, Names, Share, is_gone, reason_of

BATCH_ENTRIES: Final = 64  # of a large directory, what one thread looks at while others take the next
_MOST_PARTS: Final = 256  # of a folder, until they are added up

_KIND: Final = 0o170000  # the bits of a mode that stat.S_IFMT takes
_NOTHING: Final = Content()
_SPECIAL: Final = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

Entry = os.DirEntry[bytes]
_Directory = tuple[bytes, bool]  # its path below the folder, and whether it is litter or in it


class Outcome(Protocol):
    """Told what came of a folder, on one of the threads; nothing if it is gone."""

    def counted(self, names: Names, content: Content, directories: Directories | None) -> None:
        """`directories` is None if something vanished or could not be read meanwhile."""

    def unchanged(self, names: Names, known: Known) -> None: ...

    def hindered(self, names: Names, error: OSError | LeftOutError) -> None:
        """It was not entered."""


class Count:
    """Counts what one folder of level 3 holds, on the threads that are free; keeps no list of its files."""

    def __init__(self, share: Share, crew: Crew, names: Names, outcome: Outcome) -> None:
        self._share = share
        self._crew = crew
        self._names = names
        self._outcome = outcome
        self._path = share.path(names)
        self._is_there = False  # until the folder was entered
        self._parts: list[Content] = []
        self._directories: list[tuple[bytes, Stamp]] = []
        self._is_decided = False
        self._is_complete = True
        self._parts_left = 1
        self._lock = threading.Lock()

    def read(self) -> None:
        self._work_off([(b"", False)])

    def _work_off(self, directories: list[_Directory]) -> None:
        """Read these and all below them; what waits is shared with threads that have nothing to do."""
        while directories:
            lap = self._crew.lap()
            directories.extend(self._read(*directories.pop()))
            self._crew.judge(lap)
            if len(directories) > 1 and self._crew.wants_more:
                half = len(directories) // 2
                self._crew.add(partial(self._work_off, directories[:half]))
                del directories[:half]

    def _read(self, below: bytes, in_litter: bool) -> list[_Directory]:
        folders: list[_Directory] = []
        path = self._path + b"/" + below if below else self._path
        try:
            found = self._share.look_at(path) if below else self._share.enter(self._names)
            self._is_there = True
            self._directories.append((below, stamp_of(found)))
            with os.scandir(path) as entries:
                folders = self._take_in(entries, found.st_mtime_ns, below, in_litter)
        except (OSError, LeftOutError) as error:
            self._hindered(below, error)
        self._part_done()
        return folders

    def _take_in(
        self, entries: Iterator[Entry], newest_mtime_ns: int, below: bytes, in_litter: bool
    ) -> list[_Directory]:
        part = list(islice(entries, BATCH_ENTRIES))
        while len(part) == BATCH_ENTRIES:
            self._parts_found(1)
            self._crew.add_or_run(partial(self._take_in_part, part, below, in_litter))
            part = list(islice(entries, BATCH_ENTRIES))
        return self._measure(part, newest_mtime_ns, below, in_litter)

    def _take_in_part(self, part: list[Entry], below: bytes, in_litter: bool) -> None:
        folders: list[_Directory] = []
        lap = self._crew.lap()
        try:
            folders = self._measure(part, LONG_AGO_NS, below, in_litter)
        except OSError as error:
            self._hindered(below, error)
        self._crew.judge(lap)
        self._part_done()
        self._work_off(folders)

    def _measure(self, part: list[Entry], newest_mtime_ns: int, below: bytes, in_litter: bool) -> list[_Directory]:
        files: list[bytes] = []
        folders: list[bytes] = []
        size_bytes = 0
        for entry in part:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                self._is_complete = False
                continue
            kind = found.st_mode & _KIND
            if kind == stat.S_IFREG:
                size_bytes += found.st_size
            elif kind != stat.S_IFLNK:
                self._note_special(kind, below, entry.name)
                continue
            if found.st_mtime_ns > newest_mtime_ns:
                newest_mtime_ns = found.st_mtime_ns
            files.append(entry.name)
        self._add(self._judged(newest_mtime_ns, size_bytes, files, at_top=not below, in_litter=in_litter))
        if not folders:
            return []
        self._parts_found(len(folders))
        return [self._sub_folder(below, name, in_litter) for name in folders]

    def _sub_folder(self, above: bytes, name: bytes, in_litter: bool) -> _Directory:
        patterns = self._share.patterns
        if not above and patterns.is_marker(name):
            self._add(Content(trouble=f"it holds a folder named like a marker file, '{shown(name)}': rename that"))
        return _below(above, name), in_litter or patterns.is_litter(name)

    def _note_special(self, kind: int, below: bytes, name: bytes) -> None:
        if kind in _SPECIAL:
            path = shown(_below(below, name))
            self._add(Content(trouble=f"it holds {_SPECIAL[kind]}, which cannot be archived: '{path}'"))
        else:
            self._is_complete = False  # a directory by now

    def _judged(
        self, newest_mtime_ns: int, size_bytes: int, names: list[bytes], *, at_top: bool, in_litter: bool
    ) -> Content:
        """Applies the rules to names, only where that can still change the outcome: matching is slow."""
        patterns = self._share.patterns
        wanted = _NOTHING if in_litter or self._is_decided else patterns.but_litter(names)
        self._is_decided = self._is_decided or wanted.is_decided
        return Content(
            newest_mtime_ns,
            len(names),
            size_bytes,
            wanted.files_but_litter,
            wanted.txt_files_but_litter,
            min(patterns.markers_among(names), default=None) if at_top else None,
        )

    def _hindered(self, below: bytes, error: OSError | LeftOutError) -> None:
        self._is_complete = False
        if not self._is_there:
            self._outcome.hindered(self._names, error)
        elif not is_gone(error):
            where = f"its sub-folder '{shown(below)}': " if below else ""
            self._add(Content(trouble=where + reason_of(error)))
        elif not below:
            self._is_there = False  # the whole folder, which is not the same as an empty one

    def _add(self, part: Content) -> None:
        with self._lock:
            self._parts.append(part)
            if len(self._parts) == _MOST_PARTS:
                self._parts = [total(self._parts)]

    def _parts_found(self, number: int) -> None:
        with self._lock:
            self._parts_left += number

    def _part_done(self) -> None:
        with self._lock:
            self._parts_left -= 1
            is_over = not self._parts_left
        if is_over and self._is_there:
            content = total(self._parts)
            self._outcome.counted(self._names, content, self._directories if self._is_complete else None)


class Comparison:
    """Finds out whether any directory of a folder has changed since it was counted; if so, it is counted anew."""

    def __init__(self, share: Share, crew: Crew, names: Names, outcome: Outcome, known: Known) -> None:
        self._share = share
        self._crew = crew
        self._names = names
        self._outcome = outcome
        self._known = known
        self._path = share.path(names)
        self._has_changed = False
        self._parts_left = 1
        self._lock = threading.Lock()

    def begin(self) -> None:
        directories = self._known.directories()
        part = list(islice(directories, BATCH_ENTRIES))
        while len(part) == BATCH_ENTRIES and not self._has_changed:
            with self._lock:
                self._parts_left += 1
            self._crew.add_or_run(partial(self._compare, part))
            part = list(islice(directories, BATCH_ENTRIES))
        self._compare(part)

    def _compare(self, part: list[tuple[bytes, Stamp]]) -> None:
        lap = self._crew.lap()
        try:
            if not all(stamp_of(self._look_at(below)) == stamp for below, stamp in part):
                self._has_changed = True
        except (OSError, LeftOutError):
            self._has_changed = True
        self._crew.judge(lap)
        with self._lock:
            self._parts_left -= 1
            is_over = not self._parts_left
        if is_over and self._has_changed:
            Count(self._share, self._crew, self._names, self._outcome).read()
        elif is_over:
            self._outcome.unchanged(self._names, self._known)

    def _look_at(self, below: bytes) -> os.stat_result:
        return self._share.look_at(self._path + b"/" + below) if below else self._share.enter(self._names)


def _below(above: bytes, name: bytes) -> bytes:
    return above + b"/" + name if above else name
