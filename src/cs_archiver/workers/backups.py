"""Backs the database up once a night, beside everything else; when it cannot, people are told, and jobs go on."""

import asyncio
import logging
from datetime import datetime, timedelta

from cs_archiver.db.backups import Backups, Kind, name_of_moment
from cs_archiver.db.database import Database
from cs_archiver.errors import JobError
from cs_archiver.tools.threads import in_thread

_LOOK_SECONDS = 3600.0
_LONGEST_SECONDS = 6 * 3600.0
_LEAVE_BYTES = 256 * 1024**2  # free on the disk of the backups, which may be that of the database

_log = logging.getLogger(__name__)


class NightlyBackups:
    """At `hour` of the local day, or later where that was missed; the newest `keep` stay. 0: none is made."""

    def __init__(self, database: Database, backups: Backups, *, hour: int, keep: int) -> None:
        self._database = database
        self._backups = backups
        self._hour = hour
        self._keep = keep

    async def run(self) -> None:
        """Look at the hour, and once an hour, until cancelled. The very first one waits for the first of these."""
        is_first_start = True
        while self._keep:
            try:
                await self.look(datetime.now().astimezone(), is_first_start=is_first_start)
            except (JobError, TimeoutError) as error:
                self._database.backup_trouble = str(error) or f"it did not end within {_LONGEST_SECONDS / 3600:g} hours"
                _log.warning("no backup of the database: %s", self._database.backup_trouble)
            is_first_start = False
            now = datetime.now().astimezone()
            to_the_hour = last_hour(now, self._hour) + timedelta(days=1) - now
            await asyncio.sleep(min(_LOOK_SECONDS, to_the_hour.total_seconds()))

    async def look(self, now: datetime, *, is_first_start: bool = False) -> None:
        """Make the backup that is due, if one is, and remove those of more than enough nights ago."""
        newest = await in_thread(lambda _work: self._backups.newest(Kind.NIGHTLY))
        if newest is None and is_first_start:
            return
        if newest is not None and newest.made_at >= name_of_moment(last_hour(now, self._hour)):
            return
        async with asyncio.timeout(_LONGEST_SECONDS):
            path = await in_thread(lambda work: self._backups.make(Kind.NIGHTLY, work, leave_bytes=_LEAVE_BYTES))
        _log.info("backup of the database: %s", path)
        await in_thread(lambda _work: self._backups.keep_newest(Kind.NIGHTLY, self._keep))
        self._database.backup_trouble = None


def last_hour(now: datetime, hour: int) -> datetime:
    """When it last was this hour of the day, in the zone of `now`."""
    today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)
