"""What the service costs before and between jobs: its start, beside that of Python and its packages, and its rest."""

import asyncio
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import aiohttp
import psutil

from tests.bench.frame.benchmark import Benchmark, Claim, Findings, Order
from tests.bench.frame.document import table
from tests.bench.frame.rounds import command, in_turns, percentiles, ratio
from tests.bench.load.seed import seed
from tests.support.service import NOWHERE, Place, environment

_LOOK_SECONDS = 0.005
_IMPORTS = "import aiohttp, sqlalchemy, pydantic, globus_sdk"
_START_SECONDS, _REST_PERCENT, _REST_MB = 1.5, 1.0, 120


@dataclass(frozen=True, slots=True)
class _Scale:
    """`lines` are those of all logs together, `seconds` those of rest."""

    jobs: int
    lines: int
    seconds: float


_QUICK = _Scale(10_000, 100_000, 5)
_FULL = _Scale(100_000, 1_000_000, 20)


class Start(NamedTuple):
    """Seconds from the start of the process to its first answer and to its word that it is ready, and on processors."""

    answer: float
    ready: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Rest:
    """Shares of one processor, MB, and how often anything woke up."""

    cpu_percent: float
    resident_mb: float
    wake_ups_per_second: float


@dataclass(frozen=True, slots=True)
class Running:
    process: psutil.Process
    session: aiohttp.ClientSession
    address: str
    start: Start

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system

    def wake_ups(self) -> int:
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/status")
        lines = (line for task in tasks for line in task.read_text().splitlines())
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


@asynccontextmanager
async def started(place: Place) -> AsyncIterator[Running]:
    values = environment(place, NOWHERE)
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cs_archiver", "serve",
        env={**os.environ, **values}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with aiohttp.ClientSession() as session:
            address = f"http://127.0.0.1:{values['PORT']}"
            word = asyncio.create_task(_when_told(process.stdout, begun))
            answer = await _when_answered(session, address, begun)
            ready = await word
            watched = psutil.Process(process.pid)
            times = watched.cpu_times()
            yield Running(watched, session, address, Start(answer, ready, times.user + times.system))
    finally:
        process.terminate()
        await process.wait()


async def _when_told(stream: asyncio.StreamReader, begun: float) -> float:
    assert b"is ready" in await stream.readline()
    return time.perf_counter() - begun


async def _when_answered(session: aiohttp.ClientSession, address: str, begun: float) -> float:
    while True:
        try:
            async with session.get(f"{address}/api/health") as response:
                assert response.status == 200
                return time.perf_counter() - begun
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(_LOOK_SECONDS)


async def at_rest(service: Running, seconds: float) -> Rest:
    await asyncio.sleep(2)  # the first looks of the workers are not rest
    cpu, woken = service.cpu_seconds(), service.wake_ups()
    await asyncio.sleep(seconds)
    cpu, woken = service.cpu_seconds() - cpu, service.wake_ups() - woken
    return Rest(cpu / seconds * 100, service.process.memory_info().rss / 2**20, woken / seconds)


async def asked(service: Running, path: str, times: int) -> list[float]:
    """Milliseconds until each answer, in order of length."""
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        async with service.session.get(f"{service.address}{path}") as response:
            assert response.status in {200, 503}
            await response.read()
        took.append((time.perf_counter() - begun) * 1000)
    return sorted(took)


