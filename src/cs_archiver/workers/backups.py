"""Backs the database up once a night, beside everything else; when it cannot, people are told, and jobs go on."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from cs_archiver.db.backups import NIGHTLY_LEAVE_BYTES, Backup, Backups, Kind, name_of_moment, nights_of
from cs_archiver.db.copies import CopyFailed
from cs_archiver.db.database import Database
from cs_archiver.domain.sizes import counted, plural
from cs_archiver.errors import JobError
from cs_archiver.tools.threads import OneAtATime, begin, in_thread

_LOOK_SECONDS = 3600.0
_ANSWER_SECONDS = 60.0
_LONGEST_SECONDS = 6 * 3600.0

_log = logging.getLogger(__name__)


class NightlyBackups:
    """At `hour` of the local day, or later where that was missed; the newest `keep` stay. 0: none is made."""

    def __init__(self, database: Database, backups: Backups, *, hour: int, keep: int) -> None:
        self._database = database
        self._backups = backups
        self._hour = hour
        self._keep = keep
        self._listing = OneAtATime(lambda: begin(backups.nightly))  # what hangs holds one thread, not one an hour

    async def run(self) -> None:
        """Look at the hour, and once an hour, until cancelled. The very first one waits for the first of these."""
        is_first_start = True
        while self._keep:
            try:
                await self.look(datetime.now().astimezone(), is_first_start=is_first_start)
            except (JobError, TimeoutError) as error:
                why = str(error) or f"it did not end within {_LONGEST_SECONDS / 3600:g} hours"
                self._tell(f"No backup of the database: {why}")
            is_first_start = False
            now = datetime.now().astimezone()
            to_the_hour = last_hour(now, self._hour) + timedelta(days=1) - now
            await asyncio.sleep(min(_LOOK_SECONDS, to_the_hour.total_seconds()))

    async def look(self, now: datetime, *, is_first_start: bool = False) -> None:
        """Make the backup that is due, if one is, and remove those of more than enough nights ago."""
        nights = nights_of(await self._found(), now)
        self._database.last_backup = nights.past[0].moment if nights.past else None
        due_since = name_of_moment(last_hour(now, self._hour))
        is_made = any(backup.made_at >= due_since for backup in nights.past)
        is_new_here = is_first_start and not nights.past and not nights.future
        if not is_made and not is_new_here:
            await self._make(now, surplus=nights.past[self._keep - 1 :])
        self._tell(_words_for(nights.future))

    async def _found(self) -> Sequence[Backup]:
        listing = self._listing.answer()
        done, _ = await asyncio.wait({listing}, timeout=_ANSWER_SECONDS)
        if not done:
            raise CopyFailed(
                f"the folder of backups {self._backups.folder} does not answer: a look at it takes "
                f"over {_ANSWER_SECONDS:g} s: check its disk or mount, or set [backup] folder to another; jobs go on"
            )
        return listing.result()

    async def _make(self, now: datetime, surplus: Sequence[Backup]) -> None:
        async with asyncio.timeout(_LONGEST_SECONDS):
            path = await in_thread(
                lambda work: self._backups.make(Kind.NIGHTLY, work, at=now, leave_bytes=NIGHTLY_LEAVE_BYTES)
            )
        self._database.last_backup = now
        _log.info("backup of the database: %s", path)
        await in_thread(lambda _work: self._backups.remove(surplus))

    def _tell(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self._database.backup_trouble:
            _log.warning("%s", trouble)
        self._database.backup_trouble = trouble


def _words_for(future: Sequence[Backup]) -> str | None:
    if not future:
        return None
    bear = f"{counted(len(future), 'nightly backup')} of the database {plural(len(future), 'bears', 'bear')}"
    return (
        f"The clock of this machine is wrong, or was: {bear} a time that is still to come, such as {future[0].path}. "
        "Such a backup does not count, and is not removed: set the clock right, and delete those dated ahead even then"
    )


def last_hour(now: datetime, hour: int) -> datetime:
    """When it last was this hour of the day, in the zone of `now`."""
    today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)
