"""From the progress of one step to that of the whole job: percent that only rises, rate, time left."""

from collections import deque

from cs_archiver.domain.events import StepProgress
from cs_archiver.domain.states import JobStatus

# PRD, appendix A: each state's share of the whole job.
SPANS: dict[JobStatus, tuple[int, int]] = {
    JobStatus.QUEUED: (0, 0),
    JobStatus.COPYING: (0, 33),
    JobStatus.COMPRESSING: (33, 66),
    JobStatus.VERIFYING: (66, 75),
    JobStatus.AWAITING_UPLOAD: (75, 75),
    JobStatus.UPLOADING: (75, 85),
    JobStatus.UPLOAD_VERIFYING: (85, 95),
    JobStatus.DELETING_SOURCE: (95, 100),
    JobStatus.COMPLETED: (100, 100),
}

_WINDOW_SECONDS = 10.0


def job_percent(status: JobStatus, step_percent: float | None, *, at_least: int = 0) -> int:
    """Progress of the whole job, 0 to 100; never below `at_least`, and 100 only when completed."""
    if status not in SPANS:
        return at_least
    start, end = SPANS[status]
    share = (end - start) * min(max(step_percent or 0.0, 0.0), 100.0) / 100
    highest = 100 if status is JobStatus.COMPLETED else 99
    return max(at_least, min(int(start + share), highest))


class StepMeter:
    """Rate and time left of one step, over the last seconds. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def reading(
        self, now: float, *, bytes_done: int | None, bytes_total: int | None, percent: float | None = None
    ) -> StepProgress:
        if percent is None and bytes_done is not None and bytes_total:
            percent = min(100.0, bytes_done / bytes_total * 100)
        rate = self._rate(now, bytes_done)
        left = None
        if rate and bytes_total is not None and bytes_done is not None:
            left = max(bytes_total - bytes_done, 0) / rate
        return StepProgress(percent, bytes_done, bytes_total, rate, left)

    def _rate(self, now: float, bytes_done: int | None) -> float | None:
        if bytes_done is None:
            return None
        if self._samples and bytes_done < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now, bytes_done))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _WINDOW_SECONDS:
            self._samples.popleft()
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) if end > start else None
