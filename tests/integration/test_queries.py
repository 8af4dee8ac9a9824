"""What the database is asked: submissions and uploads walk no whole table; rolled rows are the same rows."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from cs_archiver.db import tables
from cs_archiver.db.catalogue import Catalogue, set_succeeded
from cs_archiver.db.database import Database
from cs_archiver.db.rolled import rolled, unrolled
from tests.support import jobs
from tests.support.api import Api, running_api

_ODD = ("", 'a "quoted" \\ line', "two\nlines\r\tand a tab", "\x00 and \x1f", "\u2028 \U0001f3ac é", "'; --")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@contextmanager
def _asked() -> Iterator[list[tuple[str, Any]]]:
    """Every statement with its parameters, as SQLite is given them."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def _walks(database: Database, asked: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Each statement that walks over all jobs or uploads, with the step that does."""
    found = []
    async with database.read() as connection:
        for statement, parameters in asked:
            if not statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")) or isinstance(parameters, list):
                continue
            for *_, step in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
                if step.startswith(("SCAN jobs", "SCAN uploads")):
                    found.append((statement, step))
    return found


async def test_a_submission_walks_no_whole_table(api: Api) -> None:
    with _asked() as asked:
        response = await api.call("POST", "/api/jobs", json={"folder_path": api.folder("Alpha")})
        assert response.status == 201
        again = await api.call("POST", "/api/jobs", json={"folder_path": api.folder("Alpha")})
        assert again.status == 409
    assert any("INSERT INTO jobs" in statement for statement, _ in asked)
    assert await _walks(api.database, asked) == []


async def test_what_an_upload_asks_walks_no_whole_table(api: Api) -> None:
    job, catalogue = await jobs.submit(api.database, "Alpha"), Catalogue(api.database)
    job = job._replace(archive_size_bytes=1, archive_sha256="00")
    upload = await catalogue.add_upload(job, submission_id="one", request={}, compares=None)
    comparison = await catalogue.add_upload(job, submission_id="two", request={}, compares=upload)
    await catalogue.set_task(comparison, "task of the comparison")
    with _asked() as asked:
        found = await catalogue.open_comparison(upload)
        assert found is not None
        assert found.id == comparison.id
        assert await catalogue.tasks_of(upload) == ["task of the comparison"]
        assert await catalogue.active_job_for(job.globus_destination_path, other_than="") == job.id
        assert await catalogue.active_job_for(job.globus_destination_path, other_than=job.id) is None
    assert len(asked) >= 4
    async with api.database.write() as connection:
        await set_succeeded(connection, comparison, left_behind=None)
    assert await catalogue.open_comparison(upload) is None, "what has ended is no proof of today"
    assert await _walks(api.database, asked) == []


async def test_rolled_rows_are_the_same_rows(api: Api) -> None:
    job = await jobs.submit(api.database, "Alpha")
    logs, table = tables.job_logs, tables.jobs
    async with api.database.write() as connection:
        lines = [{"job_id": job.id, "timestamp": "now", "level": "INFO", "message": message} for message in _ODD]
        await connection.execute(logs.insert(), lines)
        sizes = {"folder_size_bytes": 2**63 - 1, "archive_size_bytes": None}
        await connection.execute(table.update().where(table.c.id == job.id).values(sizes))
    for query in (
        select(logs.c.id, logs.c.message).order_by(logs.c.id.desc()),
        select(logs.c.id, logs.c.message).order_by(logs.c.message),
        select(logs.c.message).order_by(logs.c.id).limit(3).offset(2),
        select(logs.c.message).where(logs.c.id < 0),
        select(table.c.id, table.c.folder_size_bytes, table.c.archive_size_bytes),
    ):
        plain = await api.database.rows(query)
        assert unrolled(await api.database.rows(rolled(query))) == [list(row) for row in plain]
