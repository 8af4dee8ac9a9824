"""Runs the external tools: each in a process group of its own that is empty when the run is over."""

import asyncio
import logging
import os
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cs_archiver.domain.text import printable
from cs_archiver.errors import NeedsOperator, Temporary

logger = logging.getLogger(__name__)

TAIL_BYTES: Final = 65_536
TERMINATE_GRACE_SECONDS = 5.0
KILL_GRACE_SECONDS = 10.0
CLOSE_GRACE_SECONDS = 5.0

_PACKAGES: Final = {"7z": "7zip (p7zip-full on Debian 12 and older)", "7zz": "7zip", "dd": "coreutils"}
_FULL: Final = re.compile(rb": (?:No space left on device|Disk quota exceeded)(?: \(\d+\))?\s*$", re.MULTILINE)
_LINE_ENDS: Final = re.compile(rb"[\r\n\x08]+")
_WORD: Final = re.compile(rb"\w")
_MESSAGE_CHARACTERS: Final = 1_000
# Longer than any figure with the blanks before it; file names that follow a figure are cut off here.
_CARRY_BYTES: Final = 64

Consumer = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Politeness:
    """What the tools leave to others: `nice` from 0 to 19; `io_class` as ionice names it, "" for as it is."""

    nice: int = 0
    io_class: str = ""
    io_level: int = 7

    def prefix(self) -> tuple[str, ...]:
        """What is put before a command, so that it and each of its threads and children has it from the start."""
        nice = ("nice", "-n", str(self.nice)) if self.nice else ()
        level = ("-n", str(self.io_level)) if self.io_class == "best-effort" else ()
        # -t: a system that does not let it be set is no reason not to archive.
        ionice = ("ionice", "-t", "-c", self.io_class, *level) if self.io_class else ()
        return (*nice, *ionice)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a tool ended.

    `returncode` is negative for a signal. `stdout` and `stderr` are the last TAIL_BYTES printed; `stdout` is
    empty when it was streamed to a consumer.
    """

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def disk_is_full(self) -> bool:
        """Whether the tool complained that there is no space or no quota left to write to."""
        return _FULL.search(self.stderr) is not None

    def describe(self, tool: str) -> str:
        """The tool, its exit code or signal, and its last lines on stderr, fit for a message or a log."""
        how = (
            f"was killed by {_signal_name(-self.returncode)}"
            if self.returncode < 0
            else f"ended with exit code {self.returncode}"
        )
        return f"{tool} {how}: {_last_lines(self.stderr) or 'it printed no reason'}"


class Processes:
    """Starts every tool of one service; every child inherits `inherit_fds`, such as the instance lock."""

    def __init__(self, *, inherit_fds: tuple[int, ...] = (), politeness: Politeness = Politeness()) -> None:
        self._inherit_fds = inherit_fds
        self._nice = politeness.nice
        setpriv = shutil.which("setpriv")
        self._prefix = (*politeness.prefix(), *((setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()))

    async def run(
        self,
        argv: Sequence[str | bytes],
        *,
        cwd: bytes | None = None,
        on_stdout: Consumer | None = None,
        on_stderr: Consumer | None = None,
    ) -> Finished:
        """Run a tool to its end; the consumers get its output in pieces of any size, on the event loop.

        When the caller is cancelled or a consumer raises, the group gets SIGTERM, after five seconds SIGKILL,
        and the exception goes on only when no process of the group lives: what the tool wrote may then be
        removed. One that hangs in the kernel is left behind after ten more, with the signal that ends it. Should
        this process die first, the kernel sends the tool SIGTERM (`setpriv --pdeathsig`, bound to the thread that
        started it: the event loop's). That covers the tool itself, not children of
        its own, and nothing where setpriv is missing; the inherited lock then keeps a second instance out.

        Raises NeedsOperator when the tool is not installed, Temporary when it cannot be started.
        """
        output = _Output(on_stdout, on_stderr)
        life = asyncio.create_task(self._live(argv, cwd, output), name=f"run {os.fsdecode(argv[0])}")
        try:
            return await asyncio.shield(life)
        except asyncio.CancelledError:
            output.over.set()
            await _settle(life)
            raise

    async def _live(self, argv: Sequence[str | bytes], cwd: bytes | None, output: "_Output") -> Finished:
        transport = await self._start(argv, cwd, output)
        try:
            await output.over.wait()
        finally:
            await _end_group(transport.get_pid())
            await _wait_at_most(output.exited, CLOSE_GRACE_SECONDS, "a tool was not reaped")
            # All writers are dead, so the pipes end at once, unless a process left the group with them.
            await _wait_at_most(output.closed, CLOSE_GRACE_SECONDS, "a tool's output stayed open")
            transport.close()
        if output.failure is not None:
            raise output.failure
        returncode = transport.get_returncode()
        if returncode is None:
            raise RuntimeError("a process that has exited has no exit code")
        return Finished(returncode, output.tail(1), output.tail(2))

    async def _start(
        self, argv: Sequence[str | bytes], cwd: bytes | None, output: "_Output"
    ) -> asyncio.SubprocessTransport:
        tool = os.fsdecode(argv[0])
        executable = shutil.which(tool)
        if executable is None:
            package = _PACKAGES.get(os.path.basename(tool), os.path.basename(tool))
            raise NeedsOperator(f"{tool} is not installed: install the package {package}", problem="tool-missing")
        try:
            transport, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: output,
                *self._prefix,
                executable,
                *argv[1:],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=cwd,
                env=_environment(),
                pass_fds=self._inherit_fds,
                start_new_session=True,
            )
        except OSError as error:
            raise Temporary(f"{tool} could not be started: {error}; it is tried again") from error
        if self._nice:
            _be_nice_as_a_session(transport.get_pid(), self._nice)
        return transport


class ProgressReader:
    """Finds the newest figure in output that arrives cut at any byte; `pattern` has it as group 1.

    The pattern must begin with what parts one report from the next: names of files are printed in between,
    and may look like figures.
    """

    def __init__(self, pattern: re.Pattern[bytes], *, first: bytes) -> None:
        """`first` stands before the output: what the pattern begins with, so that a first report counts."""
        self._pattern = pattern
        self._carry = first
        self._highest = -1

    def feed(self, piece: bytes) -> int | None:
        """The newest figure completed by this piece, if it is higher than all before."""
        text = self._carry + piece
        newest, end = -1, 0
        for match in self._pattern.finditer(text):
            newest, end = int(match[1]), match.end()
        self._carry = text[end:][-_CARRY_BYTES:]
        if newest <= self._highest:
            return None
        self._highest = newest
        return newest


def require_absolute(*paths: bytes) -> None:
    """Raise ValueError unless each path begins with a slash, so that no tool can take a name for an option."""
    for path in paths:
        if not path.startswith(b"/"):
            raise ValueError(f"a tool was given a path that is not absolute: {path!r}")


class _Output(asyncio.SubprocessProtocol):
    def __init__(self, on_stdout: Consumer | None, on_stderr: Consumer | None) -> None:
        self._consumers = {1: on_stdout, 2: on_stderr}
        self._tails = {1: bytearray(), 2: bytearray()}
        self.failure: Exception | None = None
        self.over = asyncio.Event()
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()

    def tail(self, fd: int) -> bytes:
        return bytes(self._tails[fd])

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        consume = self._consumers[fd]
        if consume is not None and self.failure is None:
            try:
                consume(data)
            except Exception as error:  # noqa: BLE001 - raised by run() when the process is gone
                self.failure = error
                self.over.set()
        if consume is None or fd == 2:
            self._tails[fd] += data
            del self._tails[fd][:-TAIL_BYTES]

    def process_exited(self) -> None:
        self.exited.set()
        self.over.set()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.closed.set()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {"PATH": os.defpath} | kept | {"LC_ALL": "C.UTF-8"}


def _be_nice_as_a_session(pid: int, nice: int) -> None:
    """Where the kernel groups by session (CONFIG_SCHED_AUTOGROUP), nice counts only among the processes of one."""
    try:
        with open(f"/proc/{pid}/autogroup", "w") as file:
            file.write(str(nice))
    except OSError as error:  # another kernel, another tool a moment ago, or the tool has ended
        logger.debug("the session of process %d keeps its share: %s", pid, error)


async def _settle(task: "asyncio.Task[Finished]") -> None:
    """Wait for the task through any further cancellation: the caller is raising one already."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue


async def _wait_at_most(event: asyncio.Event, seconds: float, otherwise: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        logger.warning("%s within %.0f s of its end", otherwise, seconds)


async def _end_group(group: int) -> None:
    if not _living_members(group):
        return
    _signal_group(group, signal.SIGTERM)
    if await _is_empty_within(group, TERMINATE_GRACE_SECONDS):
        return
    logger.warning("processes %s ignored SIGTERM and are killed", _living_members(group))
    _signal_group(group, signal.SIGKILL)
    if not await _is_empty_within(group, KILL_GRACE_SECONDS):
        # Stuck in the kernel, as on a dead NAS. It runs no line of its own when it wakes up: the signal ends it first.
        logger.warning("processes %s hang in a call to the NAS or the disk and are left behind", _living_members(group))


async def _is_empty_within(group: int, seconds: float) -> bool:
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    pause_seconds = 0.01
    while _living_members(group):
        if clock() >= deadline:
            return False
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, 0.2)
    return True


def _living_members(group: int) -> list[int]:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return []
    # A zombie is a member too, and stays one for ever where nobody reaps orphans, as in many containers.
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _lives_in(name, group)]


def _lives_in(pid: str, group: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, _parent, of_group = file.read().rpartition(b")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(of_group) == group and state not in (b"Z", b"X")


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        logger.debug("process group %d ended by itself", group)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_lines(output: bytes, count: int = 3) -> str:
    lines = [line.strip() for line in _LINE_ENDS.split(output) if _WORD.search(line)]
    text = " | ".join(line.decode("utf-8", "backslashreplace") for line in lines[-count:])
    return printable(text[-_MESSAGE_CHARACTERS:])
