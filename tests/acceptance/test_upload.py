"""The way through Globus as a person sees it: what is shown, two workers at once, time limits, passing trouble."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.answers import PERMISSION_DENIED
from cs_archiver.sandbox.faults import Answer, Effect, Fail, Hold, LoseReply, Outcome, Overlay
from cs_archiver.tools import fixity
from cs_archiver.tools.fixity import Digest, OnBlock, digest_of_file
from cs_archiver.tools.mark import SentMark
from tests.support.service import (
    Place,
    Service,
    history_of,
    running_service,
    sandbox_settings,
    service_in,
    uploads,
)


def fill(folder: Path, size: int = 300_000) -> Path:
    (folder / "clip.mov").write_bytes(os.urandom(size))
    return folder


async def until_operation(service: Service, job_id: str, text: str, seconds: float = 20) -> dict[str, Any]:
    """The job as soon as it says `text` in its current_operation."""
    async with asyncio.timeout(seconds):
        while text not in ((job := await service.job(job_id))["current_operation"] or ""):
            await asyncio.sleep(0.02)
    return job


async def test_a_running_upload_shows_bytes_rate_faults_and_what_globus_says(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    async with (
        Sandbox(sandbox_settings(place, rate_bytes_per_second=200_000)) as sandbox,
        service_in(place, sandbox) as service,
    ):
        folder = fill(place.folder())
        await service.discover()
        job_id = await service.submit(folder)
        job = await until_operation(service, job_id, "Globus says OK")
        assert job["status"] == "uploading"
        assert "0 faults" in job["current_operation"]
        assert "/s" in job["current_operation"]
        assert job["step"] == "Step 1/3: Uploading"
        async with asyncio.timeout(20):
            while not (job := await service.job(job_id))["rate_bytes_per_second"]:
                await asyncio.sleep(0.02)
        assert 0 < job["bytes_done"] < job["bytes_total"]
        assert job["eta_seconds"] > 0
        assert 75 <= job["progress_percent"] < 85
        assert (await service.until(job_id))["status"] == "completed"


async def test_the_end_of_a_short_task_is_seen_soon_however_long_the_poll_interval(tmp_path: Path) -> None:
    async with running_service(tmp_path, UPLOAD_TASK_POLL_INTERVAL_SECONDS="3600") as service:
        for task in range(2):  # the upload, and the comparison after it
            service.sandbox.faults.add(Operation.RUN, Hold("STUCK", seconds=0.3), times=1, skip=task)
        assert (await service.archive(fill(service.place.folder())))["status"] == "completed"


async def test_a_fault_is_shown_and_logged_while_globus_keeps_trying(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        service.sandbox.faults.add(Operation.RUN, Hold("FAULTING", code="ENDPOINT_TOO_BUSY"))
        folder = fill(service.place.folder())
        await service.discover()
        job_id = await service.submit(folder)
        await until_operation(service, job_id, "ENDPOINT_TOO_BUSY")
        service.sandbox.faults.clear()
        assert (await service.until(job_id))["status"] == "completed"
        faults = [line for line in await service.log_of(job_id) if "keeps trying" in line]
        assert len(faults) == 1, "said once, not at every poll"
        assert faults[0].startswith("WARNING")


async def test_one_job_uploads_while_the_next_compresses_and_none_overtakes(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        first, second, third = (fill(service.place.folder(name)) for name in ("first", "second", "third"))
        await service.discover()
        jobs = [await service.submit(folder) for folder in (first, second, third)]
        await service.until(jobs[0], "uploading")
        await service.until(jobs[2], "awaiting_upload")
        _, queue = await service.call("GET", "/api/queue")
        assert queue["current_upload_job"]["job_id"] == jobs[0]
        assert [job["job_id"] for job in queue["awaiting_upload_jobs"]] == jobs[1:]
        service.sandbox.faults.clear()
        ended = [await service.until(job_id) for job_id in jobs]
        assert [job["status"] for job in ended] == ["completed"] * 3
        assert sorted(ended, key=lambda job: str(job["completed_at"])) == ended


async def test_an_upload_over_its_time_is_cancelled_and_sent_again(tmp_path: Path) -> None:
    async with running_service(tmp_path, UPLOAD_TASK_TIMEOUT_HOURS="0.0001") as service:
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        job = await service.archive(fill(service.place.folder()))
        assert job["status"] == "completed"
        log = "\n".join(await service.log_of(job["job_id"]))
        assert "cancelling the Globus task" in log
        assert "Retry 1/5" in log
        statuses = [record.status for record in uploads(service.sandbox)]
        assert sorted(statuses) == ["FAILED", "SUCCEEDED"]


async def test_the_time_of_an_upload_counts_from_when_globus_got_the_request(tmp_path: Path) -> None:
    waiting = {"UPLOAD_TASK_TIMEOUT_HOURS": "0.001", "RETRY_DELAY_SECONDS": "1"}
    async with running_service(tmp_path, **waiting) as service:
        service.sandbox.faults.add(Operation.TRANSFER, Answer(503, "<html>maintenance</html>"), times=None)
        folder = fill(service.place.folder())
        await service.discover()
        job_id = await service.submit(folder)
        await service.until(job_id, "uploading")
        await asyncio.sleep(4)  # more than 3.6 s since the request was stored
        service.sandbox.faults.clear()
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK", seconds=0.5), times=None)
        assert (await service.until(job_id))["status"] == "completed"
        assert "cancelling the Globus task" not in "\n".join(await service.log_of(job_id))


async def test_an_upload_that_never_moves_fails_after_its_retries_and_keeps_the_source(tmp_path: Path) -> None:
    async with running_service(tmp_path, UPLOAD_TASK_TIMEOUT_HOURS="0.0001", MAX_UPLOAD_RETRIES="1") as service:
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"), times=None)
        folder = fill(service.place.folder())
        job = await service.archive(folder)
        assert job["status"] == "failed"
        assert "cancelled after" in job["error_message"]
        assert os.listdir(folder) == ["clip.mov"]
        assert os.listdir(service.place.storage / "failed" / job["job_id"]) != []


async def test_the_deadline_of_the_configuration_is_asked_of_globus(tmp_path: Path) -> None:
    async with running_service(tmp_path, UPLOAD_TASK_DEADLINE_HOURS="48") as service:
        assert (await service.archive(fill(service.place.folder())))["status"] == "completed"
        sent = next(entry.body for entry in service.sandbox.journal if entry.path == "/v0.10/transfer")
        assert sent["deadline"] is not None


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was read whole for its digest, once its upload was verified; an archive counts that is this young, too."""
    read: list[bytes] = []

    def noted(path: bytes, on_block: OnBlock) -> Digest:
        read.append(path)
        return digest_of_file(path, on_block)

    monkeypatch.setattr(fixity, "digest_of_file", noted)
    monkeypatch.setattr(fixity, "_SETTLED_NS", 0)
    return read


