"""Rules of the product that no other suite claims by itself: who is to be cancelled is, and does nothing more."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cs_archiver.bus import Bus
from cs_archiver.db import queue
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.domain.states import MOVES, JobStatus
from cs_archiver.errors import JobMovedMeanwhile
from cs_archiver.workers.report import JobReport
from tests.support.jobs import submit

LOOP_TURNS = 8


@pytest.fixture
async def database(root: Path) -> AsyncIterator[Database]:
    opened = await Database.open(root / "a.db", read_connections=1)
    yield opened
    await opened.close()


async def test_a_job_that_is_to_be_cancelled_moves_nowhere_else(database: Database) -> None:
    job = await submit(database)
    async with database.write() as connection:
        asked = await queue.request_cancel(connection, job, username="ann")
    for state in JobStatus:
        if (job.status, state) in MOVES and state is not JobStatus.CANCELLED:
            with pytest.raises(JobMovedMeanwhile):
                await Queue(database).move(asked, state)
    assert (await Queue(database).move(asked, JobStatus.CANCELLED)).status is JobStatus.CANCELLED


@pytest.mark.parametrize("turns", range(LOOP_TURNS))
async def test_a_cancellation_is_not_lost_while_a_report_ends(database: Database, turns: int) -> None:
    """Or a service that is stopped at that moment never ends."""
    report = JobReport(await submit(database), bus=Bus(), jobs=Jobs(database), queue=Queue(database))
    ending = asyncio.Event()

    async def work() -> None:
        async with report.running():
            await asyncio.sleep(0.01)  # so that the report waits for its next tick
            ending.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await ending.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    was_cancelled = task.cancelled()
    task.cancel()
    await asyncio.wait({task})
    assert was_cancelled, "the cancellation was swallowed"
