"""Watches every callback of the event loop: how long each one kept all the others waiting."""

import asyncio
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class LoopWatch:
    """The longest turns of the loop, in seconds, each with what ran.

    A turn's time on the processor always counts. The time it waited counts unless the kernel took the processor
    away meanwhile: what other programs on the machine do is not the loop's doing.
    """

    turns: int = 0
    longest: list[tuple[float, str]] = field(default_factory=list)

    def note(self, seconds: float, what: str) -> None:
        self.turns += 1
        if len(self.longest) < 5 or seconds > self.longest[-1][0]:
            self.longest = sorted([*self.longest, (seconds, what)], reverse=True)[:5]


@contextmanager
def watched_loop() -> Iterator[LoopWatch]:
    watch = LoopWatch()
    run = asyncio.events.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        before, wall, cpu = resource.getrusage(resource.RUSAGE_THREAD), time.perf_counter(), time.thread_time()
        run(handle)
        busy, passed = time.thread_time() - cpu, time.perf_counter() - wall
        if passed > 0.01:
            after = resource.getrusage(resource.RUSAGE_THREAD)
            preempted = after.ru_nivcsw > before.ru_nivcsw
            watch.note(busy if preempted else passed, _name(handle))
        else:
            watch.note(passed, "")

    asyncio.events.Handle._run = timed  # type: ignore[method-assign,assignment]
    try:
        yield watch
    finally:
        asyncio.events.Handle._run = run  # type: ignore[method-assign]


def _name(handle: Any) -> str:
    task = getattr(handle._callback, "__self__", None)
    return repr(task) if task is not None else repr(handle._callback)
