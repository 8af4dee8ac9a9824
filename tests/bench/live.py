"""How long after its commit a change reaches the clients of the live updates, which run in a process of their own."""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from aiohttp import ClientSession, TCPConnector
from yarl import URL

from cs_archiver.clock import now_text
from cs_archiver.db.jobs import Jobs
from cs_archiver.domain.events import LogAdded, LogLevel
from cs_archiver.server.live_hub import Limits
from tests.support.api import Api, running_api
from tests.support.jobs import submit
from tests.support.live import UPGRADE

_PAUSE_SECONDS = 0.1  # two jobs at five updates a second
_END = "the end"


async def measure(api: Api, *, clients: int, silent: int, changes: int, length: int) -> None:
    token = await api.token_of("ann")
    command = [sys.executable, "-m", "tests.bench.live", "--listen-at", str(api.client.make_url("/ws/jobs"))]
    counts = ["--clients", str(clients), "--silent", str(silent)]
    listeners = await asyncio.create_subprocess_exec(
        *command, *counts, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert listeners.stdin is not None
    listeners.stdin.write(token.encode() + b"\n")
    while api.live.count < clients + silent:
        await asyncio.sleep(0.05)
    heard = asyncio.create_task(listeners.communicate())
    begun = time.process_time()
    committed = await _change(api, changes, "x" * length)
    busy = (time.process_time() - begun) / changes * 1000
    arrivals: list[tuple[int, float]] = json.loads((await heard)[0])
    assert len(arrivals) == clients * changes, "something was lost"
    delays = sorted((at - committed[number]) * 1000 for number, at in arrivals)
    p50, p99 = (delays[int(len(delays) * share)] for share in (0.5, 0.99))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{clients:5d} clients, {silent:3d} more that never read: commit to client p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
        f"longest {delays[-1]:.1f} ms; the service was busy for {busy:.1f} ms with each, peak memory {memory:.0f} MB"
    )


async def _change(api: Api, changes: int, padding: str) -> list[float]:
    """Lines of a log, each committed and then told; gives back when each commit was done."""
    job = await submit(api.database)
    committed = []
    for number in range(changes):
        message = f"{number} {padding}"
        timestamp = await Jobs(api.database).log(job.id, LogLevel.INFO, message)
        committed.append(time.monotonic())  # the same clock in all processes of a machine
        api.bus.publish(LogAdded(job.id, timestamp, LogLevel.INFO, message))
        await asyncio.sleep(_PAUSE_SECONDS)
    api.bus.publish(LogAdded(job.id, now_text(), LogLevel.INFO, _END))
    return committed


async def listen(url: str, token: str, *, clients: int, silent: int) -> None:
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        held = [await _fall_silent(url, token) for _ in range(silent)]
        arrivals = await asyncio.gather(*(_hear(session, url, token) for _ in range(clients)))
        for writer in held:
            writer.transport.abort()
    print(json.dumps([arrival for of_one in arrivals for arrival in of_one]))


async def _hear(session: ClientSession, url: str, token: str) -> list[tuple[int, float]]:
    arrivals = []
    async with session.ws_connect(url, headers={"Authorization": f"Bearer {token}"}) as socket:
        async for frame in socket:
            at = time.monotonic()
            message = frame.json()
            if message.get("message") == _END:
                break
            if message["type"] == "log":
                arrivals.append((int(message["message"].split()[0]), at))
    return arrivals


async def _fall_silent(url: str, token: str) -> asyncio.StreamWriter:
    """A connection that is made, and of which nothing is read any more once a little is held."""
    address = URL(url)
    _, writer = await asyncio.open_connection(address.host, address.port, limit=64)
    headers = {"Host": address.authority, "Authorization": f"Bearer {token}", **UPGRADE}
    lines = [f"GET {address.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    return writer


async def _main(arguments: argparse.Namespace) -> None:
    for clients, silent in ((1, 0), (arguments.clients, 0), (arguments.clients, arguments.silent)):
        with tempfile.TemporaryDirectory(prefix="bench-") as root:
            async with running_api(Path(root), limits=Limits(per_user=10_000, in_all=10_000)) as api:
                await measure(api, clients=clients, silent=silent, changes=arguments.changes, length=arguments.length)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.live", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--silent", type=int, default=20, help="clients beside these that never read")
    parser.add_argument("--changes", type=int, default=200, help="10 a second")
    parser.add_argument("--length", type=int, default=200, help="characters of each line that is told")
    parser.add_argument("--listen-at", default="", help="be the clients of the service there; its token on stdin")
    arguments = parser.parse_args()
    if arguments.listen_at:
        token = sys.stdin.readline().strip()
        asyncio.run(listen(arguments.listen_at, token, clients=arguments.clients, silent=arguments.silent))
    else:
        asyncio.run(_main(arguments))


if __name__ == "__main__":
    main()
