"""A user changes the source while it is archived, at every phase boundary, in every way: nothing of it is lost.

The product stands still at a boundary (see phases.py) while a user does one to three things to the folder; then it
goes on. At every boundary: no byte the user left is lost, what lies elsewhere is untouched, a job that is completed
has archived what the user left, and one that fails or is held says what changed. Nothing at all is deleted when the
change came once the copy was sealed and before the deletion was allowed; what is changed later is not deleted
itself. Afterwards the user mends what the job complained of, and in the end everything is archived after all.

The number in an id is the seed of everything random in the case.
"""

import os
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults.leftovers import leftovers
from tests.faults.oracle import Oracle, contents, is_marker
from tests.faults.phases import BOUNDARIES, STRATEGIES, Boundary, Era, stopped_at, strategies_that_reach
from tests.faults.random_trees import CHANGES, User, plant, random_tree
from tests.faults.scale import FULL, pick
from tests.support.service import FINAL, Service, history_of, running_service
from tests.support.tally import Count
from tests.support.tampering import rewrite_in_place

pytestmark = pytest.mark.timeout(180)

RUNS = pick(200, 5_000)
_NEAR_THE_END = (Era.LOOKING, Era.APPROVED)

Look = dict[bytes, tuple[object, ...]]


def case_of(seed: int) -> tuple[Boundary, list[str]]:
    """Boundaries in turn, each with another first change every time: a full round is every pair once.

    The stride is such that the first 200 pair the changes that deceive a deletion with the boundaries around it.
    """
    turn, number = divmod(seed, len(BOUNDARIES))
    changes = [CHANGES[(20 * number + turn) % len(CHANGES)]]
    random = Random(seed)
    return BOUNDARIES[number], changes + random.choices(CHANGES, k=random.choice((0, 0, 1, 2)))


def is_run(seed: int) -> bool:
    """All in full; of the slice every fourth change of a boundary, and each one right before or in the deletion."""
    turn, number = divmod(seed, len(BOUNDARIES))
    return FULL or (turn + number) % 4 == 0 or BOUNDARIES[number].era in _NEAR_THE_END


def case_id(seed: int) -> str:
    boundary, changes = case_of(seed)
    return f"{seed}: {boundary.name}: {', '.join(changes)}"


@pytest.mark.parametrize("seed", [seed for seed in range(RUNS) if is_run(seed)], ids=case_id)
async def test_nothing_a_user_leaves_in_the_source_is_lost_whenever_it_is_changed(
    seed: int, root: Path, count: Count
) -> None:
    boundary, changes = case_of(seed)
    random = Random(seed)
    strategy = random.choice(strategies_that_reach(boundary))
    async with running_service(root, **STRATEGIES[strategy]) as service:
        case = Case(service, boundary, random)
        await case.run(changes)
        await case.finish()
    assert leftovers(service.place) == []
    count("source mutation runs")


@pytest.mark.parametrize("name", ["after the look", "after the first marker"])
async def test_a_file_of_two_names_that_is_edited_once_the_deletion_is_allowed_is_kept(name: str, root: Path) -> None:
    """In the same size and time of modification: its change time alone tells, as it does of files of one name."""
    [boundary] = [boundary for boundary in BOUNDARIES if boundary.name == name]
    async with running_service(root) as service:
        folder = service.place.folder()
        (folder / "one.mov").write_bytes(b"as it was copied")
        (folder / "two.mov").hardlink_to(folder / "one.mov")
        oracle = Oracle(folder)
        async with stopped_at(boundary, service, folder) as job_id:
            rewrite_in_place(folder / "one.mov", b"not so any more!")
            oracle.note()
        job = await settled(service, job_id)
        assert oracle.losses(service.place.remote) == []
        assert job["status"] == "failed"
        assert "content changed, although size and time did not" in job["error_message"]


