"""One job as a page without scripts: its facts, its timeline, the evidence, its files, its marker and its log."""

import os
import threading
from pathlib import Path

import pytest

from cs_archiver.clock import from_ns
from cs_archiver.db.catalogue import Catalogue, set_source_deleted
from cs_archiver.db.jobs import HistoryLine, Jobs
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import Entry, EntryKind, totals
from cs_archiver.domain.marker import Stored, marker_text
from cs_archiver.domain.states import JobStatus
from cs_archiver.domain.verification import Check
from cs_archiver.server.pages.job_timeline import spans_of
from cs_archiver.services import markers
from cs_archiver.services.markers import Markers
from tests.support.api import Api
from tests.support.jobs import a_job
from tests.support.visitor import Visitor

SHA = bytes(range(32))
TASK = "5c000000-0000-4000-8000-0000000007a5"
UNKNOWN = "5c000000-0000-4000-8000-000000000000"
LOCAL = [JobStatus.COPYING, JobStatus.COMPRESSING, JobStatus.VERIFYING, JobStatus.AWAITING_UPLOAD]
FORWARD = [*LOCAL, JobStatus.UPLOADING, JobStatus.UPLOAD_VERIFYING]
CHECKS = [
    Check(1, "task status", "SUCCEEDED", "SUCCEEDED", passed=True),
    Check(2, "remote name", "Alpha.tar.7z", "<i>other</i>", passed=False),
]


def _file(path: bytes) -> Entry:
    return Entry(path, EntryKind.FILE, 1536, 1_768_487_521_250_000_000, 0o644, None, 7, SHA)


async def _job(api: Api, *states: JobStatus) -> Job:
    job = await api.queue.get((await api.submit("Alpha"))["job_id"])
    for state in states:
        job = await api.queue.move(job, state)
    return job


async def _verified(api: Api, checks: list[Check], *, passed: bool) -> Job:
    """A job in upload_verifying with this evidence."""
    job, catalogue = await _job(api, *FORWARD), Catalogue(api.database)
    entries = [_file(b"clip.mov"), _file(b"sub/<img src=x>.mov"), _file(b"\xff.mov")]
    manifest = await catalogue.seal_manifest(job, entries, totals(entries))
    job = await api.queue.checkpoint(
        job, manifest_id=manifest, archive_sha256=SHA.hex(), archive_size_bytes=768, globus_task_id=TASK
    )
    upload = await catalogue.add_upload(job, submission_id="submission", request={}, compares=None)
    upload = await catalogue.set_task(upload, TASK)
    await catalogue.add_evidence(job, upload, checks, passed=passed, collection="the collection")
    return job


async def test_facts_say_everything_there_is(api: Api, ann: Visitor) -> None:
    job = await _verified(api, CHECKS, passed=False)
    page = await ann.get(f"/jobs/{job.id}")
    assert page.texts("h1") == ["Alpha"]
    facts = page.texts("#facts")[0]
    for fact in (job.source_path, job.globus_destination_path, "by ann", SHA.hex(), job.id, "768 B", "3 files"):
        assert fact in facts
    assert f"https://app.globus.org/activity/{TASK}" in page.values("#transfers a", "href")


async def test_each_check_is_shown_with_its_values_as_text(api: Api, ann: Visitor) -> None:
    job = await _verified(api, CHECKS, passed=False)
    page = await ann.get(f"/jobs/{job.id}")
    assert "Not verified: 1 of 2 checks passed" in page.texts("#verification")[0]
    assert page.texts("#verification td.path") == ["SUCCEEDED", "SUCCEEDED", "Alpha.tar.7z", "<i>other</i>"]
    assert page.values("#verification td.name [role]", "aria-label") == ["passed", "failed"]
    assert page.values("#newest-2", "open") == [""]
    assert "<i>" not in page.html


async def test_a_job_that_went_no_further_says_so(api: Api, ann: Visitor) -> None:
    job = await _job(api)
    page = await ann.get(f"/jobs/{job.id}")
    assert "nothing is deleted before it" in page.texts("#verification")[0]
    assert "Nothing is sent yet." in page.texts("#transfers")[0]
    assert page.texts("#marker") == [""]
    assert not page.has(".receipt")


