"""The test's side of the zygote: lives of the service, spoken to over HTTP, killed where a plan says."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.faults.zygote import REFUSED
from tests.support.glance import Glance
from tests.support.service import PASSWORD, Place

_REPOSITORY = Path(__file__).parents[2]
_LOOK_SECONDS = 0.02
_MOMENT_SECONDS = 0.5
_SECONDS = 60.0


@dataclass(frozen=True)
class Crash:
    """Where a life is killed: before or after a point."""

    side: str
    point: str

    def __str__(self) -> str:
        return f"{self.side} {self.point}"


@contextmanager
def zygote_process() -> Iterator[Path]:
    """A zygote; gives back its socket."""
    with tempfile.TemporaryDirectory(prefix="cs-archiver-zygote-") as folder:
        path = Path(folder) / "socket"
        with open(Path(folder) / "errors.txt", "w+", encoding="utf-8") as errors:
            argv = [sys.executable, "-m", "tests.faults.zygote", str(path)]
            process = subprocess.Popen(
                argv, cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
            with process:
                assert process.stdout is not None
                started = process.stdout.readline() == b"ready\n"
                errors.seek(0)
                assert started, errors.read()
                yield path
                process.communicate()


class Life:
    """One life of the service. Calls give back None once it is dead."""

    def __init__(self, socket_path: Path, place: Place, settings: Mapping[str, str]) -> None:
        self._socket_path = socket_path
        self._place = place
        self._settings = settings
        self._notes = place.root / "points.txt"
        self._errors = place.root / "errors.txt"
        self._address = ""
        self._pid = 0
        self.returncode: int | None = None
        self._session = aiohttp.ClientSession()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def start(self, crash: Crash | None, *, armed: bool) -> bool:
        """Whether it became ready; a tool of the life before may hold the lock a moment longer."""
        async with asyncio.timeout(_SECONDS):
            while True:
                await self._ask_for(crash, armed=armed)
                word = await self._word()
                if "ready" in word:
                    self._address = word["ready"]
                    return True
                await self._end_connection()
                if self.returncode != REFUSED:
                    return False

    async def _ask_for(self, crash: Crash | None, *, armed: bool) -> None:
        config = self._place.root / "config.toml"
        config.touch()
        self._notes.unlink(missing_ok=True)
        place = self._place
        plan = {
            "config": str(config),
            "environment": dict(self._settings),
            "places": {"nas": str(place.nas), "storage": str(place.storage), "state": str(place.database.parent)},
            "notes": str(self._notes),
            "errors": str(self._errors),
            "kill": None if crash is None else [crash.side, crash.point],
            "armed": armed,
        }
        self.returncode = None
        self._reader, self._writer = await asyncio.open_unix_connection(str(self._socket_path))
        self._writer.write(json.dumps(plan).encode() + b"\n")
        self._pid = (await self._word())["pid"]

    async def _word(self) -> dict[str, Any]:
        line = await self._reader.readline()
        word: dict[str, Any] = json.loads(line) if line else {}
        if "ended" in word:
            self.returncode = word["ended"]
        return word

    async def arm(self) -> None:
        """Number the points from here, and kill at one of these."""
        self._writer.write(b"arm\n")
        await self._word()

    async def call(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        """Status and answer, after a sign-in if there was none; (0, None) when it is dead."""
        if "Authorization" not in self._session.headers:
            who = {"username": "admin", "password": PASSWORD}
            status, body = await self._answer("POST", "/api/auth/login", json=who)
            if status != 200:
                assert status == 0, body
                return status, body
            self._session.headers["Authorization"] = f"Bearer {body['access_token']}"
        return await self._answer(method, path, **arguments)

    async def _answer(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        try:
            async with self._session.request(method, self._address + path, **arguments) as response:
                return response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, ConnectionError):
            await self.ended()
            return 0, None

    async def until(self, *states: str) -> dict[str, Any] | None:
        """The newest job in one of these states; None when the life ended before."""
        jobs: list[dict[str, Any]] = []
        with Glance(self._place.database) as glance:
            try:
                async with asyncio.timeout(_SECONDS):
                    while not (self._has_ended() or (jobs and jobs[0]["status"] in states)):
                        await asyncio.sleep(_LOOK_SECONDS)
                        jobs = glance.jobs()
            except TimeoutError:
                raise AssertionError(f"stuck, instead of {states}: {jobs}") from None
        return None if self._has_ended() else jobs[0]

    def jobs(self) -> list[dict[str, Any]]:
        """What is in its database, the newest first."""
        with Glance(self._place.database) as glance:
            return glance.jobs()

    async def is_about_to_end(self) -> bool:
        """Whether it ends within a moment: what its database says may be seen before it dies of saying it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MOMENT_SECONDS):
                while not self._has_ended():
                    await asyncio.sleep(_LOOK_SECONDS)
        return self._has_ended()

    def _has_ended(self) -> bool:
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return True
        return self.returncode is not None

    async def ended(self) -> int:
        """How it ended; fails when it does not."""
        async with asyncio.timeout(_SECONDS):
            while self.returncode is None and await self._word():
                continue
        assert self.returncode is not None
        return self.returncode

    async def kill(self) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            await self.ended()

    async def close(self) -> None:
        await self.kill()
        await self._end_connection()
        await self._session.close()

    async def _end_connection(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def points(self) -> list[str]:
        """What it did, point by point, since it was armed."""
        return [line for line in self._lines() if not line.startswith("KILLED ")]

    def died_at(self) -> str | None:
        """The crash it noted as the last thing it did."""
        lines = self._lines()
        return lines[-1].removeprefix("KILLED ") if lines and lines[-1].startswith("KILLED ") else None

    def errors(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text() if self._errors.exists() else ""

    def _lines(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.exists() else []


@asynccontextmanager
async def a_life(
    socket_path: Path, place: Place, settings: Mapping[str, str], *, crash: Crash | None = None, armed: bool = True
) -> AsyncIterator[Life]:
    """A life that ends with the block at the latest."""
    life = Life(socket_path, place, settings)
    try:
        await life.start(crash, armed=armed)
        yield life
    finally:
        await life.close()


async def left_behind(socket_path: Path) -> list[str]:
    """The processes that still live of all lives so far."""
    reader, writer = await asyncio.open_unix_connection(str(socket_path))
    writer.write(b"null\n")
    left: list[str] = json.loads(await reader.readline())["left"]
    writer.close()
    await writer.wait_closed()
    return left
