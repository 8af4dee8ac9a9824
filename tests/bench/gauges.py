"""What a running process takes, watched beside the work: memory, processor time, and how late its event loop is."""

import asyncio
import os
import resource
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
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


@asynccontextmanager
async def lateness() -> AsyncIterator[list[float]]:
    """How many seconds late a timer of ten milliseconds comes, again and again; sorted once the block is over.

    It counts all that keeps the loop waiting: its own turns, threads that hold Python's lock, other programs.
    """
    late: list[float] = []

    async def tick() -> None:
        loop = asyncio.get_running_loop()
        while True:
            wanted = loop.time() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            late.append(loop.time() - wanted)

    ticking = asyncio.create_task(tick(), name="lateness of the loop")
    try:
        yield late
    finally:
        ticking.cancel()
        await asyncio.wait({ticking})
        late.sort()
