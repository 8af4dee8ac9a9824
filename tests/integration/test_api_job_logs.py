"""The log of a job: the newest lines as JSON, and all of it as a download."""

import asyncio
import gc
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientError

from cs_archiver.db import tables
from cs_archiver.domain.events import LogLevel
from tests.support.api import Api, refusal_of, running_api
from tests.support.loop_watch import watched_loop
from tests.support.service import Service, running_service
from tests.support.tampering import eventually, plant

TEXT = {"Accept": "text/plain"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _job_with(api: Api, lines: Sequence[tuple[str, LogLevel, str]]) -> str:
    """A job whose log holds exactly these lines: time, level, message."""
    job_id = str((await api.submit("Alpha"))["job_id"])
    rows = [{"job_id": job_id, "timestamp": at, "level": level, "message": text} for at, level, text in lines]
    async with api.database.write() as connection:
        await connection.execute(tables.job_logs.delete())
        await connection.execute(tables.job_logs.insert(), rows)
    return job_id


def _second(number: int) -> str:
    return f"2026-01-15T14:{number // 60:02d}:{number % 60:02d}.000Z"


async def _messages(api: Api, job_id: str, query: str = "") -> list[str]:
    return [line["message"] for line in await api.get(f"/api/jobs/{job_id}/logs?{query}")]


async def _text(api: Api, job_id: str, query: str = "") -> list[str]:
    response = await api.call("GET", f"/api/jobs/{job_id}/logs?{query}", headers=TEXT)
    assert response.status == 200, await response.text()
    return (await response.text()).splitlines()


async def test_lines_since_a_moment_begin_with_those_of_that_moment(api: Api) -> None:
    job_id = await _job_with(api, [(_second(number), LogLevel.INFO, str(number)) for number in range(6)])
    assert await _messages(api, job_id, f"since={_second(3)}") == ["3", "4", "5"]
    assert await _messages(api, job_id, "since=2026-01-15T14:00:03Z") == ["3", "4", "5"]
    assert await _messages(api, job_id, "since=2026-01-15T14:00:03.0001Z") == ["3", "4", "5"]  # the same millisecond
    assert await _messages(api, job_id, "since=2026-01-15T14:00:03.001Z") == ["4", "5"]
    assert await _messages(api, job_id, f"since={_second(3)}&limit=2") == ["4", "5"]
    assert await _messages(api, job_id, f"since={_second(9)}") == []
    assert await _messages(api, job_id, "since=2026-01-15T16:00:03%2B02:00") == ["3", "4", "5"]


async def test_level_and_moment_narrow_the_log_together(api: Api) -> None:
    levels = (LogLevel.INFO, LogLevel.WARNING, LogLevel.ERROR)
    job_id = await _job_with(api, [(_second(number), levels[number % 3], str(number)) for number in range(9)])
    assert await _messages(api, job_id, f"level=WARNING&since={_second(2)}") == ["4", "7"]
    assert [line.split()[2] for line in await _text(api, job_id, f"level=WARNING&since={_second(2)}")] == ["4", "7"]


async def test_all_that_match_are_counted_also_where_fewer_are_shown(api: Api) -> None:
    levels = (LogLevel.INFO, LogLevel.WARNING, LogLevel.ERROR)
    job_id = await _job_with(api, [(_second(number), levels[number % 3], str(number)) for number in range(9)])
    for query, shown, total in (
        ("", 9, 9),
        ("limit=9", 9, 9),
        ("limit=1", 1, 9),
        ("limit=1&level=WARNING", 1, 3),
        (f"limit=2&since={_second(3)}", 2, 6),
        (f"limit=1&since={_second(3)}&level=ERROR", 1, 2),
        (f"since={_second(30)}", 0, 0),
    ):
        response = await api.call("GET", f"/api/jobs/{job_id}/logs?{query}")
        assert (len(await response.json()), response.headers["X-Total-Count"]) == (shown, str(total)), query


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=",
        "since=2026-01-15",
        "since=2026-01-15T14:32:01",
        "since=2026-W03-4T14:32:01Z",
        "since=2026-02-30T14:32:01Z",
        "since=0000-01-01T00:00:00Z",
        "since=1768487521",
        "since=%D9%A2026-01-15T14:32:01Z",
        "since=2026-01-15T14:32:01Z&since=2026-01-15T14:32:01Z",
        "limit=0",
        "limit=5001",
        "level=DEBUG",
    ],
)
async def test_wrong_values_are_refused_as_json_and_as_text_alike(api: Api, query: str) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    for headers in ({}, TEXT):
        response = await api.call("GET", f"/api/jobs/{job_id}/logs?{query}", headers=headers)
        document = await refusal_of(response, 422, "invalid-value")
        assert document["errors"][0]["pointer"] == f"?{query.partition('=')[0]}"


async def test_text_is_a_download_with_a_line_for_each_of_the_log(api: Api) -> None:
    job_id = await _job_with(
        api,
        [
            (_second(1), LogLevel.INFO, "Job started"),
            (_second(2), LogLevel.WARNING, "7z said:\nEverything\r\nis Ok"),
            (_second(3), LogLevel.ERROR, "Æther <b>"),
        ],
    )
    response = await api.call("GET", f"/api/jobs/{job_id}/logs", headers=TEXT)
    assert await response.text() == (
        "2026-01-15T14:00:01.000Z INFO    Job started\n"
        "2026-01-15T14:00:02.000Z WARNING 7z said:\n    Everything\n    is Ok\n"
        "2026-01-15T14:00:03.000Z ERROR   Æther <b>\n"
    )
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{job_id}.txt"'
    assert response.headers["Cache-Control"] == "no-store"
    head = await api.call("HEAD", f"/api/jobs/{job_id}/logs", headers=TEXT)
    assert (head.status, head.content_type, await head.read()) == (200, "text/plain", b"")


