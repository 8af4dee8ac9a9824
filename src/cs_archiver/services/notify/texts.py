"""What is told, in words: what happened, where, and what to do."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cs_archiver.db.outcomes import Outcomes, Period
from cs_archiver.domain.job import Job
from cs_archiver.domain.notices import Message, Tone, shown
from cs_archiver.domain.sizes import counted, human_size
from cs_archiver.domain.states import BUSY, JobStatus
from cs_archiver.services.status import DiskSpace

MOST_LISTED = 20

_BUSY = BUSY.values()


@dataclass(frozen=True, slots=True)
class Texts:
    """`public_url` is where people find the dashboard; empty: no links."""

    public_url: str

    def failed(self, outcomes: Outcomes) -> Message:
        if outcomes.count == 1 and outcomes.jobs:
            job = outcomes.jobs[0]
            subject = f"job failed: {shown(job.folder_name)}"
            return self._message(subject, [*self._failure(job, outcomes), *self._link_to(job)], Tone.FAILURE)
        lines = self._listed(outcomes, lambda job: f": {_reason_of(job)}{_if_deleting(job, outcomes)}")
        end = "Do what they name. A retry is on each one's page."
        return self._message(f"{counted(outcomes.count, 'job')} failed", [*lines, "", end], Tone.FAILURE)

    def completed(self, outcomes: Outcomes) -> Message:
        if outcomes.count == 1 and outcomes.jobs:
            job = outcomes.jobs[0]
            lines = [f"What: {_size_of(job)} archived and proven, then deleted at the source", *_where(job)]
            return self._message(f"completed: {shown(job.folder_name)}", [*lines, *self._link_to(job)], Tone.SUCCESS)
        lines = self._listed(outcomes, lambda job: f", {_size_of(job)}")
        return self._message(f"{counted(outcomes.count, 'job')} completed", lines, Tone.SUCCESS)

    def held(self, job: Job) -> Message:
        lines = [
            f"What: the job {shown(job.folder_name)} waits for a person. {shown(job.current_operation or '')}",
            f"Where: {shown(job.source_path)}",
            "What to do: mend what it names. The job then goes on by itself; those behind it wait as well.",
        ]
        subject = f"needs attention: {shown(job.folder_name)}"
        return self._message(subject, [*lines, *self._link_to(job)], Tone.WARNING)

    def database(self, reason: str) -> Message:
        lines = [
            f"What: {shown(reason)}",
            "What to do: what it says there. No job goes on, and nothing is deleted, until the database works again.",
        ]
        return self._message("the database cannot be used", [*lines, *self._link("/queue")], Tone.FAILURE)

    def disk(self, space: DiskSpace, path: str) -> Message:
        lines = [
            f"What: {human_size(space.free_bytes)} of {human_size(space.total_bytes)} are free",
            f"Where: the disk under {shown(path)}",
            "What to do: make room there. Jobs wait until there is enough for the next one.",
        ]
        return self._message("the disk is getting full", [*lines, *self._link("/queue")], Tone.WARNING)

    def stuck(self, jobs: Sequence[Job], hours: float) -> Message:
        lines = [
            f"What: {counted(len(jobs), 'job')} in the queue, and none has moved for {hours:g} hours",
            *(
                f"- {shown(job.folder_name)}: {shown(job.current_operation or job.status)}"
                for job in jobs[:MOST_LISTED]
            ),
            "What to do: look at what the first of them waits for.",
        ]
        return self._message("the queue is stuck", [*lines, *self._link("/queue")], Tone.WARNING)

    def over(self, what: str, since: str) -> Message:
        """`what` is the subject of the message that said it had begun."""
        text = f"This is over, and was told on {_moment(since)}: {what}"
        return self._message(f"over: {what}", [text, *self._link("/queue")], Tone.INFO)

    def digest(self, period: Period, since: str, active: Sequence[Job], disk: DiskSpace | None) -> Message:
        in_hand = sum(any(job.status in states for states in _BUSY) for job in active)
        attention = [job for job in active if job.error_problem]
        lines = [
            f"Since {_moment(since)}:",
            f"- completed: {counted(period.completed, 'job')}, {human_size(period.freed_bytes)} freed on the NAS",
            f"- failed: {counted(period.failed, 'job')}",
            "",
            "Now:",
            f"- in hand: {counted(in_hand, 'job')}; waiting: {counted(len(active) - in_hand, 'job')}",
            f"- local disk: {_free_of(disk)}",
            *(f"- {shown(job.folder_name)}: {shown(job.current_operation or '')}" for job in attention[:MOST_LISTED]),
        ]
        subject = f"{counted(period.completed, 'job')} completed, {period.failed} failed"
        tone = Tone.WARNING if period.failed or attention else Tone.INFO
        return self._message(subject, [*lines, *self._link("/history")], tone)

    def test(self) -> Message:
        return self._message("test", ["This is a test. Notifications arrive here.", *self._link("/queue")], Tone.INFO)

    def _failure(self, job: Job, outcomes: Outcomes) -> list[str]:
        if job.id in outcomes.deletion_stopped:
            then = (
                "What to do: the deletion of the source had begun. What is left of it is kept, and all of it is in the "
                f"archive at {shown(job.globus_destination_path)}. Look at the job's page."
            )
        else:
            then = "What to do: what it names. A retry is on the job's page. The source is untouched."
        return [f"What: {_reason_of(job)}", *_where(job), then]

    def _listed(self, outcomes: Outcomes, more: Callable[[Job], str]) -> list[str]:
        lines = [f"- {shown(job.folder_name)}{more(job)}{self._address_of(job)}" for job in outcomes.jobs]
        others = outcomes.count - len(lines)
        return [*lines, *([f"- and {others} more: see the history"] if others else [])]

    def _address_of(self, job: Job) -> str:
        return f" {self.public_url}/jobs/{job.id}" if self.public_url else ""

    def _link_to(self, job: Job) -> list[str]:
        return self._link(f"/jobs/{job.id}")

    def _link(self, path: str) -> list[str]:
        return ["", f"{self.public_url}{path}"] if self.public_url else []

    def _message(self, subject: str, lines: Sequence[str], tone: Tone) -> Message:
        body = "\n".join([*lines, "", f"CS Archiver on {shown(socket.gethostname())}"])
        return Message(f"CS Archiver: {subject}", body, tone)


def _reason_of(job: Job) -> str:
    if job.status is not JobStatus.FAILED:
        return "it failed, and was tried again meanwhile"
    return shown(job.error_message or "no reason is known")


def _if_deleting(job: Job, outcomes: Outcomes) -> str:
    return " (the deletion of its source had begun)" if job.id in outcomes.deletion_stopped else ""


def _where(job: Job) -> list[str]:
    return [f"Where: {shown(job.source_path)}", f"Archive: {shown(job.globus_destination_path)}"]


def _size_of(job: Job) -> str:
    return "an unknown size" if job.folder_size_bytes is None else human_size(job.folder_size_bytes)


def _free_of(disk: DiskSpace | None) -> str:
    if disk is None:
        return "cannot be read"
    return f"{human_size(disk.free_bytes)} of {human_size(disk.total_bytes)} free"


def _moment(text: str) -> str:
    return f"{text[:10]} {text[11:16]} UTC"
