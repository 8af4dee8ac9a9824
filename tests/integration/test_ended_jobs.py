"""What the jobs that have ended add up to: from an index alone, however many there are."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import sqlite

from cs_archiver.db import ended_jobs, tables
from cs_archiver.db.database import Database
from cs_archiver.db.ended_jobs import Sum
from cs_archiver.db.job_search import JobSearch, SortBy
from cs_archiver.db.queue import Queue
from cs_archiver.domain.states import JobStatus
from cs_archiver.resources import resource
from tests.support import jobs

FAILED, CANCELLED = JobStatus.FAILED, JobStatus.CANCELLED
DAY = "2026-01-0{}T00:00:00.000Z".format


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "archiver.db", read_connections=2)
    yield database
    await database.close()


async def _ended(database: Database, name: str, status: JobStatus = FAILED, **values: Any) -> str:
    job = await jobs.submit(database, name)
    await Queue(database).move(job, status)
    async with database.write() as connection:
        await connection.execute(tables.jobs.update().where(tables.jobs.c.id == job.id).values(values))
    return job.id


async def test_sums_are_of_what_fulfils_the_search_in_each_state(database: Database) -> None:
    await _ended(database, "a", created_by="ann", completed_at=DAY(1), folder_size_bytes=7, archive_size_bytes=3)
    await _ended(database, "b", created_by="ann", completed_at=DAY(2), folder_size_bytes=None)
    await _ended(database, "c", CANCELLED, created_by="bob", completed_at=DAY(2), error_message="words")
    await jobs.submit(database, "under way")
    none = Sum()
    for search, failed, cancelled in (
        (JobSearch(), Sum(2, 7, 3), Sum(1, 5, 0)),
        (JobSearch([JobStatus.COMPLETED]), Sum(2, 7, 3), Sum(1, 5, 0)),
        (JobSearch(created_by="ann"), Sum(2, 7, 3), none),
        (JobSearch(words="WORDS"), none, Sum(1, 5, 0)),
        (JobSearch(ended_from=DAY(2)), Sum(1, 0, 0), Sum(1, 5, 0)),
        (JobSearch(ended_before=DAY(2)), Sum(1, 7, 3), none),
    ):
        expected = {JobStatus.COMPLETED: none, FAILED: failed, CANCELLED: cancelled}
        assert await ended_jobs.sums_of(database, search) == expected


async def test_everybody_who_asked_is_named_once(database: Database) -> None:
    for number, name in enumerate(("kim", "ann", "kim", "Zoe")):
        await jobs.submit(database, f"folder {number}", created_by=name)
    assert await ended_jobs.people_of(database) == ["Zoe", "ann", "kim"]


async def test_batches_skip_and_repeat_none_though_jobs_end_and_go_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended_jobs, "_BATCH", 2)
    ids = [await _ended(database, f"job {number}", completed_at=DAY(1 + number // 2)) for number in range(7)]
    seen: list[str] = []
    async for batch in ended_jobs.ended_in_batches(database, JobSearch(sort_by=SortBy.SIZE)):
        if not seen:
            await _ended(database, "newer", completed_at=DAY(9))
            async with database.write() as connection:
                gone = {ids[5], ids[1]}  # one that was seen, and one that was not
                await connection.execute(tables.jobs.delete().where(tables.jobs.c.id.in_(gone)))
        seen += [job.id for job in batch]
    assert seen == [ids[6], ids[5], ids[4], ids[3], ids[2], ids[0]]


@pytest.fixture
def schema() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(resource("schema.sql").read_text())
    yield connection
    connection.close()


@pytest.mark.parametrize("search", [JobSearch(), JobSearch(ended_from=DAY(1), ended_before=DAY(2))])
def test_sums_are_read_from_an_index_alone(schema: sqlite3.Connection, search: JobSearch) -> None:
    query = ended_jobs.sums_query(search).compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    (step, *more) = [row[3] for row in schema.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert step.startswith("SEARCH jobs USING COVERING INDEX jobs_by_completed_at (status=?")
    assert more == []
