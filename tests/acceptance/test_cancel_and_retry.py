"""Cancelling in every state and retrying what failed: the source is never touched, and nothing is done twice."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.domain.job import Job
from cs_archiver.errors import NeedsOperator
from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Answer, Fail, Hold, SlowCancel
from cs_archiver.stages.set_aside import SetAside
from tests.support.service import (
    Place,
    Service,
    history_of,
    query,
    running_service,
    sandbox_settings,
    service_in,
    uploads,
)
from tests.support.tampering import held_in_the_queue


def fill(folder: Path, size: int = 200_000) -> Path:
    (folder / "clip.mov").write_bytes(os.urandom(size))
    return folder


async def cancel(service: Service, job_id: str) -> tuple[int, Any]:
    return await service.call("DELETE", f"/api/jobs/{job_id}")


def files_below(folder: Path) -> list[str]:
    """All but the lock and the mark, which the service keeps beside them."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".cs-archiver."))
    return sorted(str(path.relative_to(folder)) for path in found)


async def require_cancelled_without_a_trace(service: Service, folder: Path, job_id: str) -> None:
    job = await service.until(job_id, "cancelled")
    assert job["current_operation"] == "Cancelled"
    async with asyncio.timeout(10):  # a waiting job's files go right after its state is committed
        while files_below(service.place.storage) != []:
            await asyncio.sleep(0.02)
    assert os.listdir(folder) == ["clip.mov"]
    assert [folder["name"] for folder in await service.discover()] == [folder.name]


