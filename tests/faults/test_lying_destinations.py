"""Globus says the archive has arrived, but it has not, or not whole, or not there: the source is kept.

The lies are told by the sandbox: about the content (missing, short, a bit flipped, an old file), in any single member
of the task document, of the list of transferred files, of the remote entry, of the collections. The third party who
tampers with the file at the destination does so after the task ended, after the verification, or between two
deletions. Each lie must have been told; the job must fail and name it, with the source untouched. What is tampered
with during the deletion, when the archive had been proven, keeps the local archive. When the lie is over the folder
is archived after all, under a name of its own where the first is no longer ours.
"""

import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.answers import PERMISSION_DENIED
from tests.faults.globus_faults import ALPHA
from tests.faults.globus_lies import FILLS, LIES, ONE_TRY, SAME_SIZE, TAMPERS
from tests.faults.globus_world import World, hurry, usual_calls
from tests.faults.leftovers import leftovers
from tests.faults.scale import FULL, pick
from tests.support.service import Place, running_service
from tests.support.tally import Count
from tests.support.tampering import until_told

pytestmark = [pytest.mark.timeout(120)]

SEEDS = range(pick(1, 4))
SIZES = list(FILLS) if FULL else ["usual"]
UNLINKS = 3  # files of the usual folder
MOMENTS = [(tamper, number) for tamper in TAMPERS for number in range(UNLINKS)]
A_SLICE_OF_MOMENTS = [(tamper, turn % UNLINKS) for turn, tamper in enumerate(TAMPERS)]


class Case:
    """One folder that is lied about."""

    def __init__(self, world: World, size: str, seed: int) -> None:
        self.world = world
        self.draw = random.Random(seed)
        self.folder = world.place.folder("Project_Alpha")
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        FILLS[size](self.folder, self.draw)
        self.oracle = world.oracles["Project_Alpha"]
        self.oracle.expected.clear()
        self.oracle.note()
        self.archive = world.place.archive_of(self.folder)

    async def submitted(self) -> str:
        await self.world.service.discover()
        return await self.world.submit("Project_Alpha")

    async def must_be_refused(self, job_id: str, told: str) -> None:
        job = await self.world.service.until(job_id)
        assert job["status"] == "failed", f"believed it: {job}"
        assert re.search(told, job["error_message"]), job["error_message"]
        assert self.oracle.missing() == []

    async def must_be_archived_after_all(self, job_id: str) -> None:
        """The lie is over: its user retries, and takes a new version where the destination is not ours any more."""
        service = self.world.service
        service.sandbox.faults.clear()
        status, _ = await service.call("POST", f"/api/jobs/{job_id}/retry")
        job = await service.until(job_id, seconds=20)
        if job["status"] != "completed":
            assert status != 200 or "destination" in job["error_message"], job
            for marker in self.folder.glob("*-ARCHIVED-TO-GLOBUS.txt"):
                marker.unlink()
            job = await service.until(await self.world.submit("Project_Alpha", on_existing="new_version"))
        assert job["status"] == "completed", job
        assert self.oracle.is_archived_and_gone(self.world.place.remote)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", LIES)
async def test_the_source_is_untouched_when_this_is_a_lie(
    name: str, size: str, root: Path, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    hurry(monkeypatch)
    lie = LIES[name]
    skip = lie.skip if lie.skip >= 0 else await usual_calls(root / "usual", lie.operation, lie.match) + lie.skip
    async with running_service(root / "world", **lie.overrides) as service:
        case = Case(World(service), size, seed=0)
        for operation, effect, times in lie.also:
            service.sandbox.faults.add(operation, effect, times=times)
        service.sandbox.faults.add(lie.operation, lie.effect, times=None, skip=skip, match=lie.match)
        job_id = await case.submitted()
        await case.must_be_refused(job_id, lie.told)
        assert case.world.struck(lie.operation, lie.effect)
        await case.must_be_archived_after_all(job_id)
    assert leftovers(service.place) == []
    count("lying destinations refused")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("tamper", [*TAMPERS, *SAME_SIZE])
async def test_the_source_is_untouched_when_after_the_task_the_archive_is(
    tamper: str, seed: int, size: str, root: Path, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    hurry(monkeypatch)
    async with running_service(root, **ONE_TRY) as service:
        case = Case(World(service), size, seed)
        service.sandbox.faults.add(Operation.SUCCESSFUL_TRANSFERS, PERMISSION_DENIED, times=None)
        job_id = await case.submitted()
        await until_told(service, job_id, "Held: listing what Globus task")
        (TAMPERS | SAME_SIZE)[tamper](case.archive, case.draw)
        service.sandbox.faults.clear()
        await case.must_be_refused(job_id, "remote|bytes at the destination|comparison files_transferred")
        await case.must_be_archived_after_all(job_id)
    assert leftovers(service.place) == []
    count("lying destinations refused")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("tamper", TAMPERS)
async def test_the_source_is_untouched_when_after_the_verification_the_archive_is(
    tamper: str, seed: int, size: str, root: Path, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    hurry(monkeypatch)
    skip = await usual_calls(root / "usual", Operation.STAT, ALPHA) - 2
    async with running_service(root / "world", **ONE_TRY) as service:
        case = Case(World(service), size, seed)
        service.sandbox.faults.add(Operation.STAT, PERMISSION_DENIED, times=None, skip=skip, match=ALPHA)
        job_id = await case.submitted()
        await service.until(job_id, "deleting_source")
        await until_told(service, job_id, f"looking up '/Production/2024/{ALPHA}'")
        TAMPERS[tamper](case.archive, case.draw)
        service.sandbox.faults.clear()
        await case.must_be_refused(job_id, "no longer at")
        await case.must_be_archived_after_all(job_id)
    assert leftovers(service.place) == []
    count("lying destinations refused")


class Unlinks:
    """Acts right before the `number`-th deletion of an entry of the source (0 is the first)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
        self._real = os.unlink
        self._left = number
        self._act = act
        self.acted = False
        monkeypatch.setattr(os, "unlink", self._unlink)

    def _unlink(self, path: str | bytes, *, dir_fd: int | None = None) -> None:
        is_entry = dir_fd is not None and not os.fsdecode(path).startswith(".cs-archiver-")
        if is_entry and not self.acted:
            self._left -= 1
            if self._left < 0:
                self.acted = True
                self._act()
        self._real(path, dir_fd=dir_fd)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("tamper", "number"), MOMENTS if FULL else A_SLICE_OF_MOMENTS)
async def test_the_local_archive_is_kept_when_during_the_deletion_the_archive_is(
    tamper: str, seed: int, number: int, root: Path, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    hurry(monkeypatch)
    async with running_service(root, **ONE_TRY) as service:
        case = Case(World(service), "usual", seed)
        unlinks = Unlinks(monkeypatch, number, lambda: TAMPERS[tamper](case.archive, case.draw))
        job = await service.until(await case.submitted())
        assert unlinks.acted
        assert job["status"] == "failed", job
        assert "no longer at" in job["error_message"]
        assert case.oracle.losses(shelf_of_local_archives(service.place)) == []
    assert leftovers(service.place) == []
    count("lying destinations refused")


def shelf_of_local_archives(place: Place) -> Path:
    """Copies of the archives still on the local disk, those of failed jobs too, laid out as a destination."""
    shelf = place.root / "shelf" / "2024"
    shelf.mkdir(parents=True)
    for number, archive in enumerate(place.storage.rglob("*.tar.7z")):
        shutil.copyfile(archive, shelf / f"Project_Alpha.v{number}.tar.7z")
    return shelf.parent
