"""Old jobs leave the list and old logs go, when that is asked for; the catalogue and the evidence never do."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cs_archiver.clock import now_text
from cs_archiver.db.backups import Backups
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.log_search import find_lines
from cs_archiver.db.queue import Queue
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.states import FINAL, JobStatus
from cs_archiver.workers.upkeep import Upkeep
from tests.support.databases import of_version_1, tables_of

AT_ONCE = timedelta(0)
DAY = timedelta(days=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return of_version_1(tmp_path / "cs.db")  # a job in every state


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path, read_connections=2, backups=Backups(path, ""))
    yield database
    await database.close()


async def look(database: Database, *, completed: timedelta | None = None, logs: timedelta | None = None) -> None:
    await Upkeep(database, keep_completed=completed, keep_logs=logs).look()


async def test_by_default_everything_stays(database: Database, path: Path) -> None:
    before = tables_of(path)
    await look(database)
    assert tables_of(path) == before


async def test_completed_jobs_leave_the_list_and_everything_that_proves_them_stays(
    database: Database, path: Path
) -> None:
    before = tables_of(path)
    await look(database, completed=AT_ONCE)
    after = tables_of(path)
    assert await Jobs(database).counts() == {status: 0 if status is JobStatus.COMPLETED else 1 for status in JobStatus}
    assert len(after["job_logs"]) == len(before["job_logs"]) - 1
    for name in set(before) - {"jobs", "job_logs", "job_sums"}:
        assert after[name] == before[name], name


async def test_logs_of_jobs_that_ended_go_and_nothing_else(database: Database, path: Path) -> None:
    before = tables_of(path)
    await look(database, logs=AT_ONCE)
    after = tables_of(path)
    with_log = {row[1] for row in after["job_logs"]}
    ended = {row[0] for row in before["jobs"] if row[9] in FINAL}
    assert with_log == {row[0] for row in before["jobs"]} - ended
    for name in set(before) - {"job_logs"}:
        assert after[name] == before[name], name


async def test_what_ended_lately_stays(database: Database, path: Path) -> None:
    job = (await Jobs(database).in_line([JobStatus.DELETING_SOURCE]))[0]
    await Queue(database).move(job, JobStatus.COMPLETED)
    async with database.write() as connection:
        old = {"moment": "2020-01-01T00:00:00.000Z", "job": job.id}
        statement = "UPDATE jobs SET completed_at = '{moment}' WHERE status = 'completed' AND id <> '{job}'"
        await connection.exec_driver_sql(statement.format(**old))
        lately = "UPDATE jobs SET completed_at = ? WHERE status IN ('failed', 'cancelled')"
        await connection.exec_driver_sql(lately, (now_text(),))
    await look(database, completed=DAY, logs=DAY)
    assert [found.id for found in await Jobs(database).in_line([JobStatus.COMPLETED])] == [job.id]
    assert len(tables_of(path)["job_logs"]) == 10


async def test_a_job_that_was_retried_keeps_its_log(database: Database, path: Path) -> None:
    job = (await Jobs(database).in_line([JobStatus.FAILED]))[0]
    await Queue(database).move(job, JobStatus.QUEUED, {"completed_at": None})
    await look(database, logs=AT_ONCE)
    assert job.id in {row[1] for row in tables_of(path)["job_logs"]}


async def test_more_than_one_transaction_holds_are_all_found(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cs_archiver.workers.upkeep._AT_ONCE", 1)
    await look(database, logs=AT_ONCE)
    for status in FINAL:
        (job,) = await Jobs(database).in_line([status])
        assert (await find_lines(database, job.id, levels=LogLevel, limit=10)).lines == []


async def test_sqlite_learns_of_its_tables_and_writing_goes_on(database: Database) -> None:
    await database.optimize()
    await database.require_healthy()