async def test_a_waiting_job_is_cancelled_at_once(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        folder = fill(service.place.folder())
        async with held_in_the_queue(service, folder) as job_id:
            assert await cancel(service, job_id) == (204, None)
            assert (await service.job(job_id))["status"] == "cancelled"
        await require_cancelled_without_a_trace(service, folder, job_id)


@pytest.mark.parametrize("state", ["copying", "compressing"])
async def test_a_job_in_the_hand_of_the_local_worker_is_cancelled(tmp_path: Path, state: str) -> None:
    # One slow strategy for each state: many small files for the copy, one large file for 7z.
    async with running_service(tmp_path) as service:
        folder = service.place.folder()
        fill(folder, 30_000_000 if state == "compressing" else 200_000)
        if state == "copying":
            for number in range(3000):
                (folder / f"{number}").write_bytes(b"x")
        await service.discover()
        job_id = await service.submit(folder)
        await service.until(job_id, state)
        assert (await cancel(service, job_id))[0] == 204
        job = await service.until(job_id, "cancelled")
        assert job["globus_task_id"] is None
        assert files_below(service.place.storage) == []
        assert len(os.listdir(folder)) == (3001 if state == "copying" else 1)
        assert "compressing" not in history_of(service, job_id)[-1:]


async def test_a_job_that_awaits_its_upload_is_cancelled_and_its_archive_removed(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        first, second = fill(service.place.folder("first")), fill(service.place.folder("second"))
        await service.discover()
        jobs = [await service.submit(folder) for folder in (first, second)]
        await service.until(jobs[1], "awaiting_upload")
        assert (await cancel(service, jobs[1]))[0] == 204
        service.sandbox.faults.clear()
        assert (await service.until(jobs[0]))["status"] == "completed"
        assert (await service.job(jobs[1]))["status"] == "cancelled"
        assert files_below(service.place.storage) == []
        assert os.listdir(second) == ["clip.mov"]


async def test_an_upload_is_cancelled_at_globus_and_waited_for(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        service.sandbox.faults.add(Operation.RUN, SlowCancel(0.3))
        folder = fill(service.place.folder())
        await service.discover()
        job_id = await service.submit(folder)
        async with asyncio.timeout(20):
            while not (await service.job(job_id))["globus_task_id"]:
                await asyncio.sleep(0.02)
        assert (await cancel(service, job_id))[0] == 204
        await require_cancelled_without_a_trace(service, folder, job_id)
        assert [task.status for task in uploads(service.sandbox)] == ["FAILED"]


async def test_a_cancelled_upload_may_be_submitted_again(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        folder = fill(service.place.folder())
        await service.discover()
        job_id = await service.submit(folder)
        async with asyncio.timeout(20):
            while not (await service.job(job_id))["globus_task_id"]:
                await asyncio.sleep(0.02)
        await cancel(service, job_id)
        await service.until(job_id, "cancelled")
        service.sandbox.faults.clear()
        assert (await service.archive(folder))["status"] == "completed"


async def test_a_cancel_survives_a_restart(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    async with Sandbox(sandbox_settings(place)) as sandbox:
        sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        sandbox.faults.add(Operation.RUN, SlowCancel(None))
        async with service_in(place, sandbox) as service:
            folder = fill(place.folder())
            await service.discover()
            job_id = await service.submit(folder)
            async with asyncio.timeout(20):
                while not (await service.job(job_id))["globus_task_id"]:
                    await asyncio.sleep(0.02)
            await cancel(service, job_id)
            await service.until(job_id, "uploading")
        sandbox.faults.clear()
        async with service_in(place, sandbox) as service:
            await require_cancelled_without_a_trace(service, folder, job_id)


async def test_a_deletion_that_has_begun_is_not_cancelled(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        folder = fill(service.place.folder())
        await service.discover()
        job_id = await service.submit(folder)
        answers = set()
        async with asyncio.timeout(30):
            while (status := (await service.job(job_id))["status"]) not in ("completed", "cancelled"):
                if status == "deleting_source":
                    answers.add((await cancel(service, job_id))[0])
                await asyncio.sleep(0)
        assert status == "completed"
        assert answers <= {409}


async def test_an_ended_job_cannot_be_cancelled(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        job = await service.archive(fill(service.place.folder()))
        status, body = await cancel(service, job["job_id"])
        assert (status, body["type"]) == (409, "/problems/already-ended")


async def test_a_retried_job_goes_on_with_its_verified_archive(tmp_path: Path) -> None:
    async with running_service(tmp_path, MAX_UPLOAD_RETRIES="0") as service:
        service.sandbox.faults.add(Operation.RUN, Fail())
        folder = fill(service.place.folder())
        job = await service.archive(folder)
        assert job["status"] == "failed"
        status, body = await service.call("POST", f"/api/jobs/{job['job_id']}/retry")
        assert status == 200
        assert body == {"job_id": job["job_id"], "status": "queued", "retry_count": 0}
        assert (await service.until(job["job_id"], "completed"))["error_message"] is None
        assert history_of(service, job["job_id"]).count("copying") == 1
        assert os.listdir(folder) == ["Project_Alpha-ARCHIVED-TO-GLOBUS.txt"]


@pytest.mark.parametrize("archive_is", ["there", "gone"])
async def test_a_retried_job_needs_no_room_for_the_archive_that_it_has(tmp_path: Path, archive_is: str) -> None:
    """What waits to be retried may be what fills the disk."""
    place = Place(tmp_path).make()
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox, MAX_UPLOAD_RETRIES="0") as service:
            sandbox.faults.add(Operation.RUN, Fail())
            job_id = (await service.archive(fill(place.folder())))["job_id"]
        if archive_is == "gone":
            (place.storage / "failed" / job_id / "Project_Alpha.tar.7z").unlink()
        async with service_in(place, sandbox, MIN_FREE_SPACE_GB="100000") as service:
            assert (await service.call("POST", f"/api/jobs/{job_id}/retry"))[0] == 200
            job = await service.until(job_id)
            assert history_of(service, job_id).count("copying") == 1
        if archive_is == "there":
            assert job["status"] == "completed"
        else:
            assert "it can never fit" in job["error_message"]


async def test_a_retried_job_in_place_of_whose_archive_a_link_stands_begins_anew(tmp_path: Path) -> None:
    async with running_service(tmp_path, MAX_UPLOAD_RETRIES="0", MAX_COMPRESSION_RETRIES="0") as service:
        service.sandbox.faults.add(Operation.RUN, Fail())
        job = await service.archive(fill(service.place.folder()))
        kept = service.place.storage / "failed" / job["job_id"] / "Project_Alpha.tar.7z"
        kept.symlink_to(kept.rename(tmp_path / "moved.7z"))
        await service.call("POST", f"/api/jobs/{job['job_id']}/retry")
        assert (await service.until(job["job_id"]))["status"] == "completed"
        assert history_of(service, job["job_id"]).count("copying") == 2
        assert kept.is_symlink(), "what failed is kept for a person to look at"


async def test_a_retried_job_whose_archive_was_damaged_begins_anew(tmp_path: Path) -> None:
    async with running_service(tmp_path, MAX_UPLOAD_RETRIES="0") as service:
        service.sandbox.faults.add(Operation.RUN, Fail())
        job = await service.archive(fill(service.place.folder()))
        kept = service.place.storage / "failed" / job["job_id"] / "Project_Alpha.tar.7z"
        damaged = bytearray(kept.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        kept.write_bytes(damaged)
        await service.call("POST", f"/api/jobs/{job['job_id']}/retry")
        assert (await service.until(job["job_id"], "completed"))["status"] == "completed"
        assert history_of(service, job["job_id"]).count("copying") == 2
        assert kept.read_bytes() == damaged, "what failed is kept for a person to look at"


@pytest.mark.parametrize(("compare_again", "sent"), [("true", 1), ("false", 2)])
async def test_a_stray_file_removed_lets_a_retry_finish(tmp_path: Path, compare_again: str, sent: int) -> None:
    async with running_service(tmp_path, VERIFICATION_COMPARE_AGAIN=compare_again) as service:
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        folder = fill(service.place.folder())
        await service.discover()
        job_id = await service.submit(folder)
        await service.until(job_id, "uploading")
        (folder / "stray.tmp").write_bytes(b"added meanwhile")
        service.sandbox.faults.clear()
        failed = await service.until(job_id, "failed")
        assert "stray.tmp" in failed["error_message"]
        (folder / "stray.tmp").unlink()
        await service.call("POST", f"/api/jobs/{job_id}/retry")
        assert (await service.until(job_id, "completed"))["status"] == "completed"
        assert history_of(service, job_id).count("copying") == 1
        assert len(uploads(service.sandbox)) == sent, "without a second look, who knows what became of the first"


async def test_a_retry_does_not_archive_again_what_is_archived_when_its_local_copy_is_gone(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        folder = fill(service.place.folder())
        await service.discover()
        job_id = await service.submit(folder, on_existing="new_version")  # another name would be free for it
        await service.until(job_id, "uploading")
        (folder / "stray.tmp").write_bytes(b"added meanwhile")
        service.sandbox.faults.clear()
        assert "The source is kept" in (await service.until(job_id, "failed"))["error_message"]
        (folder / "stray.tmp").unlink()
        (service.place.storage / "failed" / job_id / "Project_Alpha.tar.7z").unlink()
        before = files_below(service.place.remote)
        await service.call("POST", f"/api/jobs/{job_id}/retry")
        job = await service.until(job_id)
        assert job["status"] == "failed"
        assert "this job's archive is verified at" in job["error_message"]
        assert "its local copy is gone" in job["error_message"]
        assert files_below(service.place.remote) == before
        assert history_of(service, job_id).count("copying") == 1
        assert os.listdir(folder) == ["clip.mov"]


async def test_only_failed_jobs_are_retried(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        job = await service.archive(fill(service.place.folder()))
        status, body = await service.call("POST", f"/api/jobs/{job['job_id']}/retry")
        assert (status, body["type"]) == (409, "/problems/not-failed")


async def test_a_half_deleted_source_is_never_archived_over_its_whole_archive(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        folder = fill(service.place.folder())
        job = await service.archive(folder)
        (folder / "left over").write_bytes(b"the rest")
        (folder / "Project_Alpha-ARCHIVED-TO-GLOBUS.txt").unlink()
        await service.discover()
        status, body = await service.call("POST", "/api/jobs", json={"folder_path": str(folder)})
        assert (status, body["type"]) == (409, "/problems/destination-exists")
        again = await service.archive(folder, on_existing="new_version")
        assert again["globus_destination_path"].endswith("Project_Alpha.v2.tar.7z")
        first = query(service, "SELECT archive_size_bytes FROM archives WHERE job_id = ?", job["job_id"])
        assert service.place.archive_of(folder).stat().st_size == first[0][0]


async def test_a_waiting_job_whose_task_still_runs_is_cancelled_with_its_task(tmp_path: Path) -> None:
    async with running_service(tmp_path, MAX_CONNECTION_ERROR_RETRIES="0", RETRY_DELAY_SECONDS="60") as service:
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"), times=None)
        folder = fill(service.place.folder())
        await service.discover()
        job_id = await service.submit(folder)
        async with asyncio.timeout(20):
            while not (await service.job(job_id))["globus_task_id"]:
                await asyncio.sleep(0.02)
        service.sandbox.faults.add(Operation.TASK, Answer(503, "<html>away</html>"), times=6)
        await service.until(job_id, "failed")
        assert [task.status for task in uploads(service.sandbox)] == ["ACTIVE"]
        gone = service.place.nas.rename(service.place.nas.with_name("unmounted"))  # holds it in the queue
        await service.call("POST", f"/api/jobs/{job_id}/retry")
        assert (await cancel(service, job_id))[0] == 204
        await service.until(job_id, "cancelled")
        assert [task.status for task in uploads(service.sandbox)] == ["FAILED"]
        gone.rename(service.place.nas)
        assert os.listdir(folder) == ["clip.mov"]


@pytest.mark.parametrize("heir", ["nobody", "a failed job", "a file that came later", "a folder elsewhere"])
async def test_what_a_cancel_left_behind_goes_at_the_next_start_unless_it_may_be_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heir: str
) -> None:
    place = Place(tmp_path).make()

    async def ended_before(_self: SetAside, _job: Job) -> None:
        raise NeedsOperator("the service ended right after the commit")

    async with Sandbox(sandbox_settings(place)) as sandbox:
        sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        with monkeypatch.context() as patched:
            patched.setattr(SetAside, "discard", ended_before)
            async with service_in(place, sandbox) as service:
                first, second = fill(place.folder("first")), fill(place.folder("second"))
                await service.discover()
                jobs = [await service.submit(folder) for folder in (first, second)]
                await service.until(jobs[1], "awaiting_upload")
                await cancel(service, jobs[1])
                await service.until(jobs[1], "cancelled")
        archive = place.storage / "archives" / "Production" / "2024" / "second.tar.7z"
        assert archive.is_file()
        if heir == "a file that came later":
            os.utime(archive, (2**32, 2**32))
        if heir == "a folder elsewhere":  # an archive is only found through what else its job left
            (place.storage / "temp" / jobs[1]).mkdir(exist_ok=True)
            archive.parent.symlink_to(archive.parent.rename(tmp_path / "elsewhere"))
        if heir == "a failed job":
            with closing(sqlite3.connect(place.database)) as connection, connection:
                moved = "UPDATE jobs SET status = 'failed', archive_path = ? WHERE id = ?"
                connection.execute(moved, (str(archive), jobs[0]))
        async with service_in(place, sandbox):
            assert archive.is_file() is (heir != "nobody")
        sandbox.faults.clear()
