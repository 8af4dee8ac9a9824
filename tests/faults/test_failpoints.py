"""A crash at every durable act of the service, right before and right after it, and once more while recovering.

Each life is a real process that kills itself with SIGKILL at one point (see instrument.py): a file or name it changes,
a COMMIT, a tool it starts, a request to Globus before it is sent, or after its reply came but was not seen yet.
The points are those of a recorded run of the same history; the points of a recovery are those of a recorded recovery
from the same first crash. The next life gets no help: what was submitted it finishes by itself, and only what never
was recorded is asked for again. In the end nothing is lost, exactly one Globus task sent something, no process and no
file is left. That a life really died by SIGKILL at its point is asserted; one that never came to it counts for nothing.

A crash right before an act leaves what one right after the act before it leaves: the slice in `make test` is therefore
every act, from one side, and the whole is every act from both. A pair is a first crash and a second one, each right
after an act (or before the very first); the whole is every first crash with every second one that its recovery has.

A case is a share of the points of one history, spread evenly, or all second crashes after one first.
CS_ARCHIVER_CRASH="before fsync nas caller 1" runs that one alone; a second crash follows after " THEN ".
"""

import contextlib
import os
import random
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.sandbox import Sandbox
from tests.faults.conftest import Once
from tests.faults.life import Crash, Life, a_life, left_behind, zygote_process
from tests.faults.life_histories import HISTORIES, History, World
from tests.faults.scale import FULL, pick
from tests.support.service import Place, sandbox_settings
from tests.support.tally import Count

pytestmark = pytest.mark.timeout(900)

SEED = 20
SHARES = {"archived": pick(10, 240), "cancelled": pick(1, 24), "retried": pick(6, 48)}
FIRSTS = {"archived": range(180), "cancelled": range(18), "retried": range(110)}  # by number; a few more than there are
A_FEW_FIRSTS = {"archived": range(40, 150, 45)}
SECONDS = pick(1, 10**6)  # crashes of each recovery
TRIES = 4
ALWAYS_THERE = """
commit state request|commit state copying-*|commit state compressing-*|commit state verifying-*
commit state uploading-*|commit state upload_verifying-*|commit state deleting_source-*
commit state worker-copy_compress|commit state worker-upload
mkdir storage|create storage copier|write storage copier|symlink storage copier|start tool 7z-a|start tool 7z-t
fsync storage disk.sync_file|link storage removal|unlink storage removal|rmdir storage removal
POST globus /v0.10/transfer|GET globus /v0.10/task|create nas own_file|link nas own_file|fsync nas own_file
unlink nas removal._delete_entry|rmdir nas removal._remove_if_empty
""".replace("|", "\n").split("\n")[1:-1]
RECORDINGS = 3
MISSED = "failpoints that several runs did not come to again, and not counted"
MOST_MISSED = 1  # of a share: how often an upload is looked at before its cancel is up to the clock
MOST_MISSED_SECONDS = 0.1  # of the second crashes: how often a recovery looks at an upload is up to the clock, too
UP_TO_THREADS = re.compile(r"POST globus /v2/oauth2/token (?!1$)")  # each Globus client gets itself a token when used
SINGLE = "failpoint crashes, single"
PAIR = "failpoint crashes, pairs"

ONLY = os.environ.get("CS_ARCHIVER_CRASH")
CASES = [(history, share) for history, shares in SHARES.items() for share in range(shares)]
PAIRS = [(history, number) for history, numbers in pick(A_FEW_FIRSTS, FIRSTS).items() for number in numbers]


class NotReached(Exception):
    """The life ended well without ever coming to its point."""


@pytest.fixture(scope="module")
def zygote() -> Iterator[Path]:
    with zygote_process() as path:
        yield path


@pytest.mark.parametrize(("name", "share"), CASES)
async def test_a_crash_at_any_point_loses_nothing(
    root: Path, zygote: Path, once: Once, count: Count, name: str, share: int
) -> None:
    runs = Runs(root, zygote, HISTORIES[name])
    crashes = list(crashes_at(await once(f"points-of-{name}", runs.record), both_sides=FULL))[share :: SHARES[name]]
    trials = Trials(count)
    for crash in crashes:
        if ONLY is None or str(crash) == ONLY:
            await trials.survive(runs, crash, what=SINGLE)
    trials.end(most_missed=MOST_MISSED)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("name", "number"), PAIRS)
async def test_a_second_crash_at_any_point_of_the_recovery_loses_nothing(
    root: Path, zygote: Path, once: Once, count: Count, name: str, number: int
) -> None:
    runs = Runs(root, zygote, HISTORIES[name])
    firsts = list(crashes_at(await once(f"points-of-{name}", runs.record), both_sides=False))
    assert len(firsts) <= len(FIRSTS[name]), "give FIRSTS more numbers"
    if number >= len(firsts):
        pytest.skip("so many points there are not")
    first = firsts[number]
    if ONLY is not None and ONLY.partition(" THEN ")[0] != str(first):
        return
    seconds = list(crashes_at(await runs.survive(first), both_sides=False))
    trials = Trials(count)
    for second in chosen(first, seconds):
        if ONLY is None or str(second) == ONLY.partition(" THEN ")[2]:
            await trials.survive(runs, first, second, what=PAIR)
    trials.end(most_missed=max(MOST_MISSED, MOST_MISSED_SECONDS * len(seconds)))


