"""What archiving a folder would do, found out by looking alone: nothing here can begin it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cs_archiver.db import queue
from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.cleared import newest_archived
from cs_archiver.db.database import Database
from cs_archiver.domain.estimate import expected_seconds
from cs_archiver.domain.folders import Folder
from cs_archiver.domain.job import OnExisting, later_versions
from cs_archiver.domain.links import leads_out
from cs_archiver.domain.manifest import EntryKind, Seen, shown
from cs_archiver.domain.sizes import counted
from cs_archiver.domain.space import Need, Room, required_bytes, why_never
from cs_archiver.errors import Conflict, InvalidRequest, JobError
from cs_archiver.services.folders import FolderService, refused
from cs_archiver.services.submissions import destination_of
from cs_archiver.tools.disk import room_on
from cs_archiver.tools.threads import Work, in_thread
from cs_archiver.tools.tree import scan_tree

_AT_ONCE = 2
_LONGEST_SECONDS = 120.0
_MOST_EXAMPLES = 20
_PAST_JOBS = 20

WhyTaken = Callable[[str], Awaitable[str | None]]
"""Why nothing may be written to a path of the destination, None if it is free. Raises JobError when nobody knows."""


@dataclass(frozen=True, slots=True)
class PreviewSettings:
    storage: Path
    destination_base_path: str
    min_free_gb: float
    size_estimate_ratio: float
    threads: int


@dataclass(frozen=True, slots=True)
class Some:
    """How many there are, and the first few for people."""

    count: int
    examples: list[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Some":
        listed = sorted(texts)
        return cls(len(listed), listed[:_MOST_EXAMPLES])


@dataclass(frozen=True, slots=True)
class Contents:
    """What the folder holds at any depth; `size_bytes` is of the files."""

    files: int
    folders: int
    links: int
    size_bytes: int
    links_leading_out: Some
    unsupported: Some
    unreadable: Some
    is_writable: bool


@dataclass(frozen=True, slots=True)
class Destination:
    """`taken` says what is at `path`; `new_version` is the first path that is free. None while Globus does not say."""

    path: str
    is_known: bool
    taken: str | None
    new_version: str | None


@dataclass(frozen=True, slots=True)
class Outline:
    """What archiving a folder comes to. expected_seconds: None when there were no jobs to go by."""

    destination_path: str
    space_needed_bytes: int
    space_free_bytes: int
    expected_seconds: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """`obstacles` are why a job would be refused now, or fail before it copied anything.

    expected_seconds: how long the job would take once it begins, as the last ones went; None if there were none.
    """

    folder: Folder
    contents: Contents
    destination: Destination
    space_needed_bytes: int
    space_free_bytes: int
    obstacles: list[InvalidRequest]
    expected_seconds: float | None

    @property
    def outline(self) -> Outline:
        return Outline(self.destination.path, self.space_needed_bytes, self.space_free_bytes, self.expected_seconds)


class TooLong(InvalidRequest):
    """The whole folder could not be looked at in the time there is for an answer."""

    status = 503


class Previews:
    """Reads the NAS, the database and Globus; writes nowhere."""

    def __init__(
        self, database: Database, folders: FolderService, settings: PreviewSettings, *, why_taken: WhyTaken
    ) -> None:
        self._database = database
        self._catalogue = Catalogue(database)
        self._folders = folders
        self._settings = settings
        self._why_taken = why_taken
        self._some_at_once = asyncio.Semaphore(_AT_ONCE)

    async def of(self, folder_path: str, on_existing: OnExisting) -> Plan:
        """The plan for a folder that can be archived, or that cannot for what it holds, which the plan then shows.

        Raises what FolderService.require_listed raises for all others, TooLong, and JobError when the NAS or the local
        disk is in trouble.
        """
        try:
            async with asyncio.timeout(_LONGEST_SECONDS), self._some_at_once:
                return await self._plan(await self._require_readable(folder_path), on_existing)
        except TimeoutError as error:
            raise TooLong(
                "preview-too-long",
                f"{folder_path}: not all of it could be looked at within {_LONGEST_SECONDS:g} s: it is very large, or "
                "the NAS is slow. A job takes all the time it needs.",
            ) from error

    async def outlines(self, folders: Sequence[Folder]) -> list[Outline]:
        """By the sizes of the last scan: neither the NAS nor Globus is asked. Raises JobError for the local disk."""
        free = (await self._room()).free_bytes
        past = await newest_archived(self._database, limit=_PAST_JOBS)
        return [
            Outline(
                destination_of(folder, self._settings.destination_base_path),
                self._needed(folder.size_bytes),
                free,
                expected_seconds(folder.size_bytes, past),
            )
            for folder in folders
        ]

    async def _require_readable(self, folder_path: str) -> Folder:
        folder = await self._folders.look_at(folder_path)
        was_entered = folder.path == folder_path and folder.modified_at is not None
        if folder.left_out is not None and (folder.is_archived or folder.has_nothing_to_archive or not was_entered):
            raise refused(folder, folder.left_out)
        return folder

    async def _plan(self, folder: Folder, on_existing: OnExisting) -> Plan:
        contents = await in_thread(lambda work: _contents(os.fsencode(folder.path), self._settings.threads, work))
        destination = await self._destination(folder)
        room, needed = await self._room(), self._needed(contents.size_bytes)
        obstacles = await self._obstacles(folder, contents, destination, on_existing)
        never = why_never(Need(needed, contents.files + contents.folders + contents.links), room)
        if never is not None:
            obstacles.append(Conflict("folder-not-archivable", f"{folder.path}: {never}."))
        past = await newest_archived(self._database, limit=_PAST_JOBS)
        expected = expected_seconds(contents.size_bytes, past)
        return Plan(folder, contents, destination, needed, room.free_bytes, obstacles, expected)

    def _needed(self, size_bytes: int) -> int:
        settings = self._settings
        return required_bytes(size_bytes, ratio=settings.size_estimate_ratio, min_free_gb=settings.min_free_gb)

    async def _room(self) -> Room:
        return await in_thread(lambda _work: room_on(os.fspath(self._settings.storage)))

    async def _destination(self, folder: Folder) -> Destination:
        path = destination_of(folder, self._settings.destination_base_path)
        try:
            taken = await self._why_taken(path)
            free = path if taken is None else await self._first_free(path, folder)
        except JobError:
            return Destination(path, is_known=False, taken=None, new_version=None)
        return Destination(path, is_known=True, taken=taken, new_version=free)

    async def _first_free(self, path: str, folder: Folder) -> str | None:
        for candidate in later_versions(path, folder.name):
            on_its_way = await self._catalogue.active_job_for(candidate, other_than="")
            if on_its_way is None and await self._why_taken(candidate) is None:
                return candidate
        return None

    async def _obstacles(
        self, folder: Folder, contents: Contents, destination: Destination, on_existing: OnExisting
    ) -> list[InvalidRequest]:
        found: list[InvalidRequest] = []
        if folder.left_out is not None:
            found.append(refused(folder, folder.left_out))
        elif contents.unreadable.count:
            unreadable = counted(contents.unreadable.count, "entry", "entries")
            text = f"{folder.path}: {unreadable} cannot be read: let the service read what is there."
            found.append(Conflict("folder-not-archivable", text))
        if not contents.is_writable:
            text = f"{folder.path}: the service may not write there, so it could not delete its content in the end."
            found.append(Conflict("folder-not-archivable", text))
        row = {"source_path": folder.path, "globus_destination_path": destination.path}
        async with self._database.read() as connection:
            active = await queue.active_conflict(connection, row)
        if active is not None:
            found.append(active)
        if destination.taken is not None and on_existing is OnExisting.FAIL:
            found.append(Conflict("destination-exists", f"{destination.taken}.", destination=destination.path))
        return found


def _contents(root: bytes, threads: int, work: Work) -> Contents:
    scan = scan_tree(root, threads=threads, work=work)
    of_kind = scan.entries.of_kind
    leading_out = (link for link in of_kind(EntryKind.LINK) if leads_out(link.path, link.target or b"", folder=root))
    links = sum(1 for _ in of_kind(EntryKind.LINK))
    return Contents(
        files=scan.total.files - links,
        folders=sum(1 for _ in of_kind(EntryKind.DIR)),
        links=links,
        size_bytes=scan.total.bytes,
        links_leading_out=Some.of(f"'{shown(link.path)}' -> '{shown(link.target or b'')}'" for link in leading_out),
        unsupported=Some.of(f"'{shown(entry.path)}'" for entry in of_kind(EntryKind.OTHER)),
        unreadable=Some.of([*scan.unreadable, *_closed(root, of_kind(EntryKind.FILE), work)]),
        is_writable=os.access(root, os.W_OK | os.X_OK, effective_ids=True),
    )


def _closed(root: bytes, files: Iterable[Seen], work: Work) -> Iterable[str]:
    for entry in files:
        work.add(0)  # where a stop is noticed
        if not os.access(os.path.join(root, entry.path), os.R_OK, effective_ids=True):
            yield f"'{shown(entry.path)}': Permission denied"
