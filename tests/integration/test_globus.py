"""The Globus client against the sandbox, over real HTTP and with the real globus-sdk."""

import asyncio
import json
import logging
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cs_archiver.errors import ConnectionTrouble, JobError, NeedsOperator, Permanent, Temporary
from cs_archiver.sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, CollectionTraits, Operation
from cs_archiver.sandbox.answers import CATALOGUE, CONFLICT, error, needs_consent, rate_limited
from cs_archiver.sandbox.faults import Answer, Effect, Fail, Hang, Hold, LoseReply, Overlay, SlowCancel, Truncate
from cs_archiver.tools.globus import Globus, GlobusAccess, transfer_document
from tests.support.globus_sandbox import DESTINATION, SOURCE, Site, running_site

TRANSFER_SCOPE = "urn:globus:auth:scope:transfer.api.globus.org:all"
NAME = "x.tar"
WAIT_SECONDS = 20.0
TRIES = 3
SHARED = CollectionTraits(entity_type="GCSv5_mapped_collection")


def access(url: str, *, secret: str = DEMO_CLIENT_SECRET, timeout_seconds: float = 20.0) -> GlobusAccess:
    return GlobusAccess(DEMO_CLIENT_ID, secret, url, url, timeout_seconds, retry_sleep_limit_seconds=0.0)


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with running_site(tmp_path) as running:
        running.make_file(NAME)
        yield running
    await all_threads_ended()


@pytest.fixture
async def globus(site: Site) -> AsyncIterator[Globus]:
    client = Globus(access(site.sandbox.url))
    yield client
    await client.close()


async def all_threads_ended() -> None:
    """Threads of a closed client end with the call they hang in, which ended with the sandbox."""
    deadline = time.monotonic() + WAIT_SECONDS
    while any(thread.name.startswith("globus-client-") for thread in threading.enumerate()):
        assert time.monotonic() < deadline, threading.enumerate()
        await asyncio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def a_document(submission_id: str, **changes: Any) -> dict[str, Any]:
    members: dict[str, Any] = {
        "submission_id": submission_id,
        "label": "cs-archiver job 7 attempt 1",
        "source_collection": SOURCE,
        "destination_collection": DESTINATION,
        "source_path": f"/{NAME}",
        "destination_path": f"/2024/{NAME}",
        "sha256": None,
        "sync_level": "checksum",
        "deadline": None,
    }
    return transfer_document(**members | changes)


async def new_document(globus: Globus, **changes: Any) -> dict[str, Any]:
    return a_document(await globus.new_submission_id(), **changes)


