"""The figures for monitors: counted up to now when they are asked for, so that nothing runs for them in between."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client.exposition import choose_encoder

from cs_archiver.bus import Bus
from cs_archiver.clock import elapsed, from_text
from cs_archiver.db import tallies
from cs_archiver.db.database import Database
from cs_archiver.db.tallies import Marks, Move
from cs_archiver.domain.events import Retried
from cs_archiver.domain.states import FINAL, JobStatus
from cs_archiver.services.metric_families import Families
from cs_archiver.services.status import DiskSpace
from cs_archiver.tools.globus_threads import Tally

_LAG_SECONDS = 1.0
_NO_VERSION = re.compile(r"version=(?![0-9]+(\.[0-9]+)*\s*([;,]|$))")  # choose_encoder fails at it


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What others know: the clients of the live updates, the space (None: no answer), and the questions to Globus."""

    live_clients: Callable[[], int]
    disk: Callable[[], Awaitable[DiskSpace | None]]
    globus: Tally


class Metrics:
    """Counts from the moment it is opened."""

    def __init__(self, database: Database, bus: Bus, elsewhere: Elsewhere, marks: Marks) -> None:
        self._database = database
        self._bus = bus
        self._elsewhere = elsewhere
        self._marks = marks
        self._families = Families()
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, database: Database, bus: Bus, elsewhere: Elsewhere) -> "Metrics":
        """Raises NeedsOperator when the database cannot be read."""
        return cls(database, bus, elsewhere, await tallies.marks(database))

    async def running(self, _app: object) -> AsyncIterator[None]:
        """For cleanup_ctx: what can only be counted as it happens."""
        tasks = [asyncio.create_task(work) for work in (self._count_retries(), self._watch_loop())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """All of it in the format that `accept`, a header of HTTP, asks for, and the media type of that.

        Raises NeedsOperator when the database cannot be read: no figures are better than old ones.
        """
        encode, media_type = choose_encoder("" if _NO_VERSION.search(accept) else accept)
        async with self._turn:
            await self._count_moves()
            await self._count_refused_sign_ins()
            await self._look_at_jobs()
            await self._look_elsewhere()
            return encode(self._families.registry), media_type

    async def _count_moves(self) -> None:
        while moves := await tallies.moves_after(self._database, self._marks.history):
            for move in moves:
                self._count(move)
            self._marks = self._marks._replace(history=moves[-1].id)

    def _count(self, move: Move) -> None:
        families = self._families
        if move.left not in FINAL:
            families.stages.labels(move.left).observe(max(0.0, elapsed(move.since, move.at).total_seconds()))
        if move.to in FINAL:
            families.finished.labels(move.to).inc()
        match move.left, move.to:
            case JobStatus.COPYING, JobStatus.COMPRESSING:
                families.copied.inc(move.folder_bytes or 0)
            case JobStatus.VERIFYING, JobStatus.AWAITING_UPLOAD:
                families.archived.inc(move.archive_bytes or 0)
            case JobStatus.UPLOADING, JobStatus.UPLOAD_VERIFYING:
                families.uploaded.inc(move.archive_bytes or 0)
            case JobStatus.DELETING_SOURCE, JobStatus.COMPLETED:
                families.freed.inc(move.folder_bytes or 0)
            case _:
                pass

    async def _count_refused_sign_ins(self) -> None:
        count, last = await tallies.refused_sign_ins_after(self._database, self._marks.audit)
        self._families.refused.inc(count)
        self._marks = self._marks._replace(audit=last)

    async def _look_at_jobs(self) -> None:
        families, now = self._families, datetime.now(UTC)
        found = await tallies.standing(self._database)
        for status, count in found.jobs.items():
            families.jobs.labels(status).set(count)
        families.held.set(found.held)
        for worker, since in found.oldest.items():
            age = 0.0 if since is None else (now - from_text(since)).total_seconds()
            families.oldest.labels(worker).set(max(0.0, age))
        families.last_success.set(0 if found.last_success is None else from_text(found.last_success).timestamp())

    async def _look_elsewhere(self) -> None:
        families, elsewhere = self._families, self._elsewhere
        disk = await elsewhere.disk()
        families.space_free.set(float("nan") if disk is None else disk.free_bytes)
        families.space_total.set(float("nan") if disk is None else disk.total_bytes)
        families.clients.set(elsewhere.live_clients())
        families.database_size.set(self._database.size_bytes())
        last_backup = self._database.last_backup
        families.last_backup.set(0 if last_backup is None else last_backup.timestamp())
        asked, faults = elsewhere.globus.take()
        for result, count in asked.items():
            families.globus.labels(result).inc(count)
        families.faults.inc(faults)

    async def _count_retries(self) -> None:
        with self._bus.subscribe() as events:
            while True:
                event = await events.get()
                if isinstance(event, Retried):
                    self._families.retries.labels(event.operation).inc()

    async def _watch_loop(self) -> None:
        clock = asyncio.get_running_loop().time
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                due = clock() + _LAG_SECONDS
                await asyncio.sleep(_LAG_SECONDS)
                self._families.lag.observe(max(0.0, clock() - due))
