"""A disk that fills up, at any moment and by anybody, is no failure: the job waits, says so, and goes on by itself.

The storage folder, the folder of the database and the NAS each lie on a small file system of their own. Its size, or
the number of files it can hold, or what somebody else leaves free on it, is swept, so that the copy, the archive, a
commit or the marker does not fit at exactly this or that moment. Each run sees the job wait (what is left of the
attempt is gone, the source is whole), then makes room, and sees it end with everything archived.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.domain.sizes import human_size
from cs_archiver.errors import ArchiverError
from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Fail
from tests.faults.mounts import BOUNDARIES, Boundary, SmallDisk, need_mounts, small_disk, some
from tests.faults.oracle import Oracle
from tests.faults.scale import FULL, pick
from tests.support.service import Place, Service, history_of, sandbox_settings, service_in
from tests.support.tally import Count

pytestmark = pytest.mark.timeout(120)

KIB, MIB, GIB = 1024, 1024**2, 1024**3
PAGE = 4096
ROOMY = 256 * MIB
SMALL_GATE = {"MIN_FREE_SPACE_GB": "0.0001", "COMPRESSION_SIZE_ESTIMATE_RATIO": "0.01"}
WAITS = {"DISK_SPACE_CHECK_INTERVAL_SECONDS": "0.4"}


@pytest.fixture(autouse=True)
def _mounts() -> None:
    need_mounts()


class World:
    """A service of which one folder lies on a small disk, a source folder, and its judge."""

    def __init__(self, root: Path) -> None:
        self.place = Place(root)
        self.overrides = {**SMALL_GATE, **WAITS}

    def plant(self, size: int, files: int = 3, *, seed: int = 0) -> Path:
        """Files that cannot be compressed, of `size` bytes altogether."""
        folder = self.place.folder()
        source = random.Random(seed)
        (folder / "sub").mkdir(exist_ok=True)
        for number in range(files):
            share = size * (number + 1) // files - size * number // files
            (folder / "sub" / f"{number} take.mov").write_bytes(source.randbytes(share))
        self.oracle = Oracle(folder)
        self.folder = folder
        return folder

    @asynccontextmanager
    async def service(self) -> AsyncIterator[Service]:
        self.place.make()
        async with (
            Sandbox(sandbox_settings(self.place)) as sandbox,
            service_in(self.place, sandbox, **self.overrides) as service,
        ):
            yield service

    def left_over(self) -> list[Path]:
        """What an attempt must not leave behind: working copies, and archives half written."""
        temp = self.place.storage / "temp"
        return [*(temp.iterdir() if temp.exists() else ()), *self.place.storage.rglob("*.partial")]

    async def require_waits_for_space(self, service: Service, job_id: str) -> dict[str, Any]:
        """The job is in the queue and says that it waits for space; nothing is lost, nothing is left over."""
        async with asyncio.timeout(60):
            while "aiting for disk space" not in ((job := await service.job(job_id))["current_operation"] or ""):
                assert job["status"] not in ("completed", "failed"), job
                await asyncio.sleep(0.02)
        assert job["status"] == "queued"
        assert self.left_over() == []
        assert self.oracle.missing() == []
        return job

    async def require_completes(self, service: Service, job_id: str) -> None:
        job = await service.until(job_id, seconds=60)
        assert job["status"] == "completed", job
        assert self.oracle.losses(self.place.remote) == []
        assert self.oracle.is_archived_and_gone(self.place.remote)
        assert self.left_over() == []


@pytest.fixture
def world(root: Path) -> World:
    return World(root)


SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64) if FULL else (1, 2)
SHARES = (52, 60, 75, 90, 97, 105)  # of what others leave, in percent: neither copy and archive, nor the copy, fit
LEAST_FILES = 6  # the storage folder itself, its lock file and its four folders
SMALL_FILES = 120  # each takes whole pages: more than the sum of sizes tells


@pytest.mark.parametrize("files", [3, SMALL_FILES])
@pytest.mark.parametrize("share", some(SHARES, 2))
@pytest.mark.parametrize("size", SIZES)
async def test_a_job_that_does_not_fit_on_the_storage_waits_until_it_does(
    world: World, count: Count, size: int, share: int, files: int
) -> None:
    world.plant(size * MIB * share // 100, files, seed=size)
    with small_disk(world.place.storage, ROOMY) as disk:
        async with world.service() as service:
            disk.fill(leave=size * MIB)
            await service.discover()
            job_id = await service.submit(world.folder)
            await world.require_waits_for_space(service, job_id)
            disk.empty()
            await world.require_completes(service, job_id)
    count("full-disk runs")


@pytest.mark.parametrize("share", some((55, 65, 75, 85, 95), 1))
async def test_after_a_full_disk_a_job_needs_twice_its_size(world: World, count: Count, share: int) -> None:
    size = MIB * share // 100
    world.plant(size)
    with small_disk(world.place.storage, ROOMY) as disk:
        async with world.service() as service:
            disk.fill(leave=MIB)
            await service.discover()
            job_id = await service.submit(world.folder)
            await world.require_waits_for_space(service, job_id)
            assert "copying" in history_of(service, job_id)
            disk.fill(leave=2 * size - 2 * PAGE)
            tried = len(history_of(service, job_id))
            told = f"{human_size(2 * size)} needed"
            async with asyncio.timeout(20):
                while told not in (await service.job(job_id))["current_operation"]:
                    await asyncio.sleep(0.02)
            disk.fill(leave=2 * size + MIB // 2)
            await world.require_completes(service, job_id)
            assert len(history_of(service, job_id)) > tried
    count("full-disk runs")


@pytest.mark.parametrize("share", some((55, 80, 101, 150, 1000), 2))
async def test_a_job_that_can_never_fit_fails_and_those_behind_it_go_on(world: World, count: Count, share: int) -> None:
    """Some fill the disk first: then twice their size is asked for."""
    too_large = world.place.folder("Too large")
    large = too_large / "take.mov"
    large.write_bytes(random.Random(share).randbytes(2 * MIB * share // 100))
    kept = large.read_bytes()
    world.plant(20 * KIB)
    with small_disk(world.place.storage, 2 * MIB):
        async with world.service() as service:
            await service.discover()
            first, second = await service.submit(too_large), await service.submit(world.folder)
            job = await service.until(first)
            assert job["status"] == "failed"
            size = len(kept)
            needed = 2 * size if share < 100 else size + max(int(size * 0.01), int(0.0001 * GIB))
            assert f"it can never fit: {human_size(needed)} of disk space needed" in job["error_message"]
            assert f"the whole disk of [storage] base_path has {human_size(2 * MIB)}" in job["error_message"]
            assert ("copying" in history_of(service, first)) == (share < 100)
            assert large.read_bytes() == kept
            await world.require_completes(service, second)
    count("full-disk runs")


async def test_a_folder_that_takes_far_more_room_than_its_size_does_not_fill_the_disk_again_and_again(
    world: World, count: Count
) -> None:
    """Twice its size, and more, is there each time: it is its blocks that do not fit."""
    small = world.place.folder("Small files")
    for number in range(600):
        (small / f"{number}.txt").write_bytes(b"10 bytes.\n")
    world.plant(20 * KIB)
    with small_disk(world.place.storage, 2 * MIB):
        async with world.service() as service:
            await service.discover()
            first, second = await service.submit(small), await service.submit(world.folder)
            job = await service.until(first)
            assert job["status"] == "failed"
            assert "it can never fit" in job["error_message"]
            assert "3 times its size is counted" in job["error_message"]
            assert history_of(service, first).count("copying") == 2
            assert len(list(small.iterdir())) == 600
            await world.require_completes(service, second)
    count("full-disk runs")


@pytest.mark.parametrize("more", some((0, 5, 20, 40, 60), 1))
async def test_a_storage_with_too_few_files_left_is_waited_for_before_anything_is_copied(
    world: World, count: Count, more: int
) -> None:
    world.plant(60 * KIB, files=60)
    with small_disk(world.place.storage, ROOMY, files=LEAST_FILES + 16 + more - 2) as disk:
        async with world.service() as service:
            await service.discover()
            job_id = await service.submit(world.folder)
            job = await world.require_waits_for_space(service, job_id)
            assert "names for 76 files needed" in job["current_operation"]
            assert history_of(service, job_id) == ["queued"]
            disk.grow(ROOMY, files=1000)
            await world.require_completes(service, job_id)
            told = [line for line in await service.log_of(job_id) if "aiting for disk space" in line]
            assert len(told) == 1
    count("full-disk runs")


async def test_a_retry_that_has_its_archive_goes_on_although_not_a_byte_is_free(world: World, count: Count) -> None:
    world.plant(MIB)
    world.overrides["MAX_UPLOAD_RETRIES"] = "0"
    with small_disk(world.place.storage, ROOMY) as disk:
        async with world.service() as service:
            service.sandbox.faults.add(Operation.RUN, Fail())
            job_id = (await service.archive(world.folder))["job_id"]
            disk.fill()
            assert disk.free == 0
            assert (await service.call("POST", f"/api/jobs/{job_id}/retry"))[0] == 200
            await world.require_completes(service, job_id)
            assert history_of(service, job_id).count("copying") == 1
            assert not [line for line in await service.log_of(job_id) if "disk space" in line]
    count("full-disk runs")


GATES = [(ratio, least) for ratio in (0.01, 0.7, 1.5) for least in (0.0001, 0.001, 0.002, 0.004)]


@pytest.mark.parametrize(("ratio", "least"), some(GATES, 2))
async def test_the_gate_opens_at_the_size_of_the_folder_and_what_is_needed_beside_it(
    world: World, count: Count, ratio: float, least: float
) -> None:
    size = 2 * MIB
    needed = size + max(int(size * ratio), int(least * GIB))
    world.plant(size)
    world.overrides |= {"COMPRESSION_SIZE_ESTIMATE_RATIO": str(ratio), "MIN_FREE_SPACE_GB": str(least)}
    with small_disk(world.place.storage, ROOMY) as disk:
        async with world.service() as service:
            disk.fill(leave=needed - 1)
            await service.discover()
            job_id = await service.submit(world.folder)
            await world.require_waits_for_space(service, job_id)
            assert history_of(service, job_id) == ["queued"]
            disk.empty()
            disk.fill(leave=needed + PAGE)
            async with asyncio.timeout(20):
                while history_of(service, job_id)[:2] != ["queued", "copying"]:
                    await asyncio.sleep(0.01)
            disk.empty()
            await world.require_completes(service, job_id)
    count("full-disk runs")


@pytest.mark.parametrize("more", some(range(13), 4))
async def test_a_storage_that_can_hold_no_more_files_is_a_full_disk(world: World, count: Count, more: int) -> None:
    world.plant(20 * KIB, files=6)
    with small_disk(world.place.storage, ROOMY, files=LEAST_FILES + more) as disk:
        async with world.service() as service:
            await service.discover()
            job_id = await service.submit(world.folder)
            await world.require_waits_for_space(service, job_id)
            disk.grow(ROOMY, files=1000)
            await world.require_completes(service, job_id)
    count("full-disk runs")


LEFT = [(state, tenths) for state in ("queued", "copying", "compressing") for tenths in range(10)]


@pytest.mark.parametrize(("state", "tenths"), some(LEFT, 4))
async def test_a_storage_that_somebody_else_fills_meanwhile_is_waited_for(
    world: World, count: Count, monkeypatch: pytest.MonkeyPatch, state: str, tenths: int
) -> None:
    """They leave so many tenths of what the next step writes."""
    size = 2 * MIB
    world.plant(size)
    boundary = Boundary(monkeypatch, state)
    with small_disk(world.place.storage, ROOMY) as disk:
        async with world.service() as service:
            await service.discover()
            job_id = await service.submit(world.folder)
            await boundary.reached()
            disk.fill(leave=size * tenths // 10)
            boundary.release()
            await world.require_waits_for_space(service, job_id)
            disk.empty()
            await world.require_completes(service, job_id)
    count("full-disk runs")


@pytest.mark.parametrize("number", some(range(1, pick(5, 13)), 2))
async def test_a_storage_that_fills_up_at_a_file_being_made_is_waited_for(
    world: World, count: Count, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    world.plant(MIB, files=12)
    with small_disk(world.place.storage, ROOMY) as disk:
        async with world.service() as service:
            await service.discover()
            full = fill_at(monkeypatch, disk, number)
            job_id = await service.submit(world.folder)
            await world.require_waits_for_space(service, job_id)
            assert full.is_set()
            disk.empty()
            await world.require_completes(service, job_id)
    count("full-disk runs")


def fill_at(monkeypatch: pytest.MonkeyPatch, disk: SmallDisk, number: int) -> asyncio.Event:
    """Fill the disk right before the `number`-th file is made on it by this process."""
    real, made, full = os.open, 0, asyncio.Event()

    def opening(path: Any, flags: int, *args: Any, **options: Any) -> int:
        nonlocal made
        if flags & os.O_CREAT and str(disk.path / "temp") in os.fsdecode(path) and not full.is_set():
            made += 1
            if made == number:
                full.set()
                disk.fill()
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", opening)
    return full


STATES = [(state, pages) for pages in (0, 1, 2, 3, 4, 6, 8, 10) for state in BOUNDARIES]


async def until_told_of_the_database(service: Service) -> None:
    async with asyncio.timeout(10):
        while True:
            _, body = await service.call("GET", "/api/system/status")
            if "database" in (text := str(body).lower()) and "unhealthy" in text:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("state", "pages"), some(STATES, 4))
async def test_while_the_disk_of_the_database_is_full_nothing_is_deleted(
    world: World, count: Count, monkeypatch: pytest.MonkeyPatch, state: str, pages: int
) -> None:
    world.plant(200 * KIB, files=40)
    boundary = Boundary(monkeypatch, state)
    with small_disk(world.place.database.parent, ROOMY) as disk:
        async with world.service() as service:
            await service.discover()
            job_id = await service.submit(world.folder)
            await boundary.reached()
            disk.fill(leave=pages * PAGE)
            boundary.release()
            await until_told_of_the_database(service)
            assert world.oracle.missing() == []
            disk.empty()
            await world.require_completes(service, job_id)
    count("full-disk runs")


@pytest.mark.parametrize("leave", some((300, 350, 400, 450), 1))
async def test_a_database_that_has_no_room_beside_a_copy_is_a_full_disk(
    world: World, count: Count, monkeypatch: pytest.MonkeyPatch, leave: int
) -> None:
    """On the same disk, as by default: the copy fits and its manifest does not, so that the copy must go again."""
    files = 3_000
    world.plant(files * PAGE, files=files)
    world.overrides["DATABASE_URL"] = f"sqlite:///{world.place.storage}/cs_archiver.db"
    boundary = Boundary(monkeypatch, "copying")
    with small_disk(world.place.storage, 64 * MIB) as disk:
        async with world.service() as service:
            await service.discover()
            job_id = await service.submit(world.folder)
            await boundary.reached()
            disk.fill(leave=files * PAGE + leave * KIB)
            boundary.release()
            await world.require_waits_for_space(service, job_id)
            assert any("the database is unhealthy" in line for line in await service.log_of(job_id))
            disk.empty()
            await world.require_completes(service, job_id)
    count("full-disk runs")


NAS = [
    (state, kind, size)
    for size in (1, 4, 16, 64)
    for state in ("", *BOUNDARIES, "the deletion")
    for kind in ("bytes", "files")
    if FULL or size == 1
]


@pytest.mark.parametrize(("state", "kind", "size"), some(NAS, 4))
async def test_while_the_nas_is_too_full_for_the_marker_nothing_is_deleted(
    world: World, count: Count, monkeypatch: pytest.MonkeyPatch, state: str, kind: str, size: int
) -> None:
    with small_disk(world.place.nas, size * MIB) as disk:
        world.plant(size * MIB // 3)
        if state == "":
            fill_nas(disk, kind)
        boundary = Boundary(monkeypatch, state)
        if state == "the deletion":
            fill_after_the_first_marker(monkeypatch, disk, kind)
        async with world.service() as service:
            await service.discover()
            job_id = await service.submit(world.folder)
            if state in BOUNDARIES:
                await boundary.reached()
                fill_nas(disk, kind)
                boundary.release()
            async with asyncio.timeout(60):
                while not str((job := await service.job(job_id))["current_operation"]).startswith("Held: "):
                    assert job["status"] != "completed"
                    await asyncio.sleep(0.01)
            assert "marker" in job["current_operation"], job
            assert world.oracle.losses(world.place.remote) == []
            assert state == "the deletion" or world.oracle.missing() == []
            monkeypatch.undo()
            disk.empty()
            disk.grow(2 * size * MIB, files=10_000)
            await world.require_completes(service, job_id)
    count("full-disk runs")


def fill_nas(disk: SmallDisk, kind: str) -> None:
    found = os.statvfs(disk.path)
    if kind == "files":
        disk.grow(found.f_blocks * found.f_frsize, files=found.f_files - found.f_ffree)
    else:
        disk.fill()


def fill_after_the_first_marker(monkeypatch: pytest.MonkeyPatch, disk: SmallDisk, kind: str) -> None:
    """Somebody takes what every deletion frees, so that the marker cannot be written a second time."""
    real = os.unlink

    def unlinking(path: Any, **options: Any) -> None:
        real(path, **options)
        if os.fsdecode(path).endswith("take.mov") and "dir_fd" in options:
            fill_nas(disk, kind)

    monkeypatch.setattr(os, "unlink", unlinking)


@pytest.mark.parametrize("which", ["storage", "state"])
async def test_a_start_on_a_full_disk_works_or_is_refused_with_a_reason(world: World, count: Count, which: str) -> None:
    world.plant(100 * KIB)
    small = world.place.storage if which == "storage" else world.place.database.parent
    with small_disk(small, 16 * MIB) as disk:
        disk.fill()
        try:
            async with world.service():
                pass
        except ArchiverError as refusal:
            assert str(small) in str(refusal)  # noqa: PT017  a refusal is right, and so is a start
        disk.empty()
        async with world.service() as service:
            job = await service.archive(world.folder)
            await world.require_completes(service, job["job_id"])
    count("full-disk runs")