async def finished(globus: Globus, task_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_SECONDS
    while (task := await globus.task(task_id))["completion_time"] is None:
        assert time.monotonic() < deadline, task
        await asyncio.sleep(0.01)
    return task


def requests(site: Site, operation: Operation) -> list[Any]:
    return [request for request in site.sandbox.journal if request.operation is operation]


# The way it goes when nothing is wrong -------------------------------------------------------------


async def test_a_file_is_transferred_verified_and_found_again(site: Site, globus: Globus) -> None:
    digest = site.make_file(NAME)
    document = await new_document(globus, sha256=digest)
    assert await globus.stat(DESTINATION, f"/2024/{NAME}") is None

    task_id = await globus.submit(document)
    task = await finished(globus, task_id)

    assert (task["status"], task["files_transferred"], task["verify_checksum"]) == ("SUCCEEDED", 1, True)
    assert await globus.successful_transfers(task_id) == [
        {
            "DATA_TYPE": "successful_transfer",
            "source_path": f"/{NAME}",
            "destination_path": f"/2024/{NAME}",
            "size": (site.source / NAME).stat().st_size,
            "checksum": digest,
            "checksum_algorithm": "SHA256",
        }
    ]
    found = await globus.stat(DESTINATION, f"/2024/{NAME}")
    assert found is not None
    assert (found["type"], found["name"], found["size"]) == ("file", NAME, task["bytes_transferred"])
    assert await globus.last_fault(task_id) is None
    assert (site.destination / "2024" / NAME).read_bytes() == (site.source / NAME).read_bytes()


async def test_what_is_sent_is_the_stored_document_to_the_letter(site: Site, globus: Globus) -> None:
    document = await new_document(globus, sha256="ab" * 32, deadline="2999-12-01T00:00:00+00:00")
    await globus.submit(json.loads(json.dumps(document)))
    assert requests(site, Operation.TRANSFER)[0].body == document


def test_the_document_has_everything_verified_and_nobody_notified() -> None:
    assert a_document("id-1", sha256="ab" * 32, deadline="2999-12-01T00:00:00+00:00") == {
        "DATA_TYPE": "transfer",
        "submission_id": "id-1",
        "label": "cs-archiver job 7 attempt 1",
        "source_endpoint": SOURCE,
        "destination_endpoint": DESTINATION,
        "deadline": "2999-12-01T00:00:00+00:00",
        "sync_level": 3,
        "verify_checksum": True,
        "fail_on_quota_errors": True,
        "skip_source_errors": False,
        "delete_destination_extra": False,
        "preserve_timestamp": False,
        "encrypt_data": False,
        "notify_on_succeeded": False,
        "notify_on_failed": False,
        "notify_on_inactive": False,
        "DATA": [
            {
                "DATA_TYPE": "transfer_item",
                "source_path": f"/{NAME}",
                "destination_path": f"/2024/{NAME}",
                "recursive": False,
                "external_checksum": "ab" * 32,
                "checksum_algorithm": "SHA256",
            }
        ],
    }


def test_what_is_not_given_is_not_in_the_document() -> None:
    document = a_document("id-1", sync_level=None)
    assert not {"deadline", "sync_level"} & set(document)
    assert not {"external_checksum", "checksum_algorithm"} & set(document["DATA"][0])


async def test_nothing_is_sent_before_the_first_call(site: Site) -> None:
    await Globus(access(site.sandbox.url)).close()
    assert site.sandbox.journal == []


async def test_names_with_unusual_characters_reach_globus_unharmed(site: Site, globus: Globus) -> None:
    name = "ü spaß +&#%?.tar"
    site.make_file(name)
    found = await globus.stat(SOURCE, f"/{name}")
    assert found is not None
    assert found["name"] == name


async def test_one_token_serves_a_thread_for_all_its_calls(site: Site, globus: Globus) -> None:
    for _ in range(12):
        await globus.stat(SOURCE, f"/{NAME}")
    assert len(requests(site, Operation.TOKEN)) <= 3


# Collections ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        (CollectionTraits(display_name="NAS"), ("NAS", False, None)),
        (CollectionTraits(display_name="NAS", disable_verify=True), ("NAS", True, None)),
        (CollectionTraits(entity_type="GCSv5_mapped_collection"), ("source", False, None)),
        (
            CollectionTraits(entity_type="GCSv5_mapped_collection", high_assurance=True),
            ("source", False, None),
        ),
        (CollectionTraits(gcp_connected=False), ("source", False, "Personal is not connected")),
        (CollectionTraits(gcp_paused=True), ("source", False, "Personal is paused")),
        (
            CollectionTraits(entity_type="GCSv5_endpoint"),
            ("source", False, "not of one of its collections"),
        ),
    ],
)
async def test_a_collection_is_read_as_it_describes_itself(
    site: Site, globus: Globus, traits: CollectionTraits, expected: tuple[str, bool, str | None]
) -> None:
    site.sandbox.collections[SOURCE].traits = traits
    found = await globus.collection(SOURCE)
    assert found.id == SOURCE
    assert (found.name, found.verification_disabled) == expected[:2]
    assert (found.problem is None) is (expected[2] is None)
    assert (expected[2] or "") in (found.problem or "")