async def test_a_comparison_that_is_refused_for_a_while_costs_no_other_read_of_the_archive(
    tmp_path: Path, hashed: list[bytes]
) -> None:
    async with running_service(tmp_path) as service:
        service.sandbox.faults.add(Operation.TRANSFER, PERMISSION_DENIED, times=2, skip=1)
        job = await service.archive(fill(service.place.folder()))
        assert job["status"] == "completed"
        log = "\n".join(await service.log_of(job["job_id"]))
        assert log.count("Comparing the destination with the archive once more") == 3
        assert len(hashed) == 1


@pytest.mark.parametrize("effect", [Fail(), Outcome("FLIPPED_BIT")])
async def test_a_comparison_that_ended_badly_has_the_archive_read_again(
    tmp_path: Path, hashed: list[bytes], effect: Effect
) -> None:
    async with running_service(tmp_path) as service:
        service.sandbox.faults.add(Operation.RUN, effect, times=1, skip=int(isinstance(effect, Fail)))
        assert (await service.archive(fill(service.place.folder())))["status"] == "completed"
        assert len(hashed) == 2


async def test_globus_out_of_reach_is_retried_under_the_limit_for_connections(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        service.sandbox.faults.add(Operation.TASK, Answer(503, "<html>maintenance</html>"), times=6)
        job = await service.archive(fill(service.place.folder()))
        assert job["status"] == "completed"
        log = "\n".join(await service.log_of(job["job_id"]))
        assert "Retry 1/10" in log
        assert job["retry_count"] == 0


async def test_wrong_credentials_hold_the_job_before_a_byte_is_copied(tmp_path: Path) -> None:
    async with running_service(tmp_path, GLOBUS_CLIENT_SECRET="wrong") as service:
        folder = fill(service.place.folder())
        await service.discover()
        job_id = await service.submit(folder)
        job = await until_operation(service, job_id, "Held:")
        assert job["status"] == "queued"
        assert os.listdir(service.place.storage / "temp") == []
        held = [line for line in await service.log_of(job_id) if "Held:" in line]
        assert len(held) == 1


async def test_a_lost_reply_to_the_submission_leads_to_one_task(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        service.sandbox.faults.add(Operation.TRANSFER, LoseReply())
        job = await service.archive(fill(service.place.folder()))
        assert job["status"] == "completed"
        assert len(uploads(service.sandbox)) == 1


async def test_a_service_stopped_during_the_upload_goes_on_with_the_same_task(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    async with Sandbox(sandbox_settings(place)) as sandbox:
        sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        async with service_in(place, sandbox) as service:
            folder = fill(place.folder())
            await service.discover()
            job_id = await service.submit(folder)
            await until_operation(service, job_id, "Globus says")
        sandbox.faults.clear()
        async with service_in(place, sandbox) as service:
            assert (await service.until(job_id))["status"] == "completed"
            assert len(uploads(sandbox)) == 1


async def test_a_service_stopped_while_copying_begins_again_from_the_queue(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox) as service:
            folder = fill(place.folder(), 20_000_000)
            await service.discover()
            job_id = await service.submit(folder)
            await service.until(job_id, "compressing")
        async with service_in(place, sandbox) as service:
            assert (await service.until(job_id, seconds=120))["status"] == "completed"
            assert history_of(service, job_id)[:5] == ["queued", "copying", "compressing", "queued", "copying"]


async def test_a_collection_that_does_not_show_our_disk_holds_the_job_before_it_copies(tmp_path: Path) -> None:
    async with running_service(tmp_path, GLOBUS_SOURCE_BASE_PATH="/wrong") as service:
        folder = fill(service.place.folder())
        await service.discover()
        job = await until_operation(service, await service.submit(folder), "Held: a file written to")
        assert "GLOBUS_SOURCE_BASE_PATH" in job["current_operation"]
        assert os.listdir(service.place.storage / "temp") == []
        assert os.listdir(service.place.storage / "archives") == [], "the probe is gone"


async def test_a_collection_that_shows_another_file_in_our_place_holds_the_job_before_it_copies(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        service.sandbox.faults.add(Operation.STAT, Overlay({"size": 32}), times=None, match=".cs-archiver-probe-")
        folder = fill(service.place.folder())
        await service.discover()
        await until_operation(service, await service.submit(folder), "Held: a file written to")
        assert os.listdir(service.place.storage / "archives") == [], "the probe is gone"


async def test_the_archive_is_durable_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, link = os.fsync, os.link

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        events.append("fsync " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))

    def noted_link(source: bytes, destination: bytes, **options: Any) -> None:
        events.append("named " + os.path.basename(os.fsdecode(destination)))
        link(source, destination, **options)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "link", noted_link)
    async with running_service(tmp_path) as service:
        assert (await service.archive(fill(service.place.folder())))["status"] == "completed"
    named = events.index("named Project_Alpha.tar.7z")
    durable = events.index("fsync Project_Alpha.tar.7z.partial")
    assert durable < events.index("fsync 2024", durable) < named < events.index("fsync 2024", named)


async def test_an_archive_that_could_not_be_made_durable_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure a second fsync of the same file claims success without the data: it is packed anew."""
    asked: list[str] = []
    fsync = os.fsync

    def refused_once(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if path.endswith(".partial"):
            asked.append(path)
            if len(asked) == 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refused_once)
    async with running_service(tmp_path) as service:
        job = await service.archive(fill(service.place.folder()))
        assert job["status"] == "completed"
        assert history_of(service, job["job_id"])[3:7] == ["verifying", "queued", "copying", "compressing"]
        log = "\n".join(await service.log_of(job["job_id"]))
    assert "Project_Alpha.tar.7z.partial' could not be made durable: Input/output error: check the disk" in log
    assert len(asked) == 2


async def test_the_mark_is_durable_before_what_it_marks_is_sent_and_before_its_source_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path).make()
    folder = fill(place.folder())
    marks: list[tuple[int | None, int, bool]] = []  # number, tasks at Globus by then, is the source whole
    fsync = os.fsync

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        if os.readlink(f"/proc/self/fd/{descriptor}") == str(place.storage / ".cs-archiver.sent"):
            marks.append((SentMark(place.storage).read(), len(sandbox.tasks), os.listdir(folder) == names))

    async with Sandbox(sandbox_settings(place)) as sandbox:
        names = os.listdir(folder)
        monkeypatch.setattr(os, "fsync", noted_fsync)
        async with service_in(place, sandbox) as service:
            assert (await service.archive(folder))["status"] == "completed"
    upload, comparison, deletion = (1, 0, True), (2, 1, True), (3, 2, True)
    assert marks == [(0, 0, True), upload, comparison, deletion]


async def test_an_empty_base_path_is_no_empty_nas(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        fill(service.place.folder())
        known = await service.discover()
        mounted = service.place.nas.rename(service.place.nas.with_name("was mounted here"))
        service.place.nas.mkdir()
        status, body = await service.call("GET", "/api/folders?refresh=true")
        assert (status, body["type"]) == (503, "/problems/source-unavailable")
        assert (await service.call("GET", "/api/folders"))[1] == known
        service.place.nas.rmdir()
        mounted.rename(service.place.nas)
