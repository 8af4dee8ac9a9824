"""The service in a process of its own, to be killed; strace, attached to it, kills it at a chosen system call."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.service import PASSWORD


class ServiceProcess:
    """Started by `start`; `call` speaks to it, and raises ServiceDied once it is dead."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = {"PATH": os.environ["PATH"], **environment}
        self._argv = [sys.executable, "-m", "cs_archiver", "serve"]
        self._address = f"http://127.0.0.1:{environment['PORT']}"
        self._process: asyncio.subprocess.Process | None = None
        self._token = ""

    async def start(self) -> bool:
        """Whether it answers; False when it ended before."""
        async with asyncio.timeout(60):
            while True:
                self._process = await asyncio.create_subprocess_exec(
                    *self._argv,
                    env=self._environment,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    start_new_session=True,
                )
                assert self._process.stdout is not None
                line = await self._process.stdout.readline()
                if b"is ready" in line:
                    return True
                _, errors = await self._process.communicate()
                if b"another CS Archiver" not in errors:  # a tool of the last life may hold the lock a moment longer
                    return False

    @property
    def returncode(self) -> int | None:
        return None if self._process is None else self._process.returncode

    async def call(self, method: str, path: str, **arguments: Any) -> Any:
        """The JSON answer, or None when the service died; other answers than success raise."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.request(method, self._address + path, headers=headers, **arguments) as response,
            ):
                body = await response.json(content_type=None)
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            return None
        if response.status >= 500:
            raise AssertionError(f"{method} {path}: {response.status} {body}")
        return body

    async def sign_in(self) -> bool:
        answer = await self.call("POST", "/api/auth/login", json={"username": "admin", "password": PASSWORD})
        self._token = answer["access_token"] if answer else ""
        return bool(self._token)

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it and everything it started in its session; gives back the exit code."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        await self._process.communicate()
        return self._process.returncode or 0

    async def kill_at(self, call: str, number: int, log: Path) -> "asyncio.subprocess.Process":
        """From now on, the process or tool that makes the `number`-th `call` dies before the call is done."""
        assert self._process is not None
        options = [
            "-f",
            "-qq",
            "-o",
            str(log),
            "-e",
            f"trace={call}",
            "-e",
            f"inject={call}:signal=KILL:when={number}",
        ]
        tracer = await asyncio.create_subprocess_exec("strace", *options, "-p", str(self._process.pid))
        async with asyncio.timeout(30):
            while _tracer_of(self._process.pid) != tracer.pid and tracer.returncode is None:
                await asyncio.sleep(0.01)
        return tracer

    async def ended(self, seconds: float) -> bool:
        assert self._process is not None
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            return False
        return True


def _tracer_of(pid: int) -> int:
    """Who traces every thread of the process; 0 while some are not traced."""
    tracers = {
        int(status.read_text().partition("TracerPid:")[2].split()[0])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
    }
    return tracers.pop() if len(tracers) == 1 else 0
