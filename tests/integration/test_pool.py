"""The connections that read: each transaction is a snapshot of its own, and all of them come back."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Executable, text
from sqlalchemy.exc import IntegrityError, OperationalError

from cs_archiver.db import pool
from cs_archiver.db.connection import AnyRow, Connection
from cs_archiver.db.database import Database, DatabaseUnhealthy
from tests.support.databases import turns_of

_CONNECTIONS = 2


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "cs.db", read_connections=_CONNECTIONS)
    yield database
    await database.close()


async def add_scan(database: Database) -> None:
    async with database.write() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO scans (started_at, finished_at, listed, left_out) VALUES ('', '', 0, 0)"
        )


async def add_line_of_no_job(database: Database) -> None:
    """Refused by the commit."""
    async with database.write() as connection:
        await connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        await connection.exec_driver_sql(
            "INSERT INTO job_logs (job_id, timestamp, level, message) VALUES ('nobody', '', 'INFO', '')"
        )


async def count(connection: Connection) -> int:
    return int((await connection.exec_driver_sql("SELECT count(*) FROM scans")).scalar_one())


async def test_what_is_committed_meanwhile_is_not_seen_before_the_next_transaction(database: Database) -> None:
    async with database.read() as connection:
        assert await count(connection) == 0
        await add_scan(database)
        assert await count(connection) == 0
    async with database.read() as connection:
        assert await count(connection) == 1


async def test_a_transaction_that_is_over_holds_nothing_in_the_write_ahead_log(
    database: Database, tmp_path: Path
) -> None:
    for _ in range(2 * _CONNECTIONS):
        await add_scan(database)
        async with database.read() as connection:
            await count(connection)
    async with database.read() as one, database.read() as other:
        await count(one)
        await count(other)
    async with database.write() as writer:  # after whatever the threads of the readers still have to do
        await writer.exec_driver_sql("SELECT 1")
    with closing(sqlite3.connect(tmp_path / "cs.db")) as outside:
        busy, pages, moved = outside.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, pages, moved) == (0, 0, 0)


async def test_connections_come_back_from_those_who_fail_and_those_who_are_cancelled(database: Database) -> None:
    for number in range(5 * _CONNECTIONS):
        with contextlib.suppress(OperationalError, asyncio.CancelledError, DatabaseUnhealthy):
            async with database.read() as connection:
                await count(connection)
                if number % 2:
                    raise asyncio.CancelledError
                await connection.exec_driver_sql("SELECT * FROM nowhere")
    async with asyncio.timeout(5), database.read() as one, database.read() as other:
        assert (await count(one), await count(other)) == (0, 0)


async def test_rows_of_many_statements_stay_apart_on_few_connections(database: Database) -> None:
    async def ask(number: int) -> int:
        async with database.read() as connection:
            return int((await connection.exec_driver_sql(f"SELECT {number}")).scalar_one())

    assert await asyncio.gather(*map(ask, range(100))) == list(range(100))


async def test_who_finds_every_connection_lent_is_told_that_the_database_does_not_answer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_PATIENCE_SECONDS", 0.05)
    async with database.read(), database.read():
        with pytest.raises(DatabaseUnhealthy, match="no answer"):
            async with database.read():
                pass
    async with database.read() as connection:
        assert await count(connection) == 0


async def test_a_query_by_itself_sees_what_is_committed_and_holds_nothing(database: Database, tmp_path: Path) -> None:
    for number in range(3 * _CONNECTIONS):
        assert [tuple(row) for row in await database.rows(text("SELECT count(*) FROM scans"))] == [(number,)]
        await add_scan(database)
    with closing(sqlite3.connect(tmp_path / "cs.db")) as outside:
        assert outside.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


async def test_a_connection_that_answered_a_query_by_itself_keeps_the_next_snapshot(database: Database) -> None:
    for _ in range(2 * _CONNECTIONS):
        before = len(await database.rows(text("SELECT id FROM scans")))
        async with database.read() as connection:
            assert await count(connection) == before
            await add_scan(database)
            assert await count(connection) == before


async def test_what_is_asked_at_once_shares_one_turn_and_each_gets_its_own_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = turns_of(monkeypatch)

    async def ask(number: int) -> int:
        return int((await database.rows(text("SELECT :number"), {"number": number}))[0][0])

    one, (two, three), four = await asyncio.gather(ask(1), asyncio.gather(ask(2), ask(3)), ask(4))
    assert (one, two, three, four) == (1, 2, 3, 4)
    assert turns == [4]
    assert await asyncio.gather(*map(ask, range(25))) == list(range(25))
    assert sorted(turns[1:]) == [5, 10, 10]


async def asked_at_once(database: Database, queries: Sequence[Executable]) -> list[Sequence[AnyRow]]:
    return await asyncio.gather(*map(database.rows, queries))


async def asked_in_turn(database: Database, queries: Sequence[Executable]) -> list[Sequence[AnyRow]]:
    return await database.answer(lambda ask: [ask(query, {}) for query in queries])


@pytest.mark.parametrize("asked", [asked_at_once, asked_in_turn])
async def test_what_is_asked_together_is_answered_from_one_snapshot(
    database: Database, tmp_path: Path, asked: Callable[..., Awaitable[list[Sequence[AnyRow]]]]
) -> None:
    over = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(tmp_path / "cs.db", isolation_level=None, timeout=30)) as outside:
            while not over.is_set():
                outside.execute("INSERT INTO scans (started_at, finished_at, listed, left_out) VALUES ('', '', 0, 0)")

    meanwhile = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT sum(i) FROM n"
    queries = [text("SELECT count(*) FROM scans"), text(meanwhile), text("SELECT count(*), 'again' FROM scans")]
    writing = asyncio.create_task(asyncio.to_thread(write))
    try:
        before = (await database.rows(queries[0]))[0][0]
        for _ in range(5):
            first, _, again = await asked(database, queries)
            assert first[0][0] == again[0][0]
        assert (await database.rows(queries[0]))[0][0] > before
    finally:
        over.set()
        await writing


async def test_an_answer_whose_query_fails_fails_whole_and_leaves_the_connections_as_they_were(
    database: Database,
) -> None:
    await add_scan(database)
    for query in ("SELECT * FROM nowhere", "DELETE FROM scans RETURNING id"):
        with pytest.raises(DatabaseUnhealthy):
            await asked_in_turn(database, [text("SELECT 1"), text(query)])
    async with asyncio.timeout(5), database.read() as one, database.read() as other:
        assert (await count(one), await count(other)) == (1, 1)


async def test_what_fails_among_what_is_asked_at_once_fails_alone(database: Database) -> None:
    await add_scan(database)
    queries = ("SELECT count(*) FROM scans", "SELECT * FROM nowhere", "DELETE FROM scans RETURNING id")
    answers = await asyncio.gather(*(database.rows(text(query)) for query in queries), return_exceptions=True)
    assert isinstance(answers[0], list)
    assert answers[0][0][0] == 1
    assert [type(answer) for answer in answers[1:]] == [DatabaseUnhealthy, DatabaseUnhealthy]
    async with asyncio.timeout(5), database.read() as one, database.read() as other:
        assert (await count(one), await count(other)) == (1, 1)


async def test_who_gives_up_waits_for_the_answer_and_the_others_get_theirs(database: Database) -> None:
    slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT sum(i) FROM n"
    gives_up = asyncio.create_task(database.rows(text(slow)))
    waits = asyncio.create_task(database.rows(text("SELECT 7")))
    await asyncio.sleep(0)
    gives_up.cancel()
    assert (await waits)[0][0] == 7
    with pytest.raises(asyncio.CancelledError):
        await gives_up
    async with asyncio.timeout(5), database.read() as one, database.read() as other:
        assert (await count(one), await count(other)) == (0, 0)


async def test_a_query_by_itself_cannot_write(database: Database) -> None:
    with pytest.raises(DatabaseUnhealthy, match="readonly"):
        await database.rows(text("DELETE FROM scans RETURNING id"))


async def test_after_a_commit_that_failed_the_next_transaction_begins_anew(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await add_line_of_no_job(database)
    await add_scan(database)
    async with database.read() as connection:
        assert await count(connection) == 1
        assert (await connection.exec_driver_sql("SELECT count(*) FROM job_logs")).scalar_one() == 0
