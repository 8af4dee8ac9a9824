"""What is said over the WebSocket: the state first, then every change, in order, and true to the database."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector

from cs_archiver.domain.events import JobUpdate, LogAdded, LogLevel, QueueUpdate, StepProgress
from cs_archiver.domain.states import ACTIVE, FINAL, JobStatus
from tests.support.api import Api, running_api
from tests.support.jobs import submit
from tests.support.live import PATIENCE_SECONDS, Listener, Message, listening
from tests.support.service import Service, history_of, query, running_service

STEP = StepProgress(40.0, 4, 10, 2.0, 3.0)
IDLE = {
    "type": "queue_update", "queue_length": 0, "current_copy_compress_job": None, "current_upload_job": None,
}  # fmt: skip
THE_END = LogAdded("all", "2026-01-15T14:32:01.250Z", LogLevel.INFO, "the end")
FIELDS_OF_STEP = {
    "step", "step_percent", "bytes_done", "bytes_total", "rate_bytes_per_second", "eta_seconds", "step_started_at",
}  # fmt: skip


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


def _line(number: int) -> LogAdded:
    return LogAdded("one", "2026-01-15T14:32:01.250Z", LogLevel.INFO, f"line {number}")


async def test_the_first_message_is_the_state_as_the_api_tells_it(api: Api) -> None:
    first, second, ended = [(await api.submit(name))["job_id"] for name in ("Alpha", "Beta", "Gamma")]
    assert (await api.call("DELETE", f"/api/jobs/{ended}")).status == 204
    job = await api.queue.move((await api.jobs.get(first)).job, JobStatus.COPYING)
    api.bus.publish(JobUpdate(first, JobStatus.COPYING, 13, "Copying with rsync", STEP))
    async with listening(api) as listener:
        (snapshot,) = listener.heard
    active = [line for line in await api.get("/api/jobs") if line["job_id"] != ended]
    assert snapshot == {"type": "snapshot", "jobs": active, "queue": await api.get("/api/queue")}
    assert [line["job_id"] for line in snapshot["jobs"]] == [second, first]
    assert snapshot["jobs"][1]["step_started_at"] == job.step_started_at
    assert snapshot["jobs"][1]["bytes_done"] == 4


async def test_a_change_is_told_with_the_members_that_are_promised(api: Api) -> None:
    async with listening(api) as listener:
        job = await api.submit("Alpha")
        update, log, queue = [await listener.next() for _ in range(3)]
    line = await api.get(f"/api/jobs/{job['job_id']}")
    assert update.keys() == {
        "type", "job_id", "status", "progress_percent", "current_operation", *FIELDS_OF_STEP,
    }  # fmt: skip
    assert update == {"type": "job_update", **{name: line[name] for name in update if name != "type"}}
    (written,) = await api.get(f"/api/jobs/{job['job_id']}/logs")
    assert log == {"type": "log", "job_id": job["job_id"], **written}
    assert queue == {**IDLE, "queue_length": 1}


async def test_progress_is_told_as_the_api_tells_it(api: Api) -> None:
    job = await submit(api.database)
    await api.queue.move(job, JobStatus.COPYING)
    async with listening(api) as listener:
        api.bus.publish(JobUpdate(job.id, JobStatus.COPYING, 13, "Copying with rsync", STEP))
        first = await listener.next()
        api.bus.publish(JobUpdate(job.id, JobStatus.COPYING, 14, None, StepProgress()))
        second = await listener.next()
        line = await api.get(f"/api/jobs/{job.id}")
    assert first["step_percent"] == 40.0
    assert first["eta_seconds"] == 3.0
    assert first["step_started_at"] == line["step_started_at"] is not None
    assert second == {"type": "job_update", **{name: line[name] for name in second if name != "type"}}


async def test_a_state_that_is_over_already_is_told_all_the_same(api: Api) -> None:
    job = await submit(api.database)
    copying = await api.queue.move(job, JobStatus.COPYING)
    await api.queue.move(copying, JobStatus.COMPRESSING)
    async with listening(api) as listener:
        api.bus.publish(JobUpdate(job.id, JobStatus.COPYING, 33, "Copied", StepProgress()))
        late = await listener.next()
        api.bus.publish(JobUpdate(job.id, JobStatus.COMPRESSING, 33, None, StepProgress()))
        now = await listener.next()
    assert (late["status"], late["step_started_at"]) == ("copying", None)
    assert (now["status"], bool(now["step_started_at"])) == ("compressing", True)


async def test_news_of_a_job_that_is_not_there_is_left_out(api: Api) -> None:
    async with listening(api) as listener:
        api.bus.publish(JobUpdate("00000000-0000-4000-8000-000000000000", JobStatus.COMPLETED, 100, None, STEP))
        api.bus.publish(_line(1))
        assert (await listener.next())["type"] == "log"


async def test_what_was_missed_on_the_bus_is_made_good_by_a_new_snapshot(api: Api) -> None:
    async with listening(api) as listener, listening(api, "root") as other:
        job = await submit(api.database)
        for number in range(1500):
            api.bus.publish(_line(number))
        for each in (listener, other):
            snapshot = await each.next()
            assert [line["job_id"] for line in snapshot["jobs"]] == [job.id]
        api.bus.publish(_line(1500))
        assert (await listener.next())["message"] == "line 1500"


async def test_a_burst_that_the_bus_can_hold_is_told_whole(api: Api) -> None:
    async with listening(api) as listener:
        for number in range(1000):
            api.bus.publish(_line(number))
        heard = [(await listener.next())["message"] for _ in range(1000)]
    assert heard == [f"line {number}" for number in range(1000)]


async def test_a_scan_of_the_nas_is_told_from_its_begin_to_its_end(api: Api) -> None:
    async with listening(api) as listener:
        await api.get("/api/folders?refresh=true")
        await listener.until(type="folders_update", scanning=False)
    assert [message["scanning"] for message in listener.heard[1:]] in ([True, False], [False])  # or only the newest


async def test_two_hundred_clients_hear_the_same(api: Api) -> None:
    users = [f"user{number}" for number in range(10)]
    for name in users:
        await api.add_user(name)
    tokens = [await api.token_of(name) for name in users]
    async with ClientSession(connector=TCPConnector(limit=0)) as session, asyncio.TaskGroup() as group:
        everyone = [group.create_task(_hear_the_end(api, tokens[number % 10], session)) for number in range(200)]
        while api.live.count < 200:  # whoever comes later hears the rest
            await asyncio.sleep(0.01)
        await api.submit("Alpha")
        await api.submit("Beta")
        api.bus.publish(THE_END)
        api.bus.publish(QueueUpdate())
    heard = [task.result() for task in everyone]
    assert len(heard[0]) >= 6
    assert all(messages[-6:] == heard[0][-6:] for messages in heard)


async def _hear_the_end(api: Api, token: str, session: ClientSession | None = None) -> list[Message]:
    async with listening(api, token=token, session=session) as listener:
        await listener.until(type="log", message="the end")
        await listener.until(type="queue_update")
        return listener.heard


async def test_whoever_joins_in_the_middle_of_it_comes_to_the_same_state(api: Api) -> None:
    token = await api.token_of("ann")
    joined: list[asyncio.Task[list[Message]]] = []
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            joined += [group.create_task(_hear_the_end(api, token))] if number % 2 else []
            job = await submit(api.database, f"Folder {number}")
            _tell(api, job.id, job.status)
            if number % 3:
                job = await api.queue.move(job, JobStatus.COPYING)
                _tell(api, job.id, job.status)
                await asyncio.sleep(0)
                job = await api.queue.move(job, JobStatus.CANCELLED if number % 3 == 1 else JobStatus.COMPRESSING)
                _tell(api, job.id, job.status)
            if number % 3 == 2:
                _tell(api, job.id, (await api.queue.move(job, JobStatus.FAILED)).status)
        while api.live.count < len(joined):
            await asyncio.sleep(0.01)
        api.bus.publish(THE_END)
        api.bus.publish(QueueUpdate())
    rows = await api.get("/api/jobs")
    histories = {row["job_id"]: await _states_of(api, row["job_id"]) for row in rows}
    queue = await api.get("/api/queue")
    expected = {job["job_id"]: "queued" for job in queue["queued_jobs"]}
    assert len(expected) == 14
    for heard in (task.result() for task in joined):
        states, told = _state_after(heard)
        assert states == expected
        in_snapshot = {line["job_id"]: line["status"] for line in heard[0]["jobs"]}
        for job_id, history in histories.items():
            after = history.index(in_snapshot[job_id]) + 1 if job_id in in_snapshot else len(history)
            heard_of = told.get(job_id, [])
            assert heard_of == history[len(history) - len(heard_of) :], "a state in the middle was lost"
            assert len(heard_of) >= len(history) - after, "a state right after the snapshot was lost"
        assert heard[-1]["queue_length"] == len(expected)


async def _states_of(api: Api, job_id: str) -> list[str]:
    return [line["to_status"] for line in await api.get(f"/api/jobs/{job_id}/history")]


def _tell(api: Api, job_id: str, status: JobStatus) -> None:
    api.bus.publish(JobUpdate(job_id, status, 0, None, StepProgress()))
    api.bus.publish(QueueUpdate())


def _state_after(heard: list[Message]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The active jobs as this client knows them, and the states it was told of each."""
    states = {line["job_id"]: line["status"] for line in heard[0]["jobs"]}
    told: dict[str, list[str]] = {}
    for message in heard[1:]:
        if message["type"] == "job_update":
            states[message["job_id"]] = message["status"]
            told.setdefault(message["job_id"], []).append(message["status"])
    return {job: status for job, status in states.items() if status in ACTIVE}, told


