"""How long news takes to a thousand clients, of which a hundred never read, while jobs run and others are asked for."""

import asyncio
import json
import sys
import time
from dataclasses import dataclass

from tests.bench.load.asks import Asker
from tests.bench.load.reads import Spread
from tests.bench.load.world import Measured

CLIENTS, SILENT = 1000, 100
_PAUSE_SECONDS = 0.1
_JOIN_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Heard:
    """`delays` are from the time stamp of a line in a log, made before its commit, to a client that reads it."""

    clients: int
    silent: int
    heard: int
    delays: Spread
    lost: int
    cpu_share: float


async def hear(service: Measured, askers: list[Asker], folders: list[str], *, seconds: float) -> Heard:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.load.listeners",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 28,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    tokens = [askers[number % len(askers)].token for number in range(CLIENTS)]
    process.stdin.write(json.dumps({"port": service.port, "tokens": tokens, "silent": SILENT}).encode() + b"\n")
    async with asyncio.timeout(_JOIN_SECONDS):
        await process.stdout.readline()
    begun, before = time.monotonic(), service.cpu_seconds
    await _change(service, folders, until=begun + seconds)
    share = (service.cpu_seconds - before) / (time.monotonic() - begun)
    process.stdin.write(b"the end\n")
    result = json.loads(await process.stdout.readline())
    await process.wait()
    return Heard(CLIENTS, SILENT, result["lines"], Spread.of(result["delays"]), result["lost"], share)


async def _change(service: Measured, folders: list[str], *, until: float) -> None:
    """Folders are asked for and cancelled again: a line in a log each, beside those of the jobs that run."""
    number = 0
    while time.monotonic() < until:
        status, body = await service.call("POST", "/api/jobs", json={"folder_path": folders[number % len(folders)]})
        assert status == 201, body
        await asyncio.sleep(_PAUSE_SECONDS)
        await service.call("DELETE", f"/api/jobs/{body['job_id']}")
        await asyncio.sleep(_PAUSE_SECONDS)
        number += 1
