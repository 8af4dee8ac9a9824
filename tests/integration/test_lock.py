"""One service a storage folder: a second one, or one that outlives it, is kept out and named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.lock import InstanceLock

HOLDS = """
import sys
from pathlib import Path
from cs_archiver.tools.lock import InstanceLock
lock = InstanceLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
WAITS = "import sys; print('alive', flush=True); sys.stdin.read()"


def start(*argv: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=pass_fds
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def end(process: subprocess.Popen[bytes], *, kill: bool = False) -> None:
    if kill:
        process.kill()
    with process:
        pass


def test_a_second_service_on_the_same_storage_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    other = start(HOLDS, str(tmp_path))
    try:
        with pytest.raises(NeedsOperator) as caught:
            InstanceLock(tmp_path)
        assert f"process {other.pid}" in str(caught.value)
        assert str(tmp_path) in str(caught.value)
    finally:
        end(other)
    InstanceLock(tmp_path).release()


def test_the_lock_of_a_killed_service_does_not_stay(tmp_path: Path) -> None:
    end(start(HOLDS, str(tmp_path)), kill=True)
    lock = InstanceLock(tmp_path)
    assert os.pread(lock.descriptor, 20, 0) == str(os.getpid()).encode()
    lock.release()


def test_two_locks_in_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    with pytest.raises(NeedsOperator):
        InstanceLock(tmp_path)
    lock.release()
    InstanceLock(tmp_path).release()


def test_services_on_different_storage_do_not_meet(tmp_path: Path) -> None:
    locks = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        locks.append(InstanceLock(tmp_path / name))
    for lock in locks:
        lock.release()


def test_a_tool_that_outlives_its_service_keeps_the_next_one_out(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    orphan = start(WAITS, pass_fds=(lock.descriptor,))
    lock.release()
    try:
        with pytest.raises(NeedsOperator) as caught:
            InstanceLock(tmp_path)
        assert "a tool it started" in str(caught.value)
    finally:
        end(orphan)
    InstanceLock(tmp_path).release()


def test_a_child_that_was_not_given_the_lock_does_not_hold_it(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    child = start(WAITS)
    lock.release()
    try:
        InstanceLock(tmp_path).release()
    finally:
        end(child)


def test_being_refused_leaves_no_file_open(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(NeedsOperator):
            InstanceLock(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
    lock.release()


def test_the_lock_file_says_nothing_to_other_users(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    assert (tmp_path / ".cs-archiver.lock").stat().st_mode & 0o077 == 0
    lock.release()


def test_a_lock_file_that_cannot_be_opened_is_told_to_the_operator(tmp_path: Path) -> None:
    (tmp_path / ".cs-archiver.lock").mkdir()
    with pytest.raises(NeedsOperator) as caught:
        InstanceLock(tmp_path)
    assert str(tmp_path) in str(caught.value)