async def test_the_database_out_of_reach_ends_the_connection(api: Api, tmp_path: Path) -> None:
    async with listening(api) as listener:
        with closing(sqlite3.connect(tmp_path / "archiver.db")) as connection:
            connection.execute("PRAGMA legacy_alter_table = ON")
            connection.execute("ALTER TABLE jobs RENAME TO elsewhere")
        api.bus.publish(QueueUpdate())
        assert await listener.end() == 1013
        async with api.client.ws_connect("/ws/jobs", params={"token": await api.token_of("ann")}) as socket:
            assert await Listener(socket).end() == 1013


async def test_a_whole_job_is_told_as_the_database_has_it(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        folder = service.place.folder()
        for number in range(30):
            (folder / f"{number}.bin").write_bytes(b"x" * 100_000)
        await service.discover()
        async with service.session.ws_connect(f"{service.address}/ws/jobs") as socket:
            listener = Listener(socket)
            assert (await listener.next())["jobs"] == []
            job_id = await service.submit(folder)
            await listener.until(type="job_update", job_id=job_id, status="completed")
            await listener.until(**IDLE)
        _compare(listener, service, job_id, await service.job(job_id))


def _compare(listener: Listener, service: Service, job_id: str, job: dict[str, Any]) -> None:
    updates = listener.of_type("job_update", job_id)
    assert [status for status, _ in groupby(update["status"] for update in updates)] == history_of(service, job_id)
    percents = [update["progress_percent"] for update in updates]
    assert percents == sorted(percents)
    logged = [(line["timestamp"], line["level"], line["message"]) for line in listener.of_type("log", job_id)]
    assert logged == _log_of(service, job_id)
    assert updates[-1] == {"type": "job_update", **{name: job[name] for name in updates[-1] if name != "type"}}
    assert all(update["step_started_at"] for update in updates if update["status"] not in FINAL | {"queued"})
    queue = listener.of_type("queue_update")
    in_hand = [update["current_copy_compress_job"] for update in queue]
    assert in_hand.count(job_id) >= 3
    assert job_id in [update["current_upload_job"] for update in queue]


def _log_of(service: Service, job_id: str) -> list[tuple[Any, ...]]:
    return query(service, "SELECT timestamp, level, message FROM job_logs WHERE job_id = ? ORDER BY id", job_id)


async def test_the_token_stands_in_no_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with running_service(tmp_path) as service:
            token = service.session.headers.pop("Authorization").removeprefix("Bearer ")
            async with service.session.ws_connect(f"{service.address}/ws/jobs", params={"token": token}) as socket:
                await Listener(socket).next()
            assert (await service.call("GET", f"/ws/jobs?token={token}"))[0] == 426
            assert (await service.call("GET", f"/ws/jobs?token={token}x"))[0] == 401
            assert (await service.call("GET", f"/ws/jobs?token={token}&token={token}"))[0] == 422
            async with asyncio.timeout(PATIENCE_SECONDS):
                while "GET /ws/jobs 101" not in caplog.text:  # written when the connection is over
                    await asyncio.sleep(0.01)
    assert "GET /ws/jobs 401" in caplog.text
    assert token not in caplog.text