class Case:
    """One folder, one job of it, and the user who changes it."""

    def __init__(self, service: Service, boundary: Boundary, random: Random) -> None:
        place = service.place
        self.service = service
        self.remote = place.remote
        self.boundary = boundary
        self.folder = plant(place.folder(), random_tree(random, entries=random.randrange(12), most_bytes=80_000))
        self.users = place.root / "users"
        (self.users / "elsewhere").mkdir(parents=True)
        plant(self.users / "elsewhere", random_tree(random, entries=3, most_bytes=1000))
        self.oracle = Oracle(self.folder, place.root / "store")
        self.user = User(self.folder, self.users / "elsewhere", self.oracle, random)
        self.job: dict[str, Any] = {}

    async def run(self, changes: list[str]) -> None:
        async with stopped_at(self.boundary, self.service, self.folder) as job_id:
            assert self.boundary.era is Era.APPROVED or self.oracle.missing() == []
            before, traces, expected = looked_at(self.folder), traces_of(self.folder), dict(self.oracle.expected)
            for change in changes:
                self.user.do(change)
            after, canaries = looked_at(self.folder), self._canaries()
            archivable = is_archivable(self.folder)
            changed = differing(traces, traces_of(self.folder))
            new = {path: what for path, what in self.oracle.expected.items() if expected.get(path) != what}
        self.job = await settled(self.service, job_id)
        assert self.oracle.losses(self.remote) == []
        assert self._canaries() == canaries
        self._judge(differing(before, after), archivable=archivable)
        if self.boundary.era not in (Era.BEFORE, Era.COPYING):  # nothing is copied anew: it must still be there
            assert new.items() <= dict(contents(self.folder)).items()
        if self.job["status"] != "completed":
            assert self._is_told(changed), (self.job, changed)

    def _canaries(self) -> Look:
        """All that lies outside of the folder; a deletion that has begun goes on in a folder that is moved away."""
        goes_on = self.boundary.era is Era.APPROVED
        found = looked_at(self.users)
        return {path: what for path, what in found.items() if not (goes_on and path.startswith(b"aside"))}

    def _judge(self, matters: list[str], *, archivable: bool) -> None:
        completed = self.job["status"] == "completed"
        if "deleting_source" not in history_of(self.service, self.job["job_id"]):
            assert self.oracle.missing() == []
        match self.boundary.era:
            case Era.BEFORE:
                assert completed is archivable, self.job
            case Era.SEALED:
                assert completed is not bool(matters), (self.job, matters)
            case Era.LOOKING:
                assert not (completed and matters), (self.job, matters)
            case Era.COPYING | Era.APPROVED:
                pass
        if completed and self.boundary.era is not Era.APPROVED:
            assert self.oracle.is_archived_and_gone(self.remote)

    def _is_told(self, changed: list[str]) -> bool:
        """Whether the job names something that was changed or its folder, or says that another folder is there."""
        told = f"{self.job['error_message']} {self.job['current_operation']}"
        told = re.sub(r"\\+", r"\\", told)  # messages double a backslash, once or twice
        if self.user.moved_away is not None and ("is not the" in told or "is no longer the folder" in told):
            return True
        return any(name in told for path in changed for name in (path, os.path.dirname(path)) if name)

    async def finish(self) -> None:
        """The user puts back what was moved away, removes what cannot be archived, and submits what is left."""
        if self.user.moved_away is not None and (self.boundary.era is Era.APPROVED or self._is_open()):
            left = dict(self.oracle.expected)
            assert self.user.put_back() == left
        if self._is_open():
            self.job = await self.service.until(self.job["job_id"], *FINAL)
        assert self.oracle.losses(self.remote) == []
        for path in [path for path in self.folder.rglob("*") if path.is_fifo()]:
            path.unlink()
            del self.oracle.expected[os.fsencode(path.relative_to(self.folder))]
        if is_archivable(self.folder):
            await self._archive_the_rest()
        assert self.oracle.losses(self.remote) == []
        assert not is_archivable(self.folder)

    def _is_open(self) -> bool:
        return str(self.job["status"]) != "completed"

    async def _archive_the_rest(self) -> None:
        job_id = self.job["job_id"]
        for marker in self.folder.glob("*-ARCHIVED-TO-GLOBUS.txt"):
            marker.unlink()
        await self.service.discover()
        if self.job["status"] == "failed" and "compressing" not in history_of(self.service, job_id):
            assert (await self.service.call("POST", f"/api/jobs/{job_id}/retry"))[0] == 200
        else:
            job_id = await self.service.submit(self.folder, on_existing="new_version")
        job = await self.service.until(job_id)
        assert job["status"] == "completed", job


async def settled(service: Service, job_id: str) -> dict[str, Any]:
    """The job once it has ended, or waits for somebody and says so."""

    def is_settled(job: dict[str, Any]) -> bool:
        return job["status"] in FINAL or (job["current_operation"] or "").startswith("Held: ")

    return await service.watched(job_id, is_settled, seconds=60)


def is_archivable(folder: Path) -> bool:
    """Whether it holds a file or link beside the marker, and nothing that cannot be archived."""
    kinds = [what for path, what in contents(folder) if not is_marker(path)]
    return any(what != "folder" for what in kinds) and not any(what.startswith("special") for what in kinds)


def looked_at(folder: Path) -> Look:
    """What a user would call the same: kind, content, target, and the time of what is no folder; and which folder."""
    found: Look = {b".": (folder.stat().st_ino,)}
    for path, what in contents(folder):
        if not is_marker(path):
            is_folder = what == "folder"
            found[path] = (what, 0 if is_folder else os.lstat(os.path.join(os.fsencode(folder), path)).st_mtime_ns)
    return found


def traces_of(folder: Path) -> Look:
    """Whatever shows that somebody was at a file."""
    found: Look = {}
    for path, what in contents(folder):
        status = os.lstat(os.path.join(os.fsencode(folder), path))
        found[path] = (what, *([] if what == "folder" else [status.st_ino, status.st_mode, status.st_ctime_ns]))
    return found


def differing(before: Look, after: Look) -> list[str]:
    return sorted(os.fsdecode(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path))
