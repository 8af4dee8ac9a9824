"""The database under cancellation: whoever is cancelled, the next transaction finds it free, at once."""

import asyncio
import contextlib
import gc
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import column, select, table

from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from tests.support.jobs import submit


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "cs.db", read_connections=2)
    yield database
    await database.close()


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What only the garbage collector would end is not ended, as in a service where it runs rarely."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("seed", range(10))
async def test_a_cancelled_transaction_leaves_no_lock_behind(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    kept: list[BaseException] = []  # as a log or a traceback would keep it
    for number in range(30):
        task = asyncio.create_task(submit(database, f"folder {number}"))
        for _ in range(chance.randrange(80)):
            await asyncio.sleep(0)
        await asyncio.sleep(chance.choice((0, 0.0005, 0.002)))
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            kept.append(error)
        async with asyncio.timeout(3), database.write():
            pass
    assert kept, "nothing was cancelled"


async def test_what_was_compiled_for_one_database_serves_every_other(database: Database, tmp_path: Path) -> None:
    queries = [select(table("scans", column("listed"))) for _ in range(2)]
    other = await Database.open(tmp_path / "other.db", read_connections=1)
    try:
        async with database.write() as writer, other.read() as reader:
            compiled = [
                (await connection.execute(query)).context.compiled
                for connection, query in zip((writer, reader), queries, strict=True)
            ]
    finally:
        await other.close()
    assert compiled[0] is compiled[1]


async def test_what_is_cancelled_before_its_commit_is_not_stored(database: Database) -> None:
    reached = asyncio.Event()

    async def write() -> None:
        async with database.write() as connection:
            await connection.exec_driver_sql("INSERT INTO scans VALUES (1, 'a', 'b', 0, 0)")
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await reached.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    async with database.read() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM scans")).scalar_one() == 0


async def test_a_statement_is_finished_before_its_caller_is_cancelled(database: Database) -> None:
    job = await submit(database)
    for _ in range(40):
        task = asyncio.create_task(Jobs(database).find(job.id))
        await asyncio.sleep(0)
        task.cancel()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    async with asyncio.timeout(3):
        found = await Jobs(database).find(job.id)
    assert found is not None
