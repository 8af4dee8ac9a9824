"""What people are told of real jobs: once, also across restarts, and never at the cost of a job."""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Fail
from cs_archiver.services import status as status_module
from cs_archiver.services.notify import watcher
from cs_archiver.services.notify.watcher import Rhythm
from tests.support.inbox import Inbox, running_inbox
from tests.support.service import Place, Service, free_port, running_service, sandbox_settings, service_in
from tests.support.tampering import held_at_globus, held_in_the_queue, plant, until_told

QUICK = Rhythm(tick=0.2, gather=0.3, spacing=1.0, calm=0.5, held=0.3, database=0.3, disk=0.2)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "RHYTHM", QUICK)


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with running_inbox() as running:
        yield running


def told_of(inbox: Inbox, *events: str, **more: str) -> dict[str, str]:
    port = free_port()
    return {
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "NOTIFY_URLS": inbox.url,
        "NOTIFY_EVENTS": json.dumps(events),
        "MAX_UPLOAD_RETRIES": "0",
        **more,
    }


async def fail(service: Service, folder: Path) -> str:
    service.sandbox.faults.add(Operation.RUN, Fail())
    job = await service.archive(plant(folder))
    assert job["status"] == "failed"
    return str(job["job_id"])


async def quiet(place: Place, inbox: Inbox, count: int) -> None:
    """So many messages, and no more after several looks: what is to be told stands in the state before it is sent."""
    await inbox.until(count)
    await asyncio.sleep(8 * QUICK.tick)
    async with asyncio.timeout(20):
        while json.loads(state_of(place).read_text())["unsent"]:
            await asyncio.sleep(0.05)
    assert len(inbox.messages) == count, inbox.subjects


def state_of(place: Place) -> Path:
    return place.database.with_suffix(".notified.json")


async def test_failed_job_is_told_once_with_what_where_and_what_to_do(tmp_path: Path, inbox: Inbox) -> None:
    place = Place(tmp_path).make()
    settings = told_of(inbox, "failed")
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox, **settings) as service:
            job_id = await fail(service, place.folder())
            reason = (await service.job(job_id))["error_message"]
            (message,) = await inbox.until(1)
        assert message["title"] == "CS Archiver: job failed: Project_Alpha"
        assert message["type"] == "failure"
        lines = message["message"].splitlines()
        assert lines[0] == f"What: {reason}"
        assert lines[1] == f"Where: {place.folder()}"
        assert lines[3] == "What to do: what it names. A retry is on the job's page. The source is untouched."
        assert lines[5] == f"{settings['PUBLIC_URL']}/jobs/{job_id}"
        assert state_of(place).stat().st_mode & 0o777 == 0o600
        async with service_in(place, sandbox, **settings) as service:
            await quiet(place, inbox, 1)
            await service.call("POST", f"/api/jobs/{job_id}/retry")
            await service.until(job_id, "completed")
            await quiet(place, inbox, 1)  # completed is not among the events


async def test_many_failures_are_one_message_and_those_that_follow_wait_for_the_next(
    tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "RHYTHM", Rhythm(tick=0.2, gather=0.2, spacing=8.0))
    async with running_service(tmp_path, **told_of(inbox, "failed")) as service:
        first = await fail(service, service.place.folder("Project_0"))
        await inbox.until(1)
        service.sandbox.faults.add(Operation.RUN, Fail(), times=None)
        folders = [plant(service.place.folder(f"Project_{number}")) for number in range(1, 5)]
        await service.discover()
        jobs = [await service.submit(folder) for folder in folders]
        for job_id in jobs:
            await service.until(job_id, "failed")
        await quiet(service.place, inbox, 2)
    one, several = inbox.messages
    assert first in one["message"]
    assert several["title"] == "CS Archiver: 4 jobs failed"
    assert [line.split(":")[0] for line in several["message"].splitlines()[:4]] == [
        f"- Project_{number}" for number in range(1, 5)
    ]
    assert all(f"{service.address}/jobs/{job_id}" in several["message"] for job_id in jobs)


async def test_completed_jobs_are_told_where_that_is_wanted(tmp_path: Path, inbox: Inbox) -> None:
    async with running_service(tmp_path, **told_of(inbox, "completed", PUBLIC_URL="")) as service:
        await service.archive(plant(service.place.folder()))
        (message,) = await inbox.until(1)
    assert (message["title"], message["type"]) == ("CS Archiver: completed: Project_Alpha", "success")
    assert re.search(r"What: \d+ B archived and proven, then deleted at the source", message["message"])
    assert "http" not in message["message"]


