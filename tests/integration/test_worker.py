"""A worker on a real queue: what it does with whatever comes of a stage, and that nothing ends it."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.bus import Bus
from cs_archiver.clock import elapsed, now_text
from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.database import Database, DatabaseFull, DatabaseUnhealthy
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.log_search import find_lines
from cs_archiver.db.queue import Queue, request_cancel
from cs_archiver.db.switches import Switches
from cs_archiver.domain.events import Event, JobUpdate, LogAdded, LogLevel, QueueUpdate
from cs_archiver.domain.hours import Hours
from cs_archiver.domain.job import Job
from cs_archiver.domain.retry import Operation, RetryPolicy
from cs_archiver.domain.states import JobStatus, WorkerName
from cs_archiver.errors import (
    ConnectionTrouble,
    DiskFull,
    JobError,
    NeedsOperator,
    NoRoom,
    NotYet,
    Permanent,
    Temporary,
)
from cs_archiver.stages import set_aside as set_aside_module
from cs_archiver.stages.admit import Admit, AdmitSettings
from cs_archiver.stages.destination import Destination
from cs_archiver.stages.nas import Nas
from cs_archiver.stages.places import Places
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.stages.source import ComparedCopies, SourceLook
from cs_archiver.stages.stage import Advance, Report, Stage
from cs_archiver.tools.disk import free_bytes
from cs_archiver.tools.globus import Globus, GlobusAccess
from cs_archiver.tools.nas import NasProbe
from cs_archiver.workers import report as report_module
from cs_archiver.workers import worker as worker_module
from cs_archiver.workers.aftermath import Aftermath
from cs_archiver.workers.leave import Leave
from cs_archiver.workers.recovery import requeue_interrupted
from cs_archiver.workers.worker import Worker
from tests.integration.test_queue import proven
from tests.support import jobs as rows
from tests.support.trees import write

PATIENCE_SECONDS = 20.0
WAY = [
    JobStatus.QUEUED,
    JobStatus.COPYING,
    JobStatus.COMPRESSING,
    JobStatus.VERIFYING,
    JobStatus.AWAITING_UPLOAD,
    JobStatus.UPLOADING,
    JobStatus.UPLOAD_VERIFYING,
]
NEXT = {status: Advance(after) for status, after in pairwise(WAY)}

Act = Callable[[Job, Report], Awaitable[Advance]]
Outcome = Advance | BaseException | Act


class CancelAtOnce:
    async def run(self, job: Job, report: Report) -> Advance:
        return Advance(JobStatus.CANCELLED)


class Scripted:
    """A stage that does at each run what stands next in its script, and the last of it ever after."""

    def __init__(self, *script: Outcome) -> None:
        self._script = list(script)
        self.runs: list[Job] = []

    async def run(self, job: Job, report: Report) -> Advance:
        self.runs.append(job)
        outcome = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome if isinstance(outcome, Advance) else await outcome(job, report)


class House:
    """The database and the disk of one worker, and what a test wants to know of them."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root = root
        self.database = database
        self.queue = Queue(database)
        self.jobs = Jobs(database)
        self.bus = Bus()
        self.switches = Switches(database, {})
        self.copy_hours: Hours | None = None
        self.outage_reason: str | None = None
        storage = root / "storage"
        for name in ("temp", "archives", "failed"):
            (storage / name).mkdir(parents=True)
        self.places = Places(root / "nas", storage, storage / "temp", storage / "archives", storage / "failed", "/")

    def worker(
        self,
        stages: Mapping[JobStatus, Stage],
        *,
        name: WorkerName = WorkerName.LOCAL,
        limits: int = 2,
        connection_limit: int = 2,
        delay_seconds: float = 0.01,
        recheck_seconds: float = 0.01,
        cancel: Stage | None = None,
    ) -> Worker:
        policy = RetryPolicy(
            {
                Operation.COMPRESSION: limits,
                Operation.UPLOAD: limits,
                Operation.CONNECTION: connection_limit,
            },
            delay_seconds,
        )
        return Worker(
            name,
            stages,
            queue=self.queue,
            jobs=self.jobs,
            bus=self.bus,
            cancel=cancel or CancelAtOnce(),
            aftermath=Aftermath(
                queue=self.queue,
                jobs=self.jobs,
                bus=self.bus,
                policy=policy,
                set_aside=SetAside(self.places),
                outage=self.outage,
                recheck_seconds=recheck_seconds,
            ),
            leave=Leave(self.switches, Catalogue(self.database), copy_hours=self.copy_hours, upload_hours=None),
            recheck_seconds=recheck_seconds,
            longest_wait_seconds=max(delay_seconds, recheck_seconds),
        )

    async def outage(self) -> str | None:
        return self.outage_reason

    async def submit(self, name: str = "Project_Alpha", *, status: JobStatus = JobStatus.QUEUED, **more: Any) -> Job:
        job = await rows.submit(self.database, name, **more)
        for state in WAY[1 : WAY.index(status) + 1]:
            job = await self.queue.move(job, state)
        self.bus.publish(QueueUpdate())
        return job

    async def until(self, job: Job, holds: Callable[[Job], object], *, seconds: float = PATIENCE_SECONDS) -> Job:
        async with asyncio.timeout(seconds):
            while not holds(found := await self.queue.get(job.id)):
                await asyncio.sleep(0.005)
        return found

    async def until_in(self, job: Job, *statuses: JobStatus) -> Job:
        return await self.until(job, lambda found: found.status in statuses)

    async def until_was_in(self, job: Job, status: JobStatus) -> None:
        """As `until_in`, of a state that a worker without its stage leaves at once."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while status not in await self.history_of(job):
                await asyncio.sleep(0.005)

    async def log_of(self, job: Job) -> list[str]:
        found = await find_lines(self.database, job.id, levels=LogLevel, limit=99)
        return [f"{line.level.value} {line.message}" for line in found.lines]

    async def history_of(self, job: Job) -> list[str]:
        return [line.to_status for line in await self.jobs.history(job.id)]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    database = await Database.open(tmp_path / "cs.db", read_connections=2)
    yield House(tmp_path, database)
    await database.close()


@asynccontextmanager
async def at_work(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    """While it works; a worker that ended by itself is an error."""
    task = asyncio.create_task(worker.run())
    try:
        yield task
        assert not task.done(), f"the worker ended: {task!r}"
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is not None:
            task.exception()


def advancing(**instead: Stage) -> dict[JobStatus, Stage]:
    """Stages that go on at once, but for those of the states that are named."""
    return {status: Scripted(NEXT[status]) for status in NEXT} | {
        JobStatus(name): stage for name, stage in instead.items()
    }


async def test_a_job_goes_through_all_states_of_its_worker(house: House) -> None:
    done = Advance(JobStatus.COMPRESSING, {"folder_size_bytes": 77, "folder_file_count": 3})
    async with at_work(house.worker(advancing(copying=Scripted(done)))):
        job = await house.until_in(await house.submit(), JobStatus.AWAITING_UPLOAD)
    assert (job.folder_size_bytes, job.folder_file_count) == (77, 3)
    assert job.progress_percent == 75
    assert job.current_operation == "Waiting for upload"
    assert await house.history_of(job) == ["queued", "copying", "compressing", "verifying", "awaiting_upload"]


async def test_the_two_workers_hand_a_job_over(house: House) -> None:
    stages = advancing(upload_verifying=Scripted(NotYet("enough")))
    local, transfer = house.worker(stages), house.worker(stages, name=WorkerName.TRANSFER)
    async with at_work(local), at_work(transfer):
        await house.until_was_in(await house.submit(), JobStatus.UPLOAD_VERIFYING)


async def test_what_a_stage_writes_beside_is_committed_with_the_move_or_not_at_all(house: House) -> None:
    async def also(_connection: object, _job: Job) -> None:
        raise ValueError("cannot be written")

    job = await house.submit()
    async with at_work(house.worker(advancing(queued=Scripted(Advance(JobStatus.COPYING, also=also))))):
        job = await house.until_in(job, JobStatus.FAILED)
    assert await house.history_of(job) == ["queued", "failed"]
    assert job.error_problem == "unexpected-error"


async def test_a_job_that_cannot_begin_yet_waits_says_so_once_and_goes_on(house: House) -> None:
    why = NotYet("Waiting for disk space: 2 GB needed", problem="waiting-for-disk-space")
    stage = Scripted(why, why, why, NEXT[JobStatus.QUEUED])
    async with at_work(house.worker(advancing(queued=stage))):
        job = await house.until_in(await house.submit(), JobStatus.AWAITING_UPLOAD)
    assert [run.current_operation for run in stage.runs] == [None, *["Waiting for disk space: 2 GB needed"] * 3]
    assert await house.log_of(job) == ["INFO Waiting for disk space: 2 GB needed"]
    assert (job.retry_count, job.error_message) == (0, None)


async def test_a_job_that_needs_the_operator_is_held_burns_no_retry_and_goes_on(house: House) -> None:
    why = NeedsOperator("mount the NAS", problem="nas-unreachable")
    stage = Scripted(*[why] * 6, NEXT[JobStatus.COPYING])
    async with at_work(house.worker(advancing(copying=stage), limits=2)):
        submitted = await house.submit()
        held = await house.until(submitted, lambda job: job.error_problem == "nas-unreachable")
        assert held.current_operation == "Held: mount the NAS"
        assert held.status is JobStatus.COPYING
        assert held.not_before is not None
        job = await house.until_in(submitted, JobStatus.AWAITING_UPLOAD)
    assert len(stage.runs) == 7
    assert {run.retry_count for run in stage.runs} == {0}
    assert await house.log_of(job) == ["WARNING Held: mount the NAS"]
    assert job.error_problem is None


async def test_a_job_waits_as_long_as_it_was_told_whatever_else_happens(house: House) -> None:
    stage = Scripted(NeedsOperator("later"))
    async with at_work(house.worker(advancing(queued=stage), recheck_seconds=3600)):
        job = await house.submit()
        waiting = await house.until(job, lambda found: found.not_before)
        for number in range(20):
            await house.submit(f"other {number}")
    assert len(stage.runs) == 1
    assert waiting.not_before is not None
    assert 3500 < elapsed(now_text(), waiting.not_before).total_seconds() <= 3600


async def test_a_job_that_is_cancelled_while_it_fails_leaves_nothing_and_says_nothing_of_a_failure(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await house.submit()
    keep = SetAside.keep

    async def then_cancelled(set_aside: SetAside, failed: Job, error: str) -> None:
        await keep(set_aside, failed, error)
        await house.queue.move(failed, JobStatus.CANCELLED)

    monkeypatch.setattr(SetAside, "keep", then_cancelled)
    async with at_work(house.worker(advancing(queued=Scripted(Permanent("no such thing"))))):
        await house.until_in(job, JobStatus.CANCELLED)
        async with asyncio.timeout(10):
            while os.listdir(house.places.failed):
                await asyncio.sleep(0.01)
    assert not any("Job failed" in line for line in await house.log_of(job))


async def test_a_full_disk_clears_the_files_and_sends_the_job_back_to_the_queue(house: House) -> None:
    job = await house.submit(
        status=JobStatus.COMPRESSING, archive_path=str(house.root / "storage" / "archives" / "x.tar.7z")
    )
    copy = Path(os.fsdecode(house.places.copy(job)))
    copy.mkdir(parents=True)
    write(copy, b"half", b"x")
    partial = write(house.places.archives, b"x.tar.7z.partial", b"half")
    stages = advancing(
        compressing=Scripted(DiskFull("cannot write: No space left on device")),
        queued=Scripted(NotYet("not enough yet")),
    )
    async with at_work(house.worker(stages)):
        job = await house.until_in(job, JobStatus.QUEUED)
        job = await house.until(job, lambda found: found.current_operation == "not enough yet")
    assert job.disk_was_full, "from now on it needs twice its size"
    assert job.retry_count == 0
    assert os.listdir(house.places.temp) == []
    assert not os.path.lexists(partial)
    assert "waiting for disk space" in (await house.log_of(job))[0]


async def test_a_job_sent_back_for_space_is_not_begun_again_at_once(house: House) -> None:
    """Where free space is no sign of room (quota, no names left) it would fill the disk again and again."""
    job = await house.submit(status=JobStatus.COPYING)
    stages = advancing(copying=Scripted(DiskFull("Disk quota exceeded")), queued=Scripted(NotYet("waits")))
    async with at_work(house.worker(stages, recheck_seconds=3600)):
        await house.until_in(job, JobStatus.QUEUED)
        job = await house.until(job, lambda found: found.not_before)
    assert job.current_operation == "Waiting for disk space"


async def test_trouble_while_it_waits_for_space_does_not_forget_that_it_needs_twice_its_size(house: House) -> None:
    job = await house.submit(status=JobStatus.COPYING)
    stage = Scripted(ConnectionTrouble("no answer"), Temporary("storage busy"), NotYet("not enough yet"))
    async with at_work(house.worker(advancing(copying=Scripted(DiskFull("full")), queued=stage))):
        job = await house.until(job, lambda found: found.current_operation == "not enough yet")
    assert {run.disk_was_full for run in stage.runs} == {1}


async def test_each_time_that_a_job_fills_the_disk_counts_but_not_that_it_finds_it_full(house: House) -> None:
    job = await house.submit(status=JobStatus.COPYING)
    again = Advance(JobStatus.COPYING)
    stages = advancing(
        copying=Scripted(DiskFull("full"), NoRoom("full before"), DiskFull("full again")),
        queued=Scripted(again, DiskFull("no probe"), again, NotYet("not enough yet")),
    )
    async with at_work(house.worker(stages)):
        job = await house.until(job, lambda found: found.current_operation == "not enough yet")
    assert job.disk_was_full == 2


async def test_a_full_disk_of_the_database_alone_holds_the_job_with_all_it_has_written(house: House) -> None:
    job = await house.submit(status=JobStatus.COMPRESSING)
    copy = Path(os.fsdecode(house.places.copy(job)))
    copy.mkdir(parents=True)
    stage = Scripted(DatabaseFull("full", problem="database-unhealthy"), NeedsOperator("enough"))
    async with at_work(house.worker(advancing(compressing=stage))):
        job = await house.until(job, lambda found: found.current_operation == "Held: enough")
    assert job.disk_was_full == 0
    assert copy.is_dir()


async def test_a_full_disk_of_the_database_and_the_storage_has_the_job_make_room(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_aside_module, "free_bytes", lambda _path: 999_999_999)
    job = await house.submit(status=JobStatus.COMPRESSING)
    copy = Path(os.fsdecode(house.places.copy(job)))
    copy.mkdir(parents=True)
    stages = advancing(compressing=Scripted(DatabaseFull("full")), queued=Scripted(NotYet("not enough yet")))
    async with at_work(house.worker(stages)):
        job = await house.until(job, lambda found: found.current_operation == "not enough yet")
    assert job.disk_was_full == 1
    assert not copy.exists()


async def test_a_failed_look_for_a_cancel_ends_no_stage(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await house.submit(status=JobStatus.COMPRESSING)
    looks, looked, advanced = 0, asyncio.Event(), asyncio.Event()

    async def refuse_twice(_queue: Queue, _job_id: str) -> Job:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise DatabaseUnhealthy("the database is unhealthy")
        looked.set()
        return job

    async def until_looked(_job: Job, _report: Report) -> Advance:
        await looked.wait()
        return NEXT[JobStatus.COMPRESSING]

    monkeypatch.setattr(Queue, "get", refuse_twice)
    monkeypatch.setattr(worker_module, "_LOOK_SECONDS", 0.02)

    async def note(_job: Job, _report: Report) -> Advance:
        advanced.set()
        raise NotYet("waits")

    stage = Scripted(until_looked)
    async with at_work(house.worker(advancing(compressing=stage, verifying=Scripted(note)))), asyncio.timeout(20):
        await advanced.wait()
    assert len(stage.runs) == 1


NO_ROOM = {"waiting-for-disk-space", "disk-too-small"}  # as large as the disk of this machine is


@pytest.mark.parametrize(("disk_was_full", "expected"), [(0, {"source-missing"}), (1, NO_ROOM)])
async def test_after_a_full_disk_a_job_needs_twice_its_size(
    house: House, disk_was_full: int, expected: set[str]
) -> None:
    globus = Globus(GlobusAccess("id", "secret", None, None, http_timeout_seconds=1))
    nas = Nas(house.places, NasProbe(house.places.nas, timeout_seconds=10))
    source = SourceLook(house.places, nas, ComparedCopies(), threads=1, read_content=True)
    catalogue = Catalogue(house.database)
    destination = Destination(globus, catalogue, house.jobs, source, collection="b")
    admit = Admit(globus, catalogue, house.places, nas, destination, AdmitSettings("a", "b", 0.0, 0.0))
    size = int(free_bytes(os.fsencode(house.root)) * 0.7)
    job = rows.a_job(disk_was_full=disk_was_full, folder_size_bytes=size, source_path=str(house.root / "nas" / "gone"))
    (house.root / "nas" / "another folder").mkdir(parents=True)
    try:
        with pytest.raises(JobError) as caught:
            await admit.run(job, report_module.JobReport(job, bus=house.bus, jobs=house.jobs, queue=house.queue))
    finally:
        await globus.close()
    assert caught.value.problem in expected


async def test_a_full_disk_during_an_upload_holds_the_job_where_it_is(house: House) -> None:
    job = await house.submit(status=JobStatus.UPLOADING)
    stages = advancing(uploading=Scripted(DiskFull("full"), NeedsOperator("enough")))
    async with at_work(house.worker(stages, name=WorkerName.TRANSFER)):
        job = await house.until(job, lambda found: found.current_operation == "Held: enough")
    assert job.status is JobStatus.UPLOADING
    assert (await house.log_of(job))[0] == "WARNING Held: full"


async def test_files_that_cannot_be_cleared_after_a_full_disk_do_not_end_the_worker(house: House) -> None:
    job = await house.submit(status=JobStatus.COPYING)
    write(house.places.temp, os.fsencode(job.id), b"in the way of the working folder")
    async with at_work(house.worker(advancing(copying=Scripted(DiskFull("full"))))) as task:
        changed = asyncio.create_task(house.until(job, lambda found: found.current_operation))
        await asyncio.wait({task, changed}, return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()


async def test_a_temporary_failure_is_tried_again_visibly_until_the_retries_are_used_up(house: House) -> None:
    failure = Temporary("the copy is not complete", problem="copy-differs")
    stage = Scripted(failure)
    async with at_work(house.worker(advancing(copying=stage), limits=2, delay_seconds=0.01)):
        job = await house.until_in(await house.submit(), JobStatus.FAILED)
    assert [(run.retry_count, run.current_operation) for run in stage.runs] == [
        (0, "Step 1/3: Copying"),
        (1, "Retry 1/2 in 0.01 s: the copy is not complete"),
        (2, "Retry 2/2 in 0.01 s: the copy is not complete"),
    ]
    assert [run.error_message for run in stage.runs] == [None, *["the copy is not complete"] * 2]
    assert await house.log_of(job) == [
        "WARNING Retry 1/2 in 0.01 s: the copy is not complete",
        "WARNING Retry 2/2 in 0.01 s: the copy is not complete",
        "ERROR Job failed: after 2 retries: the copy is not complete",
    ]
    assert job.error_message == "after 2 retries: the copy is not complete"
    assert job.error_problem == "copy-differs"
    assert job.completed_at is not None


async def test_a_retry_waits_for_its_delay(house: House) -> None:
    stage = Scripted(Temporary("again"))
    async with at_work(house.worker(advancing(copying=stage), delay_seconds=300.0)):
        job = await house.until(await house.submit(), lambda found: found.retry_count)
        for number in range(10):
            await house.submit(f"other {number}")
    assert len(stage.runs) == 1
    assert job.not_before is not None
    assert 290 < elapsed(now_text(), job.not_before).total_seconds() <= 300
    assert job.current_operation == "Retry 1/2 in 300 s: again"


async def test_a_retry_that_succeeds_clears_the_error(house: House) -> None:
    stage = Scripted(Temporary("once", problem="copy-differs"), NEXT[JobStatus.COPYING])
    async with at_work(house.worker(advancing(copying=stage))):
        job = await house.until_in(await house.submit(), JobStatus.AWAITING_UPLOAD)
    assert (job.error_message, job.error_problem, job.not_before) == (None, None, None)
    assert job.retry_count == 0, "the upload has retries of its own"


async def test_starting_over_goes_back_to_the_queue_keeps_the_count_and_ends(house: House) -> None:
    failure = Temporary("the archive is damaged", start_over=True)
    verify, copy = Scripted(failure), Scripted(NEXT[JobStatus.COPYING])
    async with at_work(house.worker(advancing(verifying=verify, copying=copy), limits=3)):
        job = await house.until_in(await house.submit(), JobStatus.FAILED)
    assert [run.retry_count for run in verify.runs] == [0, 1, 2, 3]
    assert len(copy.runs) == 4
    assert (await house.history_of(job)).count("queued") == 4
    assert job.error_message == "after 3 retries: the archive is damaged"


async def test_an_upload_found_wrong_is_sent_again_keeps_the_count_and_ends(house: House) -> None:
    failure = Temporary("Upload verification failed", start_over=True)
    verify, upload = Scripted(failure), Scripted(NEXT[JobStatus.UPLOADING])
    job = await house.submit(status=JobStatus.AWAITING_UPLOAD)
    stages = advancing(upload_verifying=verify, uploading=upload)
    async with at_work(house.worker(stages, name=WorkerName.TRANSFER, limits=2)):
        job = await house.until_in(job, JobStatus.FAILED)
    assert [run.retry_count for run in verify.runs] == [0, 1, 2]
    assert len(upload.runs) == 3


async def test_trouble_with_the_connection_has_a_counter_and_a_limit_of_its_own(house: House) -> None:
    stage = Scripted(Temporary("one"), ConnectionTrouble("no answer"))
    job = await house.submit(status=JobStatus.UPLOADING)
    worker = house.worker(advancing(uploading=stage), name=WorkerName.TRANSFER, limits=1, connection_limit=2)
    async with at_work(worker):
        job = await house.until_in(job, JobStatus.FAILED)
    runs = [(run.retry_count, run.connection_retries) for run in stage.runs]
    assert runs == [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3)], "one more once Globus was seen to answer"
    assert job.error_message == "after 3 retries: no answer"


async def test_an_outage_of_globus_holds_the_job_instead_of_failing_it(house: House) -> None:
    house.outage_reason = "no route to host"
    stage = Scripted(*[ConnectionTrouble("no answer")] * 20, NEXT[JobStatus.UPLOADING])
    job = await house.submit(status=JobStatus.UPLOADING)
    worker = house.worker(advancing(uploading=stage), name=WorkerName.TRANSFER, connection_limit=2)
    async with at_work(worker):
        held = await house.until(job, lambda found: str(found.current_operation).startswith("Held"))
        assert held.current_operation == "Held: Globus is out of reach: no route to host"
        await house.until_was_in(job, JobStatus.UPLOAD_VERIFYING)
    assert len(stage.runs) == 21
    assert max(run.connection_retries for run in stage.runs) == 2


async def test_an_outage_that_ends_after_the_last_retry_does_not_fail_the_job(house: House) -> None:
    stage = Scripted(*[ConnectionTrouble("no answer")] * 3, NEXT[JobStatus.UPLOADING])
    job = await house.submit(status=JobStatus.UPLOADING)
    worker = house.worker(advancing(uploading=stage), name=WorkerName.TRANSFER, connection_limit=2)
    async with at_work(worker):
        await house.until_was_in(job, JobStatus.UPLOAD_VERIFYING)
    assert len(stage.runs) == 4


async def test_a_clock_that_was_set_back_holds_up_nobody(house: House) -> None:
    job = await house.submit()
    await house.queue.checkpoint(job, not_before="2099-01-01T00:00:00.000Z")
    async with at_work(house.worker(advancing())):
        await house.until_in(job, JobStatus.AWAITING_UPLOAD)


async def test_once_the_connection_recovered_its_failures_are_counted_from_zero(house: House) -> None:
    async def answers_then_fails(_job: Job, report: Report) -> Advance:
        await report.recovered()
        raise ConnectionTrouble("lost again")

    trouble = ConnectionTrouble("no answer")
    stage = Scripted(Temporary("counts on"), trouble, trouble, *[answers_then_fails] * 4, NEXT[JobStatus.UPLOADING])
    job = await house.submit(status=JobStatus.UPLOADING)
    stages = advancing(uploading=stage, upload_verifying=Scripted(NotYet("enough")))
    worker = house.worker(stages, name=WorkerName.TRANSFER, connection_limit=2)
    async with at_work(worker):
        job = await house.until_in(job, JobStatus.UPLOAD_VERIFYING, JobStatus.FAILED)
    assert job.status is JobStatus.UPLOAD_VERIFYING, job.error_message
    assert [run.connection_retries for run in stage.runs] == [0, 0, 1, 2, 1, 1, 1, 1]
    assert job.retry_count == 1, "only the failures of the connection are forgotten"


async def test_a_permanent_failure_ends_the_job_at_once_and_keeps_its_archive_aside(house: House) -> None:
    archive = os.fsdecode(write(house.places.archives, b"x.tar.7z", b"archive"))
    job = await house.submit(status=JobStatus.UPLOADING, archive_path=archive)
    stages = advancing(uploading=Scripted(Permanent("not the one that was verified", problem="archive-missing")))
    async with at_work(house.worker(stages, name=WorkerName.TRANSFER)):
        job = await house.until_in(job, JobStatus.FAILED)
    assert (job.error_message, job.error_problem) == ("not the one that was verified", "archive-missing")
    assert job.current_operation == "Failed"
    folder = house.places.failed / job.id
    assert (folder / "x.tar.7z").read_bytes() == b"archive"
    assert "not the one that was verified" in (folder / "error.log").read_text()
    assert await house.log_of(job) == ["ERROR Job failed: not the one that was verified"]


async def test_a_job_fails_all_the_same_when_its_files_cannot_be_set_aside(house: House) -> None:
    job = await house.submit()
    write(house.places.failed, os.fsencode(job.id), b"in the way of the folder")
    async with at_work(house.worker(advancing(queued=Scripted(Permanent("no"))))):
        job = await house.until_in(job, JobStatus.FAILED)
    assert "WARNING Not all of its local files could be put away" in "\n".join(await house.log_of(job))


@pytest.mark.parametrize("bug", [ValueError("a bug"), KeyError("x"), StopIteration()])
async def test_a_bug_in_a_stage_fails_its_job_and_the_worker_goes_on(house: House, bug: Exception) -> None:
    stages = advancing(queued=Scripted(bug, NEXT[JobStatus.QUEUED]))
    async with at_work(house.worker(stages)):
        first, second = await house.submit("first"), await house.submit("second")
        first = await house.until_in(first, JobStatus.FAILED)
        await house.until_in(second, JobStatus.AWAITING_UPLOAD)
    assert first.error_problem == "unexpected-error"
    assert repr(bug) in str(first.error_message) or isinstance(bug, StopIteration)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(5, "Input/output error", "/nas/a.mov"), "[Errno 5] Input/output error: '/nas/a.mov'"),
        (MemoryError(), "MemoryError"),
    ],
    ids=["of a file", "without a word"],
)
async def test_an_error_of_the_system_that_no_stage_foresaw_is_tried_again(
    house: House, error: Exception, words: str
) -> None:
    stage = Scripted(error, NEXT[JobStatus.COPYING])
    job = await house.submit(status=JobStatus.COPYING)
    async with at_work(house.worker(advancing(copying=stage), delay_seconds=0.01)):
        await house.until_in(job, JobStatus.AWAITING_UPLOAD)
    told = "\n".join(await house.log_of(job))
    assert "Retry 1/" in told
    assert f"while copying: {words}" in told


@pytest.mark.parametrize(
    "error",
    [
        Temporary("busy"),
        ConnectionTrouble("no answer"),
        OSError(5, "raw"),
        RuntimeError("can't start new thread"),
        MemoryError(),
    ],
)
async def test_a_deletion_that_has_begun_is_not_given_up_for_passing_trouble(house: House, error: Exception) -> None:
    stage = Scripted(*[error] * 9, Advance(JobStatus.COMPLETED))
    job = await house.queue.move(await proven(house.database, house.queue), JobStatus.DELETING_SOURCE)
    worker = house.worker({JobStatus.DELETING_SOURCE: stage}, name=WorkerName.TRANSFER, limits=1, connection_limit=1)
    async with at_work(worker):
        await house.until(job, lambda found: str(found.current_operation).startswith("Held: "))
        await house.until_in(job, JobStatus.COMPLETED)
    assert len(stage.runs) == 10


@pytest.mark.parametrize("error", [Permanent("no"), ConnectionTrouble("no answer"), Temporary("busy")])
async def test_a_cancel_that_cannot_be_carried_out_yet_is_held(house: House, error: JobError) -> None:
    cancel = Scripted(*[error] * 5, Advance(JobStatus.CANCELLED))
    job = await house.submit(status=JobStatus.UPLOADING)
    async with house.database.write() as connection:
        await request_cancel(connection, job, username="ann")
    worker = house.worker(advancing(), name=WorkerName.TRANSFER, limits=1, connection_limit=1, cancel=cancel)
    async with at_work(worker):
        await house.until_in(job, JobStatus.CANCELLED)
    assert len(cancel.runs) == 6
    assert "Job failed" not in "\n".join(await house.log_of(job))


@pytest.mark.parametrize("turns", range(6))
async def test_a_worker_is_cancelled_at_the_very_end_of_a_stage_too(house: House, turns: int) -> None:
    report = report_module.JobReport(await house.submit(), bus=house.bus, jobs=house.jobs, queue=house.queue)
    for _ in range(20):
        leave = asyncio.Event()

        async def stage(leave: asyncio.Event = leave) -> None:
            async with report.running():
                await leave.wait()
            await asyncio.Event().wait()

        task = asyncio.create_task(stage())
        await asyncio.sleep(0.001)
        leave.set()
        for _turn in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=5)
        assert done, "the cancellation was lost"


async def test_progress_is_told_at_most_five_times_a_second(house: House) -> None:
    report = report_module.JobReport(await house.submit(), bus=house.bus, jobs=house.jobs, queue=house.queue)
    with house.bus.subscribe() as events:
        began = asyncio.get_running_loop().time()
        async with report.running():
            for percent in range(100):
                report.progress(percent=percent)
                await asyncio.sleep(0.005)
        took = asyncio.get_running_loop().time() - began
        told = [event for event in heard_by(events) if isinstance(event, JobUpdate)]
    assert 1 <= len(told) <= 2 + took * 5


async def test_a_stage_that_raises_a_cancellation_nobody_asked_for_does_not_end_the_worker(house: House) -> None:
    stages = advancing(queued=Scripted(asyncio.CancelledError(), NEXT[JobStatus.QUEUED]))
    async with at_work(house.worker(stages)) as task:
        job = await house.submit()
        moved = asyncio.create_task(house.until(job, lambda found: found.status is not JobStatus.QUEUED))
        await asyncio.wait({task, moved}, return_when=asyncio.FIRST_COMPLETED)
        moved.cancel()


async def test_a_number_the_database_cannot_hold_does_not_fail_the_job(house: House) -> None:
    """Some file systems give inodes of 64 bits without a sign; SQLite has one."""
    inode = 2**64 - 5
    stages = advancing(queued=Scripted(Advance(JobStatus.COPYING, {"source_inode": inode})))
    async with at_work(house.worker(stages)):
        job = await house.until_in(await house.submit(), JobStatus.AWAITING_UPLOAD, JobStatus.FAILED)
    assert (job.status, job.error_message) == (JobStatus.AWAITING_UPLOAD, None)
    assert job.source_inode == inode


async def test_cancelling_the_worker_ends_the_stage_first(house: House) -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(_job: Job, _report: Report) -> Advance:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait()
            ended.set()
        raise AssertionError

    job = await house.submit()
    task = asyncio.create_task(house.worker(advancing(copying=Scripted(slow))).run())
    await begun.wait()
    task.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done(), "the tool of the stage is still at work"
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert (await house.queue.get(job.id)).status is JobStatus.COPYING
    assert not house.bus._listeners
    assert [other.get_name() for other in asyncio.all_tasks() if "report of job" in other.get_name()] == []


async def test_cancelling_at_any_moment_leaves_a_job_that_can_go_on(house: House) -> None:
    job = await house.submit()
    for turns in range(60):
        task = asyncio.create_task(house.worker(advancing(verifying=Scripted(Temporary("x", start_over=True)))).run())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with at_work(house.worker(advancing(), limits=99)):
        await house.until_in(job, JobStatus.AWAITING_UPLOAD, JobStatus.FAILED)


async def test_jobs_are_served_first_in_first_out_and_a_waiting_one_holds_the_rest(house: House) -> None:
    served: list[str] = []

    async def serve(job: Job, _report: Report) -> Advance:
        served.append(job.folder_name)
        if served.count("one") < 3:
            raise Temporary("not yet")
        return NEXT[JobStatus.QUEUED]

    names = ["one", "two", "three"]
    jobs = [await house.submit(name) for name in names]
    async with at_work(house.worker(advancing(queued=Scripted(serve)), limits=5)):
        await house.until_in(jobs[-1], JobStatus.AWAITING_UPLOAD)
    assert served == ["one", "one", "one", "two", "three"]


async def test_a_worker_finishes_the_job_in_hand_before_it_takes_the_next(house: House) -> None:
    first = await house.submit("first")
    in_hand = await house.submit("second", status=JobStatus.COMPRESSING)
    order: list[str] = []

    async def note(job: Job, _report: Report) -> Advance:
        order.append(job.folder_name)
        return NEXT[JobStatus.VERIFYING]

    async with at_work(house.worker(advancing(verifying=Scripted(note)))):
        for job in (first, in_hand):
            await house.until_in(job, JobStatus.AWAITING_UPLOAD)
    assert order == ["second", "first"]


async def test_an_idle_worker_takes_a_new_job_as_soon_as_the_queue_changes(house: House) -> None:
    async with at_work(house.worker(advancing())):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not house.bus._listeners:
                await asyncio.sleep(0)
        job = await house.submit()
        async with asyncio.timeout(4):
            await house.until_in(job, JobStatus.AWAITING_UPLOAD)


async def cancelled_meanwhile(house: House, job: Job) -> None:
    await house.queue.move(job, JobStatus.CANCELLED)


@pytest.mark.parametrize(
    "then",
    [
        NEXT[JobStatus.COPYING],
        NotYet("wait"),
        NeedsOperator("hold"),
        DiskFull("full"),
        Temporary("again"),
        ConnectionTrouble("no answer"),
        Permanent("no"),
        ValueError("a bug"),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
async def test_a_job_cancelled_while_its_stage_ends_stays_cancelled_and_the_worker_lives(
    house: House, then: Advance | Exception
) -> None:
    async def run(job: Job, _report: Report) -> Advance:
        await cancelled_meanwhile(house, job)
        if isinstance(then, Exception):
            raise then
        return then

    first, second = await house.submit("first"), await house.submit("second")
    stage = Scripted(run, NEXT[JobStatus.COPYING])
    async with at_work(house.worker(advancing(copying=stage))) as task:
        served = asyncio.create_task(house.until_in(second, JobStatus.AWAITING_UPLOAD))
        await asyncio.wait({task, served}, return_when=asyncio.FIRST_COMPLETED)
        served.cancel()
    assert (await house.queue.get(first.id)).status is JobStatus.CANCELLED


def heard_by(events: "asyncio.Queue[Event]") -> list[Event]:
    return [events.get_nowait() for _ in range(events.qsize())]


def half_copied(house: House) -> Act:
    """Comes to the middle of the copy, is seen there, and fails."""

    async def run(job: Job, report: Report) -> Advance:
        report.progress(bytes_done=50, bytes_total=100)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (update := house.bus.latest(job.id)) is None or update.step.bytes_done != 50:
                await asyncio.sleep(0.005)
        raise Temporary("interrupted")

    return run


async def test_the_progress_that_people_see_never_falls(house: House) -> None:
    stage = Scripted(half_copied(house), half_copied(house), NEXT[JobStatus.COPYING])
    with house.bus.subscribe() as events:
        async with at_work(house.worker(advancing(copying=stage))), asyncio.timeout(PATIENCE_SECONDS):
            job = await house.until_in(await house.submit(), JobStatus.AWAITING_UPLOAD)
            while (update := house.bus.latest(job.id)) is None or update.status is not job.status:
                await asyncio.sleep(0.01)  # news comes after the commit
        percents = [event.progress_percent for event in heard_by(events) if isinstance(event, JobUpdate)]
    assert 16 in percents
    assert percents == sorted(percents)
    assert percents[-1] == job.progress_percent == 75


async def test_the_progress_of_a_failed_job_stays_where_people_saw_it(house: House) -> None:
    async with at_work(house.worker(advancing(copying=Scripted(half_copied(house))), limits=0)):
        job = await house.until_in(await house.submit(), JobStatus.FAILED)
    assert job.progress_percent == 16


async def test_progress_is_published_while_a_stage_runs_and_stored_now_and_then(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "_STORE_SECONDS", 0.0)
    stored = asyncio.Event()

    async def run(_job: Job, report: Report) -> Advance:
        report.operation("Copying 100 B from the NAS")
        report.progress(bytes_done=50, bytes_total=100)
        await stored.wait()
        return NEXT[JobStatus.COPYING]

    with house.bus.subscribe() as events:
        async with at_work(house.worker(advancing(copying=Scripted(run)))):
            job = await house.until(await house.submit(), lambda found: found.progress_percent == 16, seconds=5)
            assert job.current_operation == "Copying 100 B from the NAS"
            stored.set()
            await house.until_in(job, JobStatus.AWAITING_UPLOAD)
        updates = [event for event in heard_by(events) if isinstance(event, JobUpdate)]
    update = next(update for update in updates if update.step.bytes_done == 50)
    assert (update.status, update.progress_percent) == (JobStatus.COPYING, 16)
    assert (update.step.percent, update.step.bytes_total) == (50.0, 100)
    assert update.current_operation == "Copying 100 B from the NAS"


async def test_a_line_of_the_log_is_stored_and_heard(house: House) -> None:
    async def run(_job: Job, report: Report) -> Advance:
        await report.log("Copying from the NAS")
        await report.log("Careful", LogLevel.WARNING)
        return NEXT[JobStatus.COPYING]

    with house.bus.subscribe() as events:
        async with at_work(house.worker(advancing(copying=Scripted(run)))):
            job = await house.until_in(await house.submit(), JobStatus.AWAITING_UPLOAD)
        heard = [event for event in heard_by(events) if isinstance(event, LogAdded)]
    assert await house.log_of(job) == ["INFO Copying from the NAS", "WARNING Careful"]
    assert [(line.job_id, line.level.value, line.message) for line in heard] == [
        (job.id, "INFO", "Copying from the NAS"),
        (job.id, "WARNING", "Careful"),
    ]


async def test_after_a_crash_only_work_on_this_machine_goes_back_to_the_queue(house: House) -> None:
    jobs = {status: await house.submit(status.value, status=status) for status in WAY}
    assert await requeue_interrupted(house.queue, house.jobs) == 3
    for status, job in jobs.items():
        interrupted = status in (JobStatus.COPYING, JobStatus.COMPRESSING, JobStatus.VERIFYING)
        found = await house.queue.get(job.id)
        assert found.status is (JobStatus.QUEUED if interrupted else status)
        assert found.seq == job.seq, "it keeps its place in the line"
        log = await house.log_of(job)
        assert log == ([f"WARNING Interrupted while {status}: starts again from the queue"] if interrupted else [])
    assert await requeue_interrupted(house.queue, house.jobs) == 0


async def test_a_worker_waits_while_the_database_is_locked_and_then_goes_on(house: House) -> None:
    job = await house.submit()
    with contextlib.closing(sqlite3.connect(house.root / "cs.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        stages = advancing(copying=Scripted(NotYet("waits here")))
        async with at_work(house.worker(stages)) as running:
            await asyncio.wait([running], timeout=6)  # longer than the busy_timeout of the connections
            assert not running.done()
            other.execute("ROLLBACK")
            await house.until_in(job, JobStatus.COPYING)
