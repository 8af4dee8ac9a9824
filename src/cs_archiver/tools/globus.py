"""Globus as the service needs it: what to ask, and what counts as an answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from globus_sdk import MISSING, TransferAPIError, TransferClient, TransferData
from globus_sdk.response import GlobusHTTPResponse

from cs_archiver.errors import Permanent, Temporary
from cs_archiver.tools.globus_errors import (
    UnexpectedAnswer,
    date_of,
    description,
    is_bad_request,
    is_conflict,
    is_definitely_absent,
    is_task_complete,
    one_line,
)
from cs_archiver.tools.globus_threads import GlobusAccess, GlobusThreads

__all__ = ["Collection", "Globus", "GlobusAccess", "SyncLevel", "transfer_document"]

_MAX_PAGES: Final = 100
_MAX_TASKS: Final = 1000
_UNFINISHED: Final = ("ACTIVE", "INACTIVE")

SyncLevel = Literal["exists", "size", "mtime", "checksum"]


@dataclass(frozen=True, slots=True)
class Collection:
    """What a collection says of itself. `problem` is why it cannot be used now, in words, or None."""

    id: str
    name: str
    verification_disabled: bool
    problem: str | None


def transfer_document(
    *,
    submission_id: str,
    label: str,
    source_collection: str,
    destination_collection: str,
    source_path: str,
    destination_path: str,
    sha256: str | None,
    sync_level: SyncLevel | None,
    deadline: str | None,
) -> dict[str, Any]:
    """The document that has one file copied and verified, to be stored and then submitted; plain JSON.

    `sha256` in hexadecimal has Globus verify the copy against it as well. `label` must be of this job and
    attempt alone: an unfinished task is found again by it.
    """
    transfer = TransferData(
        source_collection,
        destination_collection,
        submission_id=submission_id,
        label=label,
        sync_level=sync_level or MISSING,
        deadline=deadline or MISSING,
        verify_checksum=True,
        fail_on_quota_errors=True,
        skip_source_errors=False,
        delete_destination_extra=False,
        preserve_timestamp=False,
        encrypt_data=False,
        notify_on_succeeded=False,
        notify_on_failed=False,
        notify_on_inactive=False,
    )
    checksum = {"external_checksum": sha256, "checksum_algorithm": "SHA256"} if sha256 else {}
    transfer.add_item(source_path, destination_path, recursive=False, additional_fields=checksum)
    return _without_missing(transfer) | {"DATA": [_without_missing(item) for item in transfer["DATA"]]}


class Globus:
    """Globus under one identity.

    Every call raises ConnectionTrouble when there is no answer or one that makes no sense, NeedsOperator when
    only a person can mend it and Permanent when Globus rejects the request. Every call may be repeated. One
    whose caller was cancelled may still reach Globus.
    """

    def __init__(self, access: GlobusAccess) -> None:
        self._threads = GlobusThreads(access)
        self.tally = self._threads.tally

    async def collection(self, collection_id: str) -> Collection:
        """What the collection says of itself now."""
        doing = f"looking up Globus collection {collection_id}"
        return await self._threads.ask(doing, lambda client: _collection(client, collection_id))

    async def stat(self, collection_id: str, path: str) -> Mapping[str, Any] | None:
        """The file document of `path`; None only when Globus says for certain that nothing is there."""
        doing = f"looking up {path!r} on Globus collection {collection_id}"
        return await self._threads.ask(doing, lambda client: _stat(client, collection_id, path))

    async def clock(self) -> datetime | None:
        """What time it is at Globus, to the second; None when its answer bears none. Shows that signing in works."""
        return await self._threads.ask("signing in to Globus", lambda client: date_of(client.get_submission_id()))

    async def new_submission_id(self) -> str:
        """An id to store before it is used: what is submitted under it is carried out once at most."""
        return await self._threads.ask("fetching a Globus submission id", _submission_id)

    async def submit(self, document: Mapping[str, Any]) -> str:
        """The id of the task, the same one however often the document is submitted.

        When Globus is still busy with a transfer of the same paths, the unfinished task that bears the
        document's label and collections is taken for ours; raises Temporary when there is none.
        """
        doing = f"submitting Globus transfer {document.get('label')!r}"
        return await self._threads.ask(doing, lambda client: _submit(client, document))

    async def task_of(self, document: Mapping[str, Any]) -> str | None:
        """The id of the task that bears the document's label and collections, in any state; None when none is shown."""
        doing = f"looking for Globus transfer {document.get('label')!r}"
        return await self._threads.ask(doing, lambda client: _task_of(client, document))

    async def task(self, task_id: str) -> dict[str, Any]:
        """The task document; raises Temporary when Globus does not know the task."""
        document = await self._threads.ask(f"reading Globus task {task_id}", lambda client: _task(client, task_id))
        self.tally.note_faults(task_id, document.get("faults"))
        return document

    async def successful_transfers(self, task_id: str) -> list[dict[str, Any]]:
        """A row for each file transferred; raises Temporary when Globus does not give the list yet."""
        doing = f"listing what Globus task {task_id} transferred"
        return await self._threads.ask(doing, lambda client: _successful_transfers(client, task_id))

    async def last_fault(self, task_id: str) -> str | None:
        """The newest error among the task's events, for people to read; Globus may have got over it."""
        doing = f"reading the events of Globus task {task_id}"
        return await self._threads.ask(doing, lambda client: _last_fault(client, task_id))

    async def cancel(self, task_id: str) -> None:
        """Asks the task to end. It may have ended before, or go on for a while: only reading it tells."""
        await self._threads.ask(f"cancelling Globus task {task_id}", lambda client: _cancel(client, task_id))

    async def close(self) -> None:
        """Ends threads and connections without waiting for a call that hangs; later calls are refused."""
        await self._threads.close()


