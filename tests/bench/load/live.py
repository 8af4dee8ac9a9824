"""How long news takes to a thousand clients, of which a hundred never read, while jobs run and others are asked for.

Beside it, in turns, a bare handler that sends as many bytes to as many clients.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from cs_archiver.clock import now_text
from tests.bench.frame.rounds import Ratio, in_turns, percentiles, ratio
from tests.bench.load.asks import Asker
from tests.bench.load.world import Measured

CLIENTS, SILENT = 1000, 100
_PAUSE_SECONDS = 0.1
_JOIN_SECONDS = 120
_SETTLE_SECONDS = 1.0  # what was told last in a turn is still on its way when it ends

Window = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds from the time stamp of a line in a log, made before its commit, to a client that reads it."""

    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, delays: Sequence[float]) -> "Delays":
        return cls(*percentiles(delays, 0.5, 0.99))


@dataclass(frozen=True, slots=True)
class Heard:
    """Medians of the rounds; `heard` are all lines that the service told meanwhile."""

    clients: int
    silent: int
    heard: int
    service: Delays
    bare: Delays
    ratio: Ratio
    lost: int
    cpu_share: float


@dataclass(frozen=True, slots=True)
class _Listeners:
    process: asyncio.subprocess.Process

    async def result(self) -> dict[str, Any]:
        """What they heard; they are gone then."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"the end\n")
        found: dict[str, Any] = json.loads(await self.process.stdout.readline())
        await self.process.wait()
        return found


@asynccontextmanager
async def _listeners(port: int, tokens: list[str]) -> AsyncIterator[_Listeners]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.load.listeners",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 28,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps({"port": port, "tokens": tokens, "silent": SILENT}).encode() + b"\n")
        async with asyncio.timeout(_JOIN_SECONDS):
            await process.stdout.readline()
        yield _Listeners(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def hear(
    service: Measured, bare_port: int, askers: list[Asker], folders: list[str], *, rounds: int, seconds: float
) -> Heard:
    """Each side is told news for so many seconds, in so many rounds."""
    tokens = [askers[number % len(askers)].token for number in range(CLIENTS)]
    busy = [0.0]

    async def by_service() -> Window:
        begun, before = time.time(), service.cpu_seconds
        await _change(service, folders, until=begun + seconds)
        busy.append((service.cpu_seconds - before) / (time.time() - begun))
        return begun, time.time()

    async def by_bare() -> Window:
        begun = time.time()
        await _tell(service, bare_port, until=begun + seconds)
        return begun, time.time()

    async with _listeners(service.port, tokens) as of_service, _listeners(bare_port, tokens) as of_bare:
        windows = await in_turns(rounds, {"service": by_service, "bare": by_bare})
        await asyncio.sleep(_SETTLE_SECONDS)
        told, told_bare = await of_service.result(), await of_bare.result()
    mine, base = _by_round(told["delays"], windows["service"]), _by_round(told_bare["delays"], windows["bare"])
    return Heard(
        CLIENTS,
        SILENT,
        told["lines"],
        _middle(mine),
        _middle(base),
        ratio([one.p99_ms for one in mine], [one.p99_ms for one in base]),
        told["lost"],
        median(busy[1:]),
    )


def _by_round(delays: list[tuple[float, float]], windows: list[Window]) -> list[Delays]:
    return [Delays.of([delay for at, delay in delays if begin <= at <= end]) for begin, end in windows]


def _middle(rounds: list[Delays]) -> Delays:
    return Delays(median(one.p50_ms for one in rounds), median(one.p99_ms for one in rounds))


async def _change(service: Measured, folders: list[str], *, until: float) -> None:
    """Folders are asked for and cancelled again: a line in a log each, beside those of the jobs that run."""
    number = 0
    while time.time() < until:
        status, body = await service.call("POST", "/api/jobs", json={"folder_path": folders[number % len(folders)]})
        assert status == 201, body
        await asyncio.sleep(_PAUSE_SECONDS)
        await service.call("DELETE", f"/api/jobs/{body['job_id']}")
        await asyncio.sleep(_PAUSE_SECONDS)
        number += 1


async def _tell(service: Measured, port: int, *, until: float) -> None:
    while time.time() < until:
        line = {"type": "log", "job_id": "0" * 36, "timestamp": now_text(), "level": "INFO", "message": "x" * 60}
        text = json.dumps(line, separators=(",", ":"))
        async with service.session.post(f"http://127.0.0.1:{port}/tell", data=text) as answer:
            assert answer.status == 204
        await asyncio.sleep(_PAUSE_SECONDS)
