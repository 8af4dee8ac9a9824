"""Asking for a job and getting the answer only once it changes its state."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientResponse

from cs_archiver.db import tables
from cs_archiver.domain.access import Scope
from cs_archiver.domain.events import JobUpdate, StepProgress
from cs_archiver.domain.states import JobStatus
from cs_archiver.server import keys
from cs_archiver.services.job_waits import MOST_WAITS_OF_A_USER
from tests.integration.test_live_sessions import WAYS_TO_END
from tests.support.api import Api, refusal_of, running_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _begun(
    api: Api, job_id: str, *, wait: int = 60, username: str = "ann", token: str | None = None
) -> asyncio.Task[ClientResponse]:
    """A call that waits, from the moment on when the server does."""
    before = _listeners(api)
    call = api.call("GET", f"/api/jobs/{job_id}?wait={wait}", username=username, token=token)
    task = asyncio.create_task(call)
    async with asyncio.timeout(10):
        while _listeners(api) == before and not task.done():
            await asyncio.sleep(0.005)
    return task


def _listeners(api: Api) -> int:
    return len(api.bus._listeners)


async def _move(api: Api, job_id: str, state: JobStatus, *, told: bool = True) -> None:
    job = await api.queue.move(await api.queue.get(job_id), state)
    if told:
        api.bus.publish(JobUpdate(job.id, job.status, job.progress_percent, None, StepProgress()))


async def test_answer_comes_when_the_job_changes_its_state_and_not_for_progress(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    other_id = (await api.submit("Beta"))["job_id"]
    before = _listeners(api)
    waiting = await _begun(api, job_id)
    api.bus.publish(JobUpdate(job_id, JobStatus.QUEUED, 0, "Waiting for disk space", StepProgress()))
    await _move(api, other_id, JobStatus.COPYING)
    assert (await api.get(f"/api/jobs/{job_id}"))["status"] == "queued"
    assert not waiting.done()
    await _move(api, job_id, JobStatus.CANCELLED)
    async with asyncio.timeout(3):
        assert (await (await waiting).json())["status"] == "cancelled"
    assert _listeners(api) == before


async def test_change_is_seen_even_when_nobody_tells_of_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cs_archiver.services.job_waits._LOOK_SECONDS", 0.05)
    job_id = (await api.submit("Alpha"))["job_id"]
    waiting = await _begun(api, job_id)
    await _move(api, job_id, JobStatus.COPYING, told=False)
    async with asyncio.timeout(10):
        assert (await (await waiting).json())["status"] == "copying"


async def test_answer_comes_as_it_is_when_the_time_is_over(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    begun = time.monotonic()
    assert (await api.get(f"/api/jobs/{job_id}", params={"wait": "1"}))["status"] == "queued"
    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize("state", [JobStatus.FAILED, JobStatus.CANCELLED])
async def test_job_that_has_ended_is_answered_at_once(api: Api, state: JobStatus) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    await _move(api, job_id, state)
    async with asyncio.timeout(10):
        assert (await api.get(f"/api/jobs/{job_id}", params={"wait": "60"}))["status"] == state


async def test_waits_of_a_user_are_bounded_and_those_of_others_are_not(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    waiting = [await _begun(api, job_id) for _ in range(MOST_WAITS_OF_A_USER)]
    refused = await api.call("GET", f"/api/jobs/{job_id}?wait=60")
    await refusal_of(refused, 429, "too-many-waits")
    assert int(refused.headers["Retry-After"]) > 0
    assert (await api.get(f"/api/jobs/{job_id}"))["status"] == "queued"
    waiting.append(await _begun(api, job_id, username="root"))
    assert not any(task.done() for task in waiting)
    await _move(api, job_id, JobStatus.CANCELLED)
    assert {(await task).status for task in waiting} == {200}
    another_id = (await api.submit("Beta"))["job_id"]
    again = await _begun(api, another_id)
    assert not again.done()
    await _move(api, another_id, JobStatus.CANCELLED)
    assert (await again).status == 200


@pytest.mark.parametrize("end", WAYS_TO_END)
async def test_who_was_signed_out_meanwhile_is_not_told_of_the_job(
    api: Api, end: Callable[[Api, str], Awaitable[None]]
) -> None:
    token = await api.token_of("ann")
    job_id = (await api.submit("Alpha"))["job_id"]
    waiting, other = await _begun(api, job_id, token=token), await _begun(api, job_id, username="root")
    await end(api, token)
    await _move(api, job_id, JobStatus.COPYING)
    async with asyncio.timeout(10):
        await refusal_of(await waiting, 401, "not-authenticated")
        assert (await (await other).json())["status"] == "copying"


async def test_whose_token_was_revoked_meanwhile_is_not_told_of_the_job(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    waiting = await _begun(api, job_id, token=await api.personal_token_of("ann", Scope.READ))
    async with api.database.write() as connection:
        await connection.execute(tables.api_tokens.delete())
    await _move(api, job_id, JobStatus.COPYING)
    async with asyncio.timeout(10):
        await refusal_of(await waiting, 401, "not-authenticated")


async def test_who_must_choose_a_password_meanwhile_is_not_told_of_the_job(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    waiting = await _begun(api, job_id)
    async with api.database.write() as connection:
        await connection.execute(tables.users.update().values(must_change_password=1))
    await _move(api, job_id, JobStatus.COPYING)
    async with asyncio.timeout(10):
        await refusal_of(await waiting, 403, "password-change-required")


async def test_refused_and_unknown_jobs_take_no_place(api: Api) -> None:
    for _ in range(MOST_WAITS_OF_A_USER + 1):
        response = await api.call("GET", "/api/jobs/0f0e0d0c-0b0a-4900-8800-070605040302?wait=60")
        await refusal_of(response, 404, "job-not-found")


async def test_waiting_ends_when_the_service_stops(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    waiting = [await _begun(api, job_id) for _ in range(3)]
    api.client.app[keys.JOB_WAITS].end()
    async with asyncio.timeout(10):
        assert [(await (await task).json())["status"] for task in waiting] == ["queued"] * 3
        assert (await api.get(f"/api/jobs/{job_id}", params={"wait": "60"}))["status"] == "queued"


async def test_stopping_the_application_is_what_ends_the_waiting(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    waiting = await _begun(api, job_id)
    async with asyncio.timeout(10):
        await api.client.app.shutdown()
        assert (await waiting).status == 200


@pytest.mark.parametrize("wait", ["61", "-1", "1.5", "", "yes", "1&wait=2"])
async def test_wrong_times_are_refused(api: Api, wait: str) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    response = await api.call("GET", f"/api/jobs/{job_id}?wait={wait}")
    document = await refusal_of(response, 422, "invalid-value")
    assert [error["pointer"] for error in document["errors"]] == ["?wait"]
