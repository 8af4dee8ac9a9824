"""The marker file of a job as it stands on the NAS now: what is shown is read, never made up again."""

import asyncio
import errno
import os
from dataclasses import dataclass
from functools import partial

from cs_archiver.domain.job import Job
from cs_archiver.domain.marker import is_marker_of
from cs_archiver.tools.disk import open_regular
from cs_archiver.tools.threads import begin

_PATIENCE_SECONDS = 3.0
_BYTES_READ = 4096


@dataclass(frozen=True, slots=True)
class Marker:
    """`text` None: it could not be read, and `trouble` says why."""

    path: str
    text: str | None
    trouble: str | None = None


class Markers:
    """Answers within seconds; a NAS that hangs holds one thread, however many ask."""

    def __init__(self) -> None:
        self._reading: asyncio.Future[Marker] | None = None

    async def of(self, job: Job) -> Marker:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self._read(job)
        except TimeoutError:
            return Marker(_path_of(job), None, "The NAS does not answer.")

    async def _read(self, job: Job) -> Marker:
        while self._reading is not None and not self._reading.done():
            await asyncio.wait({self._reading})  # not awaited itself: who gives up must not end it for others
        mine = self._reading = begin(partial(_read, job))
        await asyncio.wait({mine})
        return mine.result()


def _path_of(job: Job) -> str:
    return f"{job.source_path}/{job.marker_name}"


def _read(job: Job) -> Marker:
    path = _path_of(job)
    try:
        with os.fdopen(open_regular(os.fsencode(path)), "rb") as file:
            content = file.read(_BYTES_READ)
    except OSError as error:
        return Marker(path, None, _trouble(error))
    if not is_marker_of(job, content):
        return Marker(path, None, "A file of this name is there, but this job did not write it.")
    return Marker(path, content.decode("utf-8", "replace"))


def _trouble(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "It is not there: it was removed since, or the NAS is not mounted."
    return f"It cannot be read: {os.strerror(error.errno or 0)}."
