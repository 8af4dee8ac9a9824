"""Clients that are many, slow, silent or hostile: none of them holds up another, or the service."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector
from yarl import URL

from cs_archiver.domain.events import JobUpdate, LogAdded, LogLevel, SessionEnded, StepProgress, UserEnded
from cs_archiver.domain.states import JobStatus
from cs_archiver.server import live, live_hub
from cs_archiver.server.live_client import STOPPING, TOO_SLOW, Client, News
from cs_archiver.server.live_hub import Limits
from tests.support.api import Api, refusal_of, running_api
from tests.support.jobs import submit
from tests.support.live import PATIENCE_SECONDS, UPGRADE, Listener, listening
from tests.support.service import running_service

NOT_UNDERSTOOD, PROTOCOL_ERROR, TOO_BIG = 1003, 1002, 1009


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path, limits=Limits(per_user=3, in_all=5)) as running:
        yield running


def _line(text: str) -> LogAdded:
    return LogAdded("one", "2026-01-15T14:32:01.250Z", LogLevel.INFO, text)


async def _until_count(api: Api, count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while api.live.count != count:
            await asyncio.sleep(0.01)


async def test_one_user_has_so_many_connections_and_no_more(api: Api) -> None:
    async with listening(api), listening(api):
        async with listening(api):
            response = await api.call("GET", "/ws/jobs", headers=UPGRADE)
            document = await refusal_of(response, 429, "too-many-connections")
            assert "3 live connections" in document["detail"]
            assert int(response.headers["Retry-After"]) > 0
            async with listening(api, "root"):
                pass
        await _until_count(api, 2)
        async with listening(api):
            pass


async def test_all_together_have_so_many_connections_and_no_more(api: Api) -> None:
    await api.add_user("bob")
    async with AsyncExitStack() as stack:
        for username in ("ann", "ann", "ann", "root", "root"):
            await stack.enter_async_context(listening(api, username))
        response = await api.call("GET", "/ws/jobs", username="bob", headers=UPGRADE)
        await refusal_of(response, 429, "too-many-connections")
        await stack.pop_all().aclose()
    await _until_count(api, 0)
    async with listening(api, "bob"):
        pass


async def test_a_refused_upgrade_takes_no_place(api: Api) -> None:
    for _ in range(10):
        response = await api.call("GET", "/ws/jobs", headers={**UPGRADE, "Sec-WebSocket-Version": "12"})
        await refusal_of(response, 426, "upgrade-required")
    async with listening(api):
        pass


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": "h2c"},
        {"Connection": "keep-alive"},
        {"Sec-WebSocket-Version": "7.5"},
        {"Sec-WebSocket-Key": "short"},
        {"Sec-WebSocket-Key": ""},
        {"Sec-WebSocket-Protocol": "bearer, a-secret-token"},
    ],
    ids=lambda headers: " ".join(headers),
)
async def test_what_is_no_websocket_is_told_what_is_spoken_here(
    api: Api, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    response = await api.call("GET", "/ws/jobs", headers={**UPGRADE, **headers})
    await refusal_of(response, 426, "upgrade-required")
    assert response.headers["Upgrade"] == "websocket"
    assert response.headers["Sec-WebSocket-Version"] == "13"
    assert "a-secret-token" not in caplog.text


@pytest.mark.parametrize("message", ["{}", "x" * 1000, b"", b"\0" * 100, ""])
async def test_messages_of_clients_are_refused(api: Api, message: str | bytes) -> None:
    async with listening(api) as listener, listening(api) as other:
        if isinstance(message, str):
            await listener.socket.send_str(message)
        else:
            await listener.socket.send_bytes(message)
        assert await listener.end() == NOT_UNDERSTOOD
        await api.submit("Alpha")
        await other.until(type="queue_update")


@pytest.mark.parametrize("size", [1025, 70_000])
async def test_long_messages_are_not_even_read(api: Api, size: int) -> None:
    async with listening(api) as listener, listening(api) as other:
        await listener.socket.send_bytes(bytes(size))
        assert await listener.end() == TOO_BIG
        await api.submit("Alpha")
        await other.until(type="queue_update")


FRAMES = {
    "reserved operation": b"\x83\x80\0\0\0\0",
    "reserved bits": b"\xf1\x80\0\0\0\0",
    "long ping": b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126,
    "fragmented ping": b"\x09\x80\0\0\0\0",
    "continuation of nothing": b"\x80\x80\0\0\0\0",
    "close with a forbidden code": b"\x88\x82\0\0\0\0\x00\x01",
    "text that is none": b"\x81\x82\0\0\0\0\xff\xfe",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
async def test_what_breaks_the_protocol_ends_that_connection_alone(api: Api, frame: bytes) -> None:
    async with listening(api, "root") as other:
        reader, writer = await _raw_connection(api)
        writer.write(frame)
        async with asyncio.timeout(PATIENCE_SECONDS):
            rest = await reader.read()
        writer.close()
        assert rest.rfind(b"\x88") >= 0, "no close frame"
        await _until_count(api, 1)
        await api.submit("Alpha")
        await other.until(type="queue_update")


async def test_a_client_that_vanishes_leaves_its_place(api: Api) -> None:
    for _ in range(5):
        _, writer = await _raw_connection(api)
        await _until_count(api, 1)
        writer.transport.abort()
        await _until_count(api, 0)


async def test_a_client_that_vanishes_while_its_pings_are_answered_is_no_defect(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await _raw_connection(api)
    # A system may let its buffers grow to tens of megabytes: little for the answers, more than that for the pings.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    writer.write((b"\x89\xfd\0\0\0\0" + bytes(125)) * 400_000)
    left = [-1]
    while left[-1] not in left[:-1]:  # nobody reads the answers: the server comes to a stop, and so does this
        await asyncio.sleep(0.1)
        left.append(writer.transport.get_write_buffer_size())
    assert left[-1] > 0
    writer.transport.abort()
    await _until_count(api, 0)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_clients_that_vanish_at_any_moment_leave_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_service(tmp_path, DATABASE_POOL_SIZE="3") as service:
        threads = threading.active_count()
        url, authorization = URL(service.address), service.session.headers["Authorization"]
        for number in range(100):
            _, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(_handshake(url, authorization))
            await asyncio.sleep(number / 5000)  # up to 20 ms: from before it is read to after the snapshot
            writer.transport.abort()
        begun = [service.session.ws_connect(f"{service.address}/ws/jobs") for _ in range(20)]
        for connecting in begun:
            async with connecting as connection:
                assert (await Listener(connection).next())["type"] == "snapshot"
        assert threading.active_count() <= threads + 3, "a connection to the database was lost with its client"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def _handshake(url: URL, authorization: str) -> bytes:
    headers = {"Host": f"{url.host}:{url.port}", "Authorization": authorization, **UPGRADE}
    lines = ["GET /ws/jobs HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


async def _raw_connection(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that can send whatever it likes; its snapshot is read."""
    url = api.client.make_url("/ws/jobs")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(_handshake(url, f"Bearer {await api.token_of('ann')}"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        await reader.readuntil(b'"seq":1}')
    return reader, writer


async def test_a_client_that_answers_no_ping_is_let_go(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_PING_SECONDS", 2)  # of which half is time to answer, also on a busy machine
    reader, writer = await _raw_connection(api)
    async with listening(api) as other, asyncio.timeout(PATIENCE_SECONDS):
        frames = await reader.read()  # ends when the connection does
        assert b"\x89\x00" in frames
        writer.close()
        assert not other.socket.closed
        other_alive = asyncio.create_task(other.next())  # answers pings meanwhile
        await asyncio.sleep(3.5)
        await api.submit("Alpha")
        await other_alive


@asynccontextmanager
async def _small_buffers() -> AsyncIterator[ClientSession]:
    """Connections that hold little of what is not read."""

    def with_small_buffer(address: tuple[object, ...]) -> socket.socket:
        made = socket.socket(address[0], address[1], address[2])  # type: ignore[arg-type]
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return made

    connector = TCPConnector(limit=0, socket_factory=with_small_buffer)
    async with ClientSession(connector=connector, read_bufsize=1024) as session:
        yield session


async def test_who_does_not_read_is_dropped_and_all_others_hear_everything(api: Api) -> None:
    text = "x" * 20_000
    async with _small_buffers() as session, listening(api, "root") as fast, listening(api, session=session) as slow:
        sent = 0
        while api.live.count == 2:
            assert sent < 20_000, "the slow client was never dropped"
            for _ in range(50):
                api.bus.publish(_line(f"{sent} {text}"))
                sent += 1
            while len(fast.heard) <= sent:
                await fast.next()
        assert await slow.end() == TOO_SLOW.code
        assert [message["message"].split()[0] for message in fast.of_type("log")] == [str(n) for n in range(sent)]


async def test_who_does_not_even_read_the_goodbye_is_let_go_of(api: Api) -> None:
    runner = api.client.server.runner
    assert runner is not None
    assert runner.server is not None
    async with listening(api, "root") as fast:
        connections = len(runner.server.connections)
        _, writer = await _raw_connection(api)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        sent = 0
        while api.live.count == 2:
            for _ in range(50):
                api.bus.publish(_line("x" * 20_000))
                sent += 1
            while len(fast.heard) <= sent:
                await fast.next()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(runner.server.connections) > connections:
                await asyncio.sleep(0.02)
        writer.transport.abort()


async def test_who_reads_too_slowly_for_one_message_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_hub, "_SEND_SECONDS", 0.5)
    text = "x" * 1_000_000
    async with (
        running_api(tmp_path) as api,
        _small_buffers() as session,
        listening(api, "root") as fast,
        listening(api, session=session) as slow,
    ):
        for number in range(30):
            api.bus.publish(_line(f"{number} {text}"))
            await fast.next()
        await _until_count(api, 1)
        assert await slow.end() == TOO_SLOW.code


async def test_stopping_says_goodbye_to_all(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api, AsyncExitStack() as stack:
        everyone = [await stack.enter_async_context(listening(api, name)) for name in ("ann", "ann", "root") * 5]
        ends = [asyncio.create_task(each.end()) for each in everyone]
        await api.client.server.close()
        assert [await end for end in ends] == [STOPPING.code] * 15


async def test_stopping_does_not_wait_long_for_those_who_do_not_listen(api: Api) -> None:
    _, writer = await _raw_connection(api)
    begun = time.monotonic()
    await api.client.server.close()
    assert time.monotonic() - begun < 5.0 + 3.0, "longer than the service is given"
    writer.close()


async def test_whoever_comes_while_it_stops_is_sent_away(api: Api) -> None:
    await api.live.stop(api.client.app)
    async with api.client.ws_connect(f"/ws/jobs?token={await api.token_of('ann')}") as connection:
        assert await Listener(connection).end() == STOPPING.code


async def test_progress_that_waits_is_replaced_by_newer_progress(api: Api) -> None:
    job = await submit(api.database)
    await api.queue.move(job, JobStatus.COPYING)
    async with listening(api) as listener:
        for percent in range(30):
            api.bus.publish(JobUpdate(job.id, JobStatus.COPYING, percent, None, StepProgress()))
        api.bus.publish(_line("the end"))
        await listener.until(type="log")
    assert listener.of_type("job_update")[-1]["progress_percent"] == 29
    assert len(listener.of_type("job_update")) < 30


def _news(body: str, subject: str | None = None, stage: str = "") -> News:
    return News(b'{"body":"%b"}' % body.encode(), subject, stage)


async def _heard(client: Client, count: int) -> list[str]:
    return [(await client.next()).decode().split('"')[3] for _ in range(count)]


async def test_only_what_is_out_of_date_is_left_out_and_the_order_stays() -> None:
    client = Client(1, "")
    for news in (
        _news("a copying 1", "a", "copying"),
        _news("log 1"),
        _news("b copying 1", "b", "copying"),
        _news("a copying 2", "a", "copying"),
        _news("a queued", "a", "queued"),
        _news("a copying 3", "a", "copying"),
        _news("queue 1", "queue"),
        _news("log 2"),
        _news("queue 2", "queue"),
    ):
        client.offer(news)
    assert await _heard(client, 7) == [
        "log 1", "b copying 1", "a copying 2", "a queued", "a copying 3", "log 2", "queue 2",
    ]  # fmt: skip
    client.offer(_news("a copying 4", "a", "copying"))
    assert await client.next() == b'{"body":"a copying 4","seq":8}'


async def test_a_client_that_lags_too_far_behind_is_ended_and_keeps_nothing() -> None:
    client = Client(1, "")
    for number in range(1999):
        client.offer(_news(str(number)))
        client.offer(_news("progress", "a", "copying"))
    ended = [client.is_ended]
    client.offer(_news("one too many"))
    ended.append(client.is_ended)
    assert ended == [False, True]
    client.offer(_news("and another"))
    client.end(STOPPING)
    assert await client.ended() == TOO_SLOW
    assert not client._waiting


async def test_a_new_snapshot_replaces_what_waits() -> None:
    client = Client(1, "")
    client.offer(_news("old", "a", "copying"))
    client.offer(_news("old log"))
    client.start_over(_news("snapshot"))
    client.offer(_news("new", "a", "copying"))
    assert await _heard(client, 2) == ["snapshot", "new"]


def test_a_client_knows_what_may_end_it() -> None:
    client = Client(7, "mine")
    told = [client.is_of(event) for event in (SessionEnded("mine"), SessionEnded("7"), UserEnded(7), UserEnded(8))]
    assert told == [True, False, True, False]
