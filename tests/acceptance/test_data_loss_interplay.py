"""Decisions, data loss: two mishaps that are harmless alone meet; nothing is overwritten, lost or left at work."""

import asyncio
import errno
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.switches import Switches
from cs_archiver.pipeline import places_of
from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Hold
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.workers.retention import Retention
from tests.support.service import (
    Place,
    Service,
    running_service,
    sandbox_settings,
    service_in,
    settings_of,
    uploads,
)
from tests.support.tampering import (
    Kept,
    eventually,
    files_in,
    held_at_globus,
    immutable,
    plant,
    until_at_work,
    until_told,
)

FOREIGN = b"somebody's own file, and the only one"
ARCHIVE = "Project_Alpha.tar.7z"
MARKER = "Project_Alpha-ARCHIVED-TO-GLOBUS.txt"
NO_NAS = "is not there: check the NAS mount; nothing is deleted"


@pytest.mark.parametrize("compare_again", ["true", "false"])
async def test_a_file_that_somebody_puts_at_the_destination_of_a_failed_job_is_not_overwritten_by_a_retry(
    tmp_path: Path, compare_again: str
) -> None:
    async with running_service(tmp_path, VERIFICATION_COMPARE_AGAIN=compare_again) as service:
        folder = plant(service.place.folder())
        async with held_at_globus(service, folder) as job_id:
            (folder / "added.txt").write_text("added meanwhile")
        assert "added.txt" in (await service.until(job_id, "failed"))["error_message"]
        (folder / "added.txt").unlink()
        kept = Kept(folder, tmp_path / "copies")
        foreign = service.place.archive_of(folder)
        foreign.write_bytes(FOREIGN)

        assert (await service.call("POST", f"/api/jobs/{job_id}/retry"))[0] == 200

        job = await service.until(job_id)
        assert (foreign.read_bytes(), kept.losses()) == (FOREIGN, [])
        assert job["status"] == "failed"
        assert len(uploads(service.sandbox)) == 1


