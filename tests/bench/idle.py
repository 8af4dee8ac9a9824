"""What the service costs before and between jobs: its start over 100,000 jobs, its rest, and being watched."""

import argparse
import asyncio
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import aiohttp
import psutil

from tests.bench.load.seed import seed
from tests.support.service import NOWHERE, Place, environment

_LOOK_SECONDS = 0.005


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


async def measure(place: Place, arguments: argparse.Namespace) -> None:
    starts = []
    for _ in range(arguments.starts - 1):
        async with started(place) as service:
            starts.append(service.start)
    async with started(place) as service:
        starts.append(service.start)
        rest = await at_rest(service, arguments.seconds)
        scrapes = await asked(service, "/metrics", 200)
        looks = await asked(service, "/api/ready", 50)
    size = place.database.stat().st_size / 2**20
    print(f"| start to the first answer, {size:.0f} MB | {_spread(starts, lambda start: start.answer)} | < 1.5 s |")
    print(f"| start to the word that it is ready | {_spread(starts, lambda start: start.ready)} | |")
    print(f"| time on processors until then | {_spread(starts, lambda start: start.cpu)} | |")
    print(f"| at rest, of one processor | {rest.cpu_percent:.2f} % | < 1 % |")
    print(f"| at rest, resident | {rest.resident_mb:.0f} MB | < 120 MB |")
    print(f"| at rest, wake-ups of all threads | {rest.wake_ups_per_second:.1f} a second | |")
    for path, took in (("/metrics", scrapes), ("/api/ready", looks)):
        p50, p99 = (took[int(len(took) * share)] for share in (0.5, 0.99))
        print(f"| {path} | p50 {p50:.1f} ms, p99 {p99:.1f} ms | |")


def _spread(starts: list[Start], value: Callable[[Start], float]) -> str:
    values = sorted(map(value, starts))
    return f"{statistics.median(values):.2f} s, from {values[0]:.2f} to {values[-1]:.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.idle", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=1_000_000, help="of all logs together")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="of rest")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as root:
        place = Place(Path(root)).make()
        seed(place.database, jobs=arguments.jobs, lines=arguments.lines)
        for what, prepare in (("ended", lambda _: None), ("cancelled", all_cancelled)):
            prepare(place.database)
            load = os.getloadavg()[0]
            print(f"{arguments.jobs} {what} jobs; {platform.machine()}, {os.cpu_count()} processors, load {load:.1f}")
            print("| What | Measured | Wanted |\n|---|---|---|")
            asyncio.run(measure(place, arguments))


if __name__ == "__main__":
    main()
