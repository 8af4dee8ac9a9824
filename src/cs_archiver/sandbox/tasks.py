"""The record of one task: what was asked, how it stands, what happened to it."""

import asyncio
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cs_archiver.sandbox.faults import Outcome, SlowCancel, TaskEffect
from cs_archiver.sandbox.replies import Json, now, shown_time
from cs_archiver.sandbox.submissions import DeleteRequest, TransferItem, TransferRequest

DEFAULT_LIFE = timedelta(hours=24)
SUBTASKS_PER_FILE = 2
MAX_EVENTS = 1000


class Status(StrEnum):
    """Globus' four states; ACTIVE and INACTIVE are unfinished."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class TaskFault(Exception):
    """The task cannot go on now and is tried again until its deadline."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


class TaskFailure(TaskFault):
    """The task ends FAILED."""


@dataclass(frozen=True, slots=True)
class TransferredFile:
    """A row of successful_transfers; digest and algorithm are None when nothing was verified."""

    item: TransferItem
    size_bytes: int
    checksum: str | None
    checksum_algorithm: str | None


@dataclass(frozen=True, slots=True)
class SkippedError:
    """A row of skipped_errors."""

    item: TransferItem
    error_code: str
    error_details: str


@dataclass(slots=True)
class Task:
    """One task. Changed on the loop only, but for `bytes_*`, which its one copying thread counts up."""

    task_id: str
    owner: str
    request: TransferRequest | DeleteRequest
    effects: tuple[TaskEffect, ...]
    verify_checksum: bool
    label: str | None
    deadline: datetime
    request_time: datetime = field(default_factory=now)
    completion_time: datetime | None = None
    status: Status = Status.ACTIVE
    is_queued: bool = True
    is_paused: bool = False
    cancel_requested: bool = False
    current_fault: TaskFault | None = None
    fatal_error: Json | None = None
    canceled_by_admin: str | None = None
    canceled_by_admin_message: str | None = None
    faults: int = 0
    files_done: int = 0
    files_skipped: int = 0
    bytes_transferred: int = 0
    bytes_checksummed: int = 0
    transferred: list[TransferredFile] = field(default_factory=list)
    skipped_errors: list[SkippedError] = field(default_factory=list)
    events: deque[Json] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    stopping: threading.Event = field(default_factory=threading.Event)
    timeout: asyncio.Timeout | None = None

    @property
    def is_transfer(self) -> bool:
        return isinstance(self.request, TransferRequest)

    @property
    def is_unfinished(self) -> bool:
        return self.completion_time is None

    @property
    def files(self) -> int:
        return len(self.request.items) if isinstance(self.request, TransferRequest) else len(self.request.paths)

    @property
    def unfinished_subtasks(self) -> int:
        return (self.files - self.files_done) * SUBTASKS_PER_FILE

    @property
    def history_deleted(self) -> bool:
        return not self.is_unfinished and self.has_outcome("HISTORY_DELETED")

    @property
    def slow_cancel(self) -> SlowCancel | None:
        return next((effect for effect in self.effects if isinstance(effect, SlowCancel)), None)

    def has_outcome(self, kind: str) -> bool:
        return any(isinstance(effect, Outcome) and effect.kind == kind for effect in self.effects)

    def note(self, code: str, description: str, details: object = "", *, is_error: bool = False) -> None:
        """Puts an event on top of the list."""
        text = details if isinstance(details, str) else json.dumps(details)
        self.events.appendleft(
            {
                "DATA_TYPE": "event",
                "code": code,
                "description": description,
                "details": text,
                "is_error": is_error,
                "time": shown_time(now()),
            }
        )

    def meet_fault(self, fault: TaskFault) -> None:
        self.current_fault = fault
        self.faults += 1
        self.note(fault.code, fault.description, f"Error\nMessage: {fault.description}\n", is_error=True)

    def recover(self) -> None:
        self.current_fault = None
        self.status = Status.ACTIVE
        if self.is_paused:
            self.is_paused = False
            self.note("UNPAUSED", "unpaused")

    def succeed(self) -> None:
        self.note("SUCCEEDED", "succeeded", {"files_succeeded": self.files_done})
        self._end(Status.SUCCEEDED)

    def fail(self, code: str, description: str) -> None:
        self.fatal_error = {"code": code, "description": description}
        self.note(code, description, is_error=True)
        self._end(Status.FAILED)

    def _end(self, status: Status) -> None:
        self.recover()
        self.is_queued = False
        self.status = status
        self.completion_time = now()
