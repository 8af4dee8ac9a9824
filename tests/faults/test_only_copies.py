"""What is left nowhere but in one archive is kept, whatever other jobs of the folder come to.

It is one on the local disk when somebody takes that at the destination away in the middle of the deletion that rests
on it. It is the one at the destination of which our database does not know that its source is gone: the host was put
back to a snapshot from before, with its database and the mark beside the archives, or the collection got a new id.
"""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.answers import HTML_503, PERMISSION_DENIED, TASK_NOT_FOUND
from cs_archiver.sandbox.faults import Answer, Fail, Hang, Hold
from tests.faults.oracle import Oracle
from tests.faults.test_lying_destinations import Unlinks, shelf_of_local_archives
from tests.support.service import Place, Service, running_service, sandbox_settings, service_in
from tests.support.tally import Count
from tests.support.tampering import OF_ROOT_ALONE, immutable, plant, until_at_work, until_the_next_second, until_told

pytestmark = pytest.mark.timeout(120)

REFUSED = Answer(400, {"code": "ClientError.BadRequest", "message": "scripted", "request_id": "sandbox00"})


@pytest.fixture
async def service(root: Path) -> AsyncIterator[Service]:
    async with running_service(root, MAX_UPLOAD_RETRIES="0") as running:
        yield running


async def failed_upload(service: Service, folder: Path) -> str:
    """A job that has come as far as its upload, and can be retried."""
    service.sandbox.faults.add(Operation.RUN, Fail())
    job = await service.archive(folder)
    assert job["status"] == "failed", job
    return str(job["job_id"])


