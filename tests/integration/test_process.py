"""Tools are run, fed nothing, heard to the end, and never left behind."""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cs_archiver.errors import NeedsOperator, Temporary
from cs_archiver.tools import process
from cs_archiver.tools.process import TAIL_BYTES, Finished, Processes

SOURCE = Path(process.__file__).parents[2]
needs_setpriv = pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed")


def processes_naming(mark: str) -> list[int]:
    """Living processes, zombies excluded, with the mark in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return [pid for pid in found if pid != os.getpid()]


def is_alive(pid: int) -> bool:
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return False


def until(fact: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


async def until_async(fact: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(0.005)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """A word unique to this test; whatever carries it at the end was left behind."""
    word = f"mark-{tmp_path.name}-{os.getpid()}"
    yield word
    left = processes_naming(word)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def sleeper(mark: str) -> str:
    """A shell command that sleeps for long and carries the mark."""
    return f"{shlex.quote(sys.executable)} -c 'import time; time.sleep(1000)' {mark}"


async def test_both_streams_and_the_exit_code_are_returned() -> None:
    finished = await Processes().run(["sh", "-c", "echo out; echo err >&2; exit 3"])

    assert finished == Finished(3, b"out\n", b"err\n")


async def test_a_tool_cannot_read_what_the_service_could() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"typed by someone")
    os.close(writing)
    kept = os.dup(0)
    os.dup2(reading, 0)
    try:
        finished = await Processes().run(["cat"])
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reading)

    assert finished == Finished(0, b"", b"")


async def test_a_tool_leads_a_session_of_its_own() -> None:
    finished = await Processes().run(["sh", "-c", "cat /proc/$$/stat"])

    pid, _name, _state, _parent, group, session, terminal = finished.stdout.split()[:7]
    assert pid == group == session
    assert terminal == b"0"


async def test_a_tool_sees_no_more_than_a_minimal_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GLOBUS_CLIENT_SECRET", "hidden")
    monkeypatch.setenv("RSYNC_RSH", "hidden")
    monkeypatch.setenv("TMPDIR", "/tmp")

    finished = await Processes().run(["env"])

    seen = dict(line.split("=", 1) for line in finished.stdout.decode().splitlines())
    assert seen.keys() == {"PATH", "HOME", "TMPDIR", "LC_ALL"}
    assert seen["LC_ALL"] == "C.UTF-8"


async def test_a_tool_starts_in_the_folder_asked_for(tmp_path: Path) -> None:
    finished = await Processes().run(["pwd"], cwd=os.fsencode(tmp_path))

    assert finished.stdout == os.fsencode(tmp_path) + b"\n"


async def test_the_lock_is_inherited_and_nothing_else(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock, (tmp_path / "other").open("w") as other:
        os.set_inheritable(other.fileno(), True)
        command = ["sh", "-c", f"for f in /proc/{'$$'}/fd/*; do readlink $f; done"]

        finished = await Processes(inherit_fds=(lock.fileno(),)).run(command)

    assert os.fsencode(tmp_path / "lock") in finished.stdout
    assert os.fsencode(tmp_path / "other") not in finished.stdout


async def test_arguments_reach_the_tool_byte_for_byte() -> None:
    words = [b"\xff\xfe", b"a b", b"$(id)", b"-n", b"line\nbreak", b"*"]

    finished = await Processes().run(["printf", "%s\\0", "--", *words])

    assert finished.stdout == b"--\0" + b"".join(word + b"\0" for word in words)


async def test_much_output_on_both_streams_neither_blocks_nor_fills_memory() -> None:
    script = "head -c 5000000 /dev/zero | tr '\\0' x >&2 & head -c 5000000 /dev/zero; wait; printf end"

    finished = await Processes().run(["sh", "-c", script])

    assert finished.returncode == 0
    assert len(finished.stdout) == len(finished.stderr) == TAIL_BYTES
    assert finished.stdout.endswith(b"\0end")


async def test_streamed_output_is_complete_and_not_kept() -> None:
    out, err = bytearray(), bytearray()

    finished = await Processes().run(
        ["sh", "-c", "head -c 3000000 /dev/zero; printf why >&2"], on_stdout=out.extend, on_stderr=err.extend
    )

    assert len(out) == 3_000_000
    assert err == b"why"
    assert finished == Finished(0, b"", b"why")


@pytest.mark.parametrize(("tool", "package"), [("7z", "7zip"), ("rsync", "rsync"), ("dd", "coreutils")])
async def test_a_missing_tool_calls_the_operator_and_names_the_package(
    tool: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NeedsOperator, match=f"{tool} is not installed: install the package {package}"):
        await Processes().run([tool])


async def test_a_tool_that_cannot_be_started_is_tried_again_later(tmp_path: Path) -> None:
    with pytest.raises(Temporary, match="could not be started"):
        await Processes().run(["true"], cwd=os.fsencode(tmp_path / "missing"))


async def test_a_killed_tool_is_reported_with_its_signal() -> None:
    finished = await Processes().run(["sh", "-c", "kill -KILL $$"])

    assert finished.returncode == -signal.SIGKILL
    assert finished.describe("sh") == "sh was killed by SIGKILL: it printed no reason"


async def test_children_that_outlive_a_killed_leader_are_ended_before_the_result(mark: str) -> None:
    script = f"{sleeper(mark)} & echo; kill -KILL $$"

    finished = await Processes().run(["sh", "-c", script])

    assert finished.returncode == -signal.SIGKILL
    assert not processes_naming(mark)


async def cancelled_when(task: "asyncio.Task[Finished]", fact: Callable[[], object]) -> None:
    await until_async(fact)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_tool_and_its_children_are_gone_before_the_exception_goes_on(mark: str) -> None:
    script = f"{sleeper(mark)} & {sleeper(mark)} & {sleeper(mark)}"
    task = asyncio.create_task(Processes().run(["sh", "-c", script, mark]))

    await cancelled_when(task, lambda: len(processes_naming(mark)) >= 4)

    assert not processes_naming(mark)


async def test_a_child_that_needs_time_to_end_is_waited_for(mark: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    script = f"(trap 'sleep 0.3; echo done > {note}; exit' TERM; {sleeper(mark)} & echo ready; wait) & exec sleep 1000"
    output = bytearray()
    task = asyncio.create_task(Processes().run(["sh", "-c", script, mark], on_stdout=output.extend))

    await cancelled_when(task, lambda: b"ready" in output)

    assert note.read_text() == "done\n"


@pytest.mark.parametrize("times", [1, 3])
async def test_a_tool_deaf_to_sigterm_is_killed_however_often_it_is_cancelled(
    times: int, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TERMINATE_GRACE_SECONDS", 0.3)
    output = bytearray()
    script = f"trap '' TERM; echo ready; {sleeper(mark)}"
    task = asyncio.create_task(Processes().run(["sh", "-c", script, mark], on_stdout=output.extend))
    await until_async(lambda: b"ready" in output)

    for _ in range(times):
        task.cancel()
        await asyncio.wait([task], timeout=0.05)
        assert not task.done()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not processes_naming(mark)


async def test_a_run_cancelled_while_it_starts_leaves_nothing(mark: str) -> None:
    for turns in range(6):
        task = asyncio.create_task(Processes().run(["sh", "-c", sleeper(mark), mark]))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not processes_naming(mark)


async def test_an_exception_in_a_consumer_ends_the_tool_and_is_raised(mark: str) -> None:
    def refuse(piece: bytes) -> None:
        raise ValueError(piece)

    with pytest.raises(ValueError, match="ready"):
        await Processes().run(["sh", "-c", f"echo ready; {sleeper(mark)}", mark], on_stdout=refuse)

    assert not processes_naming(mark)


async def test_a_timeout_ends_the_tool(mark: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await Processes().run(["sh", "-c", sleeper(mark), mark])

    assert not processes_naming(mark)


async def test_two_tools_run_at_once_and_ending_one_leaves_the_other(mark: str) -> None:
    processes = Processes()
    first = asyncio.create_task(processes.run(["sh", "-c", sleeper(mark), f"{mark}-first"]))
    second = asyncio.create_task(processes.run(["sh", "-c", sleeper(mark), f"{mark}-second"]))
    await until_async(lambda: processes_naming(f"{mark}-second"))

    await cancelled_when(first, lambda: processes_naming(f"{mark}-first"))

    assert processes_naming(f"{mark}-second")
    await cancelled_when(second, lambda: True)


DRIVER = """
import asyncio, ctypes, sys
from cs_archiver.tools.process import Processes
{before}
async def main():
    {main}
