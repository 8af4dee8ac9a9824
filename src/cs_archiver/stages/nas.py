"""The NAS before and during every piece of work there: it may be gone, another one, read-only, or hang."""

import asyncio
import logging
import os
import stat
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import HELD, Job
from cs_archiver.domain.manifest import Seen, shown
from cs_archiver.errors import NeedsOperator, Permanent
from cs_archiver.stages.places import Places
from cs_archiver.stages.stage import Report
from cs_archiver.tools.crowd import for_each
from cs_archiver.tools.disk import mount_points, source_error
from cs_archiver.tools.nas import NasProbe
from cs_archiver.tools.threads import Work, in_thread

_log = logging.getLogger(__name__)


class Nas:
    """Guards the sources of jobs: whatever a job does on the NAS it does while that is `watched`."""

    def __init__(self, places: Places, probe: NasProbe) -> None:
        self._places = places
        self._probe = probe

    async def require(self, job: Job, report: Report) -> None:
        """Raises NeedsOperator when the NAS hangs or is not there, Permanent when only this source is gone."""
        await self.device(job, report)

    async def device(self, job: Job, report: Report) -> int:
        """The number of the source's file system as it is mounted now. Raises NeedsOperator as `require` does."""
        await self._probe.require_answer()
        async with self.watched(report, "Looking for the source on the NAS"):
            return await in_thread(lambda _work: require_nas(self._places, job))

    @asynccontextmanager
    async def watched(self, report: Report, doing: str) -> AsyncIterator[None]:
        """While work goes on there, say `doing`, or that the NAS hangs for as long as it does."""
        report.operation(doing)
        hangs = asyncio.Event()
        watch = asyncio.create_task(self._watch(report, doing, hangs), name="watch the NAS")
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.wait({watch})
        if hangs.is_set():  # it answered the work before it was asked again
            await _tell_answer(report, doing)

    async def _watch(self, report: Report, doing: str, hangs: asyncio.Event) -> None:
        while True:
            await asyncio.sleep(self._probe.timeout_seconds)
            try:
                await self._probe.require_answer()
            except NeedsOperator as error:
                if not hangs.is_set():
                    hangs.set()
                    report.operation(f"{HELD}{error}")
                    await _told(report, str(error), LogLevel.WARNING)
            else:
                if hangs.is_set():
                    hangs.clear()
                    await _tell_answer(report, doing)


async def _tell_answer(report: Report, doing: str) -> None:
    report.operation(doing)
    await _told(report, "The NAS answers again")


async def _told(report: Report, line: str, level: LogLevel = LogLevel.INFO) -> None:
    """A database in trouble must neither end the watch nor the work that is watched."""
    try:
        await report.log(line, level)
    except NeedsOperator as error:
        _log.warning("not in the job's log: %s: %s", line, error)


def require_nas(places: Places, job: Job) -> int:
    """The source is a folder on the NAS's own file system, whose number is given back; it was there before.

    Raises Permanent when it was renamed or removed by hand, and NeedsOperator when the NAS itself is not there: it is
    not mounted where it was, whatever lies under its mount, or the folder that held the source is not there either.
    """
    source = places.source(job)
    try:
        base = os.stat(places.nas)
        status = os.lstat(source)
    except FileNotFoundError as error:
        why = _why_unmounted(places)
        if why is None and _is_on(places.nas, os.path.dirname(source)):
            raise Permanent(
                f"the source '{shown(source)}' was renamed or removed by hand, while the NAS is there",
                problem="source-missing",
            ) from error
        why = why or "nor is the folder it was in"
    except OSError as error:
        why = error.strerror or str(error)
    else:
        why = _why_unmounted(places) or _why_not_the_source(status, base)
        if why is None:
            return status.st_dev
    raise NeedsOperator(
        f"the source '{shown(source)}' is not there: check the NAS mount; nothing is deleted ({why})",
        problem="nas-unreachable",
    )


def _why_unmounted(places: Places) -> str | None:
    """To be asked after a look at it, which mounts again what is mounted on demand."""
    if places.nas_mount == b"/" or places.nas_mount in mount_points():
        return None
    return f"nothing is mounted at '{shown(places.nas_mount)}'"


def _why_not_the_source(status: os.stat_result, base: os.stat_result) -> str | None:
    if status.st_dev != base.st_dev:
        return "another file system is mounted over it"
    return None if stat.S_ISDIR(status.st_mode) else "it is no folder"


def _is_on(base: Path, shelf: bytes) -> bool:
    try:
        return os.stat(shelf).st_dev == os.stat(base).st_dev
    except OSError:  # the NAS is in trouble, which is all that is asked here
        return False


def require_writable(places: Places, job: Job) -> None:
    """Without leave to delete there and to leave a marker, days of copying and uploading would end in nothing.

    Raises NeedsOperator when the NAS is mounted read-only, Permanent when only this folder refuses.
    """
    source = places.source(job)
    try:
        read_only = os.statvfs(source).f_flag & os.ST_RDONLY
        is_writable = _may_remove_from(source, os.lstat(source).st_mode)
    except OSError as error:
        raise NeedsOperator(
            f"cannot look at '{shown(source)}': {error.strerror}: check the NAS mount", problem="nas-unreachable"
        ) from error
    if read_only:
        raise NeedsOperator(
            f"the NAS is mounted read-only at '{shown(source)}': mount it so that the service can write there, or no "
            "source could be deleted in the end",
            problem="nas-read-only",
        )
    if not is_writable:
        raise Permanent(
            f"the service may not write to '{shown(source)}', or not remove what others own there, so it could not "
            "delete its content in the end: give it the right to, then retry",
            problem="source-not-writable",
        )


def require_all_writable(places: Places, job: Job, folders: Iterable[Seen], *, threads: int, work: Work) -> None:
    """As `require_writable`, of every one of the `folders` in the source.

    Raises also as `source_error` tells when one cannot be looked at.
    """
    require_writable(places, job)
    source = places.source(job)
    refused: list[bytes] = []

    def look(entry: Seen) -> bytes | None:
        work.add(0)
        folder, path = entry.path, os.path.join(source, entry.path)
        try:
            if _may_remove_from(path, entry.mode):
                return None
            os.lstat(path)  # "no" may also mean that it is gone, or that the NAS is
        except OSError as error:
            raise source_error(path, error) from error
        return folder

    def note(folder: bytes | None) -> None:
        if folder is not None:
            refused.append(folder)

    for_each(folders, look, threads=threads, done=note, is_short=lambda _folder: True)
    if refused:
        require_writable(places, job)  # or that it was mounted read-only meanwhile
        names = ", ".join(f"'{shown(folder)}'" for folder in sorted(refused)[:5])
        more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
        raise Permanent(
            f"the service may not write to these folders in '{shown(source)}', or not remove what others own there, so "
            f"it could not delete their content in the end: {names}{more}: give the user it runs as the right to, then "
            "retry; nothing was copied",
            problem="source-not-writable",
        )


def _may_remove_from(folder: bytes, mode: int) -> bool:
    may_write = os.access(folder, os.W_OK | os.X_OK, effective_ids=True, follow_symlinks=False)
    return may_write and (not mode & stat.S_ISVTX or _owns_what_is_in(folder))


def _owns_what_is_in(folder: bytes) -> bool:
    """With the sticky bit only the owner of an entry, or of the folder, may remove it, whoever may write there."""
    user = os.geteuid()
    if user in (0, os.lstat(folder).st_uid):
        return True
    with os.scandir(folder) as entries:
        return all(entry.stat(follow_symlinks=False).st_uid == user for entry in entries)
