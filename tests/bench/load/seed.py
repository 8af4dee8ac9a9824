"""Fills a database as years of use would: jobs that have ended, with logs, history, evidence, catalogue and audit."""

import json
import random
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from cs_archiver.clock import to_text
from cs_archiver.db import schema
from cs_archiver.resources import resource
from tests.support.service import PASSWORD

USERS = 100
LONG_LOGS = 10
LONG_MANIFEST = 20_000
_FILES_EACH = 3
_AUDIT_EACH = 1
_WAY = (
    "queued", "copying", "compressing", "verifying", "awaiting_upload", "uploading", "upload_verifying",
    "deleting_source", "completed",
)  # fmt: skip
_LAST = datetime(2026, 1, 1, tzinfo=UTC)
_APART = timedelta(minutes=7)
_CHECKS = json.dumps([])


@dataclass(frozen=True, slots=True)
class Seeded:
    """What requests can ask for: jobs of many lines, of few, and one whose manifest has 20,000 entries."""

    jobs: int
    users: list[str]
    few_lines: list[str]
    many_lines: list[str]
    many_files: str


def seed(path: Path, *, jobs: int, lines: int) -> Seeded:
    """A tenth of the lines are in the logs of ten jobs, the rest is spread evenly. Takes 20 s for 100,000 jobs."""
    users = [f"person{number:03d}" for number in range(USERS)]
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(resource("schema.sql").read_text("utf-8"))
        connection.execute("PRAGMA synchronous = OFF")
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:  # they allow no job to come into being in its last state
            connection.execute(f"DROP TRIGGER {name}")
        rows = [_Row(number, jobs, users[number % USERS]) for number in range(1, jobs + 1)]
        _add_users(connection, users)
        for table, values in _tables(rows, lines).items():
            _insert(connection, table, values)
        for _, statement in triggers:
            connection.execute(statement)
        _sum_up(connection)
        connection.commit()
        connection.execute("PRAGMA journal_mode = WAL")
    done = [row.id for row in rows if row.status == "completed"]
    return Seeded(jobs, users, random.Random(1).sample(done[LONG_LOGS:], 50), done[:LONG_LOGS], done[0])


class _Row:
    """One job that has ended: the newest of them has the highest number."""

    def __init__(self, number: int, of: int, username: str) -> None:
        self.number = number
        self.id = str(uuid.UUID(int=random.Random(number).getrandbits(128), version=4))
        self.status = "failed" if number % 17 == 0 else "cancelled" if number % 23 == 0 else "completed"
        self.username = username
        self.begun = _LAST - _APART * (of - number)
        self.name = f"Project {number:06d} Interviews"
        self.level1, self.level2 = f"Department {number % 12}", str(2010 + number % 15)
        self.size = (number * 7919) % 400_000_000_000 + 1_000_000

    @property
    def is_completed(self) -> bool:
        return self.status == "completed"

    @property
    def relative(self) -> str:
        return f"{self.level1}/{self.level2}/{self.name}"

    @property
    def sha256(self) -> str:
        return f"{self.number:064x}"

    def at(self, seconds: float) -> str:
        return to_text(self.begun + timedelta(seconds=seconds))


def _insert(connection: sqlite3.Connection, table: str, rows: Iterator[dict[str, Any]]) -> None:
    first = next(rows)
    marks = ", ".join(f":{name}" for name in first)
    statement = f"INSERT INTO {table} ({', '.join(first)}) VALUES ({marks})"
    connection.execute(statement, first)
    connection.executemany(statement, rows)


def _sum_up(connection: sqlite3.Connection) -> None:
    """As the upgrade of an older database does, in place of the triggers that were not there."""
    scripts = (migration.script.read_text("utf-8") for migration in schema.MIGRATIONS)
    for statement in (statement for script in scripts for statement in schema.statements(script)):
        if statement.startswith(("INSERT INTO job_sums", "INSERT INTO deletion_sums")):
            connection.execute(f"DELETE FROM {statement.split()[2]}")
            connection.execute(statement)
        if statement.startswith("INSERT INTO job_words"):
            connection.execute(statement)


def _add_users(connection: sqlite3.Connection, users: Iterable[str]) -> None:
    """Every one is an administrator, so that each may ask for everything; each has one personal token."""
    password_hash = PasswordHasher(1, 1024, 1).hash(PASSWORD)
    rows = enumerate(["admin", *users], start=1)
    _insert(
        connection,
        "users",
        (
            {
                "id": number,
                "username": name,
                "password_hash": password_hash,
                "is_admin": 1,
                "created_at": to_text(_LAST),
            }
            for number, name in rows
        ),
    )
    tokens = (
        {
            "id": number, "user_id": number, "sha256": number.to_bytes(32, "big"), "name": "nightly export",
            "scope": "read", "created_at": to_text(_LAST), "expires_at": to_text(_LAST + timedelta(days=3650)),
        }
        for number in range(1, USERS + 2)
    )  # fmt: skip
    _insert(connection, "api_tokens", tokens)


