"""Asking for folders to be archived."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence

from cs_archiver.bus import Bus
from cs_archiver.db import queue
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import log
from cs_archiver.domain.access import StillAllowed
from cs_archiver.domain.events import LogAdded, LogLevel
from cs_archiver.domain.folders import Folder
from cs_archiver.domain.job import Job, OnExisting
from cs_archiver.errors import Conflict, Forbidden, InvalidRequest, JobError, NotAuthenticated
from cs_archiver.services.folders import FolderService
from cs_archiver.services.job_news import tell_of

DestinationIsTaken = Callable[[str], Awaitable[str | None]]
"""Tells why nothing may be written to a path of the destination collection; None if nothing is known against it.

Only a courtesy to the person who asks: the job itself looks again before it copies the first byte.
"""

_CHECKS_AT_ONCE = 8  # of folders asked for together, each at the NAS and at Globus


class Submissions:
    """Each is one transaction; whoever listens hears of it after the commit."""

    def __init__(
        self,
        database: Database,
        folders: FolderService,
        bus: Bus,
        *,
        destination_base_path: str,
        destination_is_taken: DestinationIsTaken,
    ) -> None:
        self._database = database
        self._folders = folders
        self._bus = bus
        self._destination_base_path = destination_base_path
        self._destination_is_taken = destination_is_taken

    async def submit(self, folder_path: str, on_existing: OnExisting, still: StillAllowed, *, username: str) -> Job:
        """Append a job for this folder to the queue.

        Raises what FolderService.require_listed raises, and Conflict when the folder has an active job
        ("already-queued") or its archive exists ("destination-exists", unless a new version is wanted).
        """
        return await self._append(await self._row_of(folder_path, on_existing, username), still)

    async def submit_each(
        self, folder_paths: Sequence[str], on_existing: OnExisting, still: StillAllowed, *, username: str
    ) -> list[Job | InvalidRequest | JobError]:
        """As `submit`, each folder for itself; they join the queue in this order. What was refused is an error here.

        Raises NotAuthenticated and Forbidden as `still` does. Where some joined the queue before, those that follow
        are refused with it instead: what came of each is told.
        """
        some_at_once = asyncio.Semaphore(_CHECKS_AT_ONCE)

        async def row_of(path: str) -> dict[str, object] | InvalidRequest | JobError:
            try:
                async with some_at_once:
                    return await self._row_of(path, on_existing, username)
            except (InvalidRequest, JobError) as error:
                return error

        outcomes: list[Job | InvalidRequest | JobError] = []
        for row in await asyncio.gather(*map(row_of, folder_paths)):
            try:
                outcomes.append(row if isinstance(row, Exception) else await self._append(row, still))
            except (InvalidRequest, JobError) as error:
                has_joined = any(isinstance(outcome, Job) for outcome in outcomes)
                if isinstance(error, NotAuthenticated | Forbidden) and not has_joined:
                    raise
                outcomes.append(error)
        return outcomes

    async def _row_of(self, folder_path: str, on_existing: OnExisting, username: str) -> dict[str, object]:
        folder = await self._folders.require_listed(folder_path)
        row = self._row(folder, on_existing, username)
        await self._refuse_second(row)
        if on_existing is OnExisting.FAIL:
            await self._refuse_taken(str(row["globus_destination_path"]))
        return row

    async def _append(self, row: dict[str, object], still: StillAllowed) -> Job:
        message = f"Job created by {row['created_by']}"
        async with self._database.write() as connection:
            await still()
            job = await queue.submit(connection, row)
            timestamp = await log(connection, job.id, LogLevel.INFO, message)
        tell_of(self._bus, job, LogAdded(job.id, timestamp, LogLevel.INFO, message))
        return job

    async def _refuse_second(self, row: dict[str, object]) -> None:
        # Before the destination is asked: an archive there may be the one that the active job just sent.
        async with self._database.read() as connection:
            conflict = await queue.active_conflict(connection, row)
        if conflict is not None:
            raise conflict

    async def _refuse_taken(self, destination: str) -> None:
        reason = await self._destination_is_taken(destination)
        if reason is not None:
            hint = 'To archive it beside that one, send "on_existing": "new_version".'
            raise Conflict("destination-exists", f"{reason}. {hint}", destination=destination)

    def _row(self, folder: Folder, on_existing: OnExisting, username: str) -> dict[str, object]:
        return {
            "id": str(uuid.uuid4()),
            "folder_name": folder.name,
            "level1": folder.level1,
            "level2": folder.level2,
            "source_path": folder.path,
            "globus_destination_path": destination_of(folder, self._destination_base_path),
            "on_existing": on_existing,
            "folder_size_bytes": folder.size_bytes,
            "folder_file_count": folder.file_count,
            "created_by": username,
        }


def destination_of(folder: Folder, base_path: str) -> str:
    """Where the archive goes in the destination collection: /level1/level2/name.tar.7z below `base_path`."""
    path = f"{base_path}/{folder.level1}/{folder.level2}/{folder.name}.tar.7z"
    return "/" + "/".join(part for part in path.split("/") if part)