def all_cancelled(database: Path) -> None:
    """As after years in which every job was begun and then cancelled."""
    with closing(sqlite3.connect(database)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE jobs SET status = 'cancelled', archive_path = '/nowhere/' || id || '.tar.7z'")
        for _, statement in triggers:
            connection.execute(statement)
        connection.commit()


async def _python(code: str) -> Start:
    """As one that has started when it has run."""
    took = await command(sys.executable, "-c", code)
    return Start(took.wall, took.wall, took.busy)


async def _start_in(place: Place) -> Start:
    async with started(place) as service:
        return service.start


async def starts(order: Order, places: dict[str, Place]) -> dict[str, list[Start]]:
    """Of Python alone, of Python with the packages, and of the service over each database, in turns."""

    def side(place: Place) -> Callable[[], Awaitable[Start]]:
        return lambda: _start_in(place)

    return await in_turns(
        order.rounds,
        {
            "`python -c pass`": lambda: _python("pass"),
            f"`python -c '{_IMPORTS}'`": lambda: _python(_IMPORTS),
            **{name: side(place) for name, place in places.items()},
        },
    )


async def rests(place: Place, seconds: float) -> tuple[Rest, dict[str, list[float]]]:
    """The service at rest, and the milliseconds of what monitors ask it."""
    async with started(place) as service:
        rest = await at_rest(service, seconds)
        return rest, {
            "/metrics": await asked(service, "/metrics", 200),
            "/api/ready": await asked(service, "/api/ready", 50),
        }


async def _measure(order: Order) -> Findings:
    scale = _FULL if order.full else _QUICK
    with tempfile.TemporaryDirectory(prefix="bench-start-") as name:
        root = Path(name)
        ended = f"service, {scale.jobs:,} ended jobs"
        cancelled = f"service, {scale.jobs:,} cancelled jobs"
        places = {what: Place(root / str(n)).make() for n, what in enumerate(("service, no jobs", ended, cancelled))}
        for what in (ended, cancelled):
            seed(places[what].database, jobs=scale.jobs, lines=scale.lines)
        all_cancelled(places[cancelled].database)
        async with started(places["service, no jobs"]):
            pass  # makes its database
        found = await starts(order, places)
        rest, looks = await rests(places[ended], scale.seconds)
        size = places[ended].database.stat().st_size / 2**20
    return Findings(_claims(found, rest, ended, cancelled), _body(found, rest, looks, size))


def _claims(found: dict[str, list[Start]], rest: Rest, ended: str, cancelled: str) -> list[Claim]:
    imports = found[f"`python -c '{_IMPORTS}'`"]
    claims = []
    for what, wanted, mine in (
        (ended, "the first answer", [start.answer for start in found[ended]]),
        (ended, "the word that it is ready", [start.ready for start in found[ended]]),
        (cancelled, "the word that it is ready", [start.ready for start in found[cancelled]]),
    ):
        compared = ratio(mine, [start.answer for start in imports])
        busy = median(start.cpu for start in found[what])
        claims.append(
            Claim(
                f"start to {wanted}, {what.removeprefix('service, ')}",
                f"< {_START_SECONDS} s",
                f"{median(mine):.2f} s ({busy:.2f} s of processors)",
                f"{compared} of importing its packages",
                None if median(mine) < _START_SECONDS else "Python reading modules, and the look at the whole database",
            )
        )
    return [
        *claims,
        Claim(
            "at rest, of one processor; resident",
            f"< {_REST_PERCENT:g} %; < {_REST_MB} MB",
            f"{rest.cpu_percent:.2f} %; {rest.resident_mb:.0f} MB",
            "",
            None if rest.cpu_percent < _REST_PERCENT and rest.resident_mb < _REST_MB else "timers, and modules",
        ),
    ]


_HEADS = ("What", "first answer", "ready", "on a processor", "ready / the same with the packages alone")


def _body(found: dict[str, list[Start]], rest: Rest, looks: dict[str, list[float]], size_mb: float) -> str:
    packages = [start.ready for start in found[f"`python -c '{_IMPORTS}'`"]]
    rows = [
        [
            name,
            f"{median(start.answer for start in all_of):.2f} s",
            f"{median(start.ready for start in all_of):.2f} s",
            f"{median(start.cpu for start in all_of):.2f} s",
            str(ratio([start.ready for start in all_of], packages)),
        ]
        for name, all_of in found.items()
    ]
    asked_for = []
    for path, took in looks.items():
        p50, p99 = percentiles(took, 0.5, 0.99)
        asked_for.append(f"`{path}` p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    return f"""A real `cs-archiver serve`; baselines: Python that does nothing, and Python that imports the four
largest of its packages. "Ready" is said once the whole database ({size_mb:.0f} MB with ended jobs) was looked at.

{table(_HEADS, rows)}

At rest, over ended jobs, once: {rest.cpu_percent:.2f} % of one processor, {rest.resident_mb:.0f} MB resident,
{rest.wake_ups_per_second:.1f} wake-ups a second of all threads; {"; ".join(asked_for)}. The checks in the background
are off.

What bounds it: nearly all of a start is Python reading its modules; "ready" also waits for SQLite's own look at each
page of the database."""


BENCHMARK = Benchmark(
    "start", "Start and rest", _measure, versions=("SQLite", "aiohttp", "SQLAlchemy", "pydantic", "globus-sdk")
)
