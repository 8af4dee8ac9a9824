"""Decisions, data loss 7: what comes to a destination, or to a source, while a job waits for somebody is kept."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.answers import HTML_503, PERMISSION_DENIED
from cs_archiver.sandbox.faults import Effect, Fail, Hold, Overlay
from tests.support.service import Place, Service, running_service, sandbox_settings, service_in, uploads
from tests.support.tampering import Kept, eventually, plant, until_at_work, until_the_next_second, until_told

FOREIGN = b"somebody's own file, and the only one " * 99


def put(archive: Path, *, seconds_ago: float = 0) -> Path:
    """Somebody's file in the place of the archive."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.unlink(missing_ok=True)
    archive.write_bytes(FOREIGN)
    os.utime(archive, (time.time() - seconds_ago,) * 2)
    return archive


async def held_before_sending(service: Service, folder: Path, fault: Effect, told: str, *, skip: int = 0) -> str:
    """A job of which a submission is stored, and was never sent."""
    service.sandbox.faults.add(Operation.TRANSFER, fault, times=None, skip=skip)
    await service.discover()
    job_id = await service.submit(folder)
    await until_told(service, job_id, told)
    return job_id


@pytest.mark.parametrize(("fault", "told"), [(PERMISSION_DENIED, "Held: submitting"), (HTML_503, "Retry 1/")])
async def test_a_file_that_comes_while_a_submission_waits_to_be_sent_is_kept(
    tmp_path: Path, fault: Effect, told: str
) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        kept = Kept(folder, tmp_path / "copies")
        job_id = await held_before_sending(service, folder, fault, told)
        foreign = put(service.place.archive_of(folder), seconds_ago=9000)
        service.sandbox.faults.clear()

        job = await service.until(job_id, "failed")

        assert "already holds a file that is not ours" in job["error_message"]
        assert (foreign.read_bytes(), kept.losses()) == (FOREIGN, [])
        assert uploads(service.sandbox) == []


@pytest.mark.parametrize("what", ["upload", "comparison"])
async def test_cancelling_what_was_never_sent_sends_it_over_nothing(tmp_path: Path, what: str) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        skip = 1 if what == "comparison" else 0
        job_id = await held_before_sending(service, folder, PERMISSION_DENIED, "Held: submitting", skip=skip)
        foreign = put(service.place.archive_of(folder), seconds_ago=9000)
        sent = len(service.sandbox.tasks)
        service.sandbox.faults.clear()

        assert (await service.call("DELETE", f"/api/jobs/{job_id}"))[0] == 204

        await service.until(job_id, "cancelled")
        assert foreign.read_bytes() == FOREIGN
        assert len(service.sandbox.tasks) == sent
        assert "Whether a transfer was sent to Globus is not known" in "\n".join(await service.log_of(job_id))


async def test_a_file_put_in_the_place_of_an_upload_whose_end_nobody_saw_is_kept(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        await service.discover()
        job_id = await service.submit(folder)
        await until_at_work(service.sandbox)
        service.sandbox.faults.add(Operation.TASK, HTML_503, times=None)
        service.sandbox.faults.release()
        await ended_a_second_ago(service.sandbox)
        foreign = put(service.place.archive_of(folder))
        service.sandbox.faults.clear()

        job = await service.until(job_id, "failed")

        assert "when no task of ours was writing it" in job["error_message"]
        assert foreign.read_bytes() == FOREIGN


async def test_a_file_put_where_an_upload_failed_while_the_service_was_down_is_kept(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        sandbox.faults.add(Operation.RUN, Fail())
        async with service_in(place, sandbox) as service:
            await service.discover()
            job_id = await service.submit(folder)
            await until_at_work(sandbox)
            await service.watched(job_id, lambda job: bool(job["globus_task_id"]))
        sandbox.faults.release()
        await ended_a_second_ago(sandbox)
        foreign = put(place.archive_of(folder))
        async with service_in(place, sandbox) as service:
            job = await service.until(job_id, "failed")
        assert "when no task of ours was writing it" in job["error_message"]
        assert foreign.read_bytes() == FOREIGN


@pytest.mark.parametrize("ended_ago", [timedelta(hours=2), timedelta(seconds=1)], ids=["long ago", "just now"])
async def test_a_file_of_the_time_of_a_task_that_failed_long_ago_is_not_taken_for_what_it_left(
    tmp_path: Path, ended_ago: timedelta
) -> None:
    """Somebody may have brought a file of that time since; nobody did in the second after the task."""
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        there = put(service.place.archive_of(folder), seconds_ago=9000)
        there.rename(tmp_path / "brought later")
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        service.sandbox.faults.add(Operation.RUN, Fail())
        await service.discover()
        job_id = await service.submit(folder)
        await until_at_work(service.sandbox)
        await service.watched(job_id, lambda job: bool(job["globus_task_id"]))
        now = datetime.now(UTC)
        times = {"request_time": now - timedelta(hours=3), "completion_time": now - ended_ago}
        overlay = Overlay({name: moment.isoformat() for name, moment in times.items()})
        service.sandbox.faults.add(Operation.TASK, overlay, times=None, match=uploads(service.sandbox)[0].task_id)
        (tmp_path / "brought later").rename(there)
        service.sandbox.faults.release()

        job = await service.until(job_id)

        if ended_ago < timedelta(hours=1):
            assert job["status"] == "completed", job
        else:
            assert "already holds a file that is not ours" in job["error_message"]
            assert there.read_bytes() == FOREIGN


async def ended_a_second_ago(sandbox: Sandbox) -> None:
    await eventually(lambda: not any(task.is_unfinished for task in sandbox.tasks.values()), what="the end of the task")
    await until_the_next_second()


@pytest.mark.parametrize("change", ["edited", "added"])
async def test_nothing_is_deleted_of_a_source_that_changed_while_the_approved_deletion_waited(
    tmp_path: Path, change: str
) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        job_id = await held_before_the_first_deletion(service, folder)
        path = folder / ("sub/two.mov" if change == "edited" else "added.mov")
        path.write_bytes(b"what came while the deletion waited for Globus")
        kept = Kept(folder, tmp_path / "copies")
        service.sandbox.faults.clear()

        job = await service.until(job_id, "failed")

        assert "the source changed since it was copied" in job["error_message"]
        assert kept.losses() == []


async def test_a_deletion_that_waited_over_an_unchanged_source_reads_it_no_more(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        job_id = await held_before_the_first_deletion(service, folder)
        service.sandbox.faults.clear()

        await service.until(job_id, "completed")

        assert "compared again" not in "\n".join(await service.log_of(job_id))


async def held_before_the_first_deletion(service: Service, folder: Path) -> str:
    """Everything is approved; whether the archive is still there, Globus does not say."""
    await service.archive(plant(service.place.folder("Another")))
    looks = [request for request in service.sandbox.journal if request.operation is Operation.STAT]
    looks_before = len(looks) - 2  # the last two are those before and after the deletion
    service.sandbox.faults.add(Operation.STAT, PERMISSION_DENIED, times=None, skip=looks_before)
    await service.discover()
    job_id = await service.submit(folder)
    await until_told(service, job_id, "Held: cannot see whether the archive is still there")
    assert "deletion of the source begins" not in "\n".join(await service.log_of(job_id))
    return job_id
