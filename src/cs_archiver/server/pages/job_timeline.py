"""The states a job went through as a timeline: when, how long, and how fast."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cs_archiver.clock import elapsed
from cs_archiver.db.jobs import HistoryLine
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import FINAL, JobStatus

_ORDER = list(JobStatus)


@dataclass(frozen=True, slots=True)
class Span:
    """One state. `ended` None: the job is in it. `offset` and `share` are percents of the whole time."""

    status: JobStatus
    began: str
    ended: str | None
    seconds: float
    bytes_worked: int | None
    offset: float
    share: float

    @property
    def is_end(self) -> bool:
        return self.status in FINAL

    @property
    def rate(self) -> float | None:
        """Bytes a second on average, where the work of this state was done to its end."""
        return self.bytes_worked / self.seconds if self.bytes_worked and self.seconds else None


def spans_of(job: Job, history: Sequence[HistoryLine], now: str) -> list[Span]:
    if not history:
        return []
    is_over = history[-1].to_status in FINAL
    last = history[-1].at if is_over else max(now, history[-1].at)
    return list(_spans(job, history, last, is_over=is_over))


def packing_of(spans: Sequence[Span]) -> Span | None:
    """The compression that made the archive there is."""
    done = (span for span in reversed(spans) if span.status is JobStatus.COMPRESSING and span.bytes_worked)
    return next(done, None)


def _spans(job: Job, history: Sequence[HistoryLine], last: str, *, is_over: bool) -> Iterator[Span]:
    begun = history[0].at
    whole = elapsed(begun, last).total_seconds() or 1.0
    for line, after in zip(history, [*history[1:], None], strict=True):
        status = JobStatus(line.to_status)
        seconds = elapsed(line.at, last if after is None else after.at).total_seconds()
        ended = line.at if is_over and after is None else None if after is None else after.at
        went_on = after is not None and _is_next(status, JobStatus(after.to_status))
        offset = elapsed(begun, line.at).total_seconds() / whole * 100
        yield Span(
            status, line.at, ended, seconds, _work_of(job, status) if went_on else None, offset, seconds / whole * 100
        )


def _is_next(status: JobStatus, after: JobStatus) -> bool:
    return status not in FINAL and _ORDER[_ORDER.index(status) + 1] is after


def _work_of(job: Job, status: JobStatus) -> int | None:
    return {
        JobStatus.COPYING: job.folder_size_bytes,
        JobStatus.COMPRESSING: job.folder_size_bytes,
        JobStatus.VERIFYING: job.archive_size_bytes,
        JobStatus.UPLOADING: job.archive_size_bytes,
        JobStatus.UPLOAD_VERIFYING: job.archive_size_bytes,
        JobStatus.DELETING_SOURCE: job.folder_size_bytes,
    }.get(status)
