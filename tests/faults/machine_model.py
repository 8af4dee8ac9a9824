"""What must hold at every moment of the state machine, judged from outside: by history, NAS, destination and Globus.

Of the product's database only the history of the jobs is read; it is replayed move by move.
"""

import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from cs_archiver.sandbox.tasks import Task
from tests.faults.machine_folder import Folder
from tests.faults.machine_world import World
from tests.faults.oracle import contents

FINAL = ("completed", "failed", "cancelled")
_LOCAL = ("copying", "compressing", "verifying")
_TRANSFER = ("uploading", "upload_verifying", "deleting_source")
_WAY = ("queued", *_LOCAL, "awaiting_upload", *_TRANSFER, "completed")
_ALLOWED = {
    (None, "queued"),
    *pairwise(_WAY),
    *((state, "queued") for state in (*_LOCAL, "failed")),
    *((state, "failed") for state in _WAY[:-1]),
    *((state, "cancelled") for state in _WAY[: _WAY.index("deleting_source")]),
    ("queued", "awaiting_upload"),
    ("upload_verifying", "uploading"),
}
_STARTS = {("queued", "copying"): "queued", ("queued", "awaiting_upload"): "queued"}
_STARTS[("awaiting_upload", "uploading")] = "awaiting_upload"
_DAMAGES = ("MISSING", "TRUNCATED", "FLIPPED_BIT", "STALE", "CORRUPT_IN_FLIGHT", "SKIPPED")


class Frozen(NamedTuple):
    """An archive of a job that may delete: from then on it must stay as it is."""

    job: str
    look: tuple[int, int, int]
    digest: str


