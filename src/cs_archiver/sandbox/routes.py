"""The request handlers of the Transfer API, named after their operations."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from cs_archiver.sandbox.auth import TRANSFER_SERVER, Accounts, consent_required
from cs_archiver.sandbox.documents import (
    endpoint_document,
    marker_page,
    offset_page,
    skipped_error_row,
    task_document,
    transferred_row,
)
from cs_archiver.sandbox.engine import TaskEngine
from cs_archiver.sandbox.faults import Operation
from cs_archiver.sandbox.filesystem import (
    Collection,
    list_folder,
    make_folder,
    rename_path,
    stat_path,
)
from cs_archiver.sandbox.replies import (
    Json,
    Refusal,
    bad_request,
    number_parameter,
    parse_time,
    read_document,
    result,
    text_member,
)
from cs_archiver.sandbox.rows import FILE_KEYS, TASK_KEYS, TASK_ORDER, ordered, row_filter
from cs_archiver.sandbox.submissions import (
    DeleteRequest,
    TransferRequest,
    find_collection,
    parse_delete,
    parse_label,
    parse_transfer,
)
from cs_archiver.sandbox.tasks import Task

MAX_ROWS = 1000
DEFAULT_ROWS = 10
MARKER_ROWS = 100
_ACCEPTED = "The {} has been accepted and a task has been created and queued for execution"
_Handler = Callable[[web.Request, str], Awaitable[Json]]


class TransferRoutes:
    """Each handler gets the request and the client id behind its token, and returns the JSON to send."""

    def __init__(self, accounts: Accounts, collections: dict[str, Collection], engine: TaskEngine) -> None:
        self._accounts = accounts
        self._collections = collections
        self._engine = engine

    def table(self) -> list[web.RouteDef]:
        root, operation, task = "/v0.10", "/v0.10/operation/endpoint/{collection}", "/v0.10/task/{task}"
        return [
            self._route("GET", f"{root}/submission_id", Operation.SUBMISSION_ID, self.submission_id),
            self._route("POST", f"{root}/transfer", Operation.TRANSFER, self.transfer),
            self._route("POST", f"{root}/delete", Operation.DELETE, self.delete),
            self._route("GET", f"{root}/task_list", Operation.TASK_LIST, self.task_list),
            self._route("GET", task, Operation.TASK, self.task),
            self._route("PUT", task, Operation.UPDATE_TASK, self.update_task),
            self._route("POST", f"{task}/cancel", Operation.CANCEL, self.cancel),
            self._route("GET", f"{task}/event_list", Operation.EVENT_LIST, self.event_list),
            self._route("GET", f"{task}/successful_transfers", Operation.SUCCESSFUL_TRANSFERS, self.transferred),
            self._route("GET", f"{task}/skipped_errors", Operation.SKIPPED_ERRORS, self.skipped_errors),
            self._route("GET", f"{task}/pause_info", Operation.PAUSE_INFO, self.pause_info),
            self._route("GET", f"{root}/endpoint/{{collection}}", Operation.ENDPOINT, self.endpoint),
            self._route("GET", f"{operation}/ls", Operation.LS, self.ls),
            self._route("GET", f"{operation}/stat", Operation.STAT, self.stat),
            self._route("POST", f"{operation}/mkdir", Operation.MKDIR, self.mkdir),
            self._route("POST", f"{operation}/rename", Operation.RENAME, self.rename),
        ]

    def _route(self, method: str, path: str, operation: Operation, handler: _Handler) -> web.RouteDef:
        async def authenticated(request: web.Request) -> web.Response:
            client_id = self._accounts.signed_in(request, TRANSFER_SERVER)
            if client_id is None:
                raise Refusal(401, "AuthenticationFailed", "Token is not active")
            return web.json_response(await handler(request, client_id))

        return web.route(method, path, authenticated, name=operation.value)

    async def submission_id(self, _: web.Request, client_id: str) -> Json:
        return {"DATA_TYPE": "submission_id", "value": self._engine.issue_submission_id(client_id)}

    async def transfer(self, request: web.Request, client_id: str) -> Json:
        document = await read_document(request)
        return self._submit(parse_transfer(document, self._collections), client_id)

    async def delete(self, request: web.Request, client_id: str) -> Json:
        document = await read_document(request)
        return self._submit(parse_delete(document, self._collections), client_id)

    def _submit(self, wanted: TransferRequest | DeleteRequest, client_id: str) -> Json:
        kind = "transfer" if isinstance(wanted, TransferRequest) else "delete"
        task_id = self._engine.task_of_submission(wanted.submission_id, client_id)
        code, message = "Duplicate", "The submission id has already been used"
        if task_id is None:
            for collection in wanted.collections:
                self._require_consent(collection, client_id)
            task_id = self._engine.accept(wanted, client_id).task_id
            code, message = "Accepted", _ACCEPTED.format(kind)
        href = f"/v0.10/task/{task_id}?format=json"
        link = {"DATA_TYPE": "link", "href": href, "rel": "related", "resource": "task"}
        return result(
            f"{kind}_result",
            code,
            message,
            f"/v0.10/{kind}",
            submission_id=wanted.submission_id,
            task_id=task_id,
            task_link={**link, "title": "related task"},
        )

    async def task(self, request: web.Request, client_id: str) -> Json:
        return task_document(self._task(request, client_id))

    async def task_list(self, request: web.Request, client_id: str) -> Json:
        """Newest first unless `orderby` says otherwise; several `filter` parameters must all match."""
        is_wanted = row_filter(request.query.getall("filter", []), TASK_KEYS)
        own = [task_document(task) for task in reversed(self._engine.tasks.values()) if task.owner == client_id]
        rows = ordered([row for row in own if is_wanted(row)], request.query.get("orderby", ""), TASK_ORDER)
        return self._offset_page("task_list", rows, request)

    async def update_task(self, request: web.Request, client_id: str) -> Json:
        task, document = self._task(request, client_id), await read_document(request)
        if not task.is_unfinished:
            raise Refusal(409, "Conflict", "The task has completed and can no longer be updated")
        label = parse_label(document["label"]) if "label" in document else task.label
        deadline = parse_time(document["deadline"], "deadline") if document.get("deadline") else None
        self._engine.update(task, label=label, deadline=deadline)
        return result("result", "Updated", "Updated the task successfully", request.path)

    async def cancel(self, request: web.Request, client_id: str) -> Json:
        task = self._task(request, client_id)
        code, message = "TaskComplete", "The task completed before the cancel request was processed."
        if task.is_unfinished:
            if not await self._engine.cancel(task):
                code, message = "CancelAccepted", "The cancel request was accepted and is being processed."
            elif (task.fatal_error or {}).get("code") == "CANCELED":
                code, message = "Canceled", "The task has been cancelled successfully."
        return result("result", code, message, f"/task/{task.task_id}/cancel")

    async def event_list(self, request: web.Request, client_id: str) -> Json:
        events = list(self._task(request, client_id).events)
        wanted = request.query.get("filter", "")
        if wanted not in {"", "is_error:0", "is_error:1"}:
            raise bad_request(f"Invalid filter '{wanted}'")
        if wanted:
            events = [event for event in events if event["is_error"] is wanted.endswith("1")]
        return self._offset_page("event_list", events, request)

    async def transferred(self, request: web.Request, client_id: str) -> Json:
        task = self._task(request, client_id)
        if task.is_unfinished:
            raise bad_request("The task is still in progress, successful transfers are not yet available")
        rows = [] if task.history_deleted else [transferred_row(row) for row in task.transferred]
        return self._marker_page("successful_transfers", rows, request)

    async def skipped_errors(self, request: web.Request, client_id: str) -> Json:
        task = self._task(request, client_id)
        rows = [] if task.history_deleted else [skipped_error_row(row) for row in task.skipped_errors]
        return self._marker_page("skipped_errors", rows, request)

    async def pause_info(self, request: web.Request, client_id: str) -> Json:
        task = self._task(request, client_id)
        return {
            "DATA_TYPE": "pause_info_limited",
            "pause_rules": [],
            "source_pause_message": None,
            "source_pause_message_share": None,
            "destination_pause_message": "Paused by the sandbox" if task.is_paused else None,
            "destination_pause_message_share": None,
        }

    async def endpoint(self, request: web.Request, _: str) -> Json:
        return endpoint_document(self._collection(request))

    async def ls(self, request: web.Request, client_id: str) -> Json:
        collection, path = self._consented(request, client_id), request.query.get("path", "/")
        show_hidden = request.query.get("show_hidden", "1").lower() not in {"0", "false"}

        def listed() -> list[Json]:
            return list_folder(collection, path, show_hidden=show_hidden)

        is_wanted = row_filter(request.query.getall("filter", []), FILE_KEYS)
        found = [row for row in await self._engine.in_thread(listed) if is_wanted(row)]
        rows = ordered(found, request.query.get("orderby", ""), FILE_KEYS)
        return {
            "DATA_TYPE": "file_list",
            "endpoint": collection.id,
            "path": path.rstrip("/") + "/",
            "absolute_path": None,
            "rename_supported": True,
            "symlink_supported": False,
            "length": len(rows),
            "total": len(rows),
            "DATA": rows,
        }

    async def stat(self, request: web.Request, client_id: str) -> Json:
        collection, path = self._consented(request, client_id), request.query.get("path", "/")
        return await self._engine.in_thread(stat_path, collection, path)

    async def mkdir(self, request: web.Request, client_id: str) -> Json:
        collection, document = self._consented(request, client_id), await read_document(request)
        await self._engine.in_thread(make_folder, collection, text_member(document, "path"))
        return result("mkdir_result", "DirectoryCreated", "The directory was created successfully", request.path)

    async def rename(self, request: web.Request, client_id: str) -> Json:
        collection, document = self._consented(request, client_id), await read_document(request)
        old_path, new_path = text_member(document, "old_path"), text_member(document, "new_path")
        await self._engine.in_thread(rename_path, collection, old_path, new_path)
        return result("result", "FileRenamed", "File or directory renamed successfully", request.path)

    def _task(self, request: web.Request, client_id: str) -> Task:
        task_id = request.match_info["task"]
        task = self._engine.tasks.get(task_id.lower())
        if task is None or task.owner != client_id:
            raise Refusal(404, "TaskNotFound", f"No task found with id '{task_id}'")
        return task

    def _collection(self, request: web.Request) -> Collection:
        return find_collection(self._collections, request.match_info["collection"])

    def _consented(self, request: web.Request, client_id: str) -> Collection:
        collection = self._collection(request)
        self._require_consent(collection, client_id)
        return collection

    def _require_consent(self, collection: Collection, client_id: str) -> None:
        consents = self._accounts.has_consent(client_id, collection.id)
        if collection.traits.needs_data_access_consent and not consents:
            raise consent_required(collection.id)

    def _offset_page(self, data_type: str, rows: list[Json], request: web.Request) -> Json:
        limit = number_parameter(request, "limit", DEFAULT_ROWS, MAX_ROWS)
        offset = number_parameter(request, "offset", 0, len(rows))
        return offset_page(data_type, rows, offset, limit)

    def _marker_page(self, data_type: str, rows: list[Json], request: web.Request) -> Json:
        return marker_page(data_type, rows, number_parameter(request, "marker", 0, len(rows)), MARKER_ROWS)
