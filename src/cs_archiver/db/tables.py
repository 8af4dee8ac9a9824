"""The tables as SQLAlchemy Core sees them; a test holds them against schema.sql, which is the truth."""

from typing import Any

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()


def _table(name: str, *, text: str = "", integer: str = "", blob: str = "") -> Table:
    types = ((text, Text), (integer, Integer), (blob, LargeBinary))
    columns: list[Column[Any]] = [Column(name, kind) for names, kind in types for name in names.split()]
    return Table(name, metadata, *columns)


users = _table(
    "users",
    text="username password_hash created_at last_login password_expires_at totp_secret",
    integer="id is_admin must_change_password totp_last_step",
)
recovery_codes = _table("recovery_codes", integer="user_id", blob="sha256")
sessions = _table("sessions", text="jti created_at expires_at address user_agent last_used_at", integer="user_id")
api_tokens = _table(
    "api_tokens", text="name scope created_at expires_at last_used_at", integer="id user_id", blob="sha256"
)
audit = _table("audit", text="at username action target detail address result request_id", integer="id")
folders = _table("folders", text="path level1 level2 name modified_at left_out", integer="size_bytes file_count")
folder_list = _table("folder_list", integer="version")
scans = _table("scans", text="started_at finished_at", integer="id listed left_out")
job_states = _table("job_states", text="status", integer="final")
job_moves = _table("job_moves", text="from_status to_status")
jobs = _table(
    "jobs",
    text="id folder_name level1 level2 source_path globus_destination_path archive_path on_existing status "
    "current_operation step_started_at archive_sha256 created_by created_at started_at completed_at "
    "error_message error_problem not_before cancel_requested_by globus_task_id",
    integer="seq progress_percent folder_size_bytes folder_file_count archive_size_bytes source_inode attempt "
    "manifest_id retry_count connection_retries disk_was_full",
)
jobs_unindexed = _table("jobs_unindexed", integer="seq")
job_sums = _table("job_sums", text="status created_by", integer="jobs folder_bytes archive_bytes")
deletion_sums = _table("deletion_sums", integer="sources folder_bytes archive_bytes")
job_history = _table("job_history", text="job_id from_status to_status at", integer="id")
job_logs = _table("job_logs", text="job_id timestamp level message", integer="id")
manifests = _table("manifests", text="job_id sealed_at", integer="id attempt files bytes")
manifest_entries = _table(
    "manifest_entries",
    text="kind",
    integer="manifest_id size mtime_ns mode crc32",
    blob="path target sha256",
)
uploads = _table(
    "uploads",
    text="job_id destination_path archive_sha256 submission_id request created_at task_id outcome left_behind",
    integer="id archive_size compares doubted",
)
verifications = _table("verifications", text="job_id at checks", integer="id upload_id passed")
archives = _table(
    "archives",
    text="job_id level1 level2 folder_name source_path globus_collection globus_path globus_task_id "
    "archive_sha256 created_by archived_at source_deleted_at",
    integer="id archive_size_bytes manifest_id verification_id",
)
switches = _table("switches", text="name changed_at changed_by")
