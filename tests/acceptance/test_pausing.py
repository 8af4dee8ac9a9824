"""Pausing a worker or all deletions, and the hours: what stops, what goes on, and that it outlives the service."""

import asyncio
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Answer, Hold
from tests.faults.oracle import Oracle
from tests.support.service import (
    FINAL,
    Place,
    Service,
    environment,
    history_of,
    pause_by_command,
    query,
    running_service,
    sandbox_settings,
    service_in,
    uploads,
)
from tests.support.tampering import eventually, files_in, held_at_globus, plant, until_told

MARKER = "Project_Alpha-ARCHIVED-TO-GLOBUS.txt"
NAMES = [f"sub{number % 5}/{number:03}.mov" for number in range(200)]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path) as running:
        yield running


async def switch(service: Service, name: str, *, paused: bool) -> dict[str, Any]:
    status, body = await service.call("PUT", f"/api/system/switches/{name}", json={"paused": paused})
    assert status == 200, body
    found: dict[str, Any] = body
    return found


async def until_said(service: Service, job_id: str, words: str, *, seconds: float = 40) -> dict[str, Any]:
    """The job once its present operation holds these words."""
    async with asyncio.timeout(seconds):
        while words not in (job := await service.job(job_id))["current_operation"]:
            await asyncio.sleep(0.02)
    return job