def _collection(client: TransferClient, collection_id: str) -> Collection:
    document = _document(client.get_endpoint(collection_id))
    _require_same("id", _text(document, "id").lower(), collection_id.lower())
    disabled = document.get("disable_verify")
    if not isinstance(disabled, bool):
        raise UnexpectedAnswer("it does not say whether verification is disabled")
    return Collection(
        id=collection_id,
        name=one_line(str(document.get("display_name") or collection_id)),
        verification_disabled=disabled,
        problem=_problem(document),
    )


def _problem(document: Mapping[str, Any]) -> str | None:
    if document.get("entity_type") == "GCSv5_endpoint":
        return "this is the id of an endpoint, not of one of its collections"
    if document.get("gcp_connected") is False:
        return "Globus Connect Personal is not connected"
    if document.get("gcp_paused") is True:
        return "Globus Connect Personal is paused"
    return None


def _stat(client: TransferClient, collection_id: str, path: str) -> dict[str, Any] | None:
    try:
        document = _document(client.operation_stat(collection_id, path))
    except TransferAPIError as error:
        if is_definitely_absent(error):
            return None
        raise
    _text(document, "type")
    return document


def _submission_id(client: TransferClient) -> str:
    return _text(_document(client.get_submission_id()), "value")


def _submit(client: TransferClient, document: Mapping[str, Any]) -> str:
    submission_id = document.get("submission_id")
    if not submission_id:
        # The SDK would fetch one, and a repetition would be another transfer.
        raise Permanent("the transfer has no submission id", problem="globus-rejected")
    try:
        reply = _document(client.submit_transfer(dict(document)))
    except TransferAPIError as error:
        if not is_conflict(error):
            raise
        return _task_under_way(client, document)
    _require_code(reply, "Accepted", "Duplicate")
    _require_same("submission_id", reply.get("submission_id", submission_id), submission_id)
    return _text(reply, "task_id")


def _task_under_way(client: TransferClient, document: Mapping[str, Any]) -> str:
    """No task document holds paths: that they are the same is what the conflict itself says."""
    unfinished = f"status:{','.join(_UNFINISHED)}/type:TRANSFER"
    ours = _tasks_of(client, document, unfinished)
    found = [_text(row, "task_id") for row in ours if row.get("status") in _UNFINISHED]
    if len(found) != 1:
        raise Temporary(
            f"Globus is still busy with another transfer of the same paths ({len(found)} unfinished tasks are "
            f"called {document.get('label')!r}); it goes on when that one has ended",
            problem="globus-conflict",
        )
    return found[0]


def _task_of(client: TransferClient, document: Mapping[str, Any]) -> str | None:
    ours = _tasks_of(client, document, f"type:TRANSFER/label:{document.get('label')}")
    return next((_text(row, "task_id") for row in ours), None)


def _tasks_of(client: TransferClient, document: Mapping[str, Any], among: str) -> list[dict[str, Any]]:
    rows = _rows(_document(client.task_list(limit=_MAX_TASKS, filter=among)))
    return [row for row in rows if _is_task_of(row, document)]


def _is_task_of(row: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    return (
        row.get("type") == "TRANSFER"
        and bool(document.get("label"))
        and row.get("label") == document.get("label")
        and row.get("source_endpoint_id") == document.get("source_endpoint")
        and row.get("destination_endpoint_id") == document.get("destination_endpoint")
    )


def _task(client: TransferClient, task_id: str) -> dict[str, Any]:
    document = _document(client.get_task(task_id))
    _require_same("task_id", _text(document, "task_id"), task_id)
    _text(document, "status")
    return document


def _successful_transfers(client: TransferClient, task_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    marker: Any = MISSING
    for _ in range(_MAX_PAGES):
        try:
            page = _document(client.task_successful_transfers(task_id, marker=marker))
        except TransferAPIError as error:
            if is_bad_request(error):
                # Said of tasks that are not finished, and ours was: the two answers may lag behind each other.
                raise Temporary(f"no list yet: {description(error)}", problem="globus-no-list") from error
            raise
        found += _rows(page)
        marker = page.get("next_marker")
        if marker is None:
            return found
    raise UnexpectedAnswer(f"the list does not end after {_MAX_PAGES} pages")


def _last_fault(client: TransferClient, task_id: str) -> str | None:
    events = _rows(_document(client.task_event_list(task_id, limit=1, query_params={"filter": "is_error:1"})))
    faults = [event for event in events if event.get("is_error")]
    return one_line(f"{faults[0].get('code')}: {faults[0].get('description')}") if faults else None


def _cancel(client: TransferClient, task_id: str) -> None:
    try:
        reply = _document(client.cancel_task(task_id))
    except TransferAPIError as error:
        if is_task_complete(error):
            return
        raise
    _require_code(reply, "Canceled", "CancelAccepted", "TaskComplete")


def _document(response: GlobusHTTPResponse) -> dict[str, Any]:
    if not isinstance(response.data, dict):
        raise UnexpectedAnswer(f"HTTP {response.http_status} with something else than a JSON object")
    return response.data


def _rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = document.get("DATA")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnexpectedAnswer("it holds no list")
    return rows


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise UnexpectedAnswer(f"it holds no {name}")
    return value


def _require_code(reply: Mapping[str, Any], *known: str) -> None:
    if reply.get("code") not in known:
        raise UnexpectedAnswer(f"code {reply.get('code')!r} instead of one of {', '.join(known)}")


def _require_same(name: str, found: object, expected: object) -> None:
    if found != expected:
        raise UnexpectedAnswer(f"{name} {found!r} instead of {expected!r}")


def _without_missing(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not MISSING}
