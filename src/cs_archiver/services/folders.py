"""What a user can ask about folders: which can be archived, which cannot and why, and whether one still can."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from cs_archiver.bus import Bus
from cs_archiver.clock import from_text, now_text, to_text
from cs_archiver.db.folder_search import FolderSearch, FoundFolders
from cs_archiver.db.folders import Folders, Scan
from cs_archiver.domain.events import FoldersUpdate
from cs_archiver.domain.folders import SYMBOLIC_LINK, Folder, is_passed_over
from cs_archiver.errors import ArchiverError, Conflict, InvalidRequest, NeedsOperator, NotFound, Temporary
from cs_archiver.services.made_once import MadeOnce
from cs_archiver.tools.discovery import HAND_OVER_SECONDS, Discovery, Found
from cs_archiver.tools.known_folders import OLDEST_SECONDS

logger = logging.getLogger(__name__)

_PAGES_KEPT = 20
_REFRESH = "scan again with GET /api/folders?refresh=true"


@dataclass(frozen=True, slots=True)
class RunningScan:
    """How many folders a scan has looked at so far; nobody knows how many there are."""

    started_at: str
    looked_at: int


@dataclass(frozen=True, slots=True)
class FolderPage:
    """Some folders, every level 1 with each level 2 in it, how many are left out, and the scan that found them."""

    found: FoundFolders
    levels: list[tuple[str, str]]
    left_out: int
    last: Scan | None


class FolderService:
    """The last discovery from the database, a new one on demand, and single folders looked at anew."""

    def __init__(self, discovery: Discovery, folders: Folders, bus: Bus) -> None:
        self._discovery = discovery
        self._folders = folders
        self._bus = bus
        self._fresh: deque[Folder] = deque()  # found by the scan that runs, and not yet shown
        # Two threads, so that a job can be asked for while a scan of a large share is running.
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="folders")
        self._scan: asyncio.Task[None] | None = None
        self._crews = discovery.crews()
        self._is_in_full = False
        self._started_at: str | None = None
        self._measured_since: str | None = None
        self._looked_at = 0
        self._has_scanned = False
        self._pages: MadeOnce[FolderPage] = MadeOnce(_PAGES_KEPT)

    async def listed(self) -> list[Folder]:
        """The folders that can be archived, as the last scan found them."""
        return await self._folders.listed()

    async def scan(self, *, refresh: bool, in_full: bool = False) -> None:
        """Scan if nobody ever did, or if `refresh`.

        Folders that are unchanged are walked again only if `in_full`. Whoever asks for a scan while one is running
        waits for that one, or for the next if it is not in full as wished. Raises what Discovery.run raises; the
        result of the last scan then stays, but for what was found before.
        """
        if refresh or not await self._was_scanned():
            await asyncio.shield(self._begun_scan(in_full=in_full))  # others may be waiting for it too

    async def version(self) -> int:
        """Rises as soon as anything of the lists, or the last scan, is another."""
        return await self._folders.version()

    async def left_out(self) -> list[Folder]:
        """What the last scan could not list, each with the reason."""
        return await self._folders.left_out()

    async def page(self, search: FolderSearch, *, limit: int, offset: int) -> "FolderPage":
        """Those of the last scan that are wanted, from `offset` on."""
        make = partial(self._page, search, limit, offset)
        return await self._pages.of(await self.version(), (search, limit, offset), make)

    async def known(self, paths: Sequence[str]) -> list[Folder]:
        """Those of these paths that the last scan found, as it found them."""
        return await self._folders.find_each(paths)

    async def last_scan(self) -> Scan | None:
        """The newest one that went through."""
        return await self._folders.last_scan()

    def measured_since(self, last: Scan) -> str:
        """No size on the list is from before this moment."""
        return self._measured_since or to_text(from_text(last.started_at) - timedelta(seconds=OLDEST_SECONDS))

    def begin_scan(self, *, in_full: bool = False) -> None:
        """Scan again, as `scan` does; `running_scan` and `scan_failure` tell what becomes of it."""
        _ = self._begun_scan(in_full=in_full)

    def stop_scan(self) -> None:
        """End the scan that runs, if one does; what it has found so far is kept, and next time not looked for again."""
        self._crews.stop()

    @property
    def is_stopped(self) -> bool:
        """Whether the newest scan was stopped by someone."""
        return self._crews.is_stopped

    @property
    def running_scan(self) -> RunningScan | None:
        if self._scan is None or self._scan.done() or self._started_at is None:
            return None
        return RunningScan(self._started_at, self._looked_at)

    @property
    def scan_failure(self) -> ArchiverError | None:
        """Why the newest scan of this process did not go through."""
        if self._scan is None or not self._scan.done() or self._scan.cancelled():
            return None
        error = self._scan.exception()
        return error if isinstance(error, ArchiverError) else None

    async def require_listed(self, path: str) -> Folder:
        """The listed folder of exactly this path, as it is on disk right now.

        Raises InvalidRequest `invalid-value`; NotFound `folder-not-found`; Conflict `already-archived`,
        `nothing-to-archive` or `folder-not-archivable`; NeedsOperator when the NAS is out of reach.
        """
        now = await self.look_at(path)
        if now.left_out is not None:
            raise refused(now, now.left_out)
        return now

    async def look_at(self, path: str) -> Folder:
        """As `require_listed`, but a folder that the last scan left out as well is told as it is, with the reason.

        It may be the one above it that cannot be entered.
        """
        level1, level2, name = self._require_names(path)
        last = await self._folders.find(path)
        if last is None:
            raise _not_found(path, await self._why_not_discovered(level1, level2))
        loop = asyncio.get_running_loop()
        now = await loop.run_in_executor(self._executor, self._discovery.look_at, level1, level2, name)
        if now.left_out is None and last.left_out is not None:
            raise _not_found(path, f"the last scan left it out ({last.left_out}), but it has changed: {_REFRESH}")
        return now

    async def close(self) -> None:
        """End a running scan; whoever waits for it gets Temporary."""
        self._discovery.stop()
        if self._scan is not None:
            await asyncio.wait([self._scan])
        self._executor.shutdown(wait=False)

    async def _was_scanned(self) -> bool:
        self._has_scanned = self._has_scanned or await self._folders.last_scan() is not None
        return self._has_scanned

    async def _page(self, search: FolderSearch, limit: int, offset: int) -> "FolderPage":
        folders = self._folders
        found = await folders.search(search, limit=limit, offset=offset)
        left_out = await folders.search(FolderSearch(is_left_out=True), limit=1, offset=0)
        levels = await folders.levels(is_left_out=search.is_left_out)
        return FolderPage(found, levels, left_out.total, await folders.last_scan())

    def _begun_scan(self, *, in_full: bool = False) -> asyncio.Task[None]:
        before = None if self._scan is None or self._scan.done() else self._scan
        if before is None or (in_full and not self._is_in_full):
            if before is None:
                self._crews, self._started_at, self._looked_at = self._discovery.crews(), now_text(), 0
            self._is_in_full = in_full
            self._scan = asyncio.create_task(self._scan_after(before, in_full=in_full), name="discovery")
            self._scan.add_done_callback(self._note_end)
            self._bus.publish(FoldersUpdate(scanning=True))
            return self._scan
        return before

    async def _scan_after(self, before: asyncio.Task[None] | None, *, in_full: bool) -> None:
        if before is not None:
            await asyncio.wait([before])
            if self._crews.is_stopped:
                raise Temporary("the discovery was stopped", problem="discovery-stopped")
        started_at, started = now_text(), time.monotonic()
        self._started_at, self._looked_at = started_at, 0
        self._fresh.clear()
        found = await self._found(in_full=in_full)
        if not found.folders and await self._folders.is_known():
            raise NeedsOperator(
                "QNAP_BASE_PATH is empty, and it was not: check the mount; the last list of folders is kept",
                problem="source-unavailable",
            )
        await self._folders.replace(found.folders, started_at=started_at)
        self._measured_since = found.taken_over_since or started_at
        listed = sum(folder.left_out is None for folder in found.folders)
        left_out, seconds = len(found.folders) - listed, time.monotonic() - started
        logger.info("discovery listed=%d left_out=%d seconds=%.1f", listed, left_out, seconds)

    def _note_end(self, scan: asyncio.Task[None]) -> None:
        error = None if scan.cancelled() else scan.exception()
        if error is not None:
            logger.warning("discovery failed: %s", error, exc_info=None if isinstance(error, ArchiverError) else error)
        self._bus.publish(FoldersUpdate(scanning=self.running_scan is not None))

    async def _found(self, *, in_full: bool) -> Found:
        """Runs the discovery, and shows what it finds meanwhile."""
        run = partial(
            self._discovery.run,
            self._note_looked_at,
            hand_over=self._fresh.extend,
            in_full=in_full,
            crews=self._crews,
        )
        running = asyncio.get_running_loop().run_in_executor(self._executor, run)
        try:
            while not (await asyncio.wait([running], timeout=HAND_OVER_SECONDS))[0]:
                await self._show_what_was_found()
        finally:
            if not running.done():
                self._crews.stop()
                await asyncio.wait([running])
        if running.exception() is not None:
            await self._show_what_was_found()
        return await running

    async def _show_what_was_found(self) -> None:
        if fresh := [self._fresh.popleft() for _ in range(len(self._fresh))]:
            await self._folders.add(fresh)

    def _note_looked_at(self, number: int) -> None:
        self._looked_at = number  # on a thread of the walk

    def _require_names(self, path: str) -> tuple[str, str, str]:
        if not path or "\0" in path or any("\ud800" <= character <= "\udfff" for character in path):
            raise InvalidRequest("invalid-value", "The path of a folder is text in UTF-8 without null characters.")
        base = self._discovery.base + "/"
        names = path.removeprefix(base).split("/")
        if ".." in names:
            raise _not_found(path, "it has '..' in it")
        if not path.startswith(base):
            raise _not_found(path, f"it is not below {base}")
        if "" in names or "." in names:
            raise _not_found(path, "it has an empty part or '.' in it")
        if len(names) != 3:
            raise _not_found(path, f"folders are archived exactly three levels below {base}")
        if any(is_passed_over(name.encode()) for name in names):
            raise _not_found(path, "a name that begins with '.' or '@' is not offered for archiving")
        return names[0], names[1], names[2]

    async def _why_not_discovered(self, level1: str, level2: str) -> str:
        for parent in (f"{self._discovery.base}/{level1}", f"{self._discovery.base}/{level1}/{level2}"):
            found = await self._folders.find(parent)
            if found is not None and found.left_out is not None:
                return f"{parent}: {found.left_out}"
        return f"the last scan did not find it: {_REFRESH}"


def _not_found(path: str, why: str) -> NotFound:
    return NotFound("folder-not-found", f"{path}: {why}.")


def refused(folder: Folder, reason: str) -> InvalidRequest:
    """Why a job for this folder is refused that was left out for this reason."""
    if reason == SYMBOLIC_LINK:
        return _not_found(folder.path, reason)
    detail = f"{folder.path}: {reason}."
    if folder.is_archived:
        return Conflict("already-archived", detail)
    if folder.has_nothing_to_archive:
        return Conflict("nothing-to-archive", detail)
    return Conflict("folder-not-archivable", detail)