async def test_name_of_a_folder_arrives_as_it_is(tmp_path: Path, inbox: Inbox) -> None:
    async with running_service(tmp_path, **told_of(inbox, "completed")) as service:
        job = await service.archive(plant(service.place.folder("<i> {{ x }} @everyone Æ %s")))
        assert job["status"] == "completed", job
        (message,) = await inbox.until(1)
    assert message["title"] == "CS Archiver: completed: <i> {{ x }} @everyone Æ %s"
    assert "<i> {{ x }} @everyone Æ %s" in message["message"]


async def test_held_job_is_told_when_it_begins_and_when_it_is_over_also_across_a_restart(
    tmp_path: Path, inbox: Inbox
) -> None:
    place = Place(tmp_path).make()
    settings = told_of(inbox, "needs_attention")
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with (
            service_in(place, sandbox, **settings) as service,
            held_in_the_queue(service, plant(place.folder())) as job_id,
        ):
            await quiet(place, inbox, 1)
            async with asyncio.timeout(20):
                while not state_of(place).exists() or job_id not in state_of(place).read_text():
                    await asyncio.sleep(0.05)
            kept = state_of(place).read_bytes()
        # Ended and begun again while it was held: this is what stood there then.
        (begun,) = inbox.messages[:1]
        assert begun["title"] == "CS Archiver: needs attention: Project_Alpha"
        assert "Held: looking up Globus collection" in begun["message"]
        await asyncio.to_thread(state_of(place).write_bytes, kept)
        async with service_in(place, sandbox, **settings) as service:
            await service.until(job_id, "completed")
            await quiet(place, inbox, 2)
    assert inbox.subjects[1] == "CS Archiver: over: needs attention: Project_Alpha"


async def test_queue_in_which_nothing_moves_is_told_and_that_it_moves_again(tmp_path: Path, inbox: Inbox) -> None:
    settings = told_of(inbox, "queue_stuck", NOTIFY_QUEUE_STUCK_HOURS="0.0005")
    async with running_service(tmp_path, **settings) as service:
        async with held_at_globus(service, plant(service.place.folder())) as job_id:
            (stuck,) = await inbox.until(1)
            assert stuck["title"] == "CS Archiver: the queue is stuck"
            assert "1 job in the queue, and none has moved for 0.0005 hours" in stuck["message"]
            assert f"{service.address}/queue" in stuck["message"]
        await service.until(job_id, "completed")
        await quiet(service.place, inbox, 2)
    assert inbox.subjects[1] == "CS Archiver: over: the queue is stuck"


async def test_queue_that_somebody_paused_is_not_stuck(tmp_path: Path, inbox: Inbox) -> None:
    # Long enough for a slow machine to see that it is paused, and looked at for longer than that.
    hours = 0.0014
    settings = told_of(inbox, "queue_stuck", NOTIFY_QUEUE_STUCK_HOURS=str(hours))
    async with running_service(tmp_path, **settings) as service:
        await service.call("PUT", "/api/system/switches/copy_compress", json={"paused": True})
        plant(service.place.folder())
        await service.discover()
        job_id = await service.submit(service.place.folder())
        await until_told(service, job_id, "paused")
        await asyncio.sleep(hours * 3600)
        await quiet(service.place, inbox, 0)


