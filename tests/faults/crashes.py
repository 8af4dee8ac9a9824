"""Lives of the service that end by SIGKILL at points of their history, and the last, which ends well and is judged."""

import contextlib
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from cs_archiver.sandbox import Sandbox
from tests.faults.life import Crash, Life, a_life, left_behind
from tests.faults.life_histories import HISTORIES, History, World
from tests.faults.scale import FULL
from tests.support.service import Place, sandbox_settings
from tests.support.tally import Count

RECORDINGS = 3
TRIES = 4
UP_TO_THREADS = re.compile(r"POST globus /v2/oauth2/token (?!1$)")  # each Globus client gets itself a token when used


class NotReached(Exception):
    """The life ended well without ever coming to its point."""


def crashes_at(points: list[str], *, both_sides: bool) -> Iterator[Crash]:
    for number, point in enumerate(points):
        if both_sides or number == 0:
            yield Crash("before", point)
        yield Crash("after", point)


class Trials:
    """Goes on after one that failed, and after a crash that was not come to again."""

    def __init__(self, count: Count, missed: str) -> None:
        self._count = count
        self._told_of_missed = missed
        self._failures: list[AssertionError] = []
        self._missed: list[str] = []

    async def survive(self, runs: "Runs", *crashes: Crash, what: str) -> None:
        try:
            await runs.survive(*crashes)
            self._count(what)
        except NotReached as missed:
            self._missed.append(str(missed))
            self._count(self._told_of_missed)
        except AssertionError as error:
            self._failures.append(error)

    def end(self, *, most_missed: float) -> None:
        if self._failures:
            raise ExceptionGroup("these were not survived", self._failures)
        assert len(self._missed) <= most_missed, self._missed


class Runs:
    """Runs of one history, each in a world of its own; `told_by` is the file that runs one of them alone."""

    def __init__(self, root: Path, zygote: Path, history: History, told_by: str) -> None:
        self._root = root
        self._zygote = zygote
        self._history = history
        self._told_by = told_by

    def ground_of(self, _place: Place) -> AbstractContextManager[object]:
        """What the folders of a world stand on for as long as it is there."""
        return nullcontext()

    def before_the_first_life(self, _world: World) -> None:
        """Once its user has planted everything."""

    def after_a_crash(self, _world: World, _crash: Crash) -> None:
        """Once the life is dead, and before anything is looked at."""

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
                    self.after_a_crash(world, crash)
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
            place = Place(Path(root))
            with self.ground_of(place):
                place.make()
                async with Sandbox(sandbox_settings(place)) as sandbox:
                    world = World.planted(place.root, sandbox, self._history.settings)
                    self.before_the_first_life(world)
                    yield world
            assert await left_behind(self._zygote) == []

    def _told(self, crashes: tuple[Crash, ...]) -> str:
        name = next(name for name, history in HISTORIES.items() if history is self._history)
        words = " THEN ".join(str(crash) for crash in crashes)
        scale = "CS_ARCHIVER_FAULTS=full " if FULL else ""
        return f"{scale}CS_ARCHIVER_CRASH={words!r} python -m pytest {self._told_by} -k {name}"
