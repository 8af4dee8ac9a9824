"""Finds the folders at level 3 of the NAS, many requests at once, and takes over what is unchanged."""

import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from cs_archiver.clock import from_ns
from cs_archiver.domain import folders as rules
from cs_archiver.domain.folders import Content, Folder, Patterns
from cs_archiver.domain.manifest import shown
from cs_archiver.errors import NeedsOperator, NotFound
from cs_archiver.tools.crew import Crew, Crews
from cs_archiver.tools.folder_count import Comparison, Count
from cs_archiver.tools.known_folders import Directories, Known, KnownFolders
from cs_archiver.tools.share import LeftOutError, Names, Share, is_gone, reason_of
from cs_archiver.tools.ticking import every

HAND_OVER_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 1.0  # for a look at the base: whoever stopped the run waits

Progress = Callable[[int], None]
HandOver = Callable[[Sequence[Folder]], None]


@dataclass(frozen=True, slots=True)
class Found:
    """All folders, listed and left out, by level 1, level 2 and name.

    `taken_over_since` is when the first of those that are unchanged was measured; None if all were measured now.
    """

    folders: list[Folder]
    taken_over_since: str | None


class Discovery:
    """Looks at the folders exactly three levels below `base`, each run on at most `threads` threads.

    A NAS that tells nothing more for `timeout_seconds` counts as hanging.
    """

    def __init__(self, base: bytes, patterns: Patterns, *, threads: int, timeout_seconds: float | None = None) -> None:
        self.base = base.decode("utf-8").rstrip("/")
        self._patterns = patterns
        self._threads = threads
        self._timeout_seconds = timeout_seconds
        self._known = KnownFolders()
        self._running: set[Crews] = set()
        self._is_stopped = False
        self._lock = threading.Lock()

    def run(
        self,
        on_progress: Progress | None = None,
        *,
        hand_over: HandOver | None = None,
        in_full: bool = False,
        crews: Crews | None = None,
    ) -> Found:
        """Takes as long as the NAS does; a folder is not walked again if it is unchanged, unless `in_full`.

        What that means stands at KnownFolders. On the threads of the walk, `on_progress` gets the number of folders
        looked at, one call at a time; on one of its own, `hand_over` gets about every second what was walked since.
        What vanishes meanwhile is skipped. Raises NeedsOperator when the base cannot be read, is another directory
        at the end than at the beginning or when something was to be handed over, or hangs; Temporary after `stop`,
        here or of `crews`, a second after crew.STOP_GRACE_SECONDS at the latest if the NAS hangs. What was found until
        then is handed over, if the NAS answers; nothing is after the end.
        """
        report = _Report(on_progress, hand_over)
        walk = _Walk(self.base, self._patterns, self._known, report, in_full=in_full)
        try:
            with every(HAND_OVER_SECONDS, partial(_hand_over, walk, report), grace_seconds=_GRACE_SECONDS):
                self._follow_or_forget(walk, report, crews or self.crews())
        finally:
            report.close()
        self._known.forget_all_but(walk.visited)
        folders = sorted(report.found, key=lambda folder: (folder.level1, folder.level2, folder.name, folder.path))
        since_ns = min(report.taken_over_at_ns, default=None)
        return Found(folders, None if since_ns is None else from_ns(since_ns))

    def look_at(self, level1: str, level2: str, name: str) -> Folder:
        """One folder anew, whatever is known of it; or the one above it that cannot be entered, with the reason.

        Raises as `run` does, and NotFound when there is no such folder.
        """
        names = (level1.encode(), level2.encode(), name.encode())
        is_sound = not any(not part or b"/" in part or rules.is_passed_over(part) for part in names)
        report = _Report(None, None)
        if is_sound:
            walk = _Walk(self.base, self._patterns, KnownFolders(), report, in_full=True)
            self._follow(walk, lambda walk: walk.visit_below(names), self.crews())
        if not report.found:
            raise NotFound("folder-not-found", f"{self.base}/{level1}/{level2}/{name}: there is no such folder.")
        return report.found[0]

    def crews(self) -> Crews:
        """For one run, which they can stop."""
        return Crews(timeout_seconds=self._timeout_seconds)

    def stop(self) -> None:
        """End all runs, as soon as `run` says even if the NAS hangs, and allow no more."""
        with self._lock:
            self._is_stopped = True
            for crews in self._running:
                crews.stop()

    def _follow_or_forget(self, walk: "_Walk", report: "_Report", crews: Crews) -> None:
        try:
            self._follow(walk, _Walk.visit_base, crews)
        except NeedsOperator as error:
            if error.problem == "source-unavailable":
                self._known = KnownFolders()  # who knows what was read of a share that came or went meanwhile
                report.close()
            raise

    def _follow(self, walk: "_Walk", first: "Callable[[_Walk], None]", crews: Crews) -> None:
        with self._lock:
            self._running.add(crews)
            if self._is_stopped:
                crews.stop()
        try:
            crews.run(1, lambda _crew: walk.begin())
            crews.run(self._threads, lambda crew: walk.go(crew, first))
            crews.run(1, lambda _crew: walk.require_same_base())
        finally:
            with self._lock:
                self._running.remove(crews)


class _Report:
    """What a walk has found so far; told on its threads."""

    def __init__(self, on_progress: Progress | None, hand_over: HandOver | None) -> None:
        self.found: list[Folder] = []
        self.taken_over_at_ns: set[int] = set()
        self._on_progress = on_progress
        self._hand_over = hand_over
        self._fresh: list[Folder] = []
        self._lock = threading.Lock()

    def keep(self, folder: Folder, measured_at_ns: int | None = None) -> None:
        """`measured_at_ns` is of one that is taken over."""
        with self._lock:
            self.found.append(folder)
            if measured_at_ns is None:
                self._fresh.append(folder)
            else:
                self.taken_over_at_ns.add(measured_at_ns)
            if self._on_progress is not None:
                self._on_progress(len(self.found))

    @property
    def waiting(self) -> int:
        """How many folders are not handed over yet."""
        return len(self._fresh)

    def hand_over(self, number: int) -> None:
        """The first so many of those that wait."""
        with self._lock:
            folders, self._fresh = self._fresh[:number], self._fresh[number:]
            if self._hand_over is not None:
                self._hand_over(folders)

    def close(self) -> None:
        """Nothing is handed over from here on: who listened may listen to another walk by now."""
        with self._lock:
            self._hand_over = None


class _Walk:
    """One walk over the share, from `begin` on; keeps what was found out about each folder in `report`."""

    _share: Share
    _crew: Crew
    _before: os.stat_result

    def __init__(
        self,
        base: str,
        patterns: Patterns,
        known: KnownFolders,
        report: _Report,
        *,
        in_full: bool,
    ) -> None:
        self.visited: set[Names] = set()
        self._base = base
        self._patterns = patterns
        self._known = known
        self._report = report
        self._begun_at_ns = time.time_ns()
        self._in_full = in_full
        self._trouble: NeedsOperator | None = None

    def begin(self) -> None:
        self._before = _stat_base(self._base)
        self._share = Share(self._base.encode(), self._before.st_dev, self._patterns)

    def go(self, crew: Crew, first: "Callable[[_Walk], None]") -> None:
        self._crew = crew
        first(self)

    def require_same_base(self) -> None:
        """Of a share that went away once, not all was read, even if it came back."""
        if self._trouble is None:
            self._trouble = self._trouble_of_base()
        if self._trouble is not None:
            raise self._trouble

    def _trouble_of_base(self) -> NeedsOperator | None:
        try:
            after = _stat_base(self._base)
        except NeedsOperator as error:
            return error
        if (self._before.st_dev, self._before.st_ino) != (after.st_dev, after.st_ino):
            return _unusable(self._base, "it was mounted, unmounted or replaced meanwhile")
        return None

    def visit_base(self) -> None:
        try:
            self._read_shelf(())
        except OSError as error:
            raise _unusable(self._base, reason_of(error)) from error

    def visit_below(self, names: Names) -> None:
        """Visit the folder of level 3, or keep the one above it that cannot be entered."""
        for parent in (names[:1], names[:2]):
            try:
                self._share.enter(parent)
            except (OSError, LeftOutError) as error:
                self.hindered(parent, error)
                return
        self._visit_folder(names)

    def counted(self, names: Names, content: Content, directories: Directories | None) -> None:
        if directories is None:
            self._known.forget(names)
        else:
            self._known.remember(names, Known.of(content, self._begun_at_ns, directories))
        self._keep(names, rules.reason_to_leave_out(content), content)

    def unchanged(self, names: Names, known: Known) -> None:
        self._keep(names, rules.reason_to_leave_out(known.content), known.content, known.measured_at_ns)

    def hindered(self, names: Names, error: OSError | LeftOutError) -> None:
        """Keep a folder of level 1 to 3 that was not entered, unless it is gone."""
        if not is_gone(error):
            self._keep(names, reason_of(error))

    def _visit(self, names: Names) -> None:
        if len(names) == 3:
            self._visit_folder(names)
            return
        try:
            self._share.enter(names)
            self._read_shelf(names)
        except (OSError, LeftOutError) as error:
            self.hindered(names, error)

    def _visit_folder(self, names: Names) -> None:
        self.visited.add(names)
        known = None if self._in_full else self._known.find(names, self._begun_at_ns)
        if known is None:
            Count(self._share, self._crew, names, self).read()
        else:
            Comparison(self._share, self._crew, names, self, known).begin()

    def _read_shelf(self, names: Names) -> None:
        folders: list[bytes] = []
        with os.scandir(self._share.path(names)) as entries:
            for entry in entries:
                if rules.is_passed_over(entry.name):
                    continue
                if entry.is_symlink():
                    self._keep((*names, entry.name), rules.SYMBOLIC_LINK)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
        self._crew.add_each(lambda name: self._visit((*names, name)), folders)

    def _keep(
        self, names: Names, left_out: str | None, content: Content | None = None, measured_at_ns: int | None = None
    ) -> None:
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
        self._report.keep(folder, measured_at_ns)


def _hand_over(walk: _Walk, report: _Report) -> None:
    if waiting := report.waiting:
        with suppress(NeedsOperator):  # what was read of a share that went away meanwhile is shown to nobody
            walk.require_same_base()
            report.hand_over(waiting)


def _stat_base(base: str) -> os.stat_result:
    try:
        found = os.stat(base.encode() or b"/")
    except OSError as error:
        raise _unusable(base, reason_of(error)) from error
    if not stat.S_ISDIR(found.st_mode):
        raise _unusable(base, "it is not a directory")
    return found


def _unusable(base: str, why: str) -> NeedsOperator:
    return NeedsOperator(f"QNAP_BASE_PATH {base}: {why}: check the path and the mount", problem="source-unavailable")
