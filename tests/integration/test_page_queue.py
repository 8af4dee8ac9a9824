"""The queue as a page without scripts: what each worker is at, who stands in line, and leaving the line."""

from datetime import timedelta
from pathlib import Path

import pytest

from cs_archiver.clock import now_text
from cs_archiver.domain.events import JobUpdate, StepProgress
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus
from tests.support.api import Api, running_api
from tests.support.visitor import Page, Visitor

FORWARD = [JobStatus.COPYING, JobStatus.COMPRESSING, JobStatus.VERIFYING, JobStatus.AWAITING_UPLOAD]
ODD = "Æther #1 <b>"


async def _job(api: Api, name: str, *states: JobStatus, **facts: object) -> Job:
    job = await api.queue.get((await api.submit(name))["job_id"])
    for state in states:
        job = await api.queue.move(job, state)
    return await api.queue.checkpoint(job, **facts) if facts else job


def _doings(page: Page) -> list[str]:
    return page.texts("#lanes .doing")


async def test_idle_workers_and_an_empty_line_say_what_to_do(ann: Visitor) -> None:
    page = await ann.get("/queue")
    assert _doings(page) == ["Idle", "Idle"]
    assert "Choose what to archive among the folders" in page.text
    assert "No job has ended yet" in page.text
    assert "http-equiv" not in page.html  # nothing will happen by itself


async def test_jobs_stand_where_they_are_with_positions_and_names_as_text(api: Api, ann: Visitor) -> None:
    await _job(api, "Alpha", *FORWARD)
    await _job(api, "Beta", JobStatus.COPYING)
    await _job(api, ODD)
    await _job(api, "Gamma")
    page = await ann.get("/queue")
    assert _doings(page) == ["Working", "Idle"]
    assert page.texts("#lanes .lane-name a") == ["Beta"]
    assert page.texts("#awaiting td.name a") == ["Alpha"]
    assert page.texts("#queued td.name a") == [ODD, "Gamma"]
    assert page.texts("#queued tbody td.num")[::2] == ["1", "2"]
    assert "<b>" not in page.html
    assert "http-equiv" in page.html


async def test_progress_of_the_step_is_shown_as_last_heard(api: Api, ann: Visitor) -> None:
    job = await _job(api, "Alpha", JobStatus.COPYING)
    page = await ann.get("/queue")
    assert page.values("#lanes progress", "value") == [""]  # moves to and fro
    step = StepProgress(25.0, 500_000, 2_000_000, 100_000.0, 15.0)
    api.bus.publish(JobUpdate(job.id, job.status, 8, "Copying clip.mov", step))
    page = await ann.get("/queue")
    assert page.values("#lanes progress", "value") == ["25.0"]
    assert page.texts("[data-step]") == ["Step 1/3: Copying"]
    assert page.texts("[data-bytes]") == ["488 KiB of 1.91 MiB"]
    assert page.texts("[data-rate]") == ["97.7 KiB/s"]
    assert page.texts("[data-left]") == ["15 s"]
    assert page.texts("[data-whole]") == ["8 %"]
    assert page.texts("[data-operation]") == ["Copying clip.mov"]


@pytest.mark.parametrize(
    ("operation", "word"),
    [("Held: the NAS does not answer", "Held"), ("Retry 1/3 in 30 s: 7z ended with 2", "Waiting")],
)
async def test_a_job_in_hand_that_waits_says_so_and_until_when(
    api: Api, ann: Visitor, operation: str, word: str
) -> None:
    later = now_text(after=timedelta(seconds=90))
    await _job(api, "Alpha", JobStatus.COPYING, current_operation=operation, not_before=later, error_problem="x")
    page = await ann.get("/queue")
    assert _doings(page) == [word, "Idle"]
    assert page.texts("[data-until]")[0] in {"1 min 29 s", "1 min 30 s"}
    assert operation in page.text


async def test_a_job_that_waits_for_space_keeps_its_worker_waiting(api: Api, ann: Visitor) -> None:
    later = now_text(after=timedelta(seconds=90))
    await _job(api, "Alpha", current_operation="Waiting for disk space", not_before=later, error_problem="disk-full")
    page = await ann.get("/queue")
    assert _doings(page) == ["Waiting", "Idle"]
    assert "Not yet: Alpha" in page.text
    assert page.texts("#queued td.name .tone-warn")[0] == "Waiting for disk space"


async def test_a_job_leaves_the_line_by_a_question_and_a_form(api: Api, ann: Visitor) -> None:
    job = await _job(api, "Alpha")
    path = f"/jobs/{job.id}/cancel"
    question = await ann.get(path, params={"back": "queue"})
    assert "Cancel Alpha?" in question.text
    assert "The source on the NAS is untouched" in question.text
    page = await ann.submit(question, path)
    assert "Alpha is cancelled. Its source is untouched." in page.text
    assert page.has("#queued")
    assert page.texts("#ended li a") == ["Alpha"]
    assert page.texts("#ended .state") == ["Cancelled"]


async def test_a_job_in_hand_is_asked_to_end_and_says_so(api: Api, ann: Visitor) -> None:
    job = await _job(api, "Alpha", JobStatus.COPYING)
    path = f"/jobs/{job.id}/cancel"
    page = await ann.submit(await ann.get(path, params={"back": "queue"}), path)
    assert "Alpha is being cancelled" in page.text
    assert _doings(page) == ["Cancelling", "Idle"]
    assert not page.has("#lanes a.btn")


async def test_a_job_that_has_ended_cannot_be_cancelled_and_the_page_says_why(api: Api, ann: Visitor) -> None:
    job = await _job(api, "Alpha")
    path = f"/jobs/{job.id}/cancel"
    question = await ann.get(path)
    await api.queue.move(job, JobStatus.FAILED)
    page = await ann.submit(question, path, status=409)
    assert page.texts(".alert-danger") == ["This job is failed already."]
    assert not page.has("button.btn-danger")
    assert "This job has ended already." in (await ann.get(path)).text


async def test_disk_that_does_not_answer_is_said(tmp_path: Path) -> None:
    async with running_api(tmp_path, storage=tmp_path / "gone") as api:
        page = await Visitor(api, await api.token_of("ann")).get("/queue")
        assert "Not known: the disk does not answer." in page.texts("#disk")[0]
        assert "cannot be read" in page.texts("#queue-troubles")[0]