async def test_files_are_searched_and_names_are_text(api: Api, ann: Visitor) -> None:
    job = await _verified(api, CHECKS, passed=False)
    path = f"/jobs/{job.id}/files"
    page = await ann.get(path)
    assert page.texts("#files td.name") == ["clip.mov", "sub/<img src=x>.mov", "\\xff.mov"]
    assert page.texts("#files td.digest") == [SHA.hex()] * 3
    assert "<img src=x>" not in page.html
    assert (await ann.get(path, params={"q": "CLIP"})).texts("#files td.name") == ["clip.mov"]
    assert "No path matches" in (await ann.get(path, params={"q": "none"})).text
    assert "There is no page 2" in (await ann.get(path, params={"page": "2"})).text


async def test_log_is_filtered_by_level_and_words_and_downloaded_whole(api: Api, ann: Visitor) -> None:
    job, jobs = await _job(api), Jobs(api.database)
    await jobs.log(job.id, LogLevel.WARNING, "100 % of <b>it</b>")
    await jobs.log(job.id, LogLevel.ERROR, "Job failed")
    path = f"/jobs/{job.id}"
    every = ["Job created by ann", "100 % of <b>it</b>", "Job failed"]
    assert (await ann.get(path)).texts("#log .log-text") == every
    for query, shown in (
        ({"level": "warning"}, every[1:]),
        ({"level": "error"}, every[2:]),
        ({"words": "JOB"}, [every[0], every[2]]),
        ({"words": "%"}, [every[1]]),
        ({"words": "JOB", "level": "warning"}, [every[2]]),
    ):
        assert (await ann.get(path, params=query)).texts("#log .log-text") == shown
    assert "No line matches." in (await ann.get(path, params={"words": "none"})).text
    response = await ann.response("GET", f"{path}/log.txt")
    assert response.headers["Content-Disposition"] == f'attachment; filename="{job.id}.txt"'
    assert [line.split(maxsplit=2)[2] for line in (await response.text()).splitlines()] == every


@pytest.mark.parametrize(
    ("archive", "told"),
    [
        (5000, "4.88 KiB (62.5 % of the folder: 2.93 KiB gained in under 1 s of packing)"),
        (8032, "7.84 KiB (100.4 % of the folder: nothing gained in under 1 s of packing)"),
    ],
)
async def test_facts_tell_what_packing_gained_and_how_long_it_took(
    api: Api, ann: Visitor, archive: int, told: str
) -> None:
    job = await _job(api, JobStatus.COPYING, JobStatus.COMPRESSING)
    sizes = {"folder_size_bytes": 8000, "archive_size_bytes": archive}
    job = await api.queue.move(job, JobStatus.VERIFYING, sizes)
    assert told in (await ann.get(f"/jobs/{job.id}")).texts("#facts")[0]


async def test_a_failed_job_says_why_and_is_tried_again(api: Api, ann: Visitor) -> None:
    job = await _job(api, JobStatus.COPYING)
    await api.queue.move(job, JobStatus.FAILED, {"error_message": "7z <b>ended</b> with 2"})
    page = await ann.get(f"/jobs/{job.id}")
    assert "7z <b>ended</b> with 2" in page.texts(".alert-danger")[0]
    again = await ann.submit(page, f"/jobs/{job.id}/retry")
    assert "Alpha is in the queue again." in again.text
    assert again.texts("#timeline .state") == ["Queued", "Copying", "Failed", "Queued"]
    refused = await ann.submit(page, f"/jobs/{job.id}/retry", status=409)
    assert "Only a failed job can be retried" in refused.texts(".alert-danger")[0]


async def test_a_job_whose_deletion_began_is_neither_cancelled_nor_retried(api: Api, ann: Visitor) -> None:
    job = await api.queue.move(await _verified(api, CHECKS[:1], passed=True), JobStatus.DELETING_SOURCE)
    path = f"/jobs/{job.id}"
    assert not (await ann.get(path)).has("#job-head .btn-outline-danger")
    assert "it can only be finished" in (await ann.get(f"{path}/cancel")).text
    await api.queue.move(job, JobStatus.FAILED, {"error_message": "The source changed"})
    page = await ann.get(path)
    assert not page.has("#retry")
    assert job.globus_destination_path in page.texts(".alert-danger")[0]


