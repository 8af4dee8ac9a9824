"""The service in a process of its own, to be killed: forked, with all it needs loaded, from one that waits (warm.py).

A life begins right before the command line is read, as a real one does, so that all it does to start is seen. Which
of its system calls is the last is up to the watch (kill_points), or to strace, attached before anything has happened.
"""

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp

from cs_archiver import cli
from cs_archiver.commands import serve as _loaded  # noqa: F401  before the forks, or each would import it
from tests.faults.kill_points import CALLS, Watch
from tests.support.service import PASSWORD

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.forkserver"])

_FLAGS_OF_OPEN = {"open": 1, "openat": 2}
_X86_64 = 0xC000003E
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_NR_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_SECCOMP, _SET_FILTER, _NEW_LISTENER = 317, 1, 8
_PR_SET_NO_NEW_PRIVS, _PR_SET_PDEATHSIG = 38, 1

MakeWatch = Callable[[int, int], Watch]


class ServiceProcess:
    """Started by `start`; `call` speaks to it, and gives back None once it is dead."""

    def __init__(self, environment: dict[str, str], world: Path) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(world),  # so that a tool is known to be of this world by its environment
            **environment,
        }
        self._address = f"http://127.0.0.1:{environment['PORT']}"
        self._world = world
        self._printed = world / "printed.txt"
        self._token = ""
        self.was_ready = False
        self.watch: Watch | None = None
        self.tracer: asyncio.subprocess.Process | None = None

    async def start(self, watched: MakeWatch | None = None, *, strace: tuple[str, ...] = ()) -> bool:
        """Whether it answers; False when it ended before, then `printed` says why.

        `watched` is told where to see its calls, and its process id; `strace` has options to trace it with.
        """
        ready, theirs = _CONTEXT.Pipe(duplex=False)
        channel, far_end = socket.socketpair()
        self._printed.touch()
        with ready, theirs, channel, far_end:
            arguments = (self._environment, theirs, str(self._printed), far_end, watched is not None)
            self._process = _CONTEXT.Process(target=_serve, args=arguments)
            self._process.start()
            theirs.close()
            far_end.close()
            if watched is not None:
                _, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, channel, 16, 1)
                assert descriptors, self.printed
                self.watch = watched(descriptors[0], self.pid)
            if strace:
                await self._trace(strace)
            channel.send(b"go")
            self.was_ready = await asyncio.to_thread(_says_ready, ready)
        return self.was_ready

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def printed(self) -> str:
        return self._printed.read_text()

    @property
    def returncode(self) -> int | None:
        """Negative for the signal that ended it."""
        return self._process.exitcode

    async def call(self, method: str, path: str, **arguments: Any) -> Any:
        """The JSON answer, after a sign-in if there was none, or None when the service died; a 5xx raises."""
        if not self._token:
            who = {"username": "admin", "password": PASSWORD}
            answer = await self._answer("POST", "/api/auth/login", json=who)
            if answer is None:
                return None
            self._token = answer["access_token"]
        return await self._answer(method, path, headers={"Authorization": f"Bearer {self._token}"}, **arguments)

    async def _answer(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.request(method, self._address + path, **arguments) as response,
            ):
                body = await response.json(content_type=None)
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            return None
        if response.status >= 500:
            raise AssertionError(f"{method} {path}: {response.status} {body}")
        return body

    async def ended(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while self.returncode is None:
                    await asyncio.sleep(0.005)
        except TimeoutError:
            return False
        return True

    async def bury(self) -> None:
        """Kill it if it lives, and see that nothing it started outlives it for long."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has died already, and nobody told this process yet
                os.kill(self.pid, signal.SIGKILL)
        assert await self.ended(10), "SIGKILL did not end the service"
        self._process.join()
        if self.tracer is not None:
            await asyncio.wait_for(self.tracer.wait(), 10)
        seen = set() if self.watch is None else self.watch.pids
        found: list[str] = []
        try:
            async with asyncio.timeout(10):
                while found := list(living(self._world, seen)):
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"orphans: {found}") from None
        if self.watch is not None:
            self.watch.close()

    async def _trace(self, options: tuple[str, ...]) -> None:
        self.tracer = await asyncio.create_subprocess_exec("strace", "-f", "-qq", *options, "-p", str(self.pid))
        async with asyncio.timeout(30):
            while not _is_traced_by(self.tracer.pid, self.pid):
                assert self.tracer.returncode is None, "strace could not attach"
                await asyncio.sleep(0.005)


def living(world: Path, pids: set[int]) -> Iterator[str]:
    """Processes that are among these, or lead into a world: by an open file, their folder, arguments, environment."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if state_of(int(folder.name)) not in ("Z", "X") and (
                    int(folder.name) in pids or _leads_to(folder, str(world))
                ):
                    yield f"{folder.name} {(folder / 'cmdline').read_bytes()!r}"
            except OSError:  # it ended while it was looked at
                continue


def state_of(pid: int) -> str:
    """The letter the kernel has for it: T is stopped, Z is dead but not yet reaped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _leads_to(folder: Path, world: str) -> bool:
    if world.encode() in (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes():
        return True
    links = [folder / "cwd", *(folder / "fd").iterdir()]
    return any(os.readlink(link).startswith(world) for link in links if os.path.lexists(link))


def _serve(environment: dict[str, str], ready: Connection, printed: str, channel: socket.socket, watched: bool) -> None:
    os.setsid()
    # Only for a test run that is itself killed: no service may outlive it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(ready.fileno(), 1)
    ready.close()
    errors = os.open(printed, os.O_WRONLY | os.O_TRUNC)
    os.dup2(errors, 2)
    os.close(errors)
    if watched:
        _announce(channel)
    channel.recv(2)
    channel.close()
    sys.argv = ["cs-archiver", "serve"]
    cli.main(["serve"])


def _announce(channel: socket.socket) -> None:
    """Put this process under the filter, and hand the end at which its calls are seen to whoever watches."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = _filter()
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = libc.syscall(_SECCOMP, _SET_FILTER, _NEW_LISTENER, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp filters with user notification are not to be had")
    socket.send_fds(channel, [b"listener"], [listener])
    os.close(listener)


def _filter() -> bytes:
    allow, notify = _instruction(_RETURN, _ALLOW), _instruction(_RETURN, _NOTIFY)
    program = [_instruction(_LOAD, _ARCH_AT), _instruction(_EQUAL, _X86_64, yes=1), allow]
    program.append(_instruction(_LOAD, _NR_AT))
    for call, number in CALLS.items():
        body = [notify]
        if call in _FLAGS_OF_OPEN:
            flags = _instruction(_LOAD, _ARGUMENTS_AT + 8 * _FLAGS_OF_OPEN[call])
            body = [flags, _instruction(_ANY_BIT, os.O_CREAT | os.O_TRUNC, no=1), notify, allow]
        program += [_instruction(_EQUAL, number, no=len(body)), *body]
    return b"".join([*program, allow])


def _instruction(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _says_ready(ready: Connection) -> bool:
    text = b""
    while b"\n" not in text:
        assert ready.poll(60), "the service neither answers nor ends"
        piece = os.read(ready.fileno(), 4096)
        if not piece:
            return False
        text += piece
    return b"is ready" in text


def _is_traced_by(tracer: int, pid: int) -> bool:
    statuses = Path(f"/proc/{pid}/task").glob("*/status")
    return {int(status.read_text().partition("TracerPid:")[2].split()[0]) for status in statuses} == {tracer}
