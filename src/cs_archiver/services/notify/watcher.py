"""Finds out what is worth telling: ends of jobs, conditions that last, and once a day all of it together."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from cs_archiver.bus import Bus
from cs_archiver.clock import from_text, now_text
from cs_archiver.db import outcomes
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.domain.events import Event, JobUpdate
from cs_archiver.domain.job import HELD, Job
from cs_archiver.domain.notices import Kind, Message
from cs_archiver.domain.states import ACTIVE, JobStatus
from cs_archiver.domain.switches import NOBODYS_FAULT
from cs_archiver.errors import JobError
from cs_archiver.services.notify.conditions import Condition, Conditions, Findings
from cs_archiver.services.notify.movement import Movement
from cs_archiver.services.notify.notifications import Notifications
from cs_archiver.services.notify.texts import MOST_LISTED
from cs_archiver.services.status import WARN_ABOVE_PERCENT_USED, StatusService

_ENDS = {Kind.FAILED: JobStatus.FAILED, Kind.COMPLETED: JobStatus.COMPLETED}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """In seconds. Ends of jobs are gathered into one message of a kind, the next no sooner than `spacing` later."""

    tick: float = 60.0
    gather: float = 20.0
    spacing: float = 600.0
    calm: float = 600.0
    held: float = 300.0
    database: float = 120.0
    disk: float = 60.0


RHYTHM = Rhythm()


@dataclass(frozen=True, slots=True)
class WatchSettings:
    storage_path: Path
    stuck_hours: float
    digest_hour: int


class Watcher:
    def __init__(
        self, notifications: Notifications, database: Database, bus: Bus, status: StatusService, settings: WatchSettings
    ) -> None:
        self._notifications = notifications
        self._texts = notifications.texts
        self._database = database
        self._jobs = Jobs(database)
        self._bus = bus
        self._status = status
        self._settings = settings
        self._state = notifications.state
        self._ends = [_Ends(kind) for kind in _ENDS if kind in notifications.kinds]
        self._movement = Movement(_clock())
        told = {key: told for key, told in self._state.conditions.items() if told.kind in notifications.kinds}
        self._conditions = Conditions(told, calm_seconds=RHYTHM.calm)
        self._state.conditions = told

    async def begin(self) -> None:
        """From here on: what ended before the first start is not told. Raises DatabaseUnhealthy."""
        newest = await outcomes.newest(self._database)
        # Fewer than were told: the database is another, or an older one.
        self._state.outcomes = {
            ends.kind: min(self._state.outcomes.get(ends.kind, newest), newest) for ends in self._ends
        }
        self._state.digest_at = self._state.digest_at or now_text()
        await self._notifications.save()

    async def run(self) -> None:
        """Until cancelled."""
        with self._bus.subscribe() as events:
            while True:
                await self.look()
                await self._hear(events)

    async def look(self) -> None:
        now = _clock()
        findings = await self._find(now)
        changes = self._conditions.look(findings, now)
        messages = [condition.message for condition in changes.begun]
        messages += [self._texts.over(told.what, told.since) for told in changes.over]
        try:
            for ends in self._ends:
                messages += await self._news_of(ends, now)
            messages += await self._digest()
        except JobError as error:
            _log.warning("what ended is told later: %s", error)
        if messages:
            await self._notifications.tell(messages)

    async def _hear(self, events: "asyncio.Queue[Event]") -> None:
        """Listen until it is time for the next look."""
        begun = _clock()
        until, earliest = begun + RHYTHM.tick, begun + RHYTHM.gather  # what is due may have to wait for the database
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until) as patience:
                for ends in self._ends:
                    until = _sooner(patience, until, ends, earliest)
                while True:
                    event = await events.get()
                    self._movement.hear(event, _clock())
                    for ends in self._ends:
                        if isinstance(event, JobUpdate) and event.status is _ENDS[ends.kind]:
                            ends.notice(_clock())
                            until = _sooner(patience, until, ends, earliest)

    async def _find(self, now: float) -> Findings:
        try:
            status = await self._status.read()
            active = await self._jobs.in_line(ACTIVE)
        except JobError as error:
            return self._wanted([self._of_database(str(error))], ["held:", "queue", "disk"])
        present = [self._of_held(job) for job in active if (job.current_operation or "").startswith(HELD)]
        unknown = []
        if self._database.trouble:
            present.append(self._of_database(self._database.trouble))
        if status.disk is None:
            unknown.append("disk")
        elif status.disk.percent_used > WARN_ABOVE_PERCENT_USED:
            message = self._texts.disk(status.disk, str(self._settings.storage_path))
            present.append(Condition("disk", Kind.DISK_LOW, message, RHYTHM.disk))
        is_stuck = self._is_stuck(active, now)
        if is_stuck:
            message = self._texts.stuck(active, self._settings.stuck_hours)
            present.append(Condition("queue", Kind.QUEUE_STUCK, message, 0.0))
        elif is_stuck is None:
            unknown.append("queue")
        return self._wanted(present, unknown)

    def _is_stuck(self, active: Sequence[Job], now: float) -> bool | None:
        # What is paused, or outside of its hours, stands still because somebody wants it to.
        if not active or any(job.error_problem in NOBODYS_FAULT for job in active):
            self._movement.moves(now)
        return self._movement.has_stopped(now, seconds=self._settings.stuck_hours * 3600)

    def _of_held(self, job: Job) -> Condition:
        return Condition(f"held:{job.id}", Kind.NEEDS_ATTENTION, self._texts.held(job), RHYTHM.held)

    def _of_database(self, reason: str) -> Condition:
        return Condition("database", Kind.NEEDS_ATTENTION, self._texts.database(reason), RHYTHM.database)

    def _wanted(self, present: Sequence[Condition], unknown: Sequence[str]) -> Findings:
        kinds = self._notifications.kinds
        return Findings.of([condition for condition in present if condition.kind in kinds], unknown)

    async def _news_of(self, ends: "_Ends", now: float) -> list[Message]:
        told = self._state.outcomes[ends.kind]
        new = await outcomes.since(self._database, _ENDS[ends.kind], told, most_jobs=MOST_LISTED)
        if not new.count:
            return []
        ends.notice(now)
        if not ends.is_due(now):
            return []
        self._state.outcomes[ends.kind] = new.newest
        ends.told(now)
        return [self._texts.failed(new) if ends.kind is Kind.FAILED else self._texts.completed(new)]

    async def _digest(self) -> list[Message]:
        since = self._state.digest_at
        is_wanted = Kind.DIGEST in self._notifications.kinds
        if (
            not is_wanted
            or since is None
            or from_text(since) >= last_digest(datetime.now(UTC), self._settings.digest_hour)
        ):
            return []
        now = now_text()
        period = await outcomes.of_period(self._database, since)
        status = await self._status.read()
        message = self._texts.digest(period, since, await self._jobs.in_line(ACTIVE), status.disk)
        self._state.digest_at = now
        return [message]


class _Ends:
    """When the next message about ends of jobs of one kind may be sent."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._first_at: float | None = None
        self._told_at: float | None = None

    @property
    def due_at(self) -> float | None:
        if self._first_at is None:
            return None
        gathered = self._first_at + RHYTHM.gather
        return gathered if self._told_at is None else max(gathered, self._told_at + RHYTHM.spacing)

    def notice(self, now: float) -> None:
        if self._first_at is None:
            self._first_at = now

    def is_due(self, now: float) -> bool:
        return self.due_at is not None and now >= self.due_at

    def told(self, now: float) -> None:
        self._first_at, self._told_at = None, now


def last_digest(now: datetime, hour: int) -> datetime:
    """The last moment at which this hour began on this machine's clock, at `now` or before."""
    local = now.astimezone()
    day = local.date() if local.hour >= hour else local.date() - timedelta(days=1)
    return datetime.combine(day, time(hour)).astimezone()


def _sooner(patience: asyncio.Timeout, until: float, ends: _Ends, earliest: float) -> float:
    if ends.due_at is None or max(ends.due_at, earliest) >= until:
        return until
    patience.reschedule(max(ends.due_at, earliest))
    return max(ends.due_at, earliest)


def _clock() -> float:
    return asyncio.get_running_loop().time()
