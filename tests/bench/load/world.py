"""The processes that are measured: the service over a full database, beside a Globus sandbox; and a bare handler."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil

from cs_archiver.sandbox import Sandbox
from tests.bench.load.asks import Asker
from tests.bench.load.seed import Seeded, seed
from tests.support.service import PASSWORD, Place, Service, environment, free_port, query, sandbox_settings

_READY = b"CS Archiver is ready at "
_START_SECONDS = 60


class Measured(Service):
    """The service in a process of its own, and what it costs."""

    seeded: Seeded
    process: psutil.Process
    port: int

    @property
    def cpu_seconds(self) -> float:
        """Of the service alone: what its tools and those who ask take is not in it."""
        times = self.process.cpu_times()
        return times.user + times.system

    @property
    def resident_mb(self) -> float:
        return self.process.memory_info().rss / 2**20

    @property
    def peak_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024

    @property
    def jobs_done(self) -> int:
        """Since the start."""
        ((count,),) = query(self, "SELECT count(*) FROM jobs WHERE status = 'completed' AND seq > ?", self.seeded.jobs)
        return int(count)

    async def askers(self) -> list[Asker]:
        """One for each of a hundred users, who sign in now."""
        askers = []
        for number, username in enumerate(self.seeded.users, start=2):
            status, body = await self.call("POST", "/api/auth/login", json={"username": username, "password": PASSWORD})
            assert status == 200, body
            askers.append(Asker(number, body["access_token"]))
        return askers


@asynccontextmanager
async def running(root: Path, *, jobs: int, lines: int) -> AsyncIterator[Measured]:
    place = Place(root).make()
    seeded = seed(place.database, jobs=jobs, lines=lines)
    async with Sandbox(sandbox_settings(place)) as sandbox, aiohttp.ClientSession() as session:
        values = environment(place, sandbox.url, UPLOAD_TASK_POLL_INTERVAL_SECONDS="1")
        async with _started(["-m", "cs_archiver", "serve"], values) as process:
            assert process.stdout is not None
            async with asyncio.timeout(_START_SECONDS):
                address = (await process.stdout.readline()).removeprefix(_READY).decode().strip()
            service = Measured(place, sandbox, address, session)
            service.seeded, service.process, service.port = seeded, psutil.Process(process.pid), int(values["PORT"])
            await service.sign_in()
            yield service


@asynccontextmanager
async def bare_handler() -> AsyncIterator[int]:
    """Its port."""
    port = free_port()
    async with _started(["-m", "tests.bench.load.bare", str(port)], {}):
        async with asyncio.timeout(_START_SECONDS):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield port


@asynccontextmanager
async def _started(arguments: list[str], values: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={**os.environ, **values},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()
