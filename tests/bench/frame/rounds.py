"""Runs what is compared in turns, so that what else the machine does meets all of it alike; medians, and ratios."""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

_T = TypeVar("_T")

Side = Callable[[], Awaitable[_T]]


@dataclass(slots=True)
class Spent:
    """Seconds by the clock, and seconds that this process and all that it started had a processor."""

    wall: float = 0.0
    busy: float = 0.0


@contextmanager
def spent() -> Iterator[Spent]:
    """Gives what the block took once it is over; children that were not waited for are not in it."""
    found = Spent()
    busy, began = _busy_seconds(), time.perf_counter()
    yield found
    found.wall, found.busy = time.perf_counter() - began, _busy_seconds() - busy


def _busy_seconds() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


async def command(*argv: object, **more: object) -> Spent:
    """What a command takes; raises RuntimeError when it fails."""
    with spent() as found:
        process = await asyncio.create_subprocess_exec(*map(str, argv), **more)  # type: ignore[arg-type]
        if await process.wait() != 0:
            raise RuntimeError(f"{argv[0]} ended with {process.returncode}")
    return found


async def in_turns(rounds: int, sides: Mapping[str, Side[_T]]) -> dict[str, list[_T]]:
    """What each side came to in each round. Each round begins with another side, so that none has the best place."""
    found: dict[str, list[_T]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        start = number % len(names)
        for name in (*names[start:], *names[:start]):
            found[name].append(await sides[name]())
    return found


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of the ratios of the rounds, and the least and most of them."""

    middle: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.least:.2f} to {self.most:.2f})"


def ratio(mine: Sequence[float], base: Sequence[float]) -> Ratio:
    """Round by round, so that a slow minute of the machine slows both sides of its ratio."""
    ratios = [one / other for one, other in zip(mine, base, strict=True)]
    return Ratio(median(ratios), min(ratios), max(ratios))


def percentiles(values: Sequence[float], *shares: float) -> list[float]:
    """The values below which these shares, 0 to 1, of all lie."""
    ordered = sorted(values)
    return [ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in shares]