async def test_full_disk_is_told_once_and_once_when_it_is_over(
    tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, roomy = (status_module.DiskSpace(10**12, used, 10**12 - used, used / 10**10) for used in (9 * 10**11, 10**11))
    monkeypatch.setattr(status_module, "_disk_space", lambda path: full)
    async with running_service(tmp_path, **told_of(inbox, "disk_low")) as service:
        await quiet(service.place, inbox, 1)
        monkeypatch.setattr(status_module, "_disk_space", lambda path: roomy)
        await quiet(service.place, inbox, 2)
        assert str(service.place.storage) in inbox.messages[0]["message"]
    assert "93.1 GiB of 931 GiB are free" in inbox.messages[0]["message"]
    assert inbox.subjects == [
        "CS Archiver: the disk is getting full",
        "CS Archiver: over: the disk is getting full",
    ]


async def test_database_that_is_gone_is_told(tmp_path: Path, inbox: Inbox) -> None:
    async with running_service(tmp_path, **told_of(inbox, "needs_attention")) as service:
        away = service.place.database.with_name("elsewhere")
        service.place.database.rename(away)
        (message,) = await inbox.until(1)
        assert message["title"] == "CS Archiver: the database cannot be used"
        assert "No such file" in message["message"]
        away.rename(service.place.database)
        await quiet(service.place, inbox, 2)


async def test_digest_is_sent_once_a_day_and_sums_up(tmp_path: Path, inbox: Inbox) -> None:
    place = Place(tmp_path).make()
    settings = told_of(inbox, "digest")
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox, **settings) as service:
            await service.archive(plant(place.folder("Done")))
            await fail(service, place.folder("Undone"))
            state = json.loads(state_of(place).read_text())
        assert inbox.messages == []  # the first is due at the hour that comes
        state["digest_at"] = "2026-01-02T03:04:05.678Z"
        await asyncio.to_thread(state_of(place).write_text, json.dumps(state))
        async with service_in(place, sandbox, **settings):
            await quiet(place, inbox, 1)
        async with service_in(place, sandbox, **settings):
            await quiet(place, inbox, 1)
    (digest,) = inbox.messages
    assert digest["title"] == "CS Archiver: 1 job completed, 1 failed"
    assert digest["message"].startswith("Since 2026-01-02 03:04 UTC:\n- completed: 1 job, ")
    assert "freed on the NAS\n- failed: 1 job\n" in digest["message"]
    assert "- in hand: 0 jobs; waiting: 0 jobs" in digest["message"]


@pytest.mark.parametrize("mood", ["refuses", "hangs", "floods"])
async def test_bad_server_delays_neither_jobs_nor_the_end_and_what_waits_arrives_after_the_next_start(
    tmp_path: Path, inbox: Inbox, mood: str
) -> None:
    place = Place(tmp_path).make()
    inbox.mood = mood
    settings = told_of(inbox, "completed") | {"NOTIFY_URLS": f"{inbox.url}?rto=600"}
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox, **settings) as service:
            for name in ("One", "Two"):
                assert (await service.archive(plant(place.folder(name))))["status"] == "completed"
                await inbox.until_asked(1)
            if mood == "refuses":
                await _until_warned(service)
            begun = time.monotonic()
        assert time.monotonic() - begun < 8
        assert [child for child in psutil.Process().children() if "apprise_child" in " ".join(child.cmdline())] == []
        assert inbox.messages == []
        inbox.mood = "takes"
        async with service_in(place, sandbox, **settings) as service:
            await inbox.until(1)
            async with asyncio.timeout(20):
                while "Two" not in "".join(message["message"] for message in inbox.messages):
                    await asyncio.sleep(0.05)
            _, status = await service.call("GET", "/api/system/status")
            assert not [line for line in status["warnings"] if "Notifications" in line]
    texts = "".join(message["title"] + message["message"] for message in inbox.messages)
    assert [texts.count(f"completed: {name}") + texts.count(f"- {name},") for name in ("One", "Two")] == [1, 1]


async def _until_warned(service: Service) -> None:
    async with asyncio.timeout(20):
        while True:
            _, status = await service.call("GET", "/api/system/status")
            warnings = [line for line in status["warnings"] if line.startswith("Notifications do not reach 1 (json)")]
            if warnings:
                assert "error=500" in warnings[0]
                assert "secret-path" not in warnings[0]
                return
            await asyncio.sleep(0.05)


async def test_state_that_cannot_be_read_or_written_stops_nothing(tmp_path: Path, inbox: Inbox) -> None:
    place = Place(tmp_path).make()
    state_of(place).mkdir()
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox, **told_of(inbox, "completed")) as service:
            await service.archive(plant(place.folder()))
            await inbox.until(1)
            _, status = await service.call("GET", "/api/system/status")
            assert any("cannot be stored" in warning for warning in status["warnings"])
        os.rmdir(state_of(place))
        state_of(place).write_text("{ not what we wrote")
        async with service_in(place, sandbox, **told_of(inbox, "completed")):
            await quiet(place, inbox, 1)
    assert json.loads(state_of(place).read_text())["outcomes"]["completed"] > 0


async def test_nothing_runs_and_nothing_is_written_without_urls(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        assert not [task for task in asyncio.all_tasks() if "notifications" in task.get_name()]
        assert (await service.archive(plant(service.place.folder())))["status"] == "completed"
        assert not state_of(service.place).exists()
