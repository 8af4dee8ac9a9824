"""The durable queue on a real database: order, exclusion, allowed moves, and the last line of defence."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import Entry, EntryKind, totals
from cs_archiver.domain.states import MOVES, JobStatus, WorkerName
from cs_archiver.domain.verification import Check
from cs_archiver.errors import Conflict, JobMovedMeanwhile
from tests.support.jobs import submit

WAY = [
    JobStatus.COPYING,
    JobStatus.COMPRESSING,
    JobStatus.VERIFYING,
    JobStatus.AWAITING_UPLOAD,
    JobStatus.UPLOADING,
    JobStatus.UPLOAD_VERIFYING,
]
ENTRY = Entry(b"file", EntryKind.FILE, 5, 7, 0o644, None, 9, b"x" * 32)
PASSED = [Check(1, "status", "SUCCEEDED", "SUCCEEDED", passed=True)]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "cs.db", read_connections=2)
    yield opened
    await opened.close()


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database)


async def bring_to(queue: Queue, job: Job, status: JobStatus) -> Job:
    for state in WAY[: WAY.index(status) + 1]:
        job = await queue.move(job, state)
    return job


async def test_jobs_are_served_in_the_order_in_which_they_came(database: Database, queue: Queue) -> None:
    first, second = await submit(database, "first"), await submit(database, "second")
    assert (await queue.next_for(WorkerName.LOCAL)) == first
    await queue.move(first, JobStatus.COPYING)
    in_hand = await queue.next_for(WorkerName.LOCAL)
    assert in_hand is not None
    assert in_hand.id == first.id, "the job in hand comes before the next in line"
    await queue.move(in_hand, JobStatus.FAILED)
    assert (await queue.next_for(WorkerName.LOCAL)) == second


async def test_a_second_active_job_for_a_folder_is_refused_with_a_link(database: Database) -> None:
    job = await submit(database)
    with pytest.raises(Conflict) as refused:
        await submit(database)
    assert refused.value.problem == "already-queued"
    assert refused.value.members == {"job_id": job.id, "job_url": f"/api/jobs/{job.id}"}


async def test_two_active_jobs_never_share_a_destination(database: Database) -> None:
    await submit(database)
    with pytest.raises(Conflict):
        await submit(database, source_path="/nas/elsewhere")


async def test_a_folder_may_be_submitted_again_once_its_job_ended(database: Database, queue: Queue) -> None:
    await queue.move(await submit(database), JobStatus.FAILED)
    await submit(database)


async def test_a_job_that_moved_meanwhile_is_not_moved_again(database: Database, queue: Queue) -> None:
    job = await submit(database)
    await queue.move(job, JobStatus.CANCELLED)
    with pytest.raises(JobMovedMeanwhile):
        await queue.move(job, JobStatus.COPYING)
    with pytest.raises(JobMovedMeanwhile):
        await queue.checkpoint(job, progress_percent=50)
    assert (await queue.get(job.id)).status is JobStatus.CANCELLED


async def test_the_database_refuses_every_move_that_is_not_allowed(database: Database, queue: Queue) -> None:
    job = await submit(database)
    for status in JobStatus:
        if status is not JobStatus.QUEUED and (JobStatus.QUEUED, status) not in MOVES:
            with pytest.raises(IntegrityError, match=r"not allowed|no deletion"):
                await queue.move(job, status)
    assert (await queue.get(job.id)) == job


async def test_every_move_is_written_into_the_history(database: Database, queue: Queue) -> None:
    job = await bring_to(queue, await submit(database), JobStatus.COMPRESSING)
    lines = await Jobs(database).history(job.id)
    assert [(line.from_status, line.to_status) for line in lines] == [
        (None, "queued"),
        ("queued", "copying"),
        ("copying", "compressing"),
    ]


async def proven(database: Database, queue: Queue, *, passed: bool = True) -> Job:
    """A job in upload_verifying, with a manifest, an upload, and its evidence."""
    catalogue = Catalogue(database)
    job = await bring_to(queue, await submit(database), JobStatus.UPLOAD_VERIFYING)
    manifest_id = await catalogue.seal_manifest(job, [ENTRY], totals([ENTRY]))
    job = await queue.checkpoint(
        job, manifest_id=manifest_id, archive_sha256="aa", archive_size_bytes=32, globus_task_id="task"
    )
    upload = await catalogue.add_upload(job, submission_id="submission", request={"DATA": []}, compares=None)
    upload = await catalogue.set_task(upload, "task")
    await catalogue.add_evidence(job, upload, PASSED, passed=passed, collection="collection")
    return job


async def test_deletion_begins_only_with_passed_evidence_in_the_catalogue(database: Database, queue: Queue) -> None:
    job = await proven(database, queue)
    assert (await queue.move(job, JobStatus.DELETING_SOURCE)).status is JobStatus.DELETING_SOURCE


async def test_the_database_itself_refuses_a_deletion_without_evidence(database: Database, queue: Queue) -> None:
    job = await bring_to(queue, await submit(database), JobStatus.UPLOAD_VERIFYING)
    with pytest.raises(IntegrityError, match="no deletion without a passed verification"):
        await queue.move(job, JobStatus.DELETING_SOURCE)


async def test_failed_evidence_does_not_allow_a_deletion(database: Database, queue: Queue) -> None:
    job = await proven(database, queue, passed=False)
    with pytest.raises(IntegrityError, match="no deletion without a passed verification"):
        await queue.move(job, JobStatus.DELETING_SOURCE)


async def test_evidence_for_another_archive_does_not_allow_a_deletion(database: Database, queue: Queue) -> None:
    job = await queue.checkpoint(await proven(database, queue), archive_sha256="bb")
    with pytest.raises(IntegrityError, match="no deletion without a passed verification"):
        await queue.move(job, JobStatus.DELETING_SOURCE)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE verifications SET passed = 1",
        "DELETE FROM verifications",
        "DELETE FROM archives",
        "UPDATE archives SET archive_sha256 = 'cc'",
        "UPDATE manifest_entries SET size = 1",
        "DELETE FROM manifest_entries",
        "DELETE FROM job_history",
        "UPDATE job_history SET to_status = 'completed'",
    ],
)
async def test_evidence_catalogue_and_history_cannot_be_rewritten(
    database: Database, queue: Queue, statement: str
) -> None:
    await proven(database, queue)
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await connection.exec_driver_sql(statement)


_REPLACED = {
    "audit": "id, at, username, action, target, detail, address, 'forged', request_id",
    "job_history": "id, job_id, from_status, 'completed', at",
    "verifications": "id, job_id, upload_id, at, 1, '[]'",
    "archives": "id, job_id, level1, level2, folder_name, source_path, globus_collection, globus_path, globus_task_id, "
    "1, 'cc', manifest_id, verification_id, created_by, archived_at, source_deleted_at",
}


@pytest.mark.parametrize("table", _REPLACED)
async def test_evidence_catalogue_history_and_trail_cannot_be_replaced(
    database: Database, queue: Queue, table: str
) -> None:
    await queue.move(await proven(database, queue), JobStatus.DELETING_SOURCE)
    before = await _rows_of(database, table)
    assert before
    replaced = f"INSERT OR REPLACE INTO {table} SELECT {_REPLACED[table]} FROM {table} LIMIT 1"
    await _require_refusal(database, replaced)
    assert await _rows_of(database, table) == before


@pytest.mark.parametrize(
    "same",
    ["id", "job_id", "manifest_id", "verification_id", "globus_collection, globus_path"],
)
async def test_row_of_the_catalogue_cannot_be_replaced_by_any_of_its_keys(
    database: Database, queue: Queue, same: str
) -> None:
    await proven(database, queue)
    before = await _rows_of(database, "archives")
    own = {
        "id": "id + 1", "job_id": "'another'", "level1": "level1", "level2": "level2", "folder_name": "folder_name",
        "source_path": "source_path", "globus_collection": "'another'", "globus_path": "'another'",
        "globus_task_id": "globus_task_id", "archive_size_bytes": "1", "archive_sha256": "'cc'",
        "manifest_id": "manifest_id + 1", "verification_id": "verification_id + 1", "created_by": "created_by",
        "archived_at": "archived_at",
    }  # fmt: skip
    values = ", ".join(name if name in same.split(", ") else value for name, value in own.items())
    replaced = f"INSERT OR REPLACE INTO archives ({', '.join(own)}) SELECT {values} FROM archives"
    await _require_refusal(database, replaced)
    assert await _rows_of(database, "archives") == before


@pytest.mark.parametrize(
    "change", ["id = 7", "created_by = 'nobody'", "archived_at = 'never'", "globus_collection = 'x'"]
)
async def test_nothing_in_the_catalogue_changes_but_when_its_source_was_deleted(
    database: Database, queue: Queue, change: str
) -> None:
    await proven(database, queue)
    await _require_refusal(database, f"UPDATE OR REPLACE archives SET {change}")
    async with database.write() as connection:
        await connection.exec_driver_sql("UPDATE archives SET source_deleted_at = 'now'")
    await _require_refusal(database, "UPDATE archives SET source_deleted_at = 'later'")


async def _require_refusal(database: Database, statement: str) -> None:
    with pytest.raises(IntegrityError, match=r"append-only|write-once|does not change"):
        async with database.write() as connection:
            await connection.exec_driver_sql(statement)


async def test_same_archive_verified_once_more_keeps_its_row_in_the_catalogue(database: Database, queue: Queue) -> None:
    job = await proven(database, queue)
    before = await _rows_of(database, "archives")
    upload = await Catalogue(database).latest_upload(job.id)
    assert upload is not None
    await Catalogue(database).add_evidence(job, upload, PASSED, passed=True, collection="collection")
    assert await _rows_of(database, "archives") == before
    assert len(await _rows_of(database, "verifications")) == 2


async def _rows_of(database: Database, table: str) -> list[tuple[Any, ...]]:
    async with database.read() as connection:
        rows = await connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY id")
        return [tuple(row) for row in rows]


async def test_a_manifest_comes_back_as_it_was_sealed(database: Database) -> None:
    job = await submit(database)
    entries = [
        Entry(b"\xff\n*", EntryKind.FILE, 5, -7, 0o600, None, 0xFFFFFFFF, b"y" * 32),
        Entry(b"dir", EntryKind.DIR, 0, 1, 0o755, None, None, None),
        Entry(b"link", EntryKind.LINK, 2, 1, 0o777, b"\xfe.", 3, None),
    ]
    catalogue = Catalogue(database)
    found = await catalogue.manifest(await catalogue.seal_manifest(job, entries, totals(entries)))
    assert sorted(found) == sorted(entries)


async def test_a_write_that_fails_leaves_nothing_behind(database: Database) -> None:
    with contextlib.suppress(RuntimeError):
        async with database.write() as connection:
            await connection.exec_driver_sql("INSERT INTO scans VALUES (NULL, 'a', 'b', 1, 1)")
            raise RuntimeError("in the middle")
    async with database.read() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM scans")).scalar_one() == 0


async def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match="readonly"):
        async with database.read() as connection:
            await connection.exec_driver_sql("INSERT INTO scans VALUES (NULL, 'a', 'b', 1, 1)")


async def test_commits_are_durable_and_foreign_keys_hold(database: Database) -> None:
    async with database.write() as connection:
        answers = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert answers == ["wal", 2, 1]