@OF_ROOT_ALONE
async def test_cancelling_an_earlier_job_of_the_folder_leaves_the_only_copy_alone(
    service: Service, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive could not be set aside either: the folder for failed jobs took nothing."""
    folder = plant(service.place.folder())
    oracle = Oracle(folder)
    earlier = await failed_upload(service, folder)
    Unlinks(monkeypatch, 1, lambda: service.place.archive_of(folder).unlink())
    with immutable(service.place.storage / "failed"):
        job = await service.archive(folder)
    assert job["status"] == "failed", job
    assert oracle.missing() != []
    assert oracle.losses(service.place.remote) != []
    os.remove(folder / f"{folder.name}-ARCHIVED-TO-GLOBUS.txt")

    await service.call("PUT", "/api/system/switches/copy_compress", json={"paused": True})
    assert (await service.call("POST", f"/api/jobs/{earlier}/retry"))[0] == 200
    assert (await service.call("DELETE", f"/api/jobs/{earlier}"))[0] == 204

    await service.until(earlier, "cancelled")
    assert oracle.losses(shelf_of_local_archives(service.place)) == []
    count("only copies kept")


class World:
    """A folder, its judge, a Globus that outlives the service, and a snapshot of the disks of the host."""

    def __init__(self, place: Place, sandbox: Sandbox) -> None:
        self.place = place
        self.sandbox = sandbox
        self.folder = plant(place.folder())
        self.oracle = Oracle(self.folder)
        self._stored: tuple[int, int, int] | None = None

    def service(self, **overrides: str) -> Any:
        return service_in(self.place, self.sandbox, MAX_UPLOAD_RETRIES="1", **overrides)

    async def submitted(self, service: Service) -> str:
        await service.discover()
        return await service.submit(self.folder)

    @asynccontextmanager
    async def put_back_after(self, go_on: Callable[[Service], Awaitable[object]]) -> AsyncIterator[None]:
        """The host goes back to how it is now, after the service did this; the NAS and Globus are elsewhere."""
        kept = self.place.root / "snapshot"
        ours = (self.place.database.parent, self.place.storage)
        for folder in ours:
            shutil.copytree(folder, kept / folder.name, symlinks=True)
        async with self.service() as service:
            await go_on(service)
        assert self.oracle.is_archived_and_gone(self.place.remote)
        self._stored = self._archive()
        for folder in ours:
            shutil.rmtree(folder)
            (kept / folder.name).rename(folder)
        yield

    def _archive(self) -> tuple[int, int, int]:
        now = self.place.archive_of(self.folder).stat()
        return (now.st_ino, now.st_size, now.st_mtime_ns)

    def require_kept(self) -> None:
        assert self._archive() == self._stored, "it was sent over"
        assert self.oracle.losses(self.place.remote) == []

    def archive_is_good(self) -> None:
        self._stored = self._archive()


@pytest.fixture
async def world(root: Path) -> AsyncIterator[World]:
    place = Place(root).make()
    async with Sandbox(sandbox_settings(place)) as sandbox:
        yield World(place, sandbox)


def completes(job_id: str, *before: Callable[[], object]) -> Callable[[Service], Awaitable[None]]:
    async def go_on(service: Service) -> None:
        for act in before:
            act()
        job = await service.until(job_id)
        if job["status"] == "failed":  # as its user does
            assert (await service.call("POST", f"/api/jobs/{job_id}/retry"))[0] == 200
            job = await service.until(job_id)
        assert job["status"] == "completed", job

    return go_on


async def at_the_upload_that_will_fail(world: World) -> str:
    world.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    world.sandbox.faults.add(Operation.RUN, Fail())
    async with world.service() as service:
        job_id = await world.submitted(service)
        await service.until(job_id, "uploading")
        await until_at_work(world.sandbox)
        await service.watched(job_id, lambda job: bool(job["globus_task_id"]))
    return job_id


async def at_the_verification(world: World) -> str:
    """What the upload left is known by then, and is what will be verified."""
    world.sandbox.faults.add(Operation.SUCCESSFUL_TRANSFERS, PERMISSION_DENIED, times=None)
    async with world.service() as service:
        job_id = await world.submitted(service)
        await until_told(service, job_id, "Held: listing what Globus task")
    return job_id


async def at_the_submission(world: World) -> str:
    """Its request is stored; whether Globus has it, nobody knows."""
    world.sandbox.faults.add(Operation.TRANSFER, HTML_503, times=None)
    async with world.service() as service:
        job_id = await world.submitted(service)
        await until_told(service, job_id, "Retry 1/")
    return job_id


def refused_once(world: World) -> Callable[[], None]:
    """Another submission takes the place of the one that is stored."""

    def act() -> None:
        world.sandbox.faults.clear()
        world.sandbox.faults.add(Operation.TRANSFER, REFUSED)

    return act


@pytest.mark.parametrize(
    ("written", "told"), [("as it failed", "'one.mov' removed"), ("later", "when no task of ours was writing it")]
)
async def test_an_upload_that_failed_before_the_host_was_put_back_replaces_nothing(
    world: World, count: Count, written: str, told: str
) -> None:
    job_id = await at_the_upload_that_will_fail(world)

    async def completes_then(service: Service) -> None:
        await completes(job_id, world.sandbox.faults.release)(service)
        failed = next(iter(world.sandbox.tasks.values())).completion_time
        assert failed is not None
        at = failed.timestamp() + (0 if written == "as it failed" else 2)
        os.utime(world.place.archive_of(world.folder), (at, at))

    async with world.put_back_after(completes_then), world.service() as service:
        job = await service.until(job_id)
        assert job["status"] == "failed", job
        assert told in job["error_message"]
        await retried(service, job_id)
    world.require_kept()
    count("hosts put back to a snapshot")


async def retried(service: Service, job_id: str) -> None:
    """As its user does, who does not know better."""
    assert (await service.call("POST", f"/api/jobs/{job_id}/retry"))[0] == 200
    await service.until(job_id)


@pytest.mark.parametrize("folder_is", ["another", "used again", "used again by the same names"])
async def test_what_an_upload_left_before_the_host_was_put_back_is_kept_from_later_jobs(
    world: World, count: Count, folder_is: str
) -> None:
    job_id = await at_the_verification(world)
    async with world.put_back_after(completes(job_id, world.sandbox.faults.clear)):
        if folder_is == "another":
            world.folder.rename(world.place.root / "renamed by hand")
        else:
            (world.folder / f"{world.folder.name}-ARCHIVED-TO-GLOBUS.txt").unlink()
        names = ("one.mov", "sub/two.mov", "sub/three.mov") if folder_is.endswith("names") else ("new.mov",)
        for name in names:
            path = world.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("new material, and longer than what was there before\n" * 9)
        world.oracle.note()
        world.sandbox.faults.add(Operation.TASK, TASK_NOT_FOUND, times=None)
        async with world.service() as service:
            assert (await service.until(job_id))["status"] == "failed"
            world.sandbox.faults.clear()
            job = await service.archive(world.folder)
            assert job["status"] == "failed", job
            world.require_kept()
            job = await service.archive(world.folder, on_existing="new_version")
            assert job["globus_destination_path"].endswith(".v2.tar.7z"), job
            assert job["status"] == "completed", job
    world.require_kept()
    count("hosts put back to a snapshot")


async def test_an_upload_of_a_snapshot_replaces_nothing_that_came_to_its_place_later(
    world: World, count: Count
) -> None:
    """The later job archived more; then somebody put all back into the folder that the snapshot knows of, times too."""
    world.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    async with world.service() as service:
        job_id = await world.submitted(service)
        await until_at_work(world.sandbox)
        await service.watched(job_id, lambda job: bool(job["globus_task_id"]))
    kept = world.place.root / "as the snapshot knows it"
    shutil.copytree(world.folder, kept, symlinks=True)

    async def cancelled_and_archived_with_more(service: Service) -> None:
        world.sandbox.faults.add(Operation.SUCCESSFUL_TRANSFERS, PERMISSION_DENIED, times=None)
        world.sandbox.faults.release()
        await until_told(service, job_id, "Held: listing what Globus task")
        assert (await service.call("DELETE", f"/api/jobs/{job_id}"))[0] == 204
        await service.until(job_id, "cancelled")
        world.sandbox.faults.clear()
        await until_the_next_second()
        (world.folder / "more.mov").write_text("what came later, and is nowhere else")
        world.oracle.note()
        await completes((await service.archive(world.folder))["job_id"])(service)

    async with world.put_back_after(cancelled_and_archived_with_more):
        (world.folder / f"{world.folder.name}-ARCHIVED-TO-GLOBUS.txt").unlink()
        shutil.copytree(kept, world.folder, symlinks=True, dirs_exist_ok=True)
        async with world.service() as service:
            job = await service.until(job_id)
            assert job["status"] == "failed", job
            await retried(service, job_id)
    world.require_kept()
    count("hosts put back to a snapshot")


@pytest.mark.parametrize("then", ["retried", "cancelled"])
async def test_a_submission_of_before_the_host_was_put_back_is_not_sent(world: World, count: Count, then: str) -> None:
    job_id = await at_the_submission(world)
    async with world.put_back_after(completes(job_id, refused_once(world))):
        sent = len(world.sandbox.tasks)
        if then == "cancelled":
            world.sandbox.faults.add(Operation.STAT, Hang())
        async with world.service() as service:
            if then == "cancelled":
                assert (await service.call("DELETE", f"/api/jobs/{job_id}"))[0] == 204
                await service.until(job_id, "cancelled")
            else:
                assert (await service.until(job_id))["status"] == "failed"
                await retried(service, job_id)
            assert len(world.sandbox.tasks) == sent
            assert "already holds a file that is not ours" in "\n".join(await service.log_of(job_id))
    world.require_kept()
    count("hosts put back to a snapshot")


async def test_a_collection_with_a_new_id_still_holds_the_only_copies(root: Path, count: Count) -> None:
    """As when a guest collection is made anew over the same storage: the catalogue knows the archive by the old id."""
    place, anew = Place(root).make(), "5c000000-0000-4000-8000-000000000003"
    settings = sandbox_settings(place)
    settings = replace(settings, collections={**settings.collections, anew: place.remote})
    async with Sandbox(settings) as sandbox:
        world = World(place, sandbox)
        async with world.service() as service:
            await completes(await world.submitted(service))(service)
        world.archive_is_good()
        (world.folder / f"{world.folder.name}-ARCHIVED-TO-GLOBUS.txt").unlink()
        plant(world.folder, "new material.mov")
        world.oracle.note()
        async with world.service(GLOBUS_DESTINATION_ENDPOINT=anew) as service:
            assert (await service.archive(world.folder))["status"] == "failed"
            world.require_kept()
            assert (await service.archive(world.folder, on_existing="new_version"))["status"] == "completed"
        world.require_kept()
    count("only copies kept")
