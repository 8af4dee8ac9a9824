"""What the suites about mounts, full disks and the database share: file systems to mount, and where a job is stopped.

Everything mounted lies below the folder of one test and is gone when its block ends. Where the system refuses to
mount anything (many containers do) the tests that need it are skipped, saying what was refused.
"""

import asyncio
import contextlib
import ctypes
import functools
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from cs_archiver.db.queue import Queue
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import WorkerName
from tests.faults.scale import FULL

BOUNDARIES = (
    "queued",
    "copying",
    "compressing",
    "verifying",
    "awaiting_upload",
    "uploading",
    "upload_verifying",
    "deleting_source",
)
_READ_ONLY, _REMOUNT, _BIND, _DETACH = 1, 32, 4096, 2
_LONGEST_HANG_SECONDS = 40
T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


def some(cases: Sequence[T], number: int) -> list[T]:
    """Of all cases this many, always the same ones; at full scale all of them."""
    return list(cases) if FULL else random.Random(number).sample(list(cases), number)


def mount(what: str, where: Path, kind: str = "", *, flags: int = 0, options: str = "") -> None:
    """The system call itself: the command would look at the mount point first, and hang on one that hangs."""
    source, target = os.fsencode(what), os.fsencode(where)
    if _libc.mount(source, target, kind.encode(), flags, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {what} {where}: {os.strerror(ctypes.get_errno())}")


def bind(folder: Path, where: Path) -> None:
    mount(str(folder), where, flags=_BIND)


def make_read_only(where: Path, *, really: bool = True) -> None:
    mount("none", where, flags=_REMOUNT | _BIND | (_READ_ONLY if really else 0))


def unmount(where: Path) -> None:
    """Lazily: the name is free at once, while files that are open stay so."""
    if _libc.umount2(os.fsencode(where), _DETACH) != 0:
        raise OSError(ctypes.get_errno(), f"umount {where}: {os.strerror(ctypes.get_errno())}")


@functools.cache
def _refusal() -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            mount("probe", Path(folder), "tmpfs", options="size=64k")
        except OSError as error:
            return str(error)
        unmount(Path(folder))
    return ""


@functools.cache
def _refusal_of_fuse() -> str:
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "tests.faults.hanging_fuse", folder, folder]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return "" if done.stdout.startswith("mounted") else (done.stdout or done.stderr.strip().rpartition("\n")[2])


def need_mounts(*, fuse: bool = False) -> None:
    """Skip where nothing can be mounted; looked at once, by really mounting something."""
    reason = _refusal() or (_refusal_of_fuse() if fuse else "")
    if reason:
        pytest.skip(f"this machine lets nothing be mounted: {reason}")


class SmallDisk:
    """A file system of a given size at `path`, that others can fill."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "of somebody else"

    def grow(self, size: int, files: int = 0) -> None:
        mount("none", self.path, "tmpfs", flags=_REMOUNT, options=_limits(size, files))

    @property
    def free(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, *, leave: int = 0) -> int:
        """Somebody else takes all that is free but `leave` bytes, or gives back what is missing; says how much more."""
        with open(self._ballast, "ab") as file:
            size, more = os.fstat(file.fileno()).st_size, self.free - leave
            if more > 0:
                os.posix_fallocate(file.fileno(), size, more)
            else:
                os.ftruncate(file.fileno(), max(0, size + more))
        return max(more, 0)

    def empty(self) -> None:
        self._ballast.unlink(missing_ok=True)


def _limits(size: int, files: int) -> str:
    return f"size={size}" + (f",nr_inodes={files}" if files else "")


@contextmanager
def small_disk(path: Path, size: int, *, files: int = 0) -> Iterator[SmallDisk]:
    """`files` 0: as many as anybody may want."""
    path.mkdir(parents=True, exist_ok=True)
    mount("small", path, "tmpfs", options=_limits(size, files))
    try:
        yield SmallDisk(path)
    finally:
        unmount(path)


class Served:
    """A folder shown through a file system of its own, which can be told to err or to hang."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def hang(self, *, after: int = 0, kind: str = "") -> None:
        """Answer `after` more requests (of a kind of hanging_fuse.KINDS, if given), then none until healed."""
        await self._order(f"hang {after} {_LONGEST_HANG_SECONDS} {kind}")

    async def fail(self, error: int, *words: str, after: int = 0) -> None:
        """Answer changes of files whose name ends in one of the words (none given: everything) with this error."""
        await self._order(" ".join(["fail", str(error), str(after), *words]))

    async def fired(self, seconds: float = 30) -> bool:
        """Whether the fault struck within that time."""
        try:
            return await asyncio.wait_for(self._line(), seconds) == "fired"
        except TimeoutError:
            return False

    async def heal(self) -> None:
        await self._order("heal")

    async def asked(self) -> int:
        return int(await self._order("asked"))

    async def _order(self, text: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")
        await self._process.stdin.drain()
        while (line := await asyncio.wait_for(self._line(), 30)) == "fired":
            continue
        return line

    async def _line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()


@asynccontextmanager
async def served(folder: Path, mount_point: Path) -> AsyncIterator[Served]:
    folder.mkdir(parents=True, exist_ok=True)
    mount_point.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.hanging_fuse",
        str(folder),
        str(mount_point),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"mounted\n"
        yield Served(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
        if process.returncode is None:
            process.kill()
            await process.wait()


def when_taken_up(monkeypatch: pytest.MonkeyPatch, hook: Callable[[Job], Awaitable[None]]) -> None:
    """Await `hook` with each job that a worker is about to run a stage of, before anything is done."""
    real = Queue.next_for

    async def next_for(queue: Queue, worker: WorkerName) -> Job | None:
        job = await real(queue, worker)
        if job is None:
            return None
        await hook(job)
        return await real(queue, worker)

    monkeypatch.setattr(Queue, "next_for", next_for)


class Boundary:
    """Where a job is stopped once: as soon as its worker takes it up in one state, until `release`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        self._state = state
        self._reached = asyncio.Event()
        self._go_on = asyncio.Event()
        when_taken_up(monkeypatch, self._stop)

    async def _stop(self, job: Job) -> None:
        if job.status.value == self._state and not self._reached.is_set():
            self._reached.set()
            await self._go_on.wait()

    async def reached(self, seconds: float = 40) -> None:
        await asyncio.wait_for(self._reached.wait(), seconds)

    def release(self) -> None:
        self._go_on.set()
