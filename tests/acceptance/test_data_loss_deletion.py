"""Decisions, data loss 6: the marker comes before the first unlink, and a deletion goes on safely."""

import asyncio
import errno
import itertools
import os
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cs_archiver.domain.job import Job
from cs_archiver.sandbox import Sandbox
from cs_archiver.stages import source
from cs_archiver.stages.source import Approvals
from cs_archiver.tools.deletion import ApprovedDeletion
from cs_archiver.tools.mark import SentMark
from tests.support.service import (
    DESTINATION,
    Place,
    Service,
    query,
    running_service,
    sandbox_settings,
    service_in,
)
from tests.support.tampering import (
    Kept,
    eventually,
    files_in,
    held_at_globus,
    held_in_the_queue,
    immutable,
    plant,
    rewrite_in_place,
    until_half_deleted,
    until_told,
)

MARKER = "Project_Alpha-ARCHIVED-TO-GLOBUS.txt"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path) as running:
        yield running


async def until_written_anew(marker: Path) -> None:
    before = marker.stat().st_mtime_ns
    await eventually(lambda: marker.stat().st_mtime_ns != before, what="the marker written anew")


async def test_a_deletion_that_stops_halfway_is_held_told_and_goes_on_when_mended(
    service: Service, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    with ExitStack() as closed:
        job_id = await until_half_deleted(service, folder, closed)
        job = await service.job(job_id)
        marker = (folder / MARKER).read_text()

        assert job["status"] == "deleting_source"
        assert f"Globus path: {job['globus_destination_path']}\nJob ID: {job_id}\n" in marker
        assert marker.endswith("Source deletion: in progress\n")
        assert files_in(folder) == [MARKER, "sub/three.mov", "sub/two.mov"]
        assert query(service, "SELECT source_deleted_at FROM archives WHERE job_id = ?", job_id) == [(None,)]
        assert files_in(service.place.storage / "archives") == ["Production/2024/Project_Alpha.tar.7z"]

        for _ in range(3):  # each time that it tries again
            await until_written_anew(folder / MARKER)

    assert (await service.until(job_id))["status"] == "completed"
    assert sum("Marker written" in line for line in await service.log_of(job_id)) == 1
    assert files_in(folder) == [MARKER]
    assert (folder / MARKER).read_text().endswith("Source deletion: is complete\n")
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


def path_of(name: Any, options: dict[str, Any]) -> str:
    """The whole path of what a call of os names relative to a descriptor."""
    folder = options.get("dir_fd", options.get("src_dir_fd"))
    at = "" if folder is None else os.readlink(f"/proc/self/fd/{folder}")
    return os.path.join(at, os.fsdecode(name))


class Order:
    """Writes down what is made durable, linked and unlinked below a folder, while it is really done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, below: Path) -> None:
        self.events: list[str] = []
        self._below = str(below)
        for name in ("fsync", "link", "unlink"):
            monkeypatch.setattr(os, name, self._noted(name, getattr(os, name)))

    def _noted(self, name: str, really: Callable[..., Any]) -> Callable[..., Any]:
        def call(what: Any, *more: Any, **options: Any) -> Any:
            where = os.readlink(f"/proc/self/fd/{what}") if name == "fsync" else path_of(what, options)
            if where.startswith(self._below):
                self.events.append(f"{name} {os.path.relpath(where, self._below)}")
            return really(what, *more, **options)

        return call


async def test_the_marker_is_durable_before_the_first_unlink(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = plant(service.place.folder())
    async with held_at_globus(service, folder) as job_id:
        order = Order(monkeypatch, folder)

    assert (await service.until(job_id))["status"] == "completed"
    temporary = f".cs-archiver-{job_id}.tmp"
    events = [event for event in order.events if event != f"unlink {temporary}"]
    assert events[:3] == [f"fsync {temporary}", f"link {temporary}", "fsync ."]
    assert sorted(events[3:6]) == ["unlink one.mov", "unlink sub/three.mov", "unlink sub/two.mov"]
    assert events[6:] == ["fsync .", f"fsync {MARKER}", "fsync ."]


@pytest.mark.parametrize("where", [".", "sub"])
async def test_what_comes_while_the_deletion_runs_stays_and_does_not_stop_it(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    late, unlink = folder / where / "Thumbs.db", os.unlink

    def unlinking(path: Any, **options: Any) -> None:
        if os.fsdecode(path).endswith("three.mov") and "dir_fd" in options:
            late.write_bytes(b"written by a file manager")
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", unlinking)
    job = await service.archive(folder)

    assert job["status"] == "completed", job
    assert late.read_bytes() == b"written by a file manager"
    assert files_in(folder) == sorted([MARKER, str(late.relative_to(folder))])
    assert (folder / MARKER).read_text().endswith("Source deletion: is complete\n")
    [told] = [line for line in await service.log_of(job["job_id"]) if "left where found" in line]
    assert told.startswith("WARNING Not in the archive, and left where found: 1 entry that came after")
    assert str(late.relative_to(folder)) in told
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


async def test_a_folder_that_only_seems_to_be_gone_is_removed_before_the_job_completes(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(service.place.folder())
    refused, rmdir = asyncio.Event(), os.rmdir

    def removing(path: Any, **options: Any) -> None:
        if os.fsdecode(path) == "sub" and "dir_fd" in options and not refused.is_set():
            refused.set()
            raise FileNotFoundError(2, "No such file or directory")
        rmdir(path, **options)

    monkeypatch.setattr(os, "rmdir", removing)
    job = await service.archive(folder)

    assert refused.is_set()
    assert job["status"] == "completed", job
    assert os.listdir(folder) == [MARKER]
    assert any("'sub' and 0 more are still there" in line for line in await service.log_of(job["job_id"]))


async def test_nothing_is_deleted_while_the_marker_cannot_be_written(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder(), "sub/one.mov", "sub/two.mov")
    kept = Kept(folder, tmp_path / "copies")
    async with held_at_globus(service, folder) as job_id:
        with immutable(folder):
            service.sandbox.faults.release()
            await until_told(service, job_id, "Held: cannot write the marker file")
            assert kept.losses() == []

    assert (await service.until(job_id))["status"] == "completed"


def put_another_of_the_same_size_there(archive: Path) -> None:
    status = archive.stat()
    archive.unlink()
    archive.write_bytes(os.urandom(status.st_size))
    os.utime(archive, (status.st_atime, status.st_mtime + 3600))


async def test_nothing_is_deleted_when_after_the_verification_another_file_took_the_place_of_the_archive(
    service: Service, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    async with held_at_globus(service, folder) as job_id:
        with immutable(folder):
            service.sandbox.faults.release()
            await until_told(service, job_id, "Held: cannot write the marker file")
            assert (await service.job(job_id))["status"] == "deleting_source"
            put_another_of_the_same_size_there(service.place.archive_of(folder))
            job = await service.until(job_id)

    assert job["status"] == "failed"
    assert "The verified archive is no longer at" in job["error_message"]
    assert kept.losses() == []
    assert any(name.endswith("Project_Alpha.tar.7z") for name in files_in(service.place.storage))


async def test_nothing_more_is_deleted_when_meanwhile_another_file_took_the_place_of_the_archive(
    service: Service, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    with ExitStack() as closed:
        job_id = await until_half_deleted(service, folder, closed)
        put_another_of_the_same_size_there(service.place.archive_of(folder))
        job = await service.until(job_id)

    assert job["status"] == "failed"
    assert "The verified archive is no longer at" in job["error_message"]
    assert files_in(folder) == [MARKER, "sub/three.mov", "sub/two.mov"]
    assert any(name.endswith("Project_Alpha.tar.7z") for name in files_in(service.place.storage))


async def test_a_file_of_the_markers_own_name_is_not_overwritten_by_a_job_that_fails(
    service: Service, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    async with held_in_the_queue(service, folder) as job_id:
        (folder / MARKER).write_text("notes of a person\n")
        kept = Kept(folder, tmp_path / "copies")

    job = await service.until(job_id)

    assert job["status"] == "completed" or kept.losses() == [], job["error_message"]


class Gate:
    """Stops the thread that deletes at the second film it unlinks below a folder, until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, below: Path) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self._unlinks = 0
        unlink = os.unlink

        def call(what: Any, **options: Any) -> None:
            if str(below) in path_of(what, options) and os.fsdecode(what).endswith(".mov"):
                self._unlinks += 1
                if self._unlinks == 2:
                    self.reached.set()
                    assert self.open.wait(30)
            unlink(what, **options)

        monkeypatch.setattr(os, "unlink", call)


