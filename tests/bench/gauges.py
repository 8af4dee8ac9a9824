"""What a running process takes, watched beside the work: memory, processor time, and how late its event loop is."""

import asyncio
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

_PAGE = resource.getpagesize()
_LOOK_SECONDS = 0.05
_TICK_SECONDS = 0.01


class Reading(NamedTuple):
    """At `at`, seconds since the epoch: bytes resident, and the processor seconds of this process and of its tools."""

    at: float
    resident: int
    own: float
    tools: float


@dataclass
class Gauge:
    """Readings taken a few times a second by a thread of its own."""

    readings: list[Reading] = field(default_factory=list)

    def between(self, begun: float, ended: float) -> tuple[int, float, float]:
        """The most resident memory in bytes, and the processor seconds of this process and of its tools."""
        first, last = (next((one for one in self.readings if one.at >= at), self.readings[-1]) for at in (begun, ended))
        inside = [one.resident for one in self.readings if first.at <= one.at <= last.at]
        return max(inside), last.own - first.own, last.tools - first.tools


@contextmanager
def gauged() -> Iterator[Gauge]:
    """Watch this process until the block ends."""
    gauge, over = Gauge(), threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            gauge.readings.append(_read())

    thread = threading.Thread(target=watch, name="gauge", daemon=True)
    thread.start()
    try:
        yield gauge
    finally:
        over.set()
        thread.join()


def _read() -> Reading:
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * _PAGE
    times = os.times()
    return Reading(time.time(), resident, times.user + times.system, times.children_user + times.children_system)


@dataclass
class Lateness:
    """In seconds, once it is over."""

    here: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)


@asynccontextmanager
async def lateness() -> AsyncIterator[Lateness]:
    """How late a timer of ten milliseconds comes, again and again, in this loop and in an idle program beside it.

    It counts all that keeps the loop waiting: its own turns, threads that hold Python's lock, and other programs, which
    alone keep the idle program waiting. `own` is what is left without the time in which the loop's thread could have
    run, but had no processor.
    """
    late = Lateness()
    idle = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdout=asyncio.subprocess.PIPE)
    ticking = asyncio.create_task(_tick(late.here, late.own), name="lateness of the loop")
    try:
        yield late
    finally:
        ticking.cancel()
        await asyncio.wait({ticking})
        idle.send_signal(signal.SIGINT)
        output, _ = await idle.communicate()
        late.idle.extend(json.loads(output))


async def _tick(late: list[float], own: list[float]) -> None:
    loop = asyncio.get_running_loop()
    thread = threading.get_native_id()
    while True:
        wanted, waited = loop.time() + _TICK_SECONDS, _waited(thread)
        await asyncio.sleep(_TICK_SECONDS)
        late.append(loop.time() - wanted)
        own.append(max(0.0, late[-1] - (_waited(thread) - waited)))


def _waited(thread: int) -> float:
    """Seconds that a thread of this process has waited for a processor."""
    with open(f"/proc/self/task/{thread}/schedstat") as file:
        return int(file.read().split()[1]) / 1e9


def _idle() -> None:
    late: list[float] = []
    with suppress(KeyboardInterrupt):
        asyncio.run(_tick(late, []))
    print(json.dumps(late))


if __name__ == "__main__":
    _idle()