class Model:
    """What was asked for, and what was seen of it. `check` raises AssertionError."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._precious = dict(contents(world.precious))
        self.folder_of: dict[str, str] = {}  # of every job that anybody asked for
        self.states: dict[str, str] = {}
        self.excuses: Counter[str] = Counter()  # why a job may have sent its archive once more
        self.foreign: dict[Path, str] = {}  # files that somebody put at the destination
        self.restores = 0
        self.taken = 0
        self.seen: Counter[str] = Counter()  # moves to each state
        self.ended: dict[str, set[str]] = {state: set() for state in FINAL}
        self._places: dict[str, int] = {}  # in the line of the jobs
        self._last_move = 0
        self._frozen: dict[Path, Frozen] = {}
        self._restored: dict[tuple[int, ...], dict[bytes, str]] = {}
        self._changes_at_start: dict[str, int] = {}
        self._gone_when_paused: dict[str, frozenset[bytes]] | None = None  # since deletions are paused
        self._only_local: set[str] = set()  # folders of which somebody took away an archive at the destination

    @property
    def active(self) -> list[str]:
        return [job for job, state in self.states.items() if state not in FINAL]

    def was_asked_for(self, job: str, name: str) -> None:
        self.folder_of[job] = name
        self._changes_at_start[job] = self._world.folders[name].changes

    def active_of(self, name: str) -> list[str]:
        return [job for job in self.active if self.folder_of[job] == name]

    def tasks_at_work(self) -> list[Task]:
        return [task for task in self._world.sandbox.tasks.values() if task.is_unfinished]

    def unverified(self) -> list[tuple[str, Path]]:
        """Archives that have arrived, of jobs that know nothing of it yet: all that they verify comes later."""
        found = []
        for job in [job for job, state in self.states.items() if state == "uploading" and not self.tasks_at_work()]:
            for task in self._tasks_of(job)[-1:]:
                path = self._world.place.remote / _sent(task)
                if path.exists() and path not in self._frozen:
                    found.append((job, path))
        return found

    def expect_foreign(self, path: Path) -> None:
        """Somebody put it there while nothing of ours was on its way to it."""
        self.foreign[path] = _digest(path)

    def database_was_restored(self) -> None:
        """History begins anew, with what was told already."""
        self.restores += 1
        self.states.clear()
        self._places.clear()
        self._last_move = 0

    def deletions_are_paused(self) -> None:
        """From here on nothing more may go, over any restart, until they are resumed, or that is forgotten."""
        self._gone_when_paused = {name: frozenset(folder.missing()) for name, folder in self._world.folders.items()}

    def deletions_may_go_on(self) -> None:
        self._gone_when_paused = None

    @property
    def has_only_copies(self) -> bool:
        """Whether something may be left nowhere but in an archive on the local disk."""
        return bool(self._only_local)

    def archive_is_needed(self, name: str) -> Path | None:
        """Where the archive lies on which a deletion of this folder rests that cannot go on now."""
        deleting = [job for job in self.active_of(name) if self.states[job] == "deleting_source"]
        if not deleting or not self._world.folders[name].is_held():
            return None
        return next((path for path, archive in self._frozen.items() if archive.job == deleting[0]), None)

    def somebody_took(self, path: Path) -> None:
        """From here on the local archive counts: nobody may have removed it."""
        self.taken += 1
        self._only_local.add(self.folder_of[self._frozen.pop(path).job])

    def check(self) -> None:
        missing = {name: folder.missing() for name, folder in self._world.folders.items()}
        self.follow()  # afterwards: what is missing had to be allowed before
        assert dict(contents(self._world.precious)) == self._precious, "what a link led to was changed"
        for path, digest in self.foreign.items():
            assert _digest(path) == digest, f"the file that somebody put at {path} was overwritten"
        for path, archive in self._frozen.items():
            assert _look(path) == archive.look, f"the archive {path} was touched after its source may have been deleted"
        for name, folder in self._world.folders.items():
            self._require_kept(folder, missing[name])
        self._require_pause(missing)
        self._require_sent_once()

    def follow(self) -> None:
        """Only replay what the jobs did since."""
        with closing(sqlite3.connect(f"file:{self._world.place.database}?mode=ro", uri=True)) as connection:
            query = "SELECT id, job_id, from_status, to_status FROM job_history WHERE id > ? ORDER BY id"
            moves = connection.execute(query, (self._last_move,)).fetchall()
        for number, job, before, after in moves:
            self._follow(job, before, after)
            self._last_move = number

    def check_in_the_end(self) -> None:
        """With what takes longer, once no job is active any more."""
        self.check()
        for path, archive in self._frozen.items():
            assert _digest(path) == archive.digest, path
        if self.restores:  # an older database knows nothing of some jobs, so it cannot clean up after them
            return
        storage = self._world.place.storage
        left = os.listdir(storage / "temp")
        left += [str(path) for path in (storage / "archives").rglob("*") if path.is_file()]
        assert left == [], left
        assert self.tasks_at_work() == [], self.tasks_at_work()

    def _follow(self, job: str, before: str | None, after: str) -> None:
        assert job in self.folder_of, f"nobody asked for the job {job}"
        assert before == self.states.get(job), (job, before, self.states.get(job))
        assert (before, after) in _ALLOWED, (job, before, after)
        line = _STARTS.get((before or "", after))
        if line is not None:
            earlier = [other for other, state in self.states.items() if state == line and self._is_before(other, job)]
            assert earlier == [], f"{job} overtook {earlier} in the line of the {line}"
        self.states[job] = after
        if before in (None, "failed"):
            self._places[job] = max(self._places.values(), default=0) + 1
            assert self.active_of(self.folder_of[job]) == [job], "a folder has two active jobs"
        for worker in (_LOCAL, _TRANSFER):
            busy = [other for other, state in self.states.items() if state in worker]
            assert len(busy) <= 1, f"one worker has {busy} in hand"
        self.seen[after] += 1
        if after in FINAL:
            self.ended[after].add(job)
        if after == "deleting_source":
            self._freeze(job)
        elif after == "completed":
            self._require_done(job)

    def _is_before(self, one: str, other: str) -> bool:
        return self._places[one] < self._places[other]

    def _freeze(self, job: str) -> None:
        path = self._world.place.remote / _sent(self._tasks_of(job)[-1])
        if path not in self._frozen:
            self._frozen[path] = Frozen(job, _look(path), _digest(path))
        assert self._frozen[path].job == job, f"{job} and {self._frozen[path].job} sent to {path}"

    def _tasks_of(self, job: str) -> list[Task]:
        """Those that really sent its archive."""
        tasks = self._world.sandbox.tasks.values()
        return [task for task in tasks if f"CS Archiver job {job}" in (task.label or "") and task.transferred]

    def _require_done(self, job: str) -> None:
        """The marker tells where the archive is, which is whole, and nothing that is in it is left in the folder."""
        folder = self._world.folders[self.folder_of[job]]
        path = next((path for path, archive in reversed(self._frozen.items()) if archive.job == job), None)
        assert path is not None, f"{job} is completed, and somebody had taken its archive away"
        assert self._unpacked(path, folder), f"{path} cannot be unpacked"
        if self.restores:  # it may be told anew, long after
            return
        text = folder.marker.read_text()
        digest = f"Archive SHA-256: {self._frozen[path].digest}"
        for line in (f"Job ID: {job}", digest, f"Archive name: {path.name}", "Source deletion: is complete"):
            assert line in text, (line, text)
        if folder.changes == self._changes_at_start[job]:
            assert folder.files() == [], f"{job} is completed, and this is left: {folder.files()}"

    def _require_kept(self, folder: Folder, missing: Sequence[bytes]) -> None:
        """Every entry is there as its user left it, or in the archive of a job that had the right to delete."""
        if not missing:
            return
        paths = [path for path, archive in self._frozen.items() if self.folder_of[archive.job] == folder.home.name]
        if folder.home.name in self._only_local:
            paths += self._world.place.storage.rglob("*.tar.7z")
        archives = [self._unpacked(path, folder) for path in paths]
        lost = [path for path in missing if not any(known.get(path) == folder.expected[path] for known in archives)]
        assert lost == [], f"{folder.home.name} has lost {lost}, of which nothing is in {paths}"
        if not folder.was_missing >= set(missing):
            assert folder.marker.exists(), f"entries of {folder.home.name} are gone, and no marker says where"

    def _unpacked(self, path: Path, folder: Folder) -> dict[bytes, str]:
        """What stock 7-Zip takes out of it, once for each state of the file."""
        key = (*_look(path), path.stat().st_ctime_ns)
        if key not in self._restored:
            self._restored[key] = folder.restored(path)
        return self._restored[key]

    def _require_pause(self, missing: Mapping[str, Sequence[bytes]]) -> None:
        """A pause lets go the file that is in hand, and the folders around what is gone."""
        if self._gone_when_paused is None:
            return
        more = [
            path
            for name, folder in self._world.folders.items()
            for path in set(missing[name]) - self._gone_when_paused[name]
            if folder.expected[path] != "folder"
        ]
        assert len(more) <= 1, f"{more} went while deletions were paused"

    def _require_sent_once(self) -> None:
        """Crashes and lost replies are no excuse to send an archive again."""
        submissions = Counter(task.request.submission_id for task in self._world.sandbox.tasks.values())
        assert all(number == 1 for number in submissions.values()), submissions
        for job in self.folder_of:
            sent = self._tasks_of(job)
            damaged = sum(any(task.has_outcome(kind) for kind in _DAMAGES) for task in sent)
            allowed = 1 + damaged + self.excuses[job] + self.restores
            assert len(sent) <= allowed, f"{job} was sent {len(sent)} times instead of {allowed}"


def _sent(task: Task) -> str:
    return str(task.transferred[-1].item.destination_path).lstrip("/")


def _look(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
