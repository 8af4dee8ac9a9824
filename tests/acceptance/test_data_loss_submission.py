"""Decisions, data loss 8: a transfer is stored before it is sent, so that it runs once."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.answers import HTML_503
from cs_archiver.sandbox.faults import Effect, Hang, Hold, LoseReply
from tests.support.service import Place, query, running_service, sandbox_settings, service_in, uploads
from tests.support.tampering import Kept, eventually, plant, until_at_work, until_told

OF_ONE_CALL = 3  # the SDK sends a request that got no answer twice more


def submission_ids(sandbox: Sandbox) -> list[str]:
    """Of every upload that was sent, in order."""
    sent = [request.body for request in sandbox.journal if request.operation is Operation.TRANSFER]
    return [body["submission_id"] for body in sent if "comparison" not in body["label"]]


async def test_a_transfer_whose_acceptance_was_never_heard_of_runs_once(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        kept = Kept(folder, tmp_path / "copies")
        service.sandbox.faults.add(Operation.TRANSFER, LoseReply(), times=OF_ONE_CALL)

        job = await service.archive(folder)

        assert job["status"] == "completed"
        sent = submission_ids(service.sandbox)
        assert len(sent) == OF_ONE_CALL, "Globus showed its task: it was not sent again"
        assert len(set(sent)) == len(uploads(service.sandbox)) == 1
        assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


async def test_the_submission_is_stored_before_it_is_sent(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder())
        service.sandbox.faults.add(Operation.TRANSFER, Hang())
        await service.discover()
        job_id = await service.submit(folder)
        await eventually(lambda: service.sandbox.faults.fired, what="a transfer that is sent")

        stored = query(service, "SELECT job_id, submission_id, task_id FROM uploads")

        assert stored == [(job_id, submission_ids(service.sandbox)[0], None)]
        service.sandbox.faults.clear()
        assert (await service.until(job_id))["status"] == "completed"
        assert len(uploads(service.sandbox)) == 1


async def stopped_after(place: Place, sandbox: Sandbox, folder: Path, told: str, **overrides: str) -> str:
    """A job whose service was stopped as soon as the log told this."""
    async with service_in(place, sandbox, **overrides) as service:
        await service.discover()
        job_id = await service.submit(folder)
        await until_told(service, job_id, told)
        if "RETRY_DELAY_SECONDS" in overrides:
            assert query(service, "SELECT task_id FROM uploads") == [(None,)]
        return job_id


@pytest.mark.parametrize("fault", [LoseReply(), HTML_503], ids=["it was carried out", "it never came to Globus"])
async def test_a_restart_before_the_task_was_noted_sends_the_same_submission(tmp_path: Path, fault: Effect) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        sandbox.faults.add(Operation.TRANSFER, fault, times=OF_ONE_CALL)
        job_id = await stopped_after(place, sandbox, folder, "Retry 1/", RETRY_DELAY_SECONDS="1")

        async with service_in(place, sandbox) as service:
            assert (await service.until(job_id))["status"] == "completed"

        assert len(set(submission_ids(sandbox))) == len(uploads(sandbox)) == 1


async def test_a_restart_during_the_upload_follows_the_same_task(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        job_id = await stopped_after(place, sandbox, folder, "Globus accepted the transfer as task")
        await until_at_work(sandbox)
        sandbox.faults.release()

        async with service_in(place, sandbox) as service:
            assert (await service.until(job_id))["status"] == "completed"

        assert len(submission_ids(sandbox)) == len(uploads(sandbox)) == 1


async def test_a_restart_right_after_the_task_succeeded_does_not_send_it_again(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        job_id = await stopped_after(place, sandbox, folder, "Globus accepted the transfer as task")
        await until_at_work(sandbox)
        sandbox.faults.release()
        [task] = uploads(sandbox)
        await eventually(lambda: not task.is_unfinished, what="the end of the task")
        remote = place.archive_of(folder).stat()
        written = datetime.fromtimestamp(int(remote.st_mtime), UTC).isoformat(" ")
        left = json.dumps(["file", remote.st_size, written])
        with closing(sqlite3.connect(place.database)) as database, database:  # the last it wrote before it was killed
            database.execute("UPDATE uploads SET outcome = 'succeeded', left_behind = ?", (left,))

        async with service_in(place, sandbox) as service:
            assert (await service.until(job_id))["status"] == "completed"

        assert len(uploads(sandbox)) == 1
