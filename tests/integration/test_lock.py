"""One service a storage folder and one a database: a second one, or one that outlives it, is kept out and named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cs_archiver import app
from cs_archiver.errors import NeedsOperator
from cs_archiver.sandbox import Sandbox
from cs_archiver.tools.lock import lock_database, lock_storage
from tests.support.service import Place, history_of, running_service, sandbox_settings, service_in, settings_of
from tests.support.tampering import Wrapper, held_at_globus, plant

HOLDS = """
import sys
from pathlib import Path
from cs_archiver.tools.lock import lock_database, lock_storage
lock = {"storage": lock_storage, "database": lock_database}[sys.argv[1]](Path(sys.argv[2]))
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
    other = start(HOLDS, "storage", str(tmp_path))
    try:
        with pytest.raises(NeedsOperator) as caught:
            lock_storage(tmp_path)
        assert f"process {other.pid}" in str(caught.value)
        assert str(tmp_path) in str(caught.value)
    finally:
        end(other)
    lock_storage(tmp_path).release()


def test_the_lock_of_a_killed_service_does_not_stay(tmp_path: Path) -> None:
    end(start(HOLDS, "storage", str(tmp_path)), kill=True)
    lock = lock_storage(tmp_path)
    assert os.pread(lock.descriptor, 20, 0) == str(os.getpid()).encode()
    lock.release()


def test_two_locks_in_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    lock = lock_storage(tmp_path)
    with pytest.raises(NeedsOperator):
        lock_storage(tmp_path)
    lock.release()
    lock_storage(tmp_path).release()


def test_services_on_different_storage_do_not_meet(tmp_path: Path) -> None:
    locks = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        locks.append(lock_storage(tmp_path / name))
    for lock in locks:
        lock.release()


def test_a_tool_that_outlives_its_service_keeps_the_next_one_out(tmp_path: Path) -> None:
    lock = lock_storage(tmp_path)
    orphan = start(WAITS, pass_fds=(lock.descriptor,))
    lock.release()
    try:
        with pytest.raises(NeedsOperator) as caught:
            lock_storage(tmp_path)
        assert "a tool it started" in str(caught.value)
    finally:
        end(orphan)
    lock_storage(tmp_path).release()


def test_a_child_that_was_not_given_the_lock_does_not_hold_it(tmp_path: Path) -> None:
    lock = lock_storage(tmp_path)
    child = start(WAITS)
    lock.release()
    try:
        lock_storage(tmp_path).release()
    finally:
        end(child)


def test_being_refused_leaves_no_file_open(tmp_path: Path) -> None:
    lock = lock_storage(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(NeedsOperator):
            lock_storage(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
    lock.release()


def test_the_lock_file_says_nothing_to_other_users(tmp_path: Path) -> None:
    lock = lock_storage(tmp_path)
    assert (tmp_path / ".cs-archiver.lock").stat().st_mode & 0o077 == 0
    lock.release()


def test_a_lock_file_that_cannot_be_opened_is_told_to_the_operator(tmp_path: Path) -> None:
    (tmp_path / ".cs-archiver.lock").mkdir()
    with pytest.raises(NeedsOperator) as caught:
        lock_storage(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_second_service_on_the_same_database_is_refused_and_told_which(tmp_path: Path) -> None:
    database = tmp_path / "cs.db"
    other = start(HOLDS, "database", str(database))
    try:
        with pytest.raises(NeedsOperator) as caught:
            lock_database(database)
        assert f"process {other.pid}" in str(caught.value)
        assert f"works on {database}: stop it first, or " in str(caught.value)
    finally:
        end(other)
    lock_database(database).release()


def test_databases_in_one_folder_and_the_storage_they_lie_in_do_not_meet(tmp_path: Path) -> None:
    locks = [lock_storage(tmp_path), *(lock_database(tmp_path / name) for name in ("cs-archiver", "cs-archiver.db"))]
    for lock in locks:
        lock.release()


@pytest.mark.parametrize("linked", ["folder", "file"])
def test_a_database_reached_by_a_link_is_the_same(tmp_path: Path, linked: str) -> None:
    (tmp_path / "real").mkdir()
    database = tmp_path / "real" / "cs.db"
    if linked == "folder":
        (tmp_path / "link").symlink_to(database.parent)
        other = tmp_path / "link" / "cs.db"
    else:
        other = tmp_path / "link.db"
        other.symlink_to(database)
    lock = lock_database(database)
    with pytest.raises(NeedsOperator):
        lock_database(other)
    lock.release()
    lock_database(other).release()


def test_the_lock_of_a_database_leaves_its_file_alone(tmp_path: Path) -> None:
    lock_database(tmp_path / "cs.db").release()
    assert os.listdir(tmp_path) == [".cs.db-lock"]


async def test_a_second_service_with_another_storage_but_the_same_database_is_refused_and_the_first_goes_on(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path).make()
    other = tmp_path / "other storage"
    other.mkdir()
    async with Sandbox(sandbox_settings(place)) as sandbox, service_in(place, sandbox) as service:
        folder = plant(place.folder())
        async with held_at_globus(service, folder) as job_id:
            before = place.database.read_bytes(), history_of(service, job_id)
            with pytest.raises(NeedsOperator) as caught:
                async with app.running(settings_of(place, sandbox.url, STORAGE_BASE_PATH=str(other))):
                    pass
            assert f"process {os.getpid()}" in str(caught.value)
            assert f"works on {place.database}: stop it first, or " in str(caught.value)
            assert os.listdir(other) == [".cs-archiver.lock"], "nothing was begun there"
            assert (place.database.read_bytes(), history_of(service, job_id)) == before
        assert (await service.until(job_id))["status"] == "completed"
    lock_storage(other).release()


async def test_every_tool_of_a_service_holds_the_locks_of_its_storage_and_its_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherited = tmp_path / "inherited"
    Wrapper(monkeypatch, tmp_path / "bin", "7z").set(before=f"readlink /proc/$$/fd/* >{inherited}")
    async with running_service(tmp_path) as service:
        place = service.place
    locks = {place.storage / ".cs-archiver.lock", place.database.with_name(".cs_archiver.db-lock")}
    assert locks <= {Path(line) for line in inherited.read_text().splitlines()}