def _make(place: Place, trigger: str) -> None:
    with closing(sqlite3.connect(place.database, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(trigger)
        connection.execute("COMMIT")


class HeldUnlink:
    """The deletion stands still in its call number `at`, which is really made once `let_go` is set.

    Among the first 32, which one thread makes by itself: what the others do meanwhile is up to the clock.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *, at: int) -> None:
        assert at <= 32
        self.reached, self.let_go = threading.Event(), threading.Event()
        self._below, self._left, self._really = str(folder) + "/sub", at, os.unlink
        monkeypatch.setattr(os, "unlink", self._unlink)

    def _unlink(self, name: Any, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None and os.readlink(f"/proc/self/fd/{dir_fd}").startswith(self._below):
            self._left -= 1
            if self._left == 0:
                self.reached.set()
                assert self.let_go.wait(30)
        self._really(name, dir_fd=dir_fd)


class SlowUnlink:
    """Each call below the folder waits, as on a NAS, so that several threads make them; then all stand still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._below, self._really = str(folder), os.unlink
        self.stand_still()
        monkeypatch.setattr(os, "unlink", self._unlink)

    def stand_still(self) -> None:
        """Again, once several threads are at work."""
        self.reached, self.let_go = threading.Event(), threading.Event()
        self._threads: set[int] = set()

    def _unlink(self, name: Any, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None and os.readlink(f"/proc/self/fd/{dir_fd}").startswith(self._below):
            time.sleep(0.005)
            self._threads.add(threading.get_ident())
            if len(self._threads) > 2:
                self.reached.set()
                assert self.let_go.wait(30)
        self._really(name, dir_fd=dir_fd)


@pytest.mark.parametrize("by_command", [False, True], ids=["API", "command"])
async def test_a_deletion_paused_midway_keeps_the_rest_and_completes_when_resumed(
    service: Service, monkeypatch: pytest.MonkeyPatch, by_command: bool
) -> None:
    folder = plant(service.place.folder(), *NAMES)
    oracle = Oracle(folder)
    async with held_at_globus(service, folder) as job_id:
        held = HeldUnlink(monkeypatch, folder, at=20)
    await eventually(held.reached.is_set, what="the deletion at work")
    if by_command:
        await asyncio.to_thread(pause_by_command, service.place, "deletions")
        async with asyncio.timeout(20):
            while not (await service.call("GET", "/api/system/switches"))[1][2]["paused"]:
                await asyncio.sleep(0.02)
    else:
        assert (await switch(service, "deletions", paused=True))["by"] == "admin"
    held.let_go.set()

    job = await until_said(service, job_id, "All deletions are paused by")
    assert job["status"] == "deleting_source"
    assert "what is left of it stays" in job["current_operation"]
    assert len(files_in(folder)) == 200 - 20 + 1, "the one in hand was the last"
    assert (folder / MARKER).read_text().endswith("Source deletion: in progress\n")
    assert oracle.losses(service.place.remote) == []
    assert "Deletion paused: 20 files" in "\n".join(await service.log_of(job_id))
    assert files_in(service.place.storage / "archives") == ["Production/2024/Project_Alpha.tar.7z"]

    if by_command:
        assert await asyncio.to_thread(pause_by_command, service.place, "deletions", resume=True)
    else:
        await switch(service, "deletions", paused=False)
    assert (await service.until(job_id))["status"] == "completed"
    log = "\n".join(await service.log_of(job_id))
    assert "Going on with the deletion: the source is looked at and compared again first" in log
    assert oracle.is_archived_and_gone(service.place.remote)


async def test_a_deletion_by_several_threads_is_paused_stopped_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder(), *NAMES)
    oracle = Oracle(folder)
    slow = SlowUnlink(monkeypatch, folder)
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox) as service:
            await service.discover()
            job_id = await service.submit(folder)
            await eventually(slow.reached.is_set, what="several threads at work")
            await switch(service, "deletions", paused=True)
            slow.let_go.set()
            await until_said(service, job_id, "All deletions are paused by")
            left = len(files_in(folder))
            assert 1 < left < 200
            assert f"Deletion paused: {201 - left} files, " in "\n".join(await service.log_of(job_id))
            slow.stand_still()
            await switch(service, "deletions", paused=False)
            await eventually(slow.reached.is_set, what="several threads at work again")
            threading.Timer(2, slow.let_go.set).start()  # when the service has long been told to stop
        assert 1 < len(files_in(folder)) < left
        assert oracle.losses(place.remote) == []
        async with service_in(place, sandbox) as service:
            assert (await service.until(job_id))["status"] == "completed"
    assert oracle.is_archived_and_gone(place.remote)


async def paused_before_globus_got_its_request(service: Service) -> str:
    """A job whose request was stored and refused; Globus would take it by now, and the transfer is paused."""
    service.sandbox.faults.add(Operation.TRANSFER, Answer(503, "<html>maintenance</html>"), times=None)
    folder = plant(service.place.folder())
    await service.discover()
    job_id = await service.submit(folder)
    await until_said(service, job_id, "Retry 1/")
    await switch(service, "upload", paused=True)
    job = await until_said(service, job_id, "The transfer to Globus is paused by admin")
    assert job["status"] == "uploading"
    service.sandbox.faults.clear()
    return job_id


async def test_a_cancel_sends_nothing_while_the_transfer_is_paused_and_goes_on_afterwards(tmp_path: Path) -> None:
    async with running_service(tmp_path, RETRY_DELAY_SECONDS="1") as service:
        job_id = await paused_before_globus_got_its_request(service)
        assert (await service.call("DELETE", f"/api/jobs/{job_id}"))[0] == 204
        job = await until_said(service, job_id, "is known only once it is sent again")
        assert job["status"] == "uploading"
        assert service.sandbox.tasks == {}
        await switch(service, "upload", paused=False)
        assert (await service.until(job_id))["status"] == "cancelled"


async def test_what_changed_during_the_pause_is_kept(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = plant(service.place.folder(), *NAMES)
    async with held_at_globus(service, folder) as job_id:
        held = HeldUnlink(monkeypatch, folder, at=5)
    await eventually(held.reached.is_set, what="the deletion at work")
    await switch(service, "deletions", paused=True)
    held.let_go.set()
    await until_said(service, job_id, "All deletions are paused by")
    oracle = Oracle(folder)
    (folder / "sub1" / "196.mov").write_text("worked on meanwhile")
    oracle.note()
    await switch(service, "deletions", paused=False)
    assert (await service.until(job_id))["status"] == "failed"
    assert oracle.missing() == []


async def test_no_deletion_begins_while_deletions_are_paused_and_a_cancel_is_served(service: Service) -> None:
    folder = plant(service.place.folder())
    oracle = Oracle(folder)
    await switch(service, "deletions", paused=True)
    await service.discover()
    job_id = await service.submit(folder)
    job = await until_said(service, job_id, "All deletions are paused by admin since")
    assert job["status"] == "upload_verifying"
    assert "Verification 3/3, size matches: passed" in "\n".join(await service.log_of(job_id))
    assert oracle.missing() == []
    assert query(service, "SELECT count(*) FROM audit WHERE action LIKE 'source_deletion%'") == [(0,)]
    status, _ = await service.call("DELETE", f"/api/jobs/{job_id}")
    assert status == 204
    assert (await service.until(job_id))["status"] == "cancelled"
    assert oracle.missing() == []


async def test_a_job_at_the_gate_goes_on_at_once_when_deletions_are_resumed(service: Service) -> None:
    folder = plant(service.place.folder())
    oracle = Oracle(folder)
    await switch(service, "deletions", paused=True)
    await service.discover()
    job_id = await service.submit(folder)
    await until_said(service, job_id, "All deletions are paused by")
    told = [line for line in await service.log_of(job_id) if "All deletions are paused" in line]
    assert len(told) == 1
    await switch(service, "deletions", paused=False)
    assert (await service.until(job_id, seconds=20))["status"] == "completed"
    assert oracle.is_archived_and_gone(service.place.remote)


async def test_a_pause_at_the_last_moment_before_the_move_leaves_the_job_where_it_is(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Committed by another process after the stage's last look, and before the row moves."""
    folder = plant(service.place.folder())
    oracle = Oracle(folder)
    async with held_at_globus(service, folder) as job_id:
        await asyncio.to_thread(
            _make,
            service.place,
            "CREATE TRIGGER a_pause_just_now BEFORE UPDATE OF status ON jobs WHEN NEW.status = 'deleting_source' "
            "BEGIN INSERT OR IGNORE INTO switches VALUES ('deletions_paused', 'now', 'somebody'); END",
        )
    job = await until_said(service, job_id, "All deletions are paused by somebody")
    assert job["status"] == "upload_verifying"
    assert "deleting_source" not in history_of(service, job_id)
    assert oracle.missing() == []


async def test_a_pause_right_after_the_move_leaves_the_source_whole_and_has_every_gate_asked_again(
    service: Service,
) -> None:
    folder = plant(service.place.folder())
    oracle = Oracle(folder)
    async with held_at_globus(service, folder) as job_id:
        await asyncio.to_thread(
            _make,
            service.place,
            "CREATE TRIGGER a_pause_just_now AFTER UPDATE OF status ON jobs WHEN NEW.status = 'deleting_source' "
            "BEGIN INSERT OR IGNORE INTO switches VALUES ('transfer_paused', 'now', 'somebody'); END",
        )
    job = await until_said(service, job_id, "The transfer to Globus is paused by somebody")
    assert job["status"] == "deleting_source"
    assert oracle.missing() == []
    assert files_in(folder) == ["one.mov", "sub/three.mov", "sub/two.mov"]
    await switch(service, "upload", paused=False)
    assert (await service.until(job_id))["status"] == "completed"
    assert "the source is looked at and compared again first" in "\n".join(await service.log_of(job_id))
    assert oracle.is_archived_and_gone(service.place.remote)


@pytest.mark.parametrize(
    ("step", "left"),
    [
        ("require_still_there", ["one.mov", "sub/three.mov", "sub/two.mov"]),
        ("DeleteSource._require_all_gone", [MARKER]),
    ],
    ids=["before the marker", "before the local archive goes"],
)
async def test_a_pause_right_after_a_step_of_the_deletion_keeps_all_that_is_left(
    service: Service, monkeypatch: pytest.MonkeyPatch, step: str, left: list[str]
) -> None:
    folder = plant(service.place.folder())
    archive = service.place.storage / "archives" / "Production" / "2024" / "Project_Alpha.tar.7z"
    really = resolve_name(f"cs_archiver.stages.delete_source:{step}")

    async def then_pause(*args: Any) -> None:
        await really(*args)
        await switch(service, "deletions", paused=True)

    monkeypatch.setattr(f"cs_archiver.stages.delete_source.{step}", then_pause)
    await service.discover()
    job_id = await service.submit(folder)
    await until_said(service, job_id, "the deletion of this source is not finished")
    assert files_in(folder) == left
    assert archive.is_file()
    monkeypatch.undo()
    await switch(service, "deletions", paused=False)
    assert (await service.until(job_id))["status"] == "completed"
    assert not archive.exists()


async def test_paused_worker_ends_the_step_in_hand_and_begins_no_other(service: Service) -> None:
    folder, other = plant(service.place.folder()), plant(service.place.folder("Other"))
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    await service.discover()
    job_id = await service.submit(folder)
    await service.until(job_id, "uploading")
    await until_told(service, job_id, "Globus accepted the transfer")
    await switch(service, "upload", paused=True)
    await switch(service, "copy_compress", paused=True)
    waiting = await service.submit(other)
    queued = await until_said(service, waiting, "Copying and packing is paused by admin")
    assert queued["status"] == "queued"
    service.sandbox.faults.release()
    job = await until_said(service, job_id, "The transfer to Globus is paused by admin")
    assert job["status"] == "upload_verifying"
    _, status = await service.call("GET", "/api/system/status")
    assert [line["name"] for line in status["switches"] if line["paused"]] == ["copy_compress", "upload"]
    assert [warning.split(" by ")[0] for warning in status["warnings"]] == [
        "Copying and packing is paused",
        "The transfer to Globus is paused",
    ]
    for name in ("upload", "copy_compress"):
        await switch(service, name, paused=False)
    assert (await service.until(job_id))["status"] == "completed"
    assert (await service.until(waiting))["status"] == "completed"


async def test_a_task_at_globus_is_followed_although_the_worker_was_paused_before_a_restart(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        async with service_in(place, sandbox) as service:
            await service.discover()
            job_id = await service.submit(folder)
            await until_told(service, job_id, "Globus accepted the transfer")
            await switch(service, "upload", paused=True)
        async with service_in(place, sandbox) as service:
            await until_said(service, job_id, "Uploading")
            sandbox.faults.release()
            await until_said(service, job_id, "The transfer to Globus is paused by admin")
            assert (await service.job(job_id))["status"] == "upload_verifying"


async def test_an_older_task_is_not_ended_for_another_one_while_uploads_are_paused(tmp_path: Path) -> None:
    """It is not followed to its end, as one of this database is: so it is no reason to go on in spite of the pause."""
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        async with service_in(place, sandbox) as service:
            await service.discover()
            job_id = await service.submit(folder)
            await until_told(service, job_id, "Globus accepted the transfer")
            await switch(service, "upload", paused=True)
        with closing(sqlite3.connect(place.database)) as connection, connection:
            connection.execute("UPDATE uploads SET doubted = 1")
        async with service_in(place, sandbox) as service:
            job = await until_said(service, job_id, "The transfer to Globus is paused by admin")
            assert job["status"] == "uploading"
            await asyncio.sleep(0.5)
            assert [task.status for task in uploads(sandbox)] == ["ACTIVE"]
            await switch(service, "upload", paused=False)
            assert (await service.until(job_id))["status"] == "completed"
        assert [task.status for task in uploads(sandbox)] == ["FAILED", "SUCCEEDED"]


async def test_a_request_that_globus_never_got_is_not_sent_while_uploads_are_paused(tmp_path: Path) -> None:
    async with running_service(tmp_path, RETRY_DELAY_SECONDS="1") as service:
        job_id = await paused_before_globus_got_its_request(service)
        await asyncio.sleep(2)
        assert uploads(service.sandbox) == []
        await switch(service, "upload", paused=False)
        assert (await service.until(job_id))["status"] == "completed"


async def _serve(place: Place, url: str) -> asyncio.subprocess.Process:
    environ = {**os.environ, **environment(place, url)}
    config = place.root / "config.toml"
    config.touch()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cs_archiver", "serve", "--config", str(config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=environ,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert b"ready" in await process.stdout.readline()
    return process


async def test_a_pause_outlives_a_kill_and_a_restart_with_the_deletion_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder(), *NAMES)
    oracle = Oracle(folder)
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox) as service:
            async with held_at_globus(service, folder) as job_id:
                held = HeldUnlink(monkeypatch, folder, at=30)
            await eventually(held.reached.is_set, what="the deletion at work")
            await switch(service, "deletions", paused=True)
            held.let_go.set()
            await until_said(service, job_id, "All deletions are paused by")
        killed = await _serve(place, sandbox.url)
        await asyncio.sleep(0)
        killed.send_signal(signal.SIGKILL)
        await killed.wait()
        async with service_in(place, sandbox) as service:
            await until_said(service, job_id, "All deletions are paused by")
            assert len(files_in(folder)) == 200 - 30 + 1
            assert oracle.losses(place.remote) == []
            await switch(service, "deletions", paused=False)
            assert (await service.until(job_id))["status"] == "completed"
    assert oracle.is_archived_and_gone(place.remote)


def _hours(begin: int, end: int) -> str:
    """Hours of the day, so many from now."""
    now = datetime.now().astimezone()
    return f"{now + timedelta(hours=begin):%H:%M}-{now + timedelta(hours=end):%H:%M}"


async def test_outside_the_hours_of_copies_none_begins_and_a_cancel_is_served(tmp_path: Path) -> None:
    hours = _hours(3, 4)
    async with running_service(tmp_path, POLITENESS_COPY_HOURS=hours) as service:
        folder = plant(service.place.folder())
        await service.discover()
        job_id = await service.submit(folder)
        job = await until_said(service, job_id, f"Waits for the hours of copies: from {hours[:5]}")
        assert job["status"] == "queued"
        ((until,),) = query(service, "SELECT not_before FROM jobs WHERE id = ?", job_id)
        assert datetime.fromisoformat(until).astimezone().strftime("%H:%M") == hours[:5]
        assert (await service.call("GET", "/api/system/status"))[1]["warnings"] == []
        assert (await service.call("DELETE", f"/api/jobs/{job_id}"))[0] == 204
        assert (await service.until(job_id))["status"] == "cancelled"


async def test_outside_the_hours_of_uploads_archives_are_made_and_wait(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox, POLITENESS_UPLOAD_HOURS=_hours(3, 4)) as service:
            await service.discover()
            job_id = await service.submit(folder)
            job = await until_said(service, job_id, "Waits for the hours of uploads: from")
            assert job["status"] == "awaiting_upload"
        async with service_in(place, sandbox, POLITENESS_UPLOAD_HOURS=_hours(-1, 1)) as service:
            assert (await service.until(job_id))["status"] == "completed"


async def test_a_probe_that_a_kill_left_costs_no_attempt_and_goes_with_a_cancel(service: Service) -> None:
    for ended_by in ("its end", "a cancel"):
        await switch(service, "copy_compress", paused=True)
        folder = service.place.folder(ended_by)
        (folder / "one.bin").write_bytes(b"x" * 1000)
        await service.discover()
        job_id = await service.submit(folder)
        probe = service.place.storage / "archives" / f".cs-archiver-probe-{job_id}"
        probe.write_bytes(b"half of it")
        if ended_by == "a cancel":
            assert (await service.call("DELETE", f"/api/jobs/{job_id}"))[0] == 204
        await switch(service, "copy_compress", paused=False)
        await service.until(job_id, *FINAL)
        assert not probe.exists(), ended_by
        log = await service.log_of(job_id)
        assert not [line for line in log if "again" in line], log