async def test_marker_is_shown_as_it_stands_on_the_nas(api: Api, ann: Visitor) -> None:
    job = await api.queue.move(await _verified(api, CHECKS[:1], passed=True), JobStatus.DELETING_SOURCE)
    marker = Path(job.source_path) / job.marker_name
    assert "It is not there" in (await ann.get(f"/jobs/{job.id}")).texts("#marker")[0]
    text = marker_text(job, Stored("<b>c</b>", 3, 9), archived_on="2026-01-15 14:32:01 UTC", deleted=False)
    marker.write_bytes(text)
    page = await ann.get(f"/jobs/{job.id}")
    assert page.texts("#marker pre") == [" ".join(text.decode().split())]
    marker.write_text("somebody's own")
    assert "this job did not write it" in (await ann.get(f"/jobs/{job.id}")).texts("#marker")[0]
    marker.unlink()
    marker.symlink_to("/etc/passwd")
    assert "It cannot be read" in (await ann.get(f"/jobs/{job.id}")).texts("#marker")[0]


async def test_a_nas_that_hangs_holds_nobody_up_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markers, "_PATIENCE_SECONDS", 0.05)
    job = a_job(source_path=str(tmp_path))
    real, started = os.open, []

    def hanging(path: bytes, *more: int) -> int:
        started.append(path)
        release.wait()
        return real(path, *more)

    release = threading.Event()
    monkeypatch.setattr(os, "open", hanging)
    service = Markers()
    try:
        assert (await service.of(job)).trouble == "The NAS does not answer."
        assert (await service.of(job)).trouble == "The NAS does not answer."
        assert len(started) == 1
    finally:
        release.set()


async def test_receipt_of_a_deletion_outlives_the_job_in_the_list(api: Api, ann: Visitor) -> None:
    job = await _verified(api, CHECKS[:1], passed=True)
    as_it_went = {"started_at": (await api.jobs.history(job.id))[1].at, "folder_size_bytes": 3 * 1536}
    job = await api.queue.move(job, JobStatus.DELETING_SOURCE, as_it_went)
    await api.queue.move(job, JobStatus.COMPLETED, also=lambda connection, _: set_source_deleted(connection, job.id))
    listed = {path: await ann.get(f"/jobs/{job.id}{path}") for path in ("", "/files")}
    assert await api.jobs.clear_completed(username="ann") == 1
    page = await ann.get(f"/jobs/{job.id}")
    assert "This job was cleared from the history, and its log with it." in page.text
    assert not page.has("#log")
    for part in (".receipt", "#facts", "#timeline", "#verification", "#transfers", "#marker"):
        assert page.texts(part) == listed[""].texts(part) != [""], part
    assert "3 files, 4 608 bytes" in page.texts(".receipt")[0].replace("\u202f", " ")
    assert not page.has("#retry")
    assert (await ann.get(f"/jobs/{job.id}/files")).texts("#files") == listed["/files"].texts("#files")


@pytest.mark.parametrize("path", ["", "/files", "/log.txt", "/cancel"])
@pytest.mark.parametrize("job_id", [UNKNOWN, "no-id"])
async def test_an_unknown_job_has_no_pages(ann: Visitor, path: str, job_id: str) -> None:
    assert "There is no job of this id." in (await ann.get(f"/jobs/{job_id}{path}", status=404)).text


def test_timeline_has_rates_only_for_work_that_was_done() -> None:
    job = a_job(JobStatus.FAILED, folder_size_bytes=1000, archive_size_bytes=500)
    states = ["queued", "copying", "queued", "copying", "compressing", "failed"]
    before = [None, *states[:-1]]
    moments = [from_ns(second * 10**9) for second in (0, 10, 20, 30, 40, 100)]
    history = [HistoryLine(old, new, at) for old, new, at in zip(before, states, moments, strict=True)]
    spans = spans_of(job, history, from_ns(10**12))
    assert [span.seconds for span in spans] == [10, 10, 10, 10, 60, 0]
    assert [span.rate for span in spans] == [None, None, None, 100.0, None, None]
    assert [(span.offset, span.share) for span in spans][-2:] == [(40.0, 60.0), (100.0, 0.0)]
    assert [span.ended is None for span in spans] == [False] * 6


def test_timeline_of_a_job_under_way_reaches_until_now() -> None:
    history = [HistoryLine(None, "queued", from_ns(0)), HistoryLine("queued", "copying", from_ns(10 * 10**9))]
    last = spans_of(a_job(JobStatus.COPYING), history, from_ns(40 * 10**9))[-1]
    assert (last.seconds, last.ended, last.offset, last.share) == (30, None, 25.0, 75.0)
