"""Finds the folders at level 3 of the NAS, many requests at once (long: the walk and the count are one piece)."""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from cs_archiver.clock import from_ns
from cs_archiver.domain import folders as rules
from cs_archiver.domain.folders import LONG_AGO_NS, Content, Folder, Patterns
from cs_archiver.domain.manifest import shown
from cs_archiver.errors import NeedsOperator, NotFound
from cs_archiver.tools.crew import Crew

BATCH_ENTRIES: Final = 64  # of a large directory, what one thread looks at while others take the next

_SPECIAL: Final = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

Names = tuple[bytes, ...]  # of folders from level 1 down; empty for the base
Entry = os.DirEntry[bytes]
Progress = Callable[[int], None]


class Discovery:
    """Looks at the folders exactly three levels below `base`, each run on at most `threads` threads."""

    def __init__(self, base: bytes, patterns: Patterns, *, threads: int) -> None:
        self.base = base.decode("utf-8").rstrip("/")
        self._patterns = patterns
        self._threads = threads
        self._running: set[Crew] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, on_progress: Progress | None = None) -> list[Folder]:
        """All folders, listed and left out, by level 1, level 2 and name; takes as long as the NAS does.

        `on_progress` gets the number of folders looked at, on the threads of the walk, one call at a time. What
        vanishes meanwhile is skipped. Raises NeedsOperator when the base cannot be read, or is another directory
        at the end than at the beginning; Temporary after `stop`.
        """
        found = self._walk(_Walk.visit_base, on_progress)
        return sorted(found, key=lambda folder: (folder.level1, folder.level2, folder.name, folder.path))

    def look_at(self, level1: str, level2: str, name: str) -> Folder:
        """One folder anew; or the one above it that cannot be entered, with the reason.

        Raises as `run` does, and NotFound when there is no such folder.
        """
        names = (level1.encode(), level2.encode(), name.encode())
        is_sound = not any(not part or b"/" in part or rules.is_passed_over(part) for part in names)
        found = self._walk(lambda walk: walk.visit_below(names)) if is_sound else []
        if not found:
            raise NotFound("folder-not-found", f"{self.base}/{level1}/{level2}/{name}: there is no such folder.")
        return found[0]

    def stop(self) -> None:
        """End all runs, within crew.STOP_GRACE_SECONDS even if the NAS hangs, and allow no more."""
        with self._lock:
            self._stopped = True
            for crew in self._running:
                crew.stop()

    def _walk(self, first: "Callable[[_Walk], None]", on_progress: Progress | None = None) -> list[Folder]:
        before = _stat_base(self.base)
        crew = Crew(self._threads)
        walk = _Walk(self.base, before.st_dev, self._patterns, crew, on_progress)
        with self._lock:
            self._running.add(crew)
            if self._stopped:
                crew.stop()
        try:
            crew.run(partial(first, walk))
        finally:
            with self._lock:
                self._running.remove(crew)
        after = _stat_base(self.base)
        if (before.st_dev, before.st_ino) != (after.st_dev, after.st_ino):
            raise _unusable(self.base, "it was mounted, unmounted or replaced meanwhile")
        return walk.found


class _Walk:
    """One walk over the share: enters what may be entered, and keeps what was found out about each folder."""

    def __init__(self, base: str, device: int, patterns: Patterns, crew: "Crew", on_progress: Progress | None) -> None:
        self.patterns = patterns
        self.crew = crew
        self.found: list[Folder] = []
        self._base = base
        self._device = device
        self._on_progress = on_progress
        self._lock = threading.Lock()

    def visit_base(self) -> None:
        try:
            self._read_shelf(())
        except OSError as error:
            raise _unusable(self._base, _reason(error)) from error

    def visit_below(self, names: Names) -> None:
        """Visit the folder of level 3, or keep the one above it that cannot be entered."""
        for parent in (names[:1], names[:2]):
            try:
                self.enter(parent)
            except (OSError, _LeftOutError) as error:
                self.hindered(parent, error)
                return
        self.visit(names)

    def visit(self, names: Names) -> None:
        """Look at what a folder of level 1 to 3 holds."""
        if len(names) == 3:
            _Count(self, names).read(())
            return
        try:
            self.enter(names)
            self._read_shelf(names)
        except (OSError, _LeftOutError) as error:
            self.hindered(names, error)

    def enter(self, names: Names) -> int:
        """The mtime_ns of a directory. Raises OSError, and _LeftOutError where the rules forbid to enter."""
        if len(names) <= 3:
            reason = rules.unusable_name(names[-1]) if len(names) == 3 else rules.unusable_characters(names[-1])
            if reason is not None:
                raise _LeftOutError(reason)
        found = os.lstat(self.path(names))
        if stat.S_ISLNK(found.st_mode):
            raise _LeftOutError(rules.SYMBOLIC_LINK)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if found.st_dev != self._device:
            raise _LeftOutError(rules.OTHER_FILE_SYSTEM)
        return found.st_mtime_ns

    def path(self, names: Names) -> bytes:
        return b"/".join((self._base.encode(), *names)) or b"/"

    def hindered(self, names: Names, error: "OSError | _LeftOutError") -> None:
        """Keep a folder of level 1 to 3 that was not entered, unless it is gone."""
        if not _is_gone(error):
            self.keep(names, left_out=_reason(error))

    def keep(self, names: Names, *, left_out: str | None, content: Content | None = None) -> None:
        levels = [shown(name) for name in names]
        level1, level2, name = [*levels, "", ""][:3]
        folder = Folder(
            path="/".join((self._base, *levels)),
            level1=level1,
            level2=level2,
            name=name,
            size_bytes=content.size_bytes if content else 0,
            file_count=content.file_count if content else 0,
            modified_at=from_ns(content.newest_mtime_ns) if content else None,
            left_out=left_out,
        )
        with self._lock:
            self.found.append(folder)
            if self._on_progress is not None:
                self._on_progress(len(self.found))

    def _read_shelf(self, names: Names) -> None:
        folders: list[bytes] = []
        with os.scandir(self.path(names)) as entries:
            for entry in entries:
                if rules.is_passed_over(entry.name):
                    continue
                if entry.is_symlink():
                    self.keep((*names, entry.name), left_out=rules.SYMBOLIC_LINK)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
        self.crew.add_each(lambda name: self.visit((*names, name)), folders)


