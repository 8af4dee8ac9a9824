"""What every stage looks like from outside: it is given a job and says where the job goes next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cs_archiver.db.queue import AlsoWrite
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus


@dataclass(frozen=True, slots=True)
class Advance:
    """The stage is done: the state to move to, and what is committed in the same transaction.

    `changes` are columns of the job; `also` writes rows of other tables; `said` are lines for the job's log.
    """

    to: JobStatus
    changes: Mapping[str, Any] = field(default_factory=dict)
    also: AlsoWrite | None = None
    said: Sequence[str] = ()


class Report(Protocol):
    """How a stage tells what is happening."""

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        """Append a line to the job's log. What is said right before the stage's end belongs into its Advance."""

    async def log_all(self, lines: Sequence[tuple[LogLevel, str]]) -> None:
        """Append these lines, all or none."""

    async def record(self, **facts: object) -> None:
        """Store columns of the job now: what a crash in the rest of the stage must not undo."""

    async def recovered(self) -> None:
        """Globus answers again: failures to reach it are counted from zero."""

    def operation(self, text: str) -> None:
        """Say in one line what is being done now (`current_operation`)."""

    def progress(
        self,
        *,
        bytes_done: int | None = None,
        bytes_total: int | None = None,
        percent: float | None = None,
        operation: str | None = None,
    ) -> None:
        """Say how far this step is; what is not known is left out.

        `operation`: another text for what is being done, as one with figures in it; it is still the same operation.
        """


class Stage(Protocol):
    """One verb. Safe to run again from the start after a crash at any line; its docstring says why."""

    async def run(self, job: Job, report: Report, /) -> Advance:
        """Raises the JobErrors of errors.py; anything else is a bug and fails the job."""
