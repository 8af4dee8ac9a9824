"""Asking for a folder to be archived, and following the job."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from yarl import URL

from cs_archiver.db import jobs as job_log
from cs_archiver.domain.events import JobUpdate, LogAdded, LogLevel, QueueUpdate, StepProgress
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus
from tests.support.api import BASE_PATH, Api, refusal_of, running_api

LINE_KEYS = {
    "job_id",
    "folder_name",
    "status",
    "progress_percent",
    "current_operation",
    "created_by",
    "created_at",
    "started_at",
    "completed_at",
    "error_message",
}
FULL_KEYS = LINE_KEYS | {
    "source_path",
    "globus_destination_path",
    "folder_size_bytes",
    "archive_size_bytes",
    "retry_count",
    "globus_task_id",
}
STEP_KEYS = {
    "step",
    "step_percent",
    "bytes_done",
    "bytes_total",
    "rate_bytes_per_second",
    "eta_seconds",
    "step_started_at",
}
TO_UPLOADING = (
    JobStatus.COPYING,
    JobStatus.COMPRESSING,
    JobStatus.VERIFYING,
    JobStatus.AWAITING_UPLOAD,
    JobStatus.UPLOADING,
)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _move(api: Api, job_id: str, *states: JobStatus, **changes: Any) -> Job:
    job = await api.queue.get(job_id)
    for state in states:
        job = await api.queue.move(job, state, changes)
    return job


async def _count(api: Api) -> int:
    return len(await api.get("/api/jobs", params={"limit": "1000"}))


async def test_submitting_answers_with_exactly_these_keys_and_where_the_job_is(api: Api) -> None:
    response = await api.call("POST", "/api/jobs", json={"folder_path": api.folder("Alpha")})
    document = await response.json()
    assert response.status == 201
    assert set(document) == {"job_id", "status", "folder_name", "created_at"}
    assert str(uuid.UUID(document["job_id"])) == document["job_id"]
    assert (document["status"], document["folder_name"]) == ("queued", "Alpha")
    assert document["created_at"].endswith("Z")
    assert response.headers["Location"] == f"/api/jobs/{document['job_id']}"
    assert (await api.call("GET", response.headers["Location"])).status == 200


async def test_new_job_in_full_has_exactly_these_keys(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    document = await api.get(f"/api/jobs/{job_id}")
    assert set(document) == FULL_KEYS | STEP_KEYS
    created_at = document.pop("created_at")
    assert created_at.endswith("Z")
    assert document == {
        "job_id": job_id,
        "folder_name": "Alpha",
        "source_path": api.folder("Alpha"),
        "globus_destination_path": f"{BASE_PATH}/Production/2024/Alpha.tar.7z",
        "status": "queued",
        "progress_percent": 0,
        "current_operation": "Waiting in the queue",
        "folder_size_bytes": 1536,
        "archive_size_bytes": None,
        "created_by": "ann",
        "started_at": None,
        "completed_at": None,
        "error_message": None,
        "retry_count": 0,
        "globus_task_id": None,
        "step": "Waiting in the queue",
        "step_percent": None,
        "bytes_done": None,
        "bytes_total": None,
        "rate_bytes_per_second": None,
        "eta_seconds": None,
        "step_started_at": None,
    }


async def test_names_of_folders_come_through_as_they_are(api: Api) -> None:
    document = await api.submit("Æther #1 <b>")
    assert document["folder_name"] == "Æther #1 <b>"
    job = await api.get(f"/api/jobs/{document['job_id']}")
    assert job["globus_destination_path"].endswith("/Æther #1 <b>.tar.7z")


async def test_list_has_exactly_these_keys_and_the_newest_first(api: Api) -> None:
    ids = [(await api.submit(name))["job_id"] for name in ("Alpha", "Beta", "Gamma")]
    document = await api.get("/api/jobs")
    assert [job["job_id"] for job in document] == ids[::-1]
    assert all(set(job) == LINE_KEYS | STEP_KEYS for job in document)


async def test_list_is_filtered_by_one_or_more_states(api: Api) -> None:
    alpha, beta, gamma = [(await api.submit(name))["job_id"] for name in ("Alpha", "Beta", "Gamma")]
    await _move(api, alpha, JobStatus.COPYING)
    await _move(api, beta, JobStatus.CANCELLED)
    cases = {
        "status=copying": {alpha},
        "status=copying&status=queued": {alpha, gamma},
        "status=failed": set(),
        "": {alpha, beta, gamma},
    }
    for query, expected in cases.items():
        response = await api.call("GET", f"/api/jobs?{query}")
        assert {job["job_id"] for job in await response.json()} == expected, query
        assert response.headers["X-Total-Count"] == str(len(expected))


async def test_pages_lead_from_one_to_the_next_and_back(api: Api) -> None:
    for name in ("Alpha", "Beta", "Gamma"):
        await api.submit(name)
    first = await _page(api, "/api/jobs?limit=1&status=queued")
    second = await _page(api, first.links["next"])
    third = await _page(api, second.links["next"])
    assert [first.names, second.names, third.names] == [["Gamma"], ["Beta"], ["Alpha"]]
    ends = {"first", "last"}
    assert [set(page.links) - ends for page in (first, second, third)] == [{"next"}, {"next", "prev"}, {"prev"}]
    assert all(ends < set(page.links) for page in (first, second, third))
    assert [(await _page(api, second.links[end])).names for end in ("first", "last")] == [["Gamma"], ["Alpha"]]
    assert (await _page(api, third.links["prev"])).names == ["Beta"]
    assert {page.total for page in (first, second, third)} == {"3"}


class _Page(NamedTuple):
    names: list[str]
    links: dict[str, str]
    total: str


async def _page(api: Api, address: str) -> _Page:
    response = await api.call("GET", address)
    links = {name: URL(str(link["url"])).path_qs for name, link in response.links.items()}
    names = [job["folder_name"] for job in await response.json()]
    return _Page(names, links, response.headers["X-Total-Count"])


async def test_list_that_fits_one_page_has_no_links(api: Api) -> None:
    await api.submit("Alpha")
    response = await api.call("GET", "/api/jobs")
    assert "Link" not in response.headers
    beyond = await api.call("GET", "/api/jobs?offset=50")
    assert await beyond.json() == []
    assert set(beyond.links) == {"first", "prev", "last"}


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("limit=0", ["?limit"]),
        ("limit=1001", ["?limit"]),
        ("limit=ten", ["?limit"]),
        ("limit=1.0", ["?limit"]),
        ("limit=1&limit=2", ["?limit"]),
        ("limit=" + "9" * 5000, ["?limit"]),
        ("limit=%D9%A1", ["?limit"]),
        ("limit=", ["?limit"]),
        ("offset=-1", ["?offset"]),
        ("offset=9223372036854775808", ["?offset"]),
        ("status=running", ["?status/0"]),
        ("status=queued&status=", ["?status/1"]),
        ("limit=x&offset=y&colour=red", ["?limit", "?offset", "?colour"]),
        ("%FF=%FF", None),
    ],
)
async def test_wrong_query_values_are_named(api: Api, query: str, pointers: list[str] | None) -> None:
    document = await refusal_of(await api.call("GET", f"/api/jobs?{query}"), 422, "invalid-value")
    if pointers is not None:
        assert [error["pointer"] for error in document["errors"]] == pointers
    assert all(error["detail"] for error in document["errors"])


@pytest.mark.parametrize(
    "job_id", ["0f0e0d0c-0b0a-4900-8800-070605040302", "1", "completed", "%00", "%FF", "..%2f", "x" * 3000]
)
@pytest.mark.parametrize("rest", ["", "/logs"])
async def test_job_that_is_not_there_is_not_found(api: Api, job_id: str, rest: str) -> None:
    await refusal_of(await api.call("GET", f"/api/jobs/{job_id}{rest}"), 404, "job-not-found")


async def test_second_job_for_a_folder_is_refused_with_a_link_to_the_first(api: Api) -> None:
    first = await api.submit("Alpha")
    response = await api.call("POST", "/api/jobs", json={"folder_path": api.folder("Alpha")})
    document = await refusal_of(response, 409, "already-queued")
    assert document["job_id"] == first["job_id"]
    assert document["job_url"] == f"/api/jobs/{first['job_id']}"
    assert await _count(api) == 1


async def test_second_job_is_refused_while_the_first_has_its_archive_at_the_destination(api: Api) -> None:
    """Then the destination is taken too, but the job in hand is what the person needs to hear of."""
    first = await api.submit("Alpha")
    await _move(api, first["job_id"], *TO_UPLOADING)
    api.destination.taken[f"{BASE_PATH}/Production/2024/Alpha.tar.7z"] = "A file is there."
    response = await api.call("POST", "/api/jobs", json={"folder_path": api.folder("Alpha")})
    await refusal_of(response, 409, "already-queued")


async def test_folder_can_be_asked_for_again_after_its_job_was_cancelled(api: Api) -> None:
    first = await api.submit("Alpha")
    await _move(api, first["job_id"], JobStatus.CANCELLED)
    assert (await api.submit("Alpha"))["job_id"] != first["job_id"]


async def test_archive_at_the_destination_refuses_the_job_unless_a_new_version_is_wanted(api: Api) -> None:
    path = f"{BASE_PATH}/Production/2024/Alpha.tar.7z"
    api.destination.taken[path] = "A verified archive is already there."
    response = await api.call("POST", "/api/jobs", json={"folder_path": api.folder("Alpha")})
    document = await refusal_of(response, 409, "destination-exists")
    assert document["destination"] == path
    assert "new_version" in document["detail"]
    assert await _count(api) == 0
    await api.submit("Alpha", on_existing="new_version")
    assert api.destination.asked == [path]


async def test_many_at_once_for_one_folder_make_one_job(api: Api) -> None:
    token = await api.token_of("ann")
    body = {"folder_path": api.folder("Alpha")}
    calls = [api.call("POST", "/api/jobs", token=token, json=body) for _ in range(20)]
    statuses = [response.status for response in await asyncio.gather(*calls)]
    assert sorted(statuses) == [201] + [409] * 19
    assert await _count(api) == 1


async def test_submitting_is_told_on_the_bus_after_it_is_stored(api: Api) -> None:
    with api.bus.subscribe() as events:
        job_id = (await api.submit("Alpha"))["job_id"]
        heard = [events.get_nowait() for _ in range(events.qsize())]
    assert [type(event) for event in heard] == [JobUpdate, LogAdded, QueueUpdate]
    assert isinstance(heard[0], JobUpdate)
    assert (heard[0].job_id, heard[0].status) == (job_id, JobStatus.QUEUED)


async def test_refused_wish_is_told_to_nobody(api: Api) -> None:
    await api.submit("Alpha")
    with api.bus.subscribe() as events:
        await api.call("POST", "/api/jobs", json={"folder_path": api.folder("Alpha")})
        assert events.qsize() == 0


async def test_log_has_exactly_these_keys_and_begins_with_who_asked(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    (line,) = await api.get(f"/api/jobs/{job_id}/logs")
    assert set(line) == {"timestamp", "level", "message"}
    assert (line["level"], line["message"]) == ("INFO", "Job created by ann")
    assert line["timestamp"].endswith("Z")


async def test_log_is_cut_to_the_newest_lines_and_filtered_by_level(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    async with api.database.write() as connection:
        for number in range(5):
            await job_log.log(connection, job_id, LogLevel.WARNING, f"warning {number}")
        await job_log.log(connection, job_id, LogLevel.ERROR, "error")
    last = await api.get(f"/api/jobs/{job_id}/logs", params={"limit": "2"})
    assert [line["message"] for line in last] == ["warning 4", "error"]
    warnings = await api.get(f"/api/jobs/{job_id}/logs", params={"level": "WARNING", "limit": "3"})
    assert [line["message"] for line in warnings] == ["warning 2", "warning 3", "warning 4"]
    for query in ("level=warning", "level=", "limit=0", "offset=1"):
        await refusal_of(await api.call("GET", f"/api/jobs/{job_id}/logs?{query}"), 422, "invalid-value")


async def test_news_from_the_bus_overlays_the_row_while_the_state_is_the_same(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    moved = await _move(api, job_id, JobStatus.COPYING, progress_percent=5)
    step = StepProgress(41.26, 634, 1536, 100.04, 9.02)
    api.bus.publish(JobUpdate(job_id, JobStatus.COPYING, 13, "Copying with rsync", step))
    document = await api.get(f"/api/jobs/{job_id}")
    assert {key: document[key] for key in STEP_KEYS} == {
        "step": "Step 1/3: Copying",
        "step_percent": 41.3,
        "bytes_done": 634,
        "bytes_total": 1536,
        "rate_bytes_per_second": 100.0,
        "eta_seconds": 9.0,
        "step_started_at": moved.step_started_at,
    }
    assert (document["progress_percent"], document["current_operation"]) == (13, "Copying with rsync")
    assert (await api.get("/api/jobs"))[0]["step_percent"] == 41.3


async def test_news_of_an_earlier_state_does_not_count(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    api.bus.publish(JobUpdate(job_id, JobStatus.COPYING, 33, "Copied", StepProgress(100.0)))
    await _move(api, job_id, JobStatus.COPYING, JobStatus.COMPRESSING, progress_percent=34)
    document = await api.get(f"/api/jobs/{job_id}")
    assert (document["step"], document["step_percent"]) == ("Step 2/3: Compressing", None)
    assert document["progress_percent"] == 34
    assert document["current_operation"] == "Step 2/3: Compressing"


async def test_progress_never_falls_behind_the_row(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    await _move(api, job_id, JobStatus.COPYING, progress_percent=20)
    api.bus.publish(JobUpdate(job_id, JobStatus.COPYING, 3, None, StepProgress(9.0)))
    assert (await api.get(f"/api/jobs/{job_id}"))["progress_percent"] == 20


async def test_idle_queue_has_exactly_these_keys(api: Api) -> None:
    assert await api.get("/api/queue") == {
        "current_copy_compress_job": None,
        "current_upload_job": None,
        "awaiting_upload_jobs": [],
        "queued_jobs": [],
    }


async def test_queue_shows_what_is_in_hand_and_who_stands_in_line(api: Api) -> None:
    names = ("Alpha", "Beta", "Gamma", "Æther #1 <b>")
    alpha, beta, gamma, aether = [(await api.submit(name))["job_id"] for name in names]
    await _move(api, alpha, *TO_UPLOADING)
    await _move(api, beta, *TO_UPLOADING[:-1])
    await _move(api, gamma, JobStatus.COPYING)
    document = await api.get("/api/queue")
    current = {"job_id", "folder_name", "status", "progress_percent"} | STEP_KEYS
    assert set(document["current_copy_compress_job"]) == current
    assert set(document["current_upload_job"]) == current
    assert document["current_copy_compress_job"]["job_id"] == gamma
    assert document["current_upload_job"]["job_id"] == alpha
    assert document["current_upload_job"]["status"] == "uploading"
    assert document["awaiting_upload_jobs"] == [{"job_id": beta, "folder_name": "Beta", "position": 1}]
    assert document["queued_jobs"] == [{"job_id": aether, "folder_name": names[3], "position": 1}]


async def test_queue_is_in_the_order_of_asking(api: Api) -> None:
    for name in ("Gamma", "Alpha", "Beta"):
        await api.submit(name)
    queued = (await api.get("/api/queue"))["queued_jobs"]
    assert [(job["folder_name"], job["position"]) for job in queued] == [("Gamma", 1), ("Alpha", 2), ("Beta", 3)]
