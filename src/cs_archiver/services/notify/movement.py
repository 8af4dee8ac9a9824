"""Whether anything in the queue moves: a state that changes, or progress of a step."""

from cs_archiver.domain.events import Event, JobUpdate
from cs_archiver.domain.states import FINAL


class Movement:
    """By a clock that is never set, in seconds; begins as if something had just moved."""

    def __init__(self, now: float) -> None:
        self._seen: dict[str, JobUpdate] = {}
        self._moved_at = now
        self._has_moved = False

    def hear(self, event: Event, now: float) -> None:
        if not isinstance(event, JobUpdate):
            return
        before = self._seen.get(event.job_id)
        if before is not None and _place(before) != _place(event):
            self.moves(now)
        if event.status in FINAL:
            self._seen.pop(event.job_id, None)
        else:
            self._seen[event.job_id] = event

    def moves(self, now: float) -> None:
        self._moved_at, self._has_moved = now, True

    def has_stopped(self, now: float, *, seconds: float) -> bool | None:
        """Whether nothing has moved for so long; None when it was not watched for as long yet."""
        if now - self._moved_at >= seconds:
            return True
        return False if self._has_moved else None


def _place(update: JobUpdate) -> tuple[object, ...]:
    return update.status, update.progress_percent, update.step.percent, update.step.bytes_done