@pytest.mark.parametrize("changes", [{"disable_verify": None}, {"disable_verify": 0}, {"id": DESTINATION}])
async def test_a_collection_that_leaves_doubt_is_not_taken_as_read(
    site: Site, globus: Globus, changes: dict[str, Any]
) -> None:
    site.sandbox.faults.add(Operation.ENDPOINT, Overlay(members=changes))
    with pytest.raises(ConnectionTrouble):
        await globus.collection(SOURCE)


# A submission is carried out once ------------------------------------------------------------------


async def test_a_lost_reply_to_a_submission_makes_no_second_task(site: Site, globus: Globus) -> None:
    document = await new_document(globus)
    site.sandbox.faults.add(Operation.TRANSFER, LoseReply())
    task_id = await globus.submit(document)
    assert list(site.sandbox.tasks) == [task_id]
    assert len(requests(site, Operation.TRANSFER)) == 2


async def test_the_stored_document_gives_the_same_task_after_a_restart(site: Site, globus: Globus) -> None:
    document = await new_document(globus)
    site.sandbox.faults.add(Operation.TRANSFER, LoseReply(), times=TRIES)
    with pytest.raises(ConnectionTrouble):
        await globus.submit(document)
    restarted = Globus(access(site.sandbox.url))
    try:
        task_id = await restarted.submit(json.loads(json.dumps(document)))
        assert await restarted.submit(document) == task_id
        assert list(site.sandbox.tasks) == [task_id]
    finally:
        await restarted.close()


async def test_a_cancelled_submission_that_reached_globus_is_found_again(site: Site, globus: Globus) -> None:
    document = await new_document(globus)
    site.sandbox.faults.add(Operation.TRANSFER, Hang())
    submitting = asyncio.create_task(globus.submit(document))
    await until(lambda: bool(requests(site, Operation.TRANSFER)))
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    site.sandbox.faults.clear()
    await until(lambda: bool(site.sandbox.tasks))
    assert [await globus.submit(document)] == list(site.sandbox.tasks)


@pytest.mark.parametrize("submission_id", ["", None])
async def test_a_document_without_submission_id_is_not_sent(
    site: Site, globus: Globus, submission_id: str | None
) -> None:
    with pytest.raises(Permanent):
        await globus.submit(a_document("id-1") | {"submission_id": submission_id})
    assert requests(site, Operation.TRANSFER) == []


async def test_a_submission_id_globus_never_issued_is_rejected_for_good(globus: Globus) -> None:
    with pytest.raises(Permanent, match=r"HTTP 400 ClientError\.BadRequest: .*never issued.* \(request \w+\)"):
        await globus.submit(a_document("33333333-3333-4333-8333-333333333333"))


@pytest.mark.parametrize(
    "overlay",
    [
        Overlay(members={"code": "Queued"}),
        Overlay(members={"submission_id": "another"}),
        Overlay(without=("code",)),
        Overlay(without=("task_id",)),
        Overlay(members={"task_id": None}),
    ],
)
async def test_a_reply_that_does_not_say_accepted_is_no_success(site: Site, globus: Globus, overlay: Overlay) -> None:
    document = await new_document(globus)
    site.sandbox.faults.add(Operation.TRANSFER, overlay)
    with pytest.raises(ConnectionTrouble):
        await globus.submit(document)
    assert [await globus.submit(document)] == list(site.sandbox.tasks)


# Identical paths -----------------------------------------------------------------------------------


