"""Connections that are of no use to anybody, over real sockets: they are hung up on, and keep nobody else out."""

import asyncio
import gc
import logging
import resource
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from cs_archiver.server.heads import BoundedHeads
from cs_archiver.server.keys import PUBLIC_URL
from cs_archiver.server.listening import Runner
from cs_archiver.server.site import Site
from cs_archiver.tools.descriptors import FOR_THE_WORK, MOST_CONNECTIONS, connections_within
from tests.support.certificates import planted
from tests.support.service import running_service

PATIENCE_SECONDS = 20
AT_ONCE = 0.3
NEVER = 3600.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


@dataclass
class Place:
    address: URL
    runner: Runner
    asked: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_so():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(
    *,
    most: int = 100,
    head_seconds: float = NEVER,
    unread_seconds: float = NEVER,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Place]:
    app = web.Application()
    app[PUBLIC_URL] = ""
    runner = Runner(app, head_seconds=head_seconds, shutdown_timeout=0.1)
    place = Place(URL(), runner)

    async def at_once(_request: web.Request) -> web.Response:
        return web.Response(text="here")

    async def later(_request: web.Request) -> web.Response:
        place.asked.put_nowait(None)
        await place.go_on.wait()
        return web.Response(text="later")

    async def much(_request: web.Request) -> web.Response:
        return web.Response(body=bytes(50_000_000))

    async def echo(request: web.Request) -> web.WebSocketResponse:
        live = web.WebSocketResponse()
        await live.prepare(request)
        async for message in live:
            await live.send_str(message.data)
        return live

    async def what_is_sent(request: web.Request) -> web.Response:
        place.asked.put_nowait(None)
        return web.Response(body=await request.read())

    app.router.add_get("/", at_once)
    app.router.add_post("/", at_once)
    app.router.add_post("/read", what_is_sent)
    app.router.add_get("/later", later)
    app.router.add_get("/much", much)
    app.router.add_get("/echo", echo)
    await runner.setup()
    try:
        site = Site(runner, "127.0.0.1", 0, most=most, ssl_context=tls, unread_seconds=unread_seconds)
        await site.start()
        place.address = URL(site.name)
        yield place
    finally:
        place.go_on.set()
        await runner.cleanup()


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, path: str = "/") -> bytes:
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.reader.readuntil(b"\r\n\r\n")
            return await self.reader.read(100)

    async def rest(self) -> bytes:
        """Until the other end hangs up."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.address.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


async def _several(stack: AsyncExitStack, place: Place, count: int) -> list[Connection]:
    """One after the other, each of them known at the other end."""
    found = []
    for number in range(count):
        found.append(await stack.enter_async_context(connected(place)))
        await place.until(lambda number=number: len(place.runner.seats) > number)  # type: ignore[misc]
    return found


@pytest.mark.parametrize(
    "begun",
    [b"", b"GE", GET, GET + b"X-Long: " + b"x" * 4000],
    ids=["nothing", "half a request line", "half a head", "half a header"],
)
async def test_who_sends_no_whole_head_is_hung_up_on(begun: bytes) -> None:
    async with serving(head_seconds=AT_ONCE) as place, connected(place) as connection:
        connection.writer.write(begun)
        assert await connection.rest() == b""
        await place.until(lambda: len(place.runner.seats) == 0)


@pytest.mark.parametrize("lines", [5, 31], ids=["short", "as long as it may be"])
async def test_what_is_kept_of_a_head_that_is_not_whole_is_bounded(lines: int) -> None:
    line = b"X-Long: " + b"x" * 1000 + b"\r\n"
    async with serving() as place, connected(place) as sound, connected(place) as endless:
        for _ in range(2):  # one is no longer for the one before it
            for piece in (GET, *[line] * lines):
                sound.writer.write(piece)
                await sound.writer.drain()
                await asyncio.sleep(0)
            sound.writer.write(b"\r\n")
            async with asyncio.timeout(PATIENCE_SECONDS):
                await sound.reader.readuntil(b"here")
        endless.writer.write(GET + line * 40)
        assert (await endless.rest()).startswith(b"HTTP/1.0 400 ")


@pytest.mark.parametrize(
    "before",
    [
        GET + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n\r\n\r\nbody!",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbody!\r\n0\r\n\r\n",
    ],
    ids=["no body", "a body", "chunks"],
)
async def test_what_comes_with_the_end_of_one_request_counts_for_the_next(before: bytes) -> None:
    line = b"X-Long: " + b"x" * 1000 + b"\r\n"
    async with serving() as place, connected(place) as endless, connected(place) as sound:
        endless.writer.write(before + GET + line * 40)
        assert (await endless.rest()).startswith(b"HTTP/1.0 400 ")
        sound.writer.write(before + GET + line * 31)
        await sound.writer.drain()
        await asyncio.sleep(0)
        sound.writer.write(b"\r\n" + before)
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(3):
                await sound.reader.readuntil(b"here")


async def test_nothing_is_kept_of_who_was_refused() -> None:
    """Not until somebody looks for rings of objects: they would be few, and large."""
    gc.collect()
    gc.disable()
    try:
        async with serving() as place:
            for _ in range(3):
                async with connected(place) as endless:
                    endless.writer.write(GET + (b"X-Long: " + b"x" * 1000 + b"\r\n") * 200)
                    await endless.rest()
            await place.until(lambda: not any(isinstance(one, BoundedHeads) for one in gc.get_objects()))
    finally:
        gc.enable()


async def test_a_body_is_no_head() -> None:
    body = b"x" * 60_000
    async with serving() as place, connected(place) as connection:
        connection.writer.write(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
        await place.asked.get()
        for start in range(0, len(body), 10_000):
            connection.writer.write(body[start : start + 10_000])
            await connection.writer.drain()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await connection.reader.readuntil(b"\r\n\r\n")
            assert await connection.reader.readexactly(len(body)) == body
        assert b"here" in await connection.ask()


async def test_a_head_that_comes_byte_by_byte_gains_no_time() -> None:
    async with serving(head_seconds=AT_ONCE) as place, connected(place) as connection:
        connection.writer.write(GET + b"X-Slow: ")

        async def drip() -> None:
            while True:
                connection.writer.write(b"x")
                await asyncio.sleep(AT_ONCE / 20)

        dripping = asyncio.create_task(drip())
        assert await connection.rest() == b""
        dripping.cancel()


async def test_after_an_answer_the_next_head_has_its_time_too() -> None:
    async with serving(head_seconds=AT_ONCE) as place, connected(place) as connection:
        for _ in range(3):
            assert await connection.ask() == b"here"
        connection.writer.write(GET)
        assert await connection.rest() == b""


async def test_live_updates_and_a_long_wait_are_cut_by_no_time_and_by_nobody_else() -> None:
    async with (
        serving(most=3, head_seconds=AT_ONCE) as place,
        aiohttp.ClientSession(place.address) as session,
        session.ws_connect("/echo") as live,
    ):
        waiting = asyncio.create_task(session.get("/later"))
        await place.asked.get()
        async with AsyncExitStack() as stack:
            others = [await stack.enter_async_context(connected(place)) for _ in range(10)]
            for other in others:
                assert await other.rest() == b""  # for whoever came after, or in the end by the time
        await live.send_str("still here")
        assert (await live.receive(PATIENCE_SECONDS)).data == "still here"
        place.go_on.set()
        assert await (await waiting).text() == "later"


async def test_who_waits_longest_for_a_request_makes_room_for_whoever_comes() -> None:
    async with serving(most=3) as place, AsyncExitStack() as stack:
        first, second, third = await _several(stack, place, 3)
        second.writer.write(GET)
        assert await first.ask() == b"here"  # and begins to wait anew
        async with connected(place) as fourth:
            assert await fourth.ask() == b"here"
        assert await second.rest() == b""
        assert await first.ask() == b"here"
        assert await third.ask() == b"here"


async def test_who_sends_no_whole_body_makes_room_too() -> None:
    half = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nbo"
    async with serving(most=2) as place, AsyncExitStack() as stack:
        first, second = await _several(stack, place, 2)
        for connection in (first, second):
            connection.writer.write(half)
            await place.asked.get()
        async with connected(place) as third:
            assert await third.ask() == b"here"
            assert await first.rest() == b""
            second.writer.write(b"dy!")
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert (await second.reader.readuntil(b"body!")).startswith(b"HTTP/1.1 200")


async def test_body_that_ends_after_the_answer_keeps_no_seat() -> None:
    async with serving(most=1) as place, AsyncExitStack() as stack:
        (first,) = await _several(stack, place, 1)
        first.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nbo")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await first.reader.readuntil(b"here")
        first.writer.write(b"dy!")
        await first.writer.drain()
        async with connected(place) as second:
            assert await second.ask() == b"here"


async def test_half_bodies_that_make_room_are_no_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cs_archiver.app.room_for_connections", lambda: 20)
    half = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    async with running_service(tmp_path) as service:
        url = URL(service.address)

        def begin_many() -> None:
            with ExitStack() as begun:
                for _ in range(300):
                    connection = begun.enter_context(socket.create_connection((url.host, url.port)))
                    connection.sendall(half)

        for _ in range(3):
            await asyncio.to_thread(begin_many)
            await service.call("GET", "/api/health")
    assert [record for record in caplog.records if record.levelno > logging.WARNING] == []


async def test_where_all_are_answered_nobody_else_is_let_in_until_one_is_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(most=2) as place, aiohttp.ClientSession(place.address) as session:
        waiting = [asyncio.create_task(session.get("/later")) for _ in range(2)]
        for _ in waiting:
            await place.asked.get()
        for _ in range(3):
            async with connected(place) as refused:
                assert await refused.rest() == b""
        assert caplog.messages.count(
            "all of the 2 connections that there may be are in use: others are hung up on"
        ) == len([record for record in caplog.records if record.levelno >= logging.WARNING])
        place.go_on.set()
        for wait in waiting:
            assert await (await wait).text() == "later"
        async with connected(place) as late:
            assert await late.ask() == b"here"


async def test_handshakes_that_never_end_make_room_as_well(tmp_path: Path) -> None:
    pair = planted(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)
    trusting = ssl.create_default_context(cafile=pair.certificate)
    async with serving(most=3, tls=tls) as place, AsyncExitStack() as stack:
        silent = await _several(stack, place, 3)
        connector = aiohttp.TCPConnector(ssl=trusting)
        async with aiohttp.ClientSession(place.address, connector=connector) as session:
            assert await (await session.get("/")).text() == "here"
        assert await silent[0].rest() == b""


async def test_what_is_no_handshake_gives_its_seat_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pair = planted(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)
    async with serving(tls=tls) as place, connected(place) as connection:
        connection.writer.write(GET + b"\r\n")
        await connection.rest()
        await place.until(lambda: len(place.runner.seats) == 0)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_who_reads_nothing_of_a_long_answer_is_hung_up_on() -> None:
    async with serving(unread_seconds=AT_ONCE) as place:
        with socket.create_connection(("127.0.0.1", place.address.port or 0)) as deaf:
            await asyncio.to_thread(deaf.sendall, b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
            await place.until(lambda: len(place.runner.seats) == 1)
            await place.until(lambda: len(place.runner.seats) == 0)


async def test_many_at_once_are_all_answered() -> None:
    async with serving(most=50) as place, AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(place)) for _ in range(200)]

        async def one() -> bytes:
            async with connected(place) as connection:
                return await connection.ask()

        assert await asyncio.gather(*(one() for _ in range(40))) == [b"here"] * 40
        assert len(place.runner.seats) <= 50
        assert await idle[0].rest() == b""


@pytest.mark.parametrize(
    ("limit", "room"),
    [
        (256, 128),
        (1024, 512),
        (2 * FOR_THE_WORK + 100, FOR_THE_WORK + 100),
        (1_000_000, MOST_CONNECTIONS),
        (resource.RLIM_INFINITY, MOST_CONNECTIONS),
    ],
)
def test_connections_leave_descriptors_for_the_work(limit: int, room: int) -> None:
    assert connections_within(limit) == room


def _found(limits: Iterable[int]) -> tuple[str, str]:
    """The connections there is room for and the limit afterwards, and what the log says."""
    soft, hard = limits
    program = (
        "import logging, resource\n"
        "from cs_archiver.tools.descriptors import room_for_connections\n"
        "logging.basicConfig(format='%(message)s')\n"
        "print(room_for_connections(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.strip(), done.stderr.strip()


def test_a_limit_that_may_be_raised_is() -> None:
    assert _found((256, 6000)) == (f"{MOST_CONNECTIONS} {MOST_CONNECTIONS + FOR_THE_WORK}", "")


def test_a_limit_that_may_not_is_made_do_with_and_told() -> None:
    found, told = _found((256, 1000))
    assert found == "500 1000"
    assert told.startswith("this host lets the service open 1000 files only: up to 500 connections are taken at once")