async def test_a_file_of_the_markers_name_that_came_after_the_last_look_is_kept_and_nothing_is_deleted(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(service.place.folder())
    copies: list[Kept] = []
    fsync = os.fsync

    def call(descriptor: int) -> None:
        fsync(descriptor)
        is_mark = os.readlink(f"/proc/self/fd/{descriptor}").endswith(".cs-archiver.sent")
        if is_mark and SentMark(service.place.storage).read() == 3:  # after upload and comparison: the deletion's own
            replace_marker(folder)
            copies.append(Kept(folder, tmp_path / "copies"))

    async with held_at_globus(service, folder) as job_id:
        monkeypatch.setattr(os, "fsync", call)

    job = await service.until(job_id)
    assert job["status"] == "failed"
    assert "somebody's own file stands in" in job["error_message"]
    assert [kept.losses() for kept in copies] == [[]]


async def test_a_file_that_takes_the_markers_name_while_it_is_written_is_kept_and_nothing_is_deleted(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(service.place.folder())
    before = files_in(folder)

    def first_their_file(really: Callable[..., Any]) -> Callable[..., Any]:
        def call(what: Any, *more: Any, **options: Any) -> Any:
            if path_of(what, options).startswith(f"{folder}/.cs-archiver-"):
                replace_marker(folder)
            return really(what, *more, **options)

        return call

    async with held_at_globus(service, folder) as job_id:
        for name in ("link", "rename"):
            monkeypatch.setattr(os, name, first_their_file(getattr(os, name)))

    job = await service.until(job_id)
    assert (folder / MARKER).read_text() == "notes of a person\n"
    assert files_in(folder) == [MARKER, *before]
    assert job["status"] == "failed"
    assert "somebody's own file stands in" in job["error_message"]


async def test_a_file_that_took_the_markers_place_during_the_deletion_is_not_overwritten_at_its_end(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(service.place.folder())
    gate = Gate(monkeypatch, folder)
    await service.discover()
    job_id = await service.submit(folder)
    await eventually(gate.reached.is_set, what="the second unlink")
    replace_marker(folder)
    gate.open.set()

    job = await service.until(job_id)
    assert (folder / MARKER).read_text() == "notes of a person\n"
    assert job["status"] == "failed"
    assert "somebody's own file stands in" in job["error_message"]


async def while_two_are_left(service: Service, gate: Gate, change: Callable[[Path], None]) -> dict[str, Any]:
    """The job at its end, when what its deletion comes to last was changed in the middle of it."""
    folder = service.place.folder()
    await service.discover()
    job_id = await service.submit(folder)
    await eventually(gate.reached.is_set, what="the second unlink")
    change(folder / "sub/two.mov")
    gate.open.set()
    return await service.until(job_id)


async def test_what_only_gets_another_mode_while_the_deletion_runs_is_compared_again_and_deleted(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    job = await while_two_are_left(service, Gate(monkeypatch, folder), lambda film: film.chmod(0o640))
    assert job["status"] == "completed", job
    assert files_in(folder) == [MARKER]
    log = "\n".join(await service.log_of(job["job_id"]))
    assert log.count("looked at and compared again first") == 1
    assert "Deletion stopped: 2 files, " in log
    assert "Source deleted: 1 file, " in log
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


async def test_a_deletion_waits_for_somebody_who_goes_on_changing_modes(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    stat, modes, at_work = os.stat, itertools.cycle([0o640, 0o644]), threading.Event()
    at_work.set()

    def changed_before_each_look(name: Any, **options: Any) -> os.stat_result:
        if at_work.is_set() and name == b"two.mov" and "dir_fd" in options and (folder / MARKER).exists():
            (folder / "sub/two.mov").chmod(next(modes))
        return stat(name, **options)

    async with held_at_globus(service, folder) as job_id:
        monkeypatch.setattr(os, "stat", changed_before_each_look)
    await until_told(service, job_id, "somebody is at work in the source while it is deleted")
    assert (await service.job(job_id))["status"] == "deleting_source"
    assert (folder / "sub/two.mov").exists()
    at_work.clear()
    assert (await service.until(job_id))["status"] == "completed"
    assert files_in(folder) == [MARKER]
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


@pytest.mark.parametrize("recheck", ["hash", "metadata"])
async def test_what_gets_another_content_while_the_deletion_runs_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recheck: str
) -> None:
    async with running_service(tmp_path, VERIFICATION_RECHECK=recheck) as service:
        folder = plant(service.place.folder())
        content = b"other bytes".ljust((folder / "sub/two.mov").stat().st_size, b".")
        job = await while_two_are_left(service, Gate(monkeypatch, folder), lambda film: rewrite_in_place(film, content))
    assert job["status"] == "failed"
    assert "What is left of the source is kept" in job["error_message"]
    assert (folder / "sub/two.mov").read_bytes() == content


async def test_what_gets_another_content_while_a_deletion_is_held_is_kept_also_without_a_second_reading(
    tmp_path: Path,
) -> None:
    content = b"other bytes"
    async with running_service(tmp_path, VERIFICATION_RECHECK="metadata") as service:
        folder = plant(service.place.folder())
        with ExitStack() as closed:
            job_id = await until_half_deleted(service, folder, closed)
            film = folder / "sub/two.mov"
            content = content.ljust(film.stat().st_size, b".")
            rewrite_in_place(film, content)
        assert (await service.until(job_id))["status"] == "failed"
    assert film.read_bytes() == content


def with_notes(marker: bytes) -> bytes:
    return marker + b"\nUser: Kim. Ask before you restore this.\n"


def as_windows_saves_it(marker: bytes) -> bytes:
    return marker.replace(b"\n", b"\r\n")


def below_long_notes(marker: bytes) -> bytes:
    return b"notes\n" * 2_000 + marker


@pytest.mark.parametrize("people_make", [with_notes, as_windows_saves_it, below_long_notes])
@pytest.mark.parametrize("restarted", [False, True])
async def test_what_people_make_of_the_marker_meanwhile_stays_and_stops_nothing(
    tmp_path: Path, people_make: Callable[[bytes], bytes], restarted: bool
) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        with ExitStack() as closed:
            async with service_in(place, sandbox) as service:
                job_id = await until_half_deleted(service, folder, closed)
                made = people_make((folder / MARKER).read_bytes())
                (folder / MARKER).write_bytes(made)
                if not restarted:
                    closed.close()
                    assert (await service.until(job_id))["status"] == "completed"
        if restarted:
            async with service_in(place, sandbox) as service:
                assert (await service.until(job_id))["status"] == "completed"
    assert (folder / MARKER).read_bytes() == made.replace(b"in progress", b"is complete")


async def test_a_deletion_after_which_a_file_is_still_there_is_not_complete(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(service.place.folder())
    unlink = os.unlink

    def only_said(what: Any, **options: Any) -> None:
        if path_of(what, options) != str(folder / "one.mov"):
            unlink(what, **options)

    monkeypatch.setattr(os, "unlink", only_said)
    await service.discover()
    job_id = await service.submit(folder)
    await until_told(service, job_id, "Held: 'one.mov' and 0 more are still there after their deletion")
    assert (folder / MARKER).read_text().endswith("Source deletion: in progress\n")
    assert query(service, "SELECT source_deleted_at FROM archives WHERE job_id = ?", job_id) == [(None,)]

    monkeypatch.setattr(os, "unlink", unlink)

    assert (await service.until(job_id))["status"] == "completed"
    assert files_in(folder) == [MARKER]


@pytest.mark.parametrize(("call", "caller"), [("lstat", "scan_tree"), ("scandir", "_names_in")])
async def test_a_deletion_whose_end_cannot_be_looked_at_is_held_until_it_can(
    service: Service, monkeypatch: pytest.MonkeyPatch, call: str, caller: str
) -> None:
    folder = plant(service.place.folder())
    real = getattr(os, call)
    refusals: list[Any] = []

    def refused(what: Any, **options: Any) -> Any:
        if sys._getframe(1).f_code.co_name == caller and files_in(folder) == [MARKER]:
            refusals.append(what)
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(what, **options)

    await service.discover()
    job_id = await service.submit(folder)
    monkeypatch.setattr(os, call, refused)
    assert "Permission denied" in await until_told(service, job_id, "Held: cannot ")
    async with asyncio.timeout(30):
        while len(refusals) < 5:  # it is also looked at anew, from the manifest on
            await asyncio.sleep(0.02)
    assert (await service.job(job_id))["current_operation"].startswith("Held: cannot ")
    assert query(service, "SELECT source_deleted_at FROM archives WHERE job_id = ?", job_id) == [(None,)]

    monkeypatch.setattr(os, call, real)

    assert (await service.until(job_id))["status"] == "completed"
    assert (folder / MARKER).read_text().endswith("Source deletion: is complete\n")


async def test_a_file_that_came_back_under_its_old_name_during_the_deletion_is_kept_and_told(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(service.place.folder())
    film = folder / "one.mov"
    unlink = os.unlink

    def then_made_anew(what: Any, **options: Any) -> None:
        unlink(what, **options)
        if path_of(what, options) == str(film):
            film.write_text("not in the archive\n")

    monkeypatch.setattr(os, "unlink", then_made_anew)
    job = await service.archive(folder)
    assert film.read_text() == "not in the archive\n"
    assert job["status"] == "failed"
    assert "What is left of the source is kept" in job["error_message"]
    assert "'one.mov' and 0 more are still there" in "\n".join(await service.log_of(job["job_id"]))
    assert (folder / MARKER).read_text().endswith("Source deletion: in progress\n")


async def test_a_deletion_goes_on_where_the_service_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder(), *(f"sub/{number}.mov" for number in range(6)))
    kept = Kept(folder, tmp_path / "copies")
    async with Sandbox(sandbox_settings(place)) as sandbox:
        gate = Gate(monkeypatch, folder)
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(service_in(place, sandbox))
            await service.discover()
            job_id = await service.submit(folder)
            await eventually(gate.reached.is_set, what="the second unlink")
            [workers] = [task for task in asyncio.all_tasks() if task.get_name() == "workers"]
            stopping = asyncio.create_task(stack.pop_all().aclose())
            await eventually(workers.cancelling, what="the end of the workers")
            gate.open.set()
            await stopping
        assert len(files_in(folder)) == 5
        assert (folder / MARKER).read_text().endswith("Source deletion: in progress\n")

        async with service_in(place, sandbox) as service:
            assert (await service.until(job_id))["status"] == "completed"
            assert "looked at and compared again first" in "\n".join(await service.log_of(job_id))
        assert files_in(folder) == [MARKER]
        assert (folder / MARKER).read_text().endswith("Source deletion: is complete\n")
    assert kept.losses_in(place.archive_of(folder), tmp_path / "scratch") == []


async def test_what_was_approved_long_before_the_deletion_begins_is_looked_at_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the database was out of order in between, or the host slept."""
    folder = plant(service.place.folder())
    give = Approvals.give

    def then_wait(approvals: Approvals, job: Job, approved: ApprovedDeletion) -> None:
        give(approvals, job, approved)
        (folder / "sub" / "added.mov").write_text("not in the archive\n")
        later = source.seconds_since_boot() + 3600
        monkeypatch.setattr(source, "seconds_since_boot", lambda: later)

    monkeypatch.setattr(Approvals, "give", then_wait)
    job = await service.archive(folder)
    assert job["status"] == "failed"
    assert "'sub/added.mov' added" in job["error_message"]
    assert files_in(folder) == ["one.mov", "sub/added.mov", "sub/three.mov", "sub/two.mov"]


def edit_what_is_left(folder: Path) -> None:
    left = folder / "sub" / "two.mov"
    rewrite_in_place(left, b"X" * left.stat().st_size)


def add_beside_what_is_left(folder: Path) -> None:
    (folder / "sub" / "new.mov").write_text("not in the archive\n")


def bring_back_what_was_deleted(folder: Path) -> None:
    (folder / "one.mov").write_text("not in the archive\n")


def replace_marker(folder: Path) -> None:
    (folder / MARKER).write_text("notes of a person\n")


async def left_half_deleted(place: Place, sandbox: Sandbox, folder: Path) -> str:
    """A job whose deletion goes on when the service is started again, which ended in the middle of it."""
    with ExitStack() as closed:
        async with service_in(place, sandbox) as service:
            return await until_half_deleted(service, folder, closed)


@pytest.mark.parametrize(
    "change", [edit_what_is_left, add_beside_what_is_left, bring_back_what_was_deleted, replace_marker]
)
async def test_what_is_left_is_proven_again_before_a_deletion_goes_on(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        job_id = await left_half_deleted(place, sandbox, folder)
        change(folder)
        kept = Kept(folder, tmp_path / "copies")

        async with service_in(place, sandbox) as service:
            job = await service.until(job_id)

    assert job["status"] == "failed"
    assert "What is left of the source is kept" in job["error_message"]
    assert kept.losses() == []


async def test_a_deletion_goes_on_at_the_collection_where_the_archive_was_verified_whatever_is_set_since(
    tmp_path: Path,
) -> None:
    place, other = Place(tmp_path).make(), str(uuid4())
    folder = plant(place.folder())
    (tmp_path / "elsewhere").mkdir()
    collections = {**sandbox_settings(place).collections, other: tmp_path / "elsewhere"}
    async with Sandbox(replace(sandbox_settings(place), collections=collections)) as sandbox:
        job_id = await left_half_deleted(place, sandbox, folder)
        async with service_in(place, sandbox, GLOBUS_DESTINATION_ENDPOINT=other) as service:
            assert (await service.until(job_id))["status"] == "completed"
    assert f"Globus collection: {DESTINATION}\n" in (folder / MARKER).read_text()
    assert files_in(folder) == [MARKER]


async def test_a_folder_put_in_the_place_of_one_half_deleted_is_kept_and_the_job_says_how_it_can_end(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        job_id = await left_half_deleted(place, sandbox, folder)
        folder.rename(tmp_path / "the one copied")
        shutil.copytree(tmp_path / "the one copied", folder)
        kept = Kept(folder, tmp_path / "copies")
        async with service_in(place, sandbox) as service:
            await until_told(service, job_id, "is gone for good, give this one another name: then the job ends")
            assert kept.losses() == []
            kept.folder = folder.rename(folder.with_name("Another name"))
            assert (await service.until(job_id))["status"] == "failed"
    assert kept.losses() == []


async def test_who_retries_a_deletion_whose_archive_is_gone_is_told_where_the_only_copy_is(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        with ExitStack() as closed:
            job_id = await until_half_deleted(service, folder, closed)
            service.place.archive_of(folder).unlink()
        assert "is no longer at" in (await service.until(job_id))["error_message"]
        status, body = await service.call("POST", f"/api/jobs/{job_id}/retry")
    assert (status, body["type"]) == (409, "/problems/deletion-has-begun")
    assert "safe" not in body["detail"]
    assert f"failed/{job_id}/only-copy" in body["detail"]
    assert os.listdir(service.place.storage / "failed" / job_id / "only-copy") == ["Project_Alpha.tar.7z"]


async def test_an_archive_that_is_gone_is_never_called_safe_whatever_came_to_the_source(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        job_id = await left_half_deleted(place, sandbox, folder)
        place.archive_of(folder).unlink()
        (folder / "new.txt").write_text("new")
        async with service_in(place, sandbox) as service:
            said = (await service.until(job_id))["error_message"]
            status, body = await service.call("POST", f"/api/jobs/{job_id}/retry")
    assert "is no longer at" in said
    assert "safe" not in said + body["detail"]
    assert (status, f"failed/{job_id}/only-copy" in body["detail"]) == (409, True)
    assert (folder / "new.txt").read_text() == "new"


async def test_a_deletion_does_not_go_on_when_the_archive_is_no_longer_at_the_destination(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        job_id = await left_half_deleted(place, sandbox, folder)
        place.archive_of(folder).unlink()
        written_at = (folder / MARKER).stat().st_mtime_ns

        async with service_in(place, sandbox) as service:
            await until_told(service, job_id, "looked at and compared again first\n")

    assert (folder / MARKER).stat().st_mtime_ns == written_at
    assert files_in(folder / "sub") == ["three.mov", "two.mov"]
    assert len([name for name in files_in(place.storage) if name.endswith("Project_Alpha.tar.7z")]) == 1