async def test_an_unfinished_task_of_ours_with_the_same_paths_is_adopted(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    first = await globus.submit(await new_document(globus))
    assert await globus.submit(await new_document(globus)) == first
    assert list(site.sandbox.tasks) == [first]


@pytest.mark.parametrize("label", ["cs-archiver job 7 attempt 2", "cs-archiver job 7", ""])
async def test_a_task_with_another_label_is_not_adopted(site: Site, globus: Globus, label: str) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    await globus.submit(await new_document(globus, label="" if label == "" else "cs-archiver job 7 attempt 1"))
    await assert_conflict(globus.submit(await new_document(globus, label=label)))
    assert len(site.sandbox.tasks) == 1


@pytest.mark.parametrize("changed", ["source_endpoint", "destination_endpoint"])
async def test_a_task_between_other_collections_is_not_adopted(site: Site, globus: Globus, changed: str) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    await globus.submit(await new_document(globus))
    document = await new_document(globus) | {changed: "44444444-4444-4444-8444-444444444444"}
    site.sandbox.faults.add(Operation.TRANSFER, CONFLICT)
    await assert_conflict(globus.submit(document))


async def test_a_finished_task_is_not_adopted(site: Site, globus: Globus) -> None:
    await finished(globus, await globus.submit(await new_document(globus)))
    site.sandbox.faults.add(Operation.TRANSFER, CONFLICT)
    await assert_conflict(globus.submit(await new_document(globus)))


async def test_of_two_tasks_with_our_label_none_is_adopted(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"), times=2)
    await globus.submit(await new_document(globus))
    await globus.submit(await new_document(globus, destination_path="/elsewhere.tar"))
    site.sandbox.faults.add(Operation.TRANSFER, CONFLICT)
    await assert_conflict(globus.submit(await new_document(globus)))


async def assert_conflict(submitting: Awaitable[str]) -> None:
    with pytest.raises(Temporary, match="busy with another transfer of the same paths") as caught:
        await submitting
    assert not isinstance(caught.value, ConnectionTrouble)


# Consents ------------------------------------------------------------------------------------------


async def test_a_missing_consent_is_given_once_and_then_holds(site: Site, globus: Globus) -> None:
    site.sandbox.collections[SOURCE].traits = SHARED
    for _ in range(8):
        assert await globus.stat(SOURCE, f"/{NAME}") is not None
    scopes = [request.body["scope"] for request in requests(site, Operation.TOKEN)]
    wanted = [scope for scope in scopes if "data_access" in scope]
    assert wanted == [f"{TRANSFER_SCOPE}[*https://auth.globus.org/scopes/{SOURCE}/data_access]"]


async def test_consents_for_both_collections_are_given_while_submitting(site: Site, globus: Globus) -> None:
    for collection in site.sandbox.collections.values():
        collection.traits = SHARED
    task = await finished(globus, await globus.submit(await new_document(globus)))
    assert task["status"] == "SUCCEEDED"
    assert len(site.sandbox.tasks) == 1


async def test_a_consent_that_changes_nothing_calls_the_operator(site: Site, globus: Globus) -> None:
    site.sandbox.collections[SOURCE].traits = SHARED
    site.sandbox.faults.add(Operation.STAT, needs_consent(SOURCE), times=None)
    with pytest.raises(NeedsOperator) as caught:
        await globus.stat(SOURCE, f"/{NAME}")
    assert caught.value.problem == "globus-consent"
    assert len(requests(site, Operation.STAT)) == 2


async def test_a_consent_without_scopes_calls_the_operator(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.STAT, error(403, "ConsentRequired"))
    with pytest.raises(NeedsOperator):
        await globus.stat(SOURCE, f"/{NAME}")


async def test_auth_being_down_while_consenting_is_connection_trouble(site: Site, globus: Globus) -> None:
    await globus.stat(SOURCE, f"/{NAME}")
    site.sandbox.collections[SOURCE].traits = SHARED
    site.sandbox.faults.add(Operation.TOKEN, CATALOGUE["html_503"], times=None)
    # Threads that have a token of their own already fail at the consent, the others at the token.
    for _ in range(4):
        with pytest.raises(ConnectionTrouble):
            await globus.stat(SOURCE, f"/{NAME}")


# Credentials ---------------------------------------------------------------------------------------


async def test_an_expired_token_is_replaced_within_the_call(site: Site, globus: Globus) -> None:
    await globus.stat(SOURCE, f"/{NAME}")
    before = len(requests(site, Operation.TOKEN))
    site.sandbox.accounts.expire_tokens()
    for _ in range(6):
        assert await globus.stat(SOURCE, f"/{NAME}") is not None
    assert before < len(requests(site, Operation.TOKEN)) <= before + 3


async def test_a_wrong_secret_calls_the_operator_and_is_not_repeated_in_the_message(site: Site) -> None:
    client = Globus(access(site.sandbox.url, secret="wrong-but-secret"))
    try:
        with pytest.raises(NeedsOperator, match=r"HTTP 401 .*check the Globus client id and secret") as caught:
            await client.new_submission_id()
    finally:
        await client.close()
    assert caught.value.problem == "globus-credentials"
    assert "wrong-but-secret" not in shown(caught.value)
    assert len(requests(site, Operation.TOKEN)) == 1


async def test_credentials_that_were_refused_are_tried_again_with_the_next_call(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.TOKEN, CATALOGUE["authentication_failed"])
    with pytest.raises(NeedsOperator):
        await globus.new_submission_id()
    assert await globus.new_submission_id()


async def test_neither_logs_nor_errors_carry_tokens_secrets_or_whole_answers(
    site: Site, globus: Globus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = {
        "access_token": "token-nobody-may-see",
        "scope": TRANSFER_SCOPE,
        "expires_in": 172_800,
        "token_type": "Bearer",
        "resource_server": "transfer.api.globus.org",
        "other_tokens": [],
    }
    refusal = {"code": "AuthenticationFailed", "message": "Token is not active", "echo": token["access_token"]}
    site.sandbox.faults.add(Operation.TOKEN, Answer(200, token), times=None)
    site.sandbox.faults.add(Operation.STAT, Answer(401, refusal), times=None)
    with pytest.raises(NeedsOperator) as caught:
        await globus.stat(SOURCE, f"/{NAME}")
    seen = shown(caught.value) + caplog.text + repr(access(site.sandbox.url))
    assert "token-nobody-may-see" not in seen
    assert DEMO_CLIENT_SECRET not in seen
    assert "HTTP 401 AuthenticationFailed: Token is not active" in str(caught.value)


async def test_an_access_token_that_is_no_header_is_not_repeated_in_the_message(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.TOKEN, Overlay(members={"access_token": "nobody-may\nsee"}))
    with pytest.raises(ConnectionTrouble) as caught:
        await globus.stat(SOURCE, f"/{NAME}")
    assert "nobody-may" not in str(caught.value)


def shown(failure: JobError) -> str:
    """The failure with its causes and their notes, as a log would show it."""
    return "".join(traceback.format_exception(failure))


# Absent, or not to be known ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/missing.tar", "/missing/x.tar"])
async def test_what_globus_says_is_not_there_is_absent(globus: Globus, path: str) -> None:
    assert await globus.stat(DESTINATION, path) is None


@pytest.mark.parametrize(
    "answer",
    [
        *CATALOGUE.values(),
        error(404, "EndpointNotFound"),
        error(404, "ClientError.NotFound.Endpoint"),
        error(410, "NotFound"),
        error(500, "NotFound"),
        Answer(404, {"code": "NotFound"}),
        Answer(404, {"code": "NotFound", "message": "no such page"}),
        Answer(404, {"message": "NotFound"}),
        Answer(404, []),
        Answer(404, ""),
        Answer(200, []),
        Answer(200, None),
        Answer(200, {"code": "NotFound"}),
        Answer(200, {"type": None}),
        Answer(204, ""),
        Answer(304, ""),
    ],
)
async def test_no_other_answer_is_taken_for_absence_or_for_a_file(site: Site, globus: Globus, answer: Answer) -> None:
    site.sandbox.faults.add(Operation.STAT, answer, times=None)
    with pytest.raises(JobError):
        await globus.stat(DESTINATION, f"/{NAME}")


# Every fault at every call -------------------------------------------------------------------------

FAULTS: dict[str, Effect] = {
    **CATALOGUE,
    "rate_limited_until_date": rate_limited("Sun, 22 Nov 2026 20:00:00 GMT"),
    "bad_request": error(400, "ClientError.BadRequest.NoTransferItems"),
    "endpoint_permission_denied": error(403, "EndpointPermissionDenied"),
    "path_permission_denied": error(502, "ExternalError.DirListingFailed.PermissionDenied"),
    "operation_paused": error(409, "OperationPaused"),
    "maintenance_503": error(503, "ServiceUnavailable"),
    "unknown_code_418": error(418, "Teapot"),
    "endpoint_error_502": error(502, "EndpointError"),
    "plain_html_400": Answer(400, "<html>Bad Request</html>"),
    "plain_html_403": Answer(403, "<html>Forbidden</html>"),
    "json_list_200": Answer(200, [1]),
    "json_null_200": Answer(200, None),
    "truncate": Truncate(),
    "lose_reply": LoseReply(),
    "hang": Hang(),
}

OPERATOR = {
    "authentication_failed",
    "permission_denied",
    "endpoint_permission_denied",
    "path_permission_denied",
    "login_failed",
    "collection_disconnected",
    "operation_paused",
    "foreign_404",
}


class Given(NamedTuple):
    """A finished task, and a document that was not submitted yet."""

    task_id: str
    document: dict[str, Any]


Ask = Callable[[Globus, Given], Awaitable[object]]
CALLS: dict[Operation, Ask] = {
    Operation.TOKEN: lambda globus, given: globus.new_submission_id(),
    Operation.SUBMISSION_ID: lambda globus, given: globus.new_submission_id(),
    Operation.TRANSFER: lambda globus, given: globus.submit(given.document),
    Operation.TASK: lambda globus, given: globus.task(given.task_id),
    Operation.STAT: lambda globus, given: globus.stat(SOURCE, f"/{NAME}"),
    Operation.ENDPOINT: lambda globus, given: globus.collection(SOURCE),
    Operation.CANCEL: lambda globus, given: globus.cancel(given.task_id),
    Operation.SUCCESSFUL_TRANSFERS: lambda globus, given: globus.successful_transfers(given.task_id),
    Operation.EVENT_LIST: lambda globus, given: globus.last_fault(given.task_id),
}


def expected_kind(operation: Operation, fault: str) -> type[JobError]:
    if operation is Operation.TOKEN:
        refusals = {"authentication_failed", "permission_denied", "endpoint_permission_denied", "bad_request"}
        return NeedsOperator if fault in refusals else ConnectionTrouble
    if fault in OPERATOR:
        return NeedsOperator
    if fault == "task_not_found" or (fault == "conflict" and operation is Operation.TRANSFER):
        return Temporary
    if fault == "bad_request":
        return Temporary if operation is Operation.SUCCESSFUL_TRANSFERS else Permanent
    return ConnectionTrouble


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_at_every_call_is_told_for_what_it_is(site: Site, globus: Globus, fault: str) -> None:
    task_id = await globus.submit(await new_document(globus, destination_path="/before.tar"))
    await finished(globus, task_id)
    for operation, call in CALLS.items():
        given = Given(task_id, await new_document(globus, label=operation.value))
        failure = await failure_of(site, operation, fault, given)
        assert type(failure) is expected_kind(operation, fault), (operation, failure)
        assert "\n" not in str(failure)
        site.sandbox.faults.clear()
        await call(globus, given)


async def failure_of(site: Site, operation: Operation, fault: str, given: Given) -> JobError:
    """What a client of its own raises, which has to sign in first, while the fault strikes always."""
    client = Globus(access(site.sandbox.url, timeout_seconds=0.1 if fault == "hang" else 20.0))
    site.sandbox.faults.add(operation, FAULTS[fault], times=None)
    try:
        with pytest.raises(JobError) as caught:
            await CALLS[operation](client, given)
    finally:
        await client.close()
    return caught.value


@pytest.mark.parametrize(
    ("operation", "overlay"),
    [
        (Operation.SUBMISSION_ID, Overlay(members={"value": ""})),
        (Operation.SUBMISSION_ID, Overlay(without=("value",))),
        (Operation.TASK, Overlay(members={"task_id": SOURCE})),
        (Operation.TASK, Overlay(without=("task_id",))),
        (Operation.TASK, Overlay(members={"status": None})),
        (Operation.STAT, Overlay(without=("type",))),
        (Operation.CANCEL, Overlay(members={"code": "Perhaps"})),
        (Operation.SUCCESSFUL_TRANSFERS, Overlay(members={"DATA": None})),
        (Operation.SUCCESSFUL_TRANSFERS, Overlay(members={"DATA": ["x"]})),
        (Operation.SUCCESSFUL_TRANSFERS, Overlay(members={"next_marker": 0})),
        (Operation.EVENT_LIST, Overlay(without=("DATA",))),
        (Operation.TOKEN, Overlay(without=("other_tokens",))),
        (Operation.TOKEN, Overlay(without=("access_token",))),
        (Operation.TOKEN, Overlay(members={"other_tokens": [{"resource_server": "x"}]})),
    ],
)
async def test_an_answer_that_lacks_what_was_asked_for_is_trouble(
    site: Site, globus: Globus, operation: Operation, overlay: Overlay
) -> None:
    document = await new_document(globus)
    task_id = await globus.submit(document)
    await finished(globus, task_id)
    site.sandbox.accounts.expire_tokens()
    site.sandbox.faults.add(operation, overlay, times=None)
    with pytest.raises(ConnectionTrouble):
        await CALLS[operation](globus, Given(task_id, document))


async def test_a_request_is_tried_three_times_and_an_error_of_the_collection_once(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.STAT, CATALOGUE["html_503"], times=None)
    with pytest.raises(ConnectionTrouble, match=r"looking up '/x\.tar' on .*: HTTP 503: Service Unavailable"):
        await globus.stat(SOURCE, f"/{NAME}")
    assert len(requests(site, Operation.STAT)) == TRIES
    site.sandbox.faults.clear()
    site.sandbox.faults.add(Operation.STAT, CATALOGUE["collection_disconnected"], times=None)
    with pytest.raises(NeedsOperator, match="start Globus Connect Personal"):
        await globus.stat(SOURCE, f"/{NAME}")
    assert len(requests(site, Operation.STAT)) == TRIES + 1


async def test_globus_does_not_decide_how_long_a_thread_sleeps(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.STAT, rate_limited("60"), times=None)
    started = time.monotonic()
    with pytest.raises(ConnectionTrouble, match="HTTP 429"):
        await globus.stat(SOURCE, f"/{NAME}")
    assert time.monotonic() - started < 8


async def test_nobody_listening_is_connection_trouble(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = Globus(access(f"http://127.0.0.1:{unused_tcp_port}"))
    with pytest.raises(ConnectionTrouble, match="Connection refused"):
        await client.new_submission_id()
    await client.close()
    await all_threads_ended()


# Tasks that do not go smoothly ---------------------------------------------------------------------


async def test_all_pages_of_the_list_are_read(site: Site, globus: Globus) -> None:
    task_id = await globus.submit(await new_document(globus))
    await finished(globus, task_id)
    site.sandbox.faults.add(Operation.SUCCESSFUL_TRANSFERS, Overlay(members={"next_marker": 0}), times=2)
    assert len(await globus.successful_transfers(task_id)) == 3
    assert [request.query.get("marker") for request in requests(site, Operation.SUCCESSFUL_TRANSFERS)] == [
        None,
        "0",
        "0",
    ]


async def test_the_list_of_a_running_task_is_not_there_yet(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    task_id = await globus.submit(await new_document(globus))
    with pytest.raises(Temporary, match="still in progress") as caught:
        await globus.successful_transfers(task_id)
    assert not isinstance(caught.value, ConnectionTrouble)


async def test_the_last_fault_is_told_while_the_task_goes_on(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("FAULTING", code="NO_SPACE_LEFT", description="no space\n left"))
    task_id = await globus.submit(await new_document(globus))
    await until(lambda: site.sandbox.tasks[task_id].faults == 1)
    assert await globus.last_fault(task_id) == "NO_SPACE_LEFT: no space left"
    assert (await globus.task(task_id))["status"] == "ACTIVE"
    site.sandbox.faults.clear()
    assert (await finished(globus, task_id))["status"] == "SUCCEEDED"
    assert await globus.last_fault(task_id) == "NO_SPACE_LEFT: no space left"


async def test_a_failed_task_is_an_answer_and_no_error(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.RUN, Fail("QUOTA_EXCEEDED", "quota exceeded"))
    task = await finished(globus, await globus.submit(await new_document(globus)))
    assert (task["status"], task["fatal_error"]["code"]) == ("FAILED", "QUOTA_EXCEEDED")


async def test_a_running_task_is_cancelled_and_a_finished_one_is_left(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    task_id = await globus.submit(await new_document(globus))
    await globus.cancel(task_id)
    task = await globus.task(task_id)
    assert (task["status"], task["fatal_error"]["code"]) == ("FAILED", "CANCELED")
    await globus.cancel(task_id)


async def test_a_cancel_that_is_only_accepted_is_fine(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.RUN, SlowCancel())
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    task_id = await globus.submit(await new_document(globus))
    await globus.cancel(task_id)
    assert (await globus.task(task_id))["status"] == "ACTIVE"


async def test_complete_told_as_an_error_is_fine_for_a_cancel(site: Site, globus: Globus) -> None:
    task_id = await globus.submit(await new_document(globus))
    site.sandbox.faults.add(Operation.CANCEL, error(409, "TaskComplete"))
    await globus.cancel(task_id)


# Calls that hang -----------------------------------------------------------------------------------


async def test_a_call_that_hangs_blocks_neither_the_loop_nor_other_calls(site: Site, globus: Globus) -> None:
    site.sandbox.faults.add(Operation.ENDPOINT, Hang(), times=None)
    hanging = [asyncio.create_task(globus.collection(SOURCE)) for _ in range(2)]
    await until(lambda: len(requests(site, Operation.ENDPOINT)) == 2)
    assert await globus.stat(SOURCE, f"/{NAME}") is not None
    assert not any(task.done() for task in hanging)
    site.sandbox.faults.clear()
    assert [(await task).id for task in hanging] == [SOURCE, SOURCE]


async def test_a_call_cancelled_while_it_waits_for_a_thread_is_never_made(site: Site, globus: Globus) -> None:
    document = await new_document(globus)
    site.sandbox.faults.add(Operation.ENDPOINT, Hang(), times=None)
    hanging = [asyncio.create_task(globus.collection(SOURCE)) for _ in range(3)]
    await until(lambda: len(requests(site, Operation.ENDPOINT)) == 3)
    waiting = asyncio.create_task(globus.submit(document))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    site.sandbox.faults.clear()
    await asyncio.gather(*hanging)
    await asyncio.gather(*(globus.stat(SOURCE, f"/{NAME}") for _ in range(6)))
    assert requests(site, Operation.TRANSFER) == []


async def test_closing_waits_for_no_call_that_hangs_and_refuses_those_that_wait(site: Site) -> None:
    client = Globus(access(site.sandbox.url))
    site.sandbox.faults.add(Operation.TOKEN, Hang(), times=None)
    hanging = [asyncio.create_task(client.new_submission_id()) for _ in range(3)]
    await until(lambda: len(requests(site, Operation.TOKEN)) == 3)
    waiting = [asyncio.create_task(client.new_submission_id()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    started = time.monotonic()
    await client.close()
    assert time.monotonic() - started < 5
    left = [thread for thread in threading.enumerate() if thread.name.startswith("globus-client-")]
    assert [thread.daemon for thread in left] == [True] * 3
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    with pytest.raises(ConnectionTrouble, match="closed"):
        await waiting[1]
    with pytest.raises(ConnectionTrouble, match="closed"):
        await client.task("any")
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_closed_client_leaves_no_thread_and_closes_twice(site: Site) -> None:
    client = Globus(access(site.sandbox.url))
    await client.stat(SOURCE, f"/{NAME}")
    await client.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("globus-client-")]
    await client.close()
