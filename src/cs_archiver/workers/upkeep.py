"""Keeps the database small and quick: old jobs leave the list, old logs go; the catalogue stays whatever its age."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from cs_archiver.clock import now_text
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.old_jobs import drop_logs
from cs_archiver.errors import JobError

_LOOK_SECONDS = 3600.0
_LOOKS_A_DAY = 24
_AT_ONCE = 200  # jobs in one transaction, so that no worker waits long for its turn to write

_log = logging.getLogger(__name__)


class Upkeep:
    """`keep_completed`: jobs in the list. `keep_logs`: logs of jobs that ended. None: for good."""

    def __init__(self, database: Database, *, keep_completed: timedelta | None, keep_logs: timedelta | None) -> None:
        self._database = database
        self._jobs = Jobs(database)
        self._keep_completed = keep_completed
        self._keep_logs = keep_logs

    async def run(self) -> None:
        """Look once an hour, until cancelled."""
        looks = 0
        while True:
            try:
                await self.look()
                if looks % _LOOKS_A_DAY == 1:
                    await self._database.optimize()
            except JobError as error:
                _log.warning("old jobs and logs are looked at again later: %s", error)
            looks += 1
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        if self._keep_completed is not None:
            until = now_text(after=-self._keep_completed)
            cleared = await _all(lambda: self._jobs.clear_completed(until=until, at_most=_AT_ONCE))
            _tell("%d completed jobs left the list: they ended before %s", cleared, until)
        if self._keep_logs is not None:
            until = now_text(after=-self._keep_logs)
            dropped = await _all(lambda: drop_logs(self._database, until=until, at_most=_AT_ONCE))
            _tell("the logs of %d jobs are removed: they ended before %s", dropped, until)


async def _all(some: Callable[[], Awaitable[int]]) -> int:
    count = 0
    while done := await some():
        count += done
    return count


def _tell(message: str, count: int, until: str) -> None:
    if count:
        _log.info(message, count, until)
