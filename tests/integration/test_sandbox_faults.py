"""Scripted trouble, as the real globus-sdk sees it."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import globus_sdk
import pytest

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.answers import CATALOGUE, EMPTY_OBJECT, HTML_200, needs_consent, rate_limited
from cs_archiver.sandbox.faults import (
    Effect,
    Fail,
    Hang,
    LoseReply,
    Overlay,
    Truncate,
)
from tests.support.globus_sandbox import DESTINATION, SOURCE, Site, running_site, transfer

CONTENT = b"archive bytes " * 4096


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as running:
        running.make_file(content=CONTENT)
        yield running


def endpoint(client: globus_sdk.TransferClient) -> globus_sdk.GlobusHTTPResponse:
    return client.get_endpoint(SOURCE)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("authentication_failed", (401, "AuthenticationFailed")),
        ("permission_denied", (403, "PermissionDenied")),
        ("login_failed", (502, "ExternalError.DirListingFailed.LoginFailed")),
        ("rate_limited", (429, "ServiceUnavailable.RateLimit")),
        ("collection_disconnected", (502, "ExternalError.DirListingFailed.GCDisconnected")),
        ("connect_failed", (502, "ExternalError.DirListingFailed.ConnectFailed")),
        ("html_503", (503, None)),
        ("foreign_404", (404, "EndpointNotFound")),
        ("html_404", (404, None)),
        ("task_not_found", (404, "TaskNotFound")),
        ("conflict", (409, "Conflict")),
    ],
)
async def test_ready_made_answers_reach_the_sdk_as_errors(
    site: Site, name: str, expected: tuple[int, str | None]
) -> None:
    site.sandbox.faults.add(Operation.ENDPOINT, CATALOGUE[name])
    with pytest.raises(globus_sdk.TransferAPIError) as caught:
        await site.run(endpoint)
    assert (caught.value.http_status, caught.value.code) == expected
    assert (await site.run(endpoint))["id"] == SOURCE


@pytest.mark.parametrize("name", ["null_code_500", "json_list_502"])
async def test_answers_that_trip_the_sdk_itself_do_so(site: Site, name: str) -> None:
    site.sandbox.faults.add(Operation.ENDPOINT, CATALOGUE[name])
    with pytest.raises(TypeError):
        await site.run(endpoint, max_retries=1)


async def test_200_that_is_no_answer_raises_outside_the_sdks_own_errors(site: Site) -> None:
    site.sandbox.faults.add(Operation.ENDPOINT, HTML_200)
    site.sandbox.faults.add(Operation.ENDPOINT, EMPTY_OBJECT)
    with pytest.raises(ValueError, match="does not support indexing"):
        await site.run(lambda client: endpoint(client)["id"])
    with pytest.raises(KeyError):
        await site.run(lambda client: endpoint(client)["id"])


async def test_retry_after_is_heeded_by_the_sdk(site: Site) -> None:
    site.sandbox.faults.add(Operation.ENDPOINT, rate_limited("0"), times=2)
    site.sandbox.faults.add(Operation.ENDPOINT, rate_limited("Wed, 21 Oct 2026 07:28:00 GMT"))
    assert (await site.run(endpoint, max_retries=3))["id"] == SOURCE
    assert len(site.sandbox.faults.fired) == 3


async def test_scripted_consent_names_the_scope(site: Site) -> None:
    site.sandbox.faults.add(Operation.LS, needs_consent(DESTINATION))
    with pytest.raises(globus_sdk.TransferAPIError) as caught:
        await site.run(lambda client: client.operation_ls(DESTINATION, "/"))
    assert caught.value.info.consent_required.required_scopes is not None


async def test_token_endpoint_can_fail_too(site: Site) -> None:
    site.sandbox.faults.add("token", CATALOGUE["html_503"])
    with pytest.raises(globus_sdk.AuthAPIError):
        await site.run(endpoint)


async def test_truncated_answer_is_a_network_error(site: Site) -> None:
    site.sandbox.faults.add(Operation.ENDPOINT, Truncate())
    with pytest.raises(globus_sdk.NetworkError):
        await site.run(endpoint)


async def test_lost_reply_has_done_the_work(site: Site) -> None:
    site.sandbox.faults.add(Operation.MKDIR, LoseReply())
    with pytest.raises(globus_sdk.NetworkError):
        await site.run(lambda client: client.operation_mkdir(SOURCE, "/made"))
    assert (site.source / "made").is_dir()


async def test_hanging_call_times_out_and_has_done_nothing(site: Site) -> None:
    site.sandbox.faults.add(Operation.MKDIR, Hang())
    with pytest.raises(globus_sdk.GlobusTimeoutError):
        await site.run(lambda client: client.operation_mkdir(SOURCE, "/made"), timeout_seconds=0.2)
    assert not (site.source / "made").exists()


async def test_stop_ends_hanging_calls(site: Site) -> None:
    site.sandbox.faults.add(Operation.ENDPOINT, Hang())
    call = asyncio.create_task(site.run(endpoint))
    deadline = time.monotonic() + 10
    while not site.sandbox.faults.fired:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await site.sandbox.stop()
    with pytest.raises(globus_sdk.NetworkError):
        await call


async def test_overlay_changes_members_of_a_real_answer(site: Site) -> None:
    task = await site.done(transfer(label="job"))
    site.sandbox.faults.add(Operation.TASK, Overlay({"status": "INACTIVE"}, without=("files",)))
    site.sandbox.faults.add(Operation.TASK_LIST, Overlay(rows={"status": "INACTIVE"}))
    shown = await site.task(task["task_id"])
    listed = await site.run(lambda client: client.task_list())
    assert (shown["status"], shown["label"], "files" in shown) == ("INACTIVE", "job", False)
    assert [row["status"] for row in listed["DATA"]] == ["INACTIVE"]


async def test_faults_strike_as_scheduled_and_only_what_they_match(site: Site) -> None:
    denied = CATALOGUE["permission_denied"]
    site.sandbox.faults.add(Operation.STAT, denied, skip=1, times=2, match="x.tar")

    async def works(path: str) -> bool:
        try:
            await site.run(lambda client: client.operation_stat(SOURCE, path))
        except globus_sdk.TransferAPIError:
            return False
        return True

    (site.source / "other").touch()
    seen = [await works(path) for path in ("/x.tar", "/other", "/x.tar", "/x.tar", "/x.tar")]
    assert seen == [True, True, False, False, True]
    site.sandbox.faults.add(Operation.STAT, denied, times=None)
    assert [await works("/other") for _ in range(3)] == [False] * 3
    site.sandbox.faults.clear()
    assert await works("/other")


@pytest.mark.parametrize(
    ("operation", "effect"), [(Operation.RUN, EMPTY_OBJECT), (Operation.TASK, Fail()), ("nonsense", EMPTY_OBJECT)]
)
async def test_fault_that_fits_nowhere_is_refused(site: Site, operation: str, effect: Effect) -> None:
    with pytest.raises(ValueError):
        site.sandbox.faults.add(operation, effect)
