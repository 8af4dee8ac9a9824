"""Ways to make the world go wrong around a running service, and to see afterwards what is left of the source."""

import asyncio
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from cs_archiver.demo.compare import compare, extract
from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.answers import PERMISSION_DENIED
from cs_archiver.sandbox.faults import Hold
from tests.support.service import Service, keep_copy

WAIT_SECONDS = 30.0
OF_ROOT_ALONE = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")


class Kept:
    """A folder with a pristine copy beside it, made by cp before anything touched it."""

    def __init__(self, folder: Path, copies: Path) -> None:
        self.folder = folder
        self._copy = keep_copy(folder, copies)

    def losses(self) -> list[str]:
        """What differs from the copy: in names, contents, links, modes and times; empty when untouched."""
        return compare(self._copy, self.folder)

    def losses_in(self, archive: Path, scratch: Path) -> list[str]:
        """What differs between the copy and what stock 7-Zip takes out of the archive."""
        extract(archive, scratch)
        assert os.listdir(scratch) == [self.folder.name]
        return compare(self._copy, scratch / self.folder.name)


def plant(folder: Path, *names: str) -> Path:
    """Files of a few bytes, each with content of its own and an old time."""
    for number, name in enumerate(names or ("one.mov", "sub/two.mov", "sub/three.mov")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content {number} of {name}\n" * (number + 2))
        os.utime(path, ns=(0, 1_400_000_000_123_456_700 + number))
    return folder


def rewrite_in_place(path: Path, content: bytes) -> None:
    """Other bytes, while size, inode and time of modification stay as they were."""
    status = path.stat()
    assert len(content) == status.st_size
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def files_in(folder: Path) -> list[str]:
    """Every file and link below a folder, as sorted relative paths."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(str(path.relative_to(folder)) for path in found)


async def eventually(holds: Callable[[], object], *, what: str) -> None:
    """Return as soon as `holds` does; AssertionError after WAIT_SECONDS."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never came about: {what}") from None


async def until_told(service: Service, job_id: str, text: str) -> str:
    """The job's log as one text, as soon as it holds `text`; a line that another follows ends with a newline."""
    log = ""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while text not in log:
                await asyncio.sleep(0.02)
                log = "\n".join(await service.log_of(job_id))
    except TimeoutError:
        raise AssertionError(f"never told: {text!r}\n{log}") from None
    return log


async def until_at_work(sandbox: Sandbox) -> None:
    """Return when there is a task and none is in line any more: only what is at work can be held, and let go."""

    def at_work() -> bool:
        return bool(sandbox.tasks) and not any(task.is_queued for task in sandbox.tasks.values())

    await eventually(at_work, what="a Globus task at work")


@asynccontextmanager
async def held_in_the_queue(service: Service, folder: Path) -> AsyncIterator[str]:
    """A job of this folder that is not let begin, because Globus refuses to speak of its collections.

    It may have looked at its source already when the block begins: wait in the block for what it says of a change.
    """
    service.sandbox.faults.add(Operation.ENDPOINT, PERMISSION_DENIED, times=None)
    await service.discover()
    job_id = await service.submit(folder)
    await until_told(service, job_id, "Held: looking up Globus collection")
    yield job_id
    service.sandbox.faults.clear()


@asynccontextmanager
async def held_at_globus(service: Service, folder: Path) -> AsyncIterator[str]:
    """A job of this folder whose Globus task moves nothing until the block ends."""
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    await service.discover()
    job_id = await service.submit(folder)
    await service.until(job_id, "uploading")
    await until_at_work(service.sandbox)
    yield job_id
    service.sandbox.faults.release()


@asynccontextmanager
async def held_at_the_verification(service: Service, folder: Path, **more: str) -> AsyncIterator[str]:
    """A job of this folder whose archive has arrived, and of which Globus does not say what it transferred."""
    service.sandbox.faults.add(Operation.SUCCESSFUL_TRANSFERS, PERMISSION_DENIED, times=None)
    await service.discover()
    job_id = await service.submit(folder, **more)
    await until_told(service, job_id, "Held: listing what Globus task")
    yield job_id
    service.sandbox.faults.clear()


async def until_the_next_second() -> None:
    """Globus and file systems tell times to the second."""
    now = int(time.time())
    while int(time.time()) == now:
        await asyncio.sleep(0.05)


class Wrapper:
    """A program of the same name put first on the PATH: it runs the real one, with shell lines around it.

    In the lines `$real` is the real program, `$first` and `$second` are the two paths after `--`, and
    `once NAME` is true the first time it is asked. The lines concern calls whose first argument is `verb`.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, tool: str, *, verb: str = "") -> None:
        self._real = shutil.which(tool)
        assert self._real is not None, f"{tool} is not installed"
        self._verb = verb
        self._notes = folder / "notes"
        self._notes.mkdir(parents=True)
        self._path = folder / tool
        self.set()
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def set(self, *, before: str = "", after: str = "") -> None:
        """Replace the lines; those `after` see the exit code in `$code` and may change it."""
        only = f'[ "$1" = {shlex.quote(self._verb)} ] || exec "$real" "$@"' if self._verb else ""
        script = f"""#!/bin/sh
real={shlex.quote(str(self._real))}
{only}
once() {{ mkdir {shlex.quote(str(self._notes))}/"$1" 2>/dev/null; }}
first= second= place=0
for argument; do
    case $place in
        0) if [ "$argument" = -- ]; then place=1; fi ;;
        1) first=$argument place=2 ;;
        *) second=$argument ;;
    esac
done
{before}
"$real" "$@"
code=$?
{after}
exit $code
"""
        staged = self._path.with_suffix(".new")
        staged.write_text(script)
        staged.chmod(0o755)
        staged.rename(self._path)


@contextmanager
def mounted_over(folder: Path, *, bind: Path | None = None) -> Iterator[None]:
    """Another file system mounted over a folder: an empty one, or the part of one that lies at `bind`."""
    what = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"] if bind is None else ["--bind", bind]
    subprocess.run(["mount", *what, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """A folder in which nobody, not even root, may write or remove; skips where that is not to be had."""
    done = subprocess.run(["chattr", "+i", path], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"chattr +i is not to be had here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=False)


async def until_half_deleted(service: Service, folder: Path, closed: ExitStack) -> str:
    """A new job of this folder, whose deletion is held at `sub`: as long as `closed` is open nothing leaves that.

    It is closed only after the copy, which refuses a folder that could not be emptied in the end.
    """
    async with held_at_globus(service, folder) as job_id:
        closed.enter_context(immutable(folder / "sub"))
    await until_told(service, job_id, "Held: cannot delete 'sub/")
    return job_id
