"""What the jobs that have ended add up to: from an index alone, however many there are."""

import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import sqlite

from cs_archiver.db import ended_jobs, tables
from cs_archiver.db.database import Database
from cs_archiver.db.ended_jobs import Sum
from cs_archiver.db.job_search import JobSearch, SortBy, Way
from cs_archiver.db.queue import Queue
from cs_archiver.domain.states import MOVES, JobStatus
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
        (JobSearch((JobStatus.COMPLETED,)), Sum(2, 7, 3), Sum(1, 5, 0)),
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


def test_sums_are_kept_or_read_from_an_index_alone(schema: sqlite3.Connection) -> None:
    (kept, *more) = _plan(schema, JobSearch())
    assert kept == "SEARCH job_sums USING PRIMARY KEY (status=?)"
    assert more == []
    (step, *more) = _plan(schema, JobSearch(ended_from=DAY(1), ended_before=DAY(2)))
    assert step.startswith("SEARCH jobs USING COVERING INDEX jobs_by_completed_at (status=?")
    assert more == []


def _plan(schema: sqlite3.Connection, search: JobSearch) -> list[str]:
    query = ended_jobs.sums_query(search, Way.WALK)
    text = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    return [row[3] for row in schema.execute(f"EXPLAIN QUERY PLAN {text}")]


def test_what_is_kept_adds_up_to_what_is_there_whatever_becomes_of_jobs(schema: sqlite3.Connection) -> None:
    chance = random.Random(7)
    moves = sorted(move for move in MOVES if JobStatus.DELETING_SOURCE not in move)
    for number in range(600):
        jobs_there = schema.execute("SELECT id, status FROM jobs").fetchall()
        job_id, status = chance.choice(jobs_there or [("", "")])
        following = [end for start, end in moves if start == status]
        match chance.randrange(6):
            case 0 | 1:
                values = (str(number), number, f"/{number}", chance.choice("abc"), chance.choice([None, number]))
                schema.execute(
                    "INSERT INTO jobs (id, seq, folder_name, level1, level2, source_path, globus_destination_path,"
                    " status, created_by, created_at, folder_size_bytes)"
                    " VALUES (?1, ?2, '', '', '', ?3, ?3, 'queued', ?4, '', ?5)",
                    values,
                )
            case 2 | 3 if following:
                schema.execute("UPDATE jobs SET status = ? WHERE id = ?", (chance.choice(following), job_id))
            case 4:
                sizes = (chance.choice([None, number]), chance.choice([None, 2 * number]), job_id)
                schema.execute("UPDATE jobs SET folder_size_bytes = ?, archive_size_bytes = ? WHERE id = ?", sizes)
            case _:
                schema.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
    counted = schema.execute(
        "SELECT status, created_by, count(*), total(folder_size_bytes), total(archive_size_bytes)"
        " FROM jobs GROUP BY status, created_by ORDER BY status, created_by"
    ).fetchall()
    assert len(counted) > 5
    assert schema.execute("SELECT * FROM job_sums WHERE jobs > 0").fetchall() == counted
    assert not schema.execute(
        "SELECT * FROM job_sums WHERE jobs < 1 AND (jobs, folder_bytes, archive_bytes) <> (0, 0, 0)"
    ).fetchall()


def test_sums_beyond_all_numbers_refuse_no_job(schema: sqlite3.Connection) -> None:
    for number in range(3):
        schema.execute(
            "INSERT INTO jobs (id, seq, folder_name, level1, level2, source_path, globus_destination_path, status,"
            " created_by, created_at, folder_size_bytes) VALUES (?1, ?1, '', '', '', ?1, ?1, 'queued', 'a', '', ?2)",
            (number, 2**63 - 1),
        )
    ((jobs_there, size),) = schema.execute("SELECT jobs, folder_bytes FROM job_sums").fetchall()
    assert (jobs_there, round(size / 2**63, 3)) == (3, 3.0)