async def test_text_has_every_line_unless_fewer_are_asked_for(api: Api) -> None:
    lines = [(_second(number), LogLevel.INFO, str(number)) for number in range(2500)]
    job_id = await _job_with(api, lines)
    assert [line.split()[2] for line in await _text(api, job_id)] == [str(number) for number in range(2500)]
    assert len(await _messages(api, job_id)) == 1000
    assert [line.split()[2] for line in await _text(api, job_id, "limit=2")] == ["2498", "2499"]
    assert len(await _text(api, job_id, "limit=5000")) == 2500
    assert [line.split()[2] for line in await _text(api, job_id, "limit=1500")] == [str(n) for n in range(1000, 2500)]


async def test_log_without_a_line_is_an_empty_text(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    assert await _text(api, job_id, "level=ERROR") == []


@pytest.mark.parametrize(
    ("accept", "is_text"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("text/plain", True),
        ("TEXT/Plain; charset=utf-8", True),
        ("text/*", True),
        ("text/*;q=0.5, application/json", False),
        ("text/plain;q=0.9, application/json;q=0.5", True),
        ("text/plain;q=0.5, application/json;q=0.9", False),
        ("text/plain, application/json", False),
        ("text/plain;q=0", False),
        ("text/plain, */*;q=0.1", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("image/png", False),
        (",;=,q=1;;", False),
    ],
)
async def test_text_is_sent_only_to_those_who_prefer_it(api: Api, accept: str | None, is_text: bool) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    headers = {} if accept is None else {"Accept": accept}
    response = await api.call("GET", f"/api/jobs/{job_id}/logs", headers=headers)
    assert response.content_type == ("text/plain" if is_text else "application/json")
    assert response.headers["Vary"] == "Accept"


@pytest.mark.parametrize("job_id", ["0f0e0d0c-0b0a-4900-8800-070605040302", "completed", "%0D%0Ax"])
async def test_text_of_a_job_that_is_not_there_is_a_problem(api: Api, job_id: str) -> None:
    response = await api.call("GET", f"/api/jobs/{job_id}/logs", headers=TEXT)
    await refusal_of(response, 404, "job-not-found")


async def test_long_download_holds_up_nobody(api: Api) -> None:
    message = "Copied a file whose name is as long as those of cameras are, A001C001_260115_R1AB.mov"
    job_id = await _job_with(api, [(_second(number % 3600), LogLevel.INFO, message) for number in range(20_000)])
    gc.collect()
    gc.disable()  # what it finds among the tests' own objects takes long
    with watched_loop() as watch:
        async with api.client.get(
            f"/api/jobs/{job_id}/logs", headers={"Authorization": f"Bearer {api.tokens['ann']}", **TEXT}
        ) as response:
            size = 0
            async for chunk in response.content.iter_any():
                size += len(chunk)
    gc.enable()
    assert size == 20_000 * (len(message) + 34)
    assert watch.longest[0][0] < 0.1, watch.longest  # 1.5 MB at once would take longer


async def test_download_that_breaks_off_is_not_taken_for_a_whole_one(api: Api, tmp_path: Path) -> None:
    job_id = await _job_with(api, [(_second(number % 3600), LogLevel.INFO, "x" * 5000) for number in range(5000)])
    headers = {"Authorization": f"Bearer {api.tokens['ann']}", **TEXT}
    database, elsewhere = tmp_path / "archiver.db", tmp_path / "elsewhere.db"
    async with api.client.get(f"/api/jobs/{job_id}/logs", headers=headers) as response:
        assert response.status == 200
        await response.content.readexactly(100)
        database.rename(elsewhere)  # the rest cannot be read any more
        with pytest.raises(ClientError):
            await response.content.read()
    elsewhere.rename(database)
    assert await _messages(api, job_id, "limit=1") == ["x" * 5000]


async def test_client_that_leaves_in_the_middle_disturbs_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the service as it runs: the test client's server would cancel the handler, and the service's does not."""
    caplog.set_level(logging.INFO, "cs_archiver.server.streaming")
    async with running_service(tmp_path) as service:
        job_id = await _job_with_long_log(service)
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(service.address).port)
        writer.write(
            f"GET /api/jobs/{job_id}/logs HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n"
            f"Authorization: {service.session.headers['Authorization']}\r\n\r\n".encode()
        )
        await reader.readexactly(100)
        writer.transport.abort()
        await eventually(lambda: "the client left" in caplog.text, what="the download is given up")
        assert len(await service.log_of(job_id)) == 1000
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def _job_with_long_log(service: Service) -> str:
    folder = plant(service.place.folder("Alpha"))
    await service.discover()
    job_id = await service.submit(folder)
    await service.until(job_id)
    row = (job_id, _second(1), "INFO", "x" * 5000)
    with closing(sqlite3.connect(service.place.database)) as connection, connection:
        connection.executemany(
            "INSERT INTO job_logs (job_id, timestamp, level, message) VALUES (?, ?, ?, ?)", [row] * 5000
        )
    return job_id