async def test_a_file_that_somebody_puts_in_the_place_of_the_upload_while_the_job_is_held_is_not_overwritten(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        kept = Kept(folder, tmp_path / "copies")
        async with held_at_globus(service, folder) as job_id:
            away = service.place.nas.rename(tmp_path / "away")
        await until_told(service, job_id, NO_NAS)
        foreign = service.place.archive_of(folder)
        foreign.write_bytes(FOREIGN)

        away.rename(service.place.nas)

        job = await service.until(job_id)
        assert (foreign.read_bytes(), kept.losses()) == (FOREIGN, [])
        assert job["status"] == "failed"
        assert len(uploads(service.sandbox)) == 1


async def test_a_deletion_held_for_an_immutable_file_goes_on_once_that_is_mended(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        kept = Kept(folder, tmp_path / "copies")
        await service.discover()
        with immutable(folder / "one.mov"):  # to lift it touches the file itself: its ctime is another one
            job_id = await service.submit(folder)
            await until_told(service, job_id, "Held: cannot delete 'one.mov'")

        assert (await service.until(job_id))["status"] == "completed"
        assert files_in(folder) == [MARKER]
        assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


async def lose_the_destination_during_the_deletion(service: Service, folder: Path, backup: Path) -> str:
    """The job, failed, with a part of its source deleted; the backup of the database is from before that."""
    async with held_at_globus(service, folder) as job_id:
        with closing(sqlite3.connect(service.place.database)) as connection:
            connection.execute("VACUUM INTO ?", (str(backup),))
        with immutable(folder / "sub"):
            service.sandbox.faults.release()
            await until_told(service, job_id, "Held: cannot delete 'sub/")
            service.place.archive_of(folder).unlink()
            assert (await service.until(job_id))["status"] == "failed"
    return job_id


async def remove_what_failed_jobs_left(place: Place, url: str) -> None:
    settings = settings_of(place, url)
    database = await Database.open(place.database, read_connections=1)
    try:
        at_once = timedelta(0)
        switches = await Switches.read_from(database)
        await Retention(Jobs(database), SetAside(places_of(settings)), switches, keep=at_once).look(at_once)
    finally:
        await database.close()


async def test_the_only_copy_is_kept_for_good_although_an_older_database_knows_of_no_deletion(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    folder, backup = plant(place.folder()), tmp_path / "backup.db"
    kept = Kept(folder, tmp_path / "copies")
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox) as service:
            job_id = await lose_the_destination_during_the_deletion(service, folder, backup)
        assert not (folder / "one.mov").exists()
        for path in place.database.parent.glob("cs_archiver.db*"):
            path.unlink()
        shutil.copyfile(backup, place.database)
        async with service_in(place, sandbox) as service:
            assert (await service.until(job_id))["status"] == "failed"

        await remove_what_failed_jobs_left(place, sandbox.url)

    only_copy = place.storage / "failed" / job_id / "only-copy" / ARCHIVE
    assert kept.losses_in(only_copy, tmp_path / "scratch") == []


async def sending_when_the_mark_was_lost(place: Place, sandbox: Sandbox, folder: Path) -> str:
    """A job that was sending its archive when the service ended; its task stands still, and is in doubt now."""
    async with service_in(place, sandbox) as service:
        sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        await service.discover()
        job_id = await service.submit(folder)
        await until_told(service, job_id, "Starting Globus upload")
        await until_at_work(sandbox)
    (place.storage / ".cs-archiver.sent").unlink()
    return job_id


async def test_a_cancelled_upload_has_ended_at_globus_although_the_mark_was_lost_meanwhile(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    kept = Kept(folder, tmp_path / "copies")
    async with Sandbox(sandbox_settings(place)) as sandbox:
        job_id = await sending_when_the_mark_was_lost(place, sandbox, folder)
        async with service_in(place, sandbox) as service:
            assert (await service.call("DELETE", f"/api/jobs/{job_id}"))[0] == 204
            await service.until(job_id, "cancelled")

            # Before the cancel came, the doubted task may have been ended already, and another begun in its place.
            assert not any(task.is_unfinished for task in sandbox.tasks.values())
            assert sandbox.tasks
    assert kept.losses() == []


async def test_an_upload_that_is_in_doubt_is_ended_and_another_takes_its_place(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    kept = Kept(folder, tmp_path / "copies")
    async with Sandbox(sandbox_settings(place)) as sandbox:
        job_id = await sending_when_the_mark_was_lost(place, sandbox, folder)
        async with service_in(place, sandbox) as service:
            assert (await service.until(job_id))["status"] == "completed"
        assert [task.status for task in uploads(sandbox)] == ["FAILED", "SUCCEEDED"]
    assert kept.losses_in(place.archive_of(folder), tmp_path / "scratch") == []


async def test_a_comparison_under_way_is_ended_when_comparing_again_is_switched_off(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    kept = Kept(folder, tmp_path / "copies")
    async with Sandbox(sandbox_settings(place)) as sandbox:
        sandbox.faults.add(Operation.RUN, Hold("STUCK"), match="comparison")
        async with service_in(place, sandbox) as service:
            await service.discover()
            job_id = await service.submit(folder)
            await eventually(lambda: len(sandbox.tasks) == 2, what="a comparison")
            await until_at_work(sandbox)
            await service.until(job_id, "upload_verifying")
        async with service_in(place, sandbox, VERIFICATION_COMPARE_AGAIN="false") as service:
            assert (await service.until(job_id))["status"] == "completed"

        assert [task.status for task in sandbox.tasks.values()] == ["SUCCEEDED", "FAILED"]
    assert kept.losses_in(place.archive_of(folder), tmp_path / "scratch") == []


class LockedAtTheFirstDeletion:
    """Another program begins to write to the database, and does not end, when the first file is deleted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, database: Path) -> None:
        self._database = database
        self._really = os.unlink
        self.connection: sqlite3.Connection | None = None
        monkeypatch.setattr(os, "unlink", self._unlink)

    def _unlink(self, path: Any, **options: Any) -> None:
        if self.connection is None and os.fsdecode(path).endswith(".mov"):
            self.connection = sqlite3.connect(self._database, isolation_level=None, check_same_thread=False)
            self.connection.execute("BEGIN IMMEDIATE")
        self._really(path, **options)

    def end(self) -> None:
        assert self.connection is not None
        self.connection.rollback()
        self.connection.close()


async def test_a_deletion_during_which_the_database_is_locked_is_told_and_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        kept = Kept(folder, tmp_path / "copies")
        async with held_at_globus(service, folder) as job_id:
            lock = LockedAtTheFirstDeletion(monkeypatch, service.place.database)
        await eventually(lambda: lock.connection, what="the deletion")
        async with asyncio.timeout(20):  # SQLite waits 5 s for the lock
            while "Database unhealthy" not in str(await service.call("GET", "/api/system/status")):
                await asyncio.sleep(0.05)
        assert (await service.job(job_id))["status"] == "deleting_source"
        assert (folder / MARKER).read_text().endswith("Source deletion: in progress\n")

        lock.end()

        assert (await service.until(job_id))["status"] == "completed"
        assert files_in(folder) == [MARKER]
        assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


class MarkNotWritable:
    """Every write to the mark fails; `attempts` counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.attempts = 0
        self.healed = False
        self._number = number
        self._really = os.pwrite
        monkeypatch.setattr(os, "pwrite", self._pwrite)

    def _pwrite(self, descriptor: int, content: bytes, offset: int) -> int:
        is_mark = os.readlink(f"/proc/self/fd/{descriptor}").endswith("/.cs-archiver.sent")
        if self.healed or not is_mark:
            return self._really(descriptor, content, offset)
        self.attempts += 1
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("error", ["ENOSPC", "EROFS", "EIO"])
async def test_nothing_is_sent_while_the_mark_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    async with running_service(tmp_path, MAX_UPLOAD_RETRIES="1000") as service:
        folder = plant(service.place.folder())
        kept = Kept(folder, tmp_path / "copies")
        mark = MarkNotWritable(monkeypatch, getattr(errno, error))
        await service.discover()
        job_id = await service.submit(folder)
        await until_told(service, job_id, f"cannot write '{service.place.storage}/.cs-archiver.sent'")
        await eventually(lambda: mark.attempts > 3, what="another attempt")
        assert (service.sandbox.tasks, kept.losses()) == ({}, [])

        mark.healed = True

        assert (await service.until(job_id))["status"] == "completed"
        assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []
