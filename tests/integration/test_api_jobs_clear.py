"""Clearing completed jobs from the list, and what stays on record for good."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db.catalogue import Catalogue, set_succeeded
from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import Entry, EntryKind, totals
from cs_archiver.domain.states import ACTIVE, JobStatus
from cs_archiver.domain.verification import Check
from tests.support.api import Api, running_api

COLLECTION = "5c000000-0000-4000-8000-000000000002"
BEFORE_DELETION = (
    JobStatus.COMPRESSING,
    JobStatus.VERIFYING,
    JobStatus.AWAITING_UPLOAD,
    JobStatus.UPLOADING,
    JobStatus.UPLOAD_VERIFYING,
)
WAY = (JobStatus.QUEUED, JobStatus.COPYING, *BEFORE_DELETION, JobStatus.DELETING_SOURCE, JobStatus.COMPLETED)
KEPT = ("archives", "manifests", "manifest_entries", "uploads", "verifications", "job_history")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _reach(api: Api, name: str, state: JobStatus) -> Job:
    """A job in this state, with all that the stages write down on the way there."""
    job = await api.queue.get((await api.submit(name))["job_id"])
    if state in {JobStatus.FAILED, JobStatus.CANCELLED}:
        return await api.queue.move(job, state)
    catalogue = Catalogue(api.database)
    for step in WAY[1 : WAY.index(state) + 1]:
        changes: dict[str, Any] = {}
        if step is JobStatus.COMPRESSING:
            entries = [Entry(b"one.bin", EntryKind.FILE, 5, 1, 0o644, None, 7, bytes(32))]
            changes = {"manifest_id": await catalogue.seal_manifest(job, entries, totals(entries))}
        elif step is JobStatus.AWAITING_UPLOAD:
            changes = {"archive_sha256": "ab" * 32, "archive_size_bytes": 99}
        elif step is JobStatus.DELETING_SOURCE:
            upload = await catalogue.add_upload(job, submission_id=f"of {job.id}", request={}, compares=None)
            upload = await catalogue.set_task(upload, f"task of {job.id}")
            async with api.database.write() as connection:
                await set_succeeded(connection, upload, left_behind=None)
            checks = [Check(1, "task", "SUCCEEDED", "SUCCEEDED", True)]
            await catalogue.add_evidence(job, upload, checks, passed=True, collection=COLLECTION)
        job = await api.queue.move(job, step, changes)
    return job


def _rows(tmp_path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(tmp_path / "archiver.db")) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


async def _clear(api: Api) -> int:
    response = await api.call("DELETE", "/api/jobs/completed")
    assert response.status == 200, await response.text()
    document = await response.json()
    assert set(document) == {"deleted_count"}
    return int(document["deleted_count"])


async def test_completed_jobs_leave_the_list_and_their_record_stays(api: Api, tmp_path: Path) -> None:
    done = await _reach(api, "Alpha", JobStatus.COMPLETED)
    kept = {table: _rows(tmp_path, table) for table in KEPT}
    assert all(kept.values())
    assert await _clear(api) == 1
    assert await api.get("/api/jobs") == []
    for path in ("", "/logs"):
        assert (await api.call("GET", f"/api/jobs/{done.id}{path}")).status == 404
    assert {table: _rows(tmp_path, table) for table in KEPT} == kept
    assert _rows(tmp_path, "job_logs") == []
    assert await Catalogue(api.database).owner_of(COLLECTION, done.globus_destination_path) == done.id
    assert [entry["path"] for entry in await api.get(f"/api/jobs/{done.id}/files")] == ["one.bin"]
    assert (await api.get(f"/api/jobs/{done.id}/history"))[-1]["to_status"] == "completed"
    with closing(sqlite3.connect(tmp_path / "archiver.db")) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("state", sorted({*ACTIVE, JobStatus.FAILED, JobStatus.CANCELLED}))
async def test_jobs_in_every_other_state_stay(api: Api, state: JobStatus) -> None:
    other = await _reach(api, "Alpha", state)
    await _reach(api, "Beta", JobStatus.COMPLETED)
    before = await api.get(f"/api/jobs/{other.id}")
    assert await _clear(api) == 1
    assert await api.get(f"/api/jobs/{other.id}") == before
    assert await api.get(f"/api/jobs/{other.id}/logs")
    assert len(await api.get("/api/jobs")) == 1


async def test_nothing_to_clear_is_said_so(api: Api) -> None:
    assert await _clear(api) == 0
    await _reach(api, "Alpha", JobStatus.COMPLETED)
    assert [await _clear(api), await _clear(api)] == [1, 0]


async def test_many_are_cleared_bit_by_bit_and_counted_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cs_archiver.services.jobs._CLEARED_AT_ONCE", 1)
    for name in ("Alpha", "Beta", "Gamma"):
        await _reach(api, name, JobStatus.COMPLETED)
    counts = await asyncio.gather(_clear(api), _clear(api))
    assert sum(counts) == 3


async def test_jobs_go_on_after_a_clearing(api: Api) -> None:
    """The next in line may get the place in the order that a cleared one had."""
    await _reach(api, "Alpha", JobStatus.FAILED)
    await _reach(api, "Beta", JobStatus.COMPLETED)
    await _clear(api)
    failed = (await api.get("/api/jobs"))[0]["job_id"]
    await api.submit("Gamma")
    assert (await api.call("POST", f"/api/jobs/{failed}/retry")).status == 200
    queued = (await api.get("/api/queue"))["queued_jobs"]
    assert [job["folder_name"] for job in queued] == ["Gamma", "Alpha"]