class _Count:
    """Counts what one folder of level 3 holds, on the threads that are free; keeps no list of its files."""

    def __init__(self, walk: _Walk, names: Names) -> None:
        self._walk = walk
        self._names = names
        self._content: Content | None = None  # None until the folder was entered
        self._parts_left = 1
        self._lock = threading.Lock()

    def read(self, below: Names, *, in_litter: bool = False) -> None:
        """Take in one directory: the folder itself, or the one `below` it."""
        names = self._names + below
        try:
            self._add(Content(self._walk.enter(names)))
            with os.scandir(self._walk.path(names)) as entries:
                self._take_in(entries, below, in_litter)
        except (OSError, _LeftOutError) as error:
            self._hindered(below, error)
        self._part_done()

    def _take_in(self, entries: Iterable[Entry], below: Names, in_litter: bool) -> None:
        folders: list[bytes] = []
        batch: list[Entry] = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
                continue
            batch.append(entry)
            if len(batch) == BATCH_ENTRIES:
                self._parts_found(1)
                self._walk.crew.add_or_run(partial(self._measure_part, batch, below, in_litter))
                batch = []
        self._parts_found(len(folders))
        self._walk.crew.add_each(partial(self._read_below, below, in_litter), folders)
        self._measure(batch, below, in_litter)

    def _read_below(self, above: Names, in_litter: bool, name: bytes) -> None:
        if not above and self._walk.patterns.is_marker(name):
            self._add(Content(trouble=f"it holds a folder named like a marker file, '{shown(name)}': rename that"))
        self.read((*above, name), in_litter=in_litter or self._walk.patterns.is_litter(name))

    def _measure_part(self, batch: list[Entry], below: Names, in_litter: bool) -> None:
        try:
            self._measure(batch, below, in_litter)
        except OSError as error:
            self._hindered(below, error)
        self._part_done()

    def _measure(self, batch: list[Entry], below: Names, in_litter: bool) -> None:
        names: list[bytes] = []
        size_bytes, newest_mtime_ns = 0, LONG_AGO_NS
        for entry in batch:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            kind = stat.S_IFMT(found.st_mode)
            if kind in _SPECIAL:
                path = _shown((*below, entry.name))
                self._add(Content(trouble=f"it holds {_SPECIAL[kind]}, which cannot be archived: '{path}'"))
            if kind not in (stat.S_IFREG, stat.S_IFLNK):
                continue
            if kind == stat.S_IFREG:
                size_bytes += found.st_size
            if found.st_mtime_ns > newest_mtime_ns:
                newest_mtime_ns = found.st_mtime_ns
            names.append(entry.name)
        self._add(Content(newest_mtime_ns, len(names), size_bytes))
        self._judge(names, at_top=not below, in_litter=in_litter)

    def _judge(self, names: list[bytes], *, at_top: bool, in_litter: bool) -> None:
        """Apply the rules to names, only where that can still change the outcome: matching is slow."""
        patterns = self._walk.patterns
        if at_top:
            self._add(Content(marker=min(filter(patterns.is_marker, names), default=None)))
        if not in_litter and (self._content is None or not self._content.is_decided):
            self._add(patterns.but_litter(names))

    def _hindered(self, below: Names, error: "OSError | _LeftOutError") -> None:
        if self._content is None:
            self._walk.hindered(self._names, error)
        elif _is_gone(error):
            if not below:
                self._content = None  # the whole folder, which is not the same as an empty one
        else:
            where = f"its sub-folder '{_shown(below)}': " if below else ""
            self._add(Content(trouble=where + _reason(error)))

    def _add(self, part: Content) -> None:
        with self._lock:
            self._content = part if self._content is None else self._content.plus(part)

    def _parts_found(self, number: int) -> None:
        with self._lock:
            self._parts_left += number

    def _part_done(self) -> None:
        with self._lock:
            self._parts_left -= 1
            content = None if self._parts_left else self._content
        if content is not None:
            self._walk.keep(self._names, left_out=rules.reason_to_leave_out(content), content=content)


class _LeftOutError(Exception):
    """The rules forbid to enter a folder; the text is the reason."""


def _shown(path: Names) -> str:
    return shown(b"/".join(path))


def _is_gone(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def _reason(error: "OSError | _LeftOutError") -> str:
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)


def _stat_base(base: str) -> os.stat_result:
    try:
        found = os.stat(base.encode() or b"/")
    except OSError as error:
        raise _unusable(base, _reason(error)) from error
    if not stat.S_ISDIR(found.st_mode):
        raise _unusable(base, "it is not a directory")
    return found


def _unusable(base: str, why: str) -> NeedsOperator:
    return NeedsOperator(f"QNAP_BASE_PATH {base}: {why}: check the path and the mount", problem="source-unavailable")
