"""The JSON documents of the Transfer API, member for member as Globus sends them."""

from typing import Any

from cs_archiver.sandbox.filesystem import Collection
from cs_archiver.sandbox.replies import Json, now, shown_time
from cs_archiver.sandbox.submissions import TransferRequest
from cs_archiver.sandbox.tasks import SUBTASKS_PER_FILE, SkippedError, Status, Task, TransferredFile


def endpoint_document(collection: Collection) -> Json:
    traits = collection.traits
    return {
        "DATA_TYPE": "endpoint",
        "id": collection.id,
        "display_name": collection.display_name,
        "canonical_name": None,
        "entity_type": traits.entity_type,
        "owner_id": collection.id,
        "owner_string": "sandbox",
        "organization": None,
        "description": "A folder behind the Globus sandbox",
        "public": False,
        "is_globus_connect": traits.is_personal,
        "gcp_connected": traits.gcp_connected if traits.is_personal else None,
        "gcp_paused": traits.gcp_paused if traits.is_personal else None,
        "disable_verify": traits.disable_verify,
        "force_verify": traits.force_verify,
        "force_encryption": traits.force_encryption,
        "high_assurance": traits.high_assurance,
        "non_functional": False,
        "default_directory": "/",
        "host_endpoint_id": None,
        "subscription_id": None,
        "shareable": False,
        "local_user_info_available": None,
        "DATA": [],
    }


def task_document(task: Task) -> Json:
    return {"DATA_TYPE": "task", "task_id": task.task_id} | _request_members(task) | _progress_members(task)


def _request_members(task: Task) -> Json:
    request = task.request
    options: Json = dict.fromkeys(
        ("encrypt_data", "fail_on_quota_errors", "preserve_timestamp", "skip_source_errors"), False
    ) | {"sync_level": None}
    if isinstance(request, TransferRequest):
        options = {name: getattr(request.options, name) for name in options}
    destination = request.destination if isinstance(request, TransferRequest) else None
    return options | {
        "type": "TRANSFER" if task.is_transfer else "DELETE",
        "label": task.label,
        "owner_id": task.owner,
        "username": f"{task.owner}@clients.auth.globus.org",
        "command": "API 0.10",
        "deadline": shown_time(task.deadline),
        "request_time": shown_time(task.request_time),
        "verify_checksum": task.verify_checksum,
        "delete_destination_extra": False,
        "recursive_symlinks": "ignore",
        "filter_rules": None,
        "history_deleted": task.history_deleted,
        **_collection_members("source", None if task.history_deleted else request.source),
        **_collection_members("destination", None if task.history_deleted else destination),
    }


def _collection_members(side: str, collection: Collection | None) -> Json:
    return {
        f"{side}_endpoint": f"sandbox#{collection.display_name}" if collection else None,
        f"{side}_endpoint_id": collection.id if collection else None,
        f"{side}_endpoint_display_name": collection.display_name if collection else None,
    }


def _progress_members(task: Task) -> Json:
    seconds = ((task.completion_time or now()) - task.request_time).total_seconds()
    return {
        "status": task.status.value,
        "completion_time": shown_time(task.completion_time) if task.completion_time else None,
        "fatal_error": task.fatal_error,
        "canceled_by_admin": task.canceled_by_admin,
        "canceled_by_admin_message": task.canceled_by_admin_message,
        "is_paused": task.is_paused,
        "faults": task.faults,
        "files": task.files,
        "directories": 0,
        "symlinks": 0,
        "files_skipped": task.files_skipped,
        "files_transferred": len(task.transferred),
        "bytes_transferred": task.bytes_transferred,
        "bytes_checksummed": task.bytes_checksummed,
        "effective_bytes_per_second": int(task.bytes_transferred / max(seconds, 0.001)),
        **_nice_members(task),
        **_subtask_members(task),
    }


def _nice_members(task: Task) -> Json:
    status, description, is_ok = "OK", "OK", True
    if task.current_fault is not None:
        status, description, is_ok = task.current_fault.code, task.current_fault.description, False
    elif task.is_queued:
        status = description = "Queued"
    members: Json = {
        "is_ok": is_ok,
        "nice_status": status,
        "nice_status_short_description": description,
        "nice_status_details": None,
        "nice_status_expires_in": -1,
    }
    if not task.is_unfinished:
        return dict.fromkeys(members)
    return members


def _subtask_members(task: Task) -> Json:
    open_subtasks = task.unfinished_subtasks
    fate = "pending"
    if task.status is Status.FAILED:
        code = (task.fatal_error or {}).get("code")
        fate = {"CANCELED": "canceled", "EXPIRED": "expired"}.get(str(code), "failed")
    elif task.current_fault is not None:
        fate = "retrying"
    counts = dict.fromkeys(("pending", "retrying", "canceled", "expired", "failed"), 0) | {fate: open_subtasks}
    skipped = len(task.skipped_errors)
    members = {f"subtasks_{name}": count for name, count in counts.items()}
    return members | {
        "subtasks_skipped_errors": skipped,
        "subtasks_succeeded": task.files_done * SUBTASKS_PER_FILE - skipped,
        "subtasks_total": task.files * SUBTASKS_PER_FILE,
    }


def transferred_row(row: TransferredFile) -> Json:
    return {
        "DATA_TYPE": "successful_transfer",
        "source_path": row.item.source_path,
        "destination_path": row.item.destination_path,
        "size": row.size_bytes,
        "checksum": row.checksum,
        "checksum_algorithm": row.checksum_algorithm,
    }


def skipped_error_row(row: SkippedError) -> Json:
    return {
        "DATA_TYPE": "skipped_error",
        "source_path": row.item.source_path,
        "destination_path": row.item.destination_path,
        "checksum_algorithm": None,
        "external_checksum": row.item.external_checksum,
        "is_delete_destination_extra": False,
        "is_directory": False,
        "is_symlink": False,
        "error_code": row.error_code,
        "error_details": row.error_details,
        "error_time": shown_time(now()),
    }


def marker_page(data_type: str, rows: list[Json], start: int, size: int) -> Json:
    following = start + size if start + size < len(rows) else None
    return {
        "DATA_TYPE": data_type,
        "marker": start,
        "next_marker": following,
        "DATA": rows[start : start + size],
    }


def offset_page(data_type: str, rows: list[Any], offset: int, limit: int) -> Json:
    page = rows[offset : offset + limit]
    return {
        "DATA_TYPE": data_type,
        "length": len(page),
        "limit": limit,
        "offset": offset,
        "total": len(rows),
        "DATA": page,
    }
