"""Scripted trouble: which operation goes wrong, how often and in which way."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal


class Operation(StrEnum):
    """What a fault can be attached to; RUN is the work of a task, all others are requests."""

    TOKEN = "token"  # noqa: S105  (the name of a request)
    USERINFO = "userinfo"
    SUBMISSION_ID = "submission_id"
    TRANSFER = "transfer"
    DELETE = "delete"
    TASK = "task"
    TASK_LIST = "task_list"
    UPDATE_TASK = "update_task"
    CANCEL = "cancel"
    EVENT_LIST = "event_list"
    SUCCESSFUL_TRANSFERS = "successful_transfers"
    SKIPPED_ERRORS = "skipped_errors"
    PAUSE_INFO = "pause_info"
    ENDPOINT = "endpoint"
    LS = "ls"
    STAT = "stat"
    MKDIR = "mkdir"
    RENAME = "rename"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Answer:
    """This answer instead of the work. `body`: text is sent as HTML, everything else as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Overlay:
    """The work is done; its JSON answer gets these members, each row of its DATA `rows`, and loses `without`."""

    members: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Truncate:
    """The work is done; the connection ends in the middle of the answer."""


@dataclass(frozen=True, slots=True)
class LoseReply:
    """The work is done; the connection ends without a byte of the answer."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing is done and nothing is said until the faults are cleared; then the connection ends."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The task waits before it copies, for `seconds` or (None) until the faults are cleared.

    `look`: FAULTING is ACTIVE with is_ok false and `code`; STUCK is ACTIVE and well but moves nothing;
    INACTIVE and PAUSED are as Globus shows them.
    """

    look: Literal["FAULTING", "STUCK", "INACTIVE", "PAUSED"]
    seconds: float | None = None
    code: str = "ENDPOINT_ERROR"
    description: str = "endpoint error"


@dataclass(frozen=True, slots=True)
class Fail:
    """The task ends FAILED with this fatal_error."""

    code: str = "ENDPOINT_ERROR"
    description: str = "endpoint error"


@dataclass(frozen=True, slots=True)
class CancelByAdmin:
    """The task ends FAILED, canceled by the administrator of one side."""

    side: Literal["SOURCE", "DESTINATION", "BOTH"] = "DESTINATION"
    message: str = "The storage is going down for maintenance"


@dataclass(frozen=True, slots=True)
class SlowCancel:
    """A cancel is answered CancelAccepted; the task goes on for `seconds` (None: until cleared)."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The task ends SUCCEEDED although something is wrong.

    MISSING, TRUNCATED, FLIPPED_BIT: the file is damaged at the destination after all checks.
    STALE: what was there before is left there, reported as transferred. CORRUPT_IN_FLIGHT: the first
    copy is damaged on its way, so a verification finds it and copies again. SKIPPED: files_skipped 1,
    nothing done. SKIPPED_ERRORS: the file was left out because of an error. HISTORY_DELETED: no
    per-file lists, no collections in the document. VERIFY_OFF: nothing is verified, as the document says.
    """

    kind: Literal[
        "MISSING",
        "TRUNCATED",
        "FLIPPED_BIT",
        "STALE",
        "CORRUPT_IN_FLIGHT",
        "SKIPPED",
        "SKIPPED_ERRORS",
        "HISTORY_DELETED",
        "VERIFY_OFF",
    ]


RequestEffect = Answer | Overlay | Truncate | LoseReply | Hang
TaskEffect = Hold | Fail | CancelByAdmin | SlowCancel | Outcome
Effect = RequestEffect | TaskEffect


@dataclass(slots=True)
class Fault:
    """An effect with its schedule: passes `skip` matching uses, then strikes `times` (None: always).

    `match`: only uses whose path, query, body, label or file names contain this text.
    """

    operation: Operation
    effect: Effect
    times: int | None = 1
    skip: int = 0
    match: str = ""

    def strikes(self, operation: Operation, text: str) -> bool:
        if operation is not self.operation or self.match not in text or self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class FaultScript:
    """The faults of one sandbox, consulted in the order they were added.

    `fired` counts for tests which effects struck, in order.
    """

    def __init__(self) -> None:
        self.fired: list[tuple[Operation, Effect]] = []
        self._faults: list[Fault] = []
        self._cleared = asyncio.Event()

    def add(
        self,
        operation: Operation | str,
        effect: Effect,
        *,
        times: int | None = 1,
        skip: int = 0,
        match: str = "",
    ) -> None:
        """Raises ValueError when the effect does not fit the operation (task effects fit RUN alone)."""
        operation = Operation(operation)
        if isinstance(effect, TaskEffect) is not (operation is Operation.RUN):
            raise ValueError(f"{type(effect).__name__} cannot be attached to '{operation}'")
        self._faults.append(Fault(operation, effect, times, skip, match))

    def clear(self) -> None:
        """Forgets every fault and ends what is held or hanging because of one."""
        self._faults.clear()
        self.release()

    def release(self) -> None:
        """Ends what is held or hanging; the faults stay."""
        self._cleared.set()
        self._cleared = asyncio.Event()

    async def cleared(self) -> None:
        await self._cleared.wait()

    def request_effect(self, operation: Operation, text: str) -> RequestEffect | None:
        struck = self._strike(operation, text)
        return next((effect for effect in struck if isinstance(effect, RequestEffect)), None)

    def task_effects(self, text: str) -> tuple[TaskEffect, ...]:
        return tuple(effect for effect in self._strike(Operation.RUN, text) if isinstance(effect, TaskEffect))

    def _strike(self, operation: Operation, text: str) -> list[Effect]:
        struck: list[Effect] = []
        for fault in self._faults:
            if fault.strikes(operation, text):
                struck.append(fault.effect)
                self.fired.append((operation, fault.effect))
                if operation is not Operation.RUN:
                    break
        return struck


EFFECTS: Mapping[str, type[Effect]] = {
    "answer": Answer,
    "overlay": Overlay,
    "truncate": Truncate,
    "lose_reply": LoseReply,
    "hang": Hang,
    "hold": Hold,
    "fail": Fail,
    "cancel_by_admin": CancelByAdmin,
    "slow_cancel": SlowCancel,
    "outcome": Outcome,
}