def _tables(rows: list[_Row], lines: int) -> dict[str, Iterator[dict[str, Any]]]:
    done = [row for row in rows if row.is_completed]
    return {
        "manifests": (_manifest(row, row is done[0]) for row in done),
        "manifest_entries": (entry for row in done for entry in _entries(row, row is done[0])),
        "jobs": map(_job, rows),
        "job_history": (line for row in rows for line in _history(row)),
        "job_logs": _logs(rows, done, lines),
        "uploads": map(_upload, done),
        "verifications": map(_verification, done),
        "archives": map(_archive, done),
        "audit": (deed for row in rows for deed in _deeds(row)),
    }


def _job(row: _Row) -> dict[str, Any]:
    is_completed = row.is_completed
    return {
        "id": row.id, "seq": row.number, "folder_name": row.name, "level1": row.level1, "level2": row.level2,
        "source_path": f"/mnt/qnap/CitySpace Tech Team/{row.relative}",
        "globus_destination_path": f"/{row.relative}.tar.7z", "status": row.status,
        "progress_percent": 100 if is_completed else 33, "current_operation": row.status.capitalize(),
        "folder_size_bytes": row.size, "folder_file_count": _FILES_EACH,
        "archive_size_bytes": row.size * 9 // 10 if is_completed else None,
        "archive_sha256": row.sha256 if is_completed else None,
        "manifest_id": row.number if is_completed else None, "created_by": row.username, "created_at": row.at(0),
        "started_at": row.at(1), "completed_at": row.at(400), "attempt": 1,
        "error_message": "Permission denied: master.mov" if row.status == "failed" else None,
        "error_problem": "permission-denied" if row.status == "failed" else None,
        "globus_task_id": str(uuid.UUID(int=row.number)) if is_completed else None,
    }  # fmt: skip


def _manifest(row: _Row, is_long: bool) -> dict[str, Any]:
    files = LONG_MANIFEST if is_long else _FILES_EACH
    return {
        "id": row.number, "job_id": row.id, "attempt": 1, "sealed_at": row.at(50), "files": files, "bytes": row.size
    }  # fmt: skip


def _entries(row: _Row, is_long: bool) -> Iterator[dict[str, Any]]:
    for number in range(LONG_MANIFEST if is_long else _FILES_EACH):
        yield {
            "manifest_id": row.number, "path": f"clips/take {number:05d}.mov".encode(), "kind": "file", "mode": 0o644,
            "size": row.size // 3, "mtime_ns": 1_700_000_000_000_000_000 + number, "crc32": number,
            "sha256": number.to_bytes(32, "big"),
        }  # fmt: skip


def _history(row: _Row) -> Iterator[dict[str, Any]]:
    way = _WAY if row.is_completed else (*_WAY[:2], row.status)
    for place, status in enumerate(way):
        before = way[place - 1] if place else None
        yield {"job_id": row.id, "from_status": before, "to_status": status, "at": row.at(place * 50)}


def _logs(rows: list[_Row], done: list[_Row], lines: int) -> Iterator[dict[str, Any]]:
    long, each = lines // 10 // LONG_LOGS, lines * 9 // 10 // len(rows)
    for row in rows:
        for number in range(each):
            yield _log_line(row, number)
    for row in done[:LONG_LOGS]:
        for number in range(long):
            yield _log_line(row, number)


def _log_line(row: _Row, number: int) -> dict[str, Any]:
    message = f"Copied {number} of {_FILES_EACH} files of {row.name}, 118.2 MB/s"
    level = "WARNING" if number % 50 == 49 else "INFO"
    return {"job_id": row.id, "timestamp": row.at(number), "level": level, "message": message}


def _upload(row: _Row) -> dict[str, Any]:
    return {
        "id": row.number, "job_id": row.id, "destination_path": f"/{row.relative}.tar.7z",
        "archive_size": row.size * 9 // 10, "archive_sha256": row.sha256,
        "submission_id": str(uuid.UUID(int=row.number)), "request": "{}",
        "created_at": row.at(250), "task_id": str(uuid.UUID(int=row.number)), "outcome": "succeeded",
    }  # fmt: skip


def _verification(row: _Row) -> dict[str, Any]:
    return {
        "id": row.number, "job_id": row.id, "upload_id": row.number, "at": row.at(300), "passed": 1, "checks": _CHECKS
    }  # fmt: skip


def _archive(row: _Row) -> dict[str, Any]:
    return {
        "job_id": row.id, "level1": row.level1, "level2": row.level2, "folder_name": row.name,
        "source_path": f"/mnt/qnap/CitySpace Tech Team/{row.relative}", "globus_collection": "a collection",
        "globus_path": f"/{row.relative}.tar.7z", "globus_task_id": str(uuid.UUID(int=row.number)),
        "archive_size_bytes": row.size * 9 // 10, "archive_sha256": row.sha256, "manifest_id": row.number,
        "verification_id": row.number, "created_by": row.username, "archived_at": row.at(350),
        "source_deleted_at": row.at(400),
    }  # fmt: skip


def _deeds(row: _Row) -> Iterator[dict[str, Any]]:
    for _ in range(_AUDIT_EACH):
        yield {
            "at": row.at(0), "username": row.username, "action": "jobs_submit", "target": row.name,
            "address": "192.0.2.7", "result": "ok", "request_id": f"{row.number:032x}",
        }  # fmt: skip