async def test_the_points_hold_every_kind_of_act_of_a_job(root: Path, zygote: Path) -> None:
    points = await Runs(root, zygote, HISTORIES["archived"]).record()
    absent = [start for start in ALWAYS_THERE if not any(point.startswith(start) for point in points)]
    assert absent == []
    assert len(points) == len(set(points)) > 100


def crashes_at(points: list[str], *, both_sides: bool) -> Iterator[Crash]:
    for number, point in enumerate(points):
        if both_sides or number == 0:
            yield Crash("before", point)
        yield Crash("after", point)


def chosen(first: Crash, seconds: list[Crash]) -> list[Crash]:
    """All of them, or as many as are wanted, drawn so that they are spread evenly over the recovery."""
    if len(seconds) <= SECONDS or ONLY is not None:
        return seconds
    dice = random.Random(f"{SEED} {first}")
    width = len(seconds) / SECONDS
    return [seconds[int((band + dice.random()) * width)] for band in range(SECONDS)]


class Trials:
    """Goes on after one that failed, and after a crash that was not come to again."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._failures: list[AssertionError] = []
        self._missed: list[str] = []

    async def survive(self, runs: "Runs", *crashes: Crash, what: str) -> None:
        try:
            await runs.survive(*crashes)
            self._count(what)
        except NotReached as missed:
            self._missed.append(str(missed))
            self._count(MISSED)
        except AssertionError as error:
            self._failures.append(error)

    def end(self, *, most_missed: float) -> None:
        if self._failures:
            raise ExceptionGroup("these were not survived", self._failures)
        assert len(self._missed) <= most_missed, self._missed


class Runs:
    """Runs of one history, each in a world of its own."""

    def __init__(self, root: Path, zygote: Path, history: History) -> None:
        self._root = root
        self._zygote = zygote
        self._history = history

    async def record(self) -> list[str]:
        """The points that every undisturbed run comes to."""
        found = [await self._undisturbed() for _ in range(RECORDINGS)]
        assert found[0]
        return [point for point in found[0] if all(point in other for other in found)]

    async def survive(self, *crashes: Crash) -> list[str]:
        """Crash at these points, one a life, then finish and judge; gives back the points of the last life.

        Raises NotReached.
        """
        for _ in range(TRIES):
            with contextlib.suppress(NotReached):
                return await self._crash_and_finish(*crashes)
        raise NotReached(self._told(crashes))

    async def _undisturbed(self) -> list[str]:
        async with self._world() as world:
            return await self._last_life(world, is_first=True)

    async def _crash_and_finish(self, *crashes: Crash) -> list[str]:
        async with self._world() as world:
            try:
                for number, crash in enumerate(crashes):
                    await self._fatal_life(world, crash, is_first=number == 0)
                    assert world.oracle.losses(world.place.remote) == []
                return await self._last_life(world, is_first=False)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self._told(crashes)}") from error

    async def _fatal_life(self, world: World, crash: Crash, *, is_first: bool) -> None:
        async with self._life(world, crash, is_first=is_first) as life:
            job = await self._driven(world, life, is_first=is_first)
            if job is not None and not await life.is_about_to_end():
                raise NotReached
            assert await life.ended() == -signal.SIGKILL, life.errors()
            assert life.died_at() == str(crash)

    async def _last_life(self, world: World, *, is_first: bool) -> list[str]:
        async with self._life(world, None, is_first=is_first) as life:
            job = await self._driven(world, life, is_first=is_first)
            assert job is not None, (life.returncode, life.errors())
            points = [point for point in life.points() if not UP_TO_THREADS.match(point)]
            await self._history.judge(world, life, job)
        return points

    async def _driven(self, world: World, life: Life, *, is_first: bool) -> dict[str, Any] | None:
        if life.returncode is not None:
            return None
        if is_first and not self._history.armed_from_the_start:
            await self._history.begin(world, life)
            await life.arm()
        return await self._history.go_on(world, life)

    @asynccontextmanager
    async def _life(self, world: World, crash: Crash | None, *, is_first: bool) -> AsyncIterator[Life]:
        armed = self._history.armed_from_the_start or not is_first
        async with a_life(self._zygote, world.place, world.settings, crash=crash, armed=armed) as life:
            yield life

    @asynccontextmanager
    async def _world(self) -> AsyncIterator[World]:
        with tempfile.TemporaryDirectory(dir=self._root) as root:
            place = Place(Path(root)).make()
            async with Sandbox(sandbox_settings(place)) as sandbox:
                yield World.planted(place.root, sandbox, self._history.settings)
            assert await left_behind(self._zygote) == []

    def _told(self, crashes: tuple[Crash, ...]) -> str:
        name = next(name for name, history in HISTORIES.items() if history is self._history)
        words = " THEN ".join(str(crash) for crash in crashes)
        scale = "CS_ARCHIVER_FAULTS=full " if FULL else ""
        return f"{scale}CS_ARCHIVER_CRASH={words!r} python -m pytest {__file__} -k {name}"