asyncio.run(main())
"""


@contextlib.contextmanager
def driver(mark: str, *, main: str, before: str = "") -> Iterator["subprocess.Popen[bytes]"]:
    """A service of its own, which is killed in the end at the latest."""
    command = [sys.executable, "-c", DRIVER.format(main=main, before=before), f"{mark}-driver"]
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "TMPDIR": tempfile.gettempdir()}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as service:
        try:
            yield service
        finally:
            service.kill()


@needs_setpriv
def test_a_tool_dies_with_a_killed_service(mark: str) -> None:
    with driver(mark, main="await Processes().run(['sleep', '1000'])") as service:
        until(lambda: _children(service.pid))
        (child,) = _children(service.pid)
        service.kill()
        service.wait()
        until(lambda: not is_alive(child))


def test_an_interrupted_service_leaves_no_tool(mark: str) -> None:
    with driver(mark, main="await Processes().run(['sleep', '1000'])") as service:
        until(lambda: _children(service.pid))
        (child,) = _children(service.pid)
        service.send_signal(signal.SIGINT)
        service.wait(timeout=20)
        assert not is_alive(child)


def test_orphans_that_nobody_reaps_do_not_hold_up_the_end(mark: str) -> None:
    # As in a container without an init: the service inherits the orphan and leaves it a zombie.
    adopt = "assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0"
    main = "print(await Processes().run(['sh', '-c', 'sleep 1000 & kill -KILL $$']))"
    with driver(mark, main=main, before=adopt) as service:
        out, _ = service.communicate(timeout=20)

    assert b"Finished(returncode=-9" in out


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split() if b"sleep" in _command_line(word)]


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except FileNotFoundError:
        return b""


async def test_the_loop_stays_free_while_a_tool_floods_its_output() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count_turns())
    pieces: list[int] = []
    await Processes().run(["head", "-c", "30000000", "/dev/zero"], on_stdout=lambda p: pieces.append(len(p)))
    counter.cancel()

    assert sum(pieces) == 30_000_000
    assert turns >= len(pieces)
