"""copying -> compressing: copies the source to the local disk and seals what was copied as the manifest."""

import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cs_archiver.db.catalogue import Catalogue
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.folders import archived_by, matches
from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import (
    Entry,
    EntryKind,
    Seen,
    changes,
    described,
    shown,
)
from cs_archiver.domain.packed import PackedTree
from cs_archiver.domain.sizes import counted, human_size
from cs_archiver.domain.space import Need, why_never, why_not_now
from cs_archiver.domain.states import JobStatus
from cs_archiver.errors import NoRoom, Permanent, Temporary
from cs_archiver.stages.nas import Nas, require_all_writable, require_nas
from cs_archiver.stages.places import Places
from cs_archiver.stages.source import ComparedCopies
from cs_archiver.stages.stage import Advance, Report
from cs_archiver.stages.strategies import Strategies, Strategy
from cs_archiver.tools import copier, removal
from cs_archiver.tools.disk import local_error, make_folders, room_on, trouble_with_copy
from cs_archiver.tools.fixity import Digest, Digests
from cs_archiver.tools.threads import Work, in_thread
from cs_archiver.tools.tree import Scan, scan_tree


@dataclass(frozen=True, slots=True)
class CopySettings:
    """A folder below a threshold is copied by that strategy, anything larger by parallel threads."""

    shutil_below_bytes: int
    rsync_below_bytes: int
    dd_below_bytes: int
    threads: int
    limit: float | None  # bytes a second read from the NAS
    marker_patterns: tuple[str, ...]


class Copy:
    """Safe to repeat: each run begins in an empty working folder, and only a whole copy is sealed."""

    def __init__(
        self,
        strategies: Strategies,
        catalogue: Catalogue,
        places: Places,
        nas: Nas,
        compared: ComparedCopies,
        settings: CopySettings,
    ) -> None:
        self._strategies = strategies
        self._catalogue = catalogue
        self._places = places
        self._nas = nas
        self._compared = compared
        self._settings = settings
        self._markers = settings.marker_patterns

    async def run(self, job: Job, report: Report) -> Advance:
        source, copy = self._places.source(job), self._places.copy(job)
        await in_thread(lambda work: _empty_folder(self._places.working_folder(job), copy, work))
        await self._nas.require(job, report)
        async with self._nas.watched(report, "Looking through the source"):
            scan = await self._scan_source(job)
            await in_thread(lambda work: self._require_deletable(job, scan, work))
        before, total = scan.entries, scan.total
        await in_thread(lambda _work: _require_times_that_can_be_sealed(before))
        await in_thread(lambda _work: self._require_room(scan))
        strategy = self._strategy_for(total.bytes)
        what = f"{counted(total.files, 'file')}, {human_size(total.bytes)}"
        limit = "" if self._settings.limit is None else f", at most {human_size(self._settings.limit)}/s"
        await report.log(f"Copying from the NAS: {what}, by {strategy.value}{limit}")
        await _warn_of_links(before, report)
        async with self._nas.watched(report, f"Copying {human_size(total.bytes)} from the NAS"):
            digests = await self._strategies.copy(strategy, source, copy, scan, report)
        await in_thread(lambda _work: copier.finish_folder(copy, mtime_ns=scan.mtime_ns, mode=scan.mode))
        async with self._nas.watched(report, "Looking whether the source changed while it was copied"):
            await self._require_unchanged(job, before)
        await self._require_same(copy, before)
        manifest_id = await self._catalogue.seal_manifest(job, _manifest(before, digests), total)
        self._compared.note(manifest_id)
        return Advance(
            JobStatus.COMPRESSING,
            {
                "manifest_id": manifest_id,
                "folder_size_bytes": total.bytes,
                "folder_file_count": total.files,
            },
            said=[f"Copy complete ({human_size(total.bytes)})"],
        )

    def _require_room(self, scan: Scan) -> None:
        """The folder may have grown since it was discovered: better told now than after hours of copying."""
        folders = sum(1 for _ in scan.entries.of_kind(EntryKind.DIR))
        need = Need(scan.total.bytes, scan.total.files + folders)
        room = room_on(os.fspath(self._places.temp))
        never, not_now = why_never(need, room), why_not_now(need, room)
        if never is not None:
            raise Permanent(f"as the source is now, {never}, then retry", problem="disk-too-small")
        if not_now is not None:
            raise NoRoom(f"the source has grown, or the disk has less room: {not_now}", problem="disk-full")

    def _strategy_for(self, size: int) -> Strategy:
        if size < self._settings.shutil_below_bytes:
            return Strategy.SHUTIL
        if size < self._settings.rsync_below_bytes:
            return Strategy.RSYNC
        if size < self._settings.dd_below_bytes and self._settings.limit is None:  # dd knows no limit
            return Strategy.DD
        return Strategy.PARALLEL

    async def _scan_source(self, job: Job) -> Scan:
        """Everything in the source; what cannot be archived as it is ends the job before anything is copied."""
        root = self._places.source(job)

        def scan(work: Work) -> Scan:
            require_nas(self._places, job)
            found = scan_tree(root, threads=self._settings.threads, work=work)
            _require_archivable(found, root, inode=job.source_inode)
            self._require_no_marker(found, root)
            return found

        return await in_thread(scan)

    def _require_deletable(self, job: Job, scan: Scan, work: Work) -> None:
        folders = scan.entries.of_kind(EntryKind.DIR)
        require_all_writable(self._places, job, folders, threads=self._settings.threads, work=work)

    def _require_no_marker(self, scan: Scan, root: bytes) -> None:
        """It came since the job was asked for, or the job is of an older database: this was archived before."""
        for entry in scan.entries.at_top():
            if entry.kind is EntryKind.FILE and matches(entry.path, self._markers):
                raise Permanent(
                    f"'{shown(root)}' is {archived_by(entry.path)}: remove that, then retry, if what is there now is "
                    "to be archived as well",
                    problem="already-archived",
                )

    async def _require_unchanged(self, job: Job, before: PackedTree) -> None:
        after = (await self._scan_source(job)).entries
        changed = await in_thread(lambda _work: [] if after == before else changes(before, after))
        if changed:
            raise Temporary(f"the source changed while it was copied: {described(changed)}", problem="source-changed")

    async def _require_same(self, copy: bytes, before: PackedTree) -> None:
        threads, trouble = self._settings.threads, trouble_with_copy(copy)
        scan = await in_thread(lambda work: scan_tree(copy, threads=threads, work=work, trouble=trouble))
        differing = await in_thread(lambda _work: changes(before, scan.entries))
        if differing or scan.unreadable:
            what = described(differing) or "; ".join(scan.unreadable[:5])
            raise Temporary(f"the copy is not equal to the source: {what}", problem="copy-differs")


async def _warn_of_links(entries: PackedTree, report: Report) -> None:
    links = entries.of_kind(EntryKind.LINK)
    altered = await in_thread(lambda _work: sorted(entry.path for entry in links if _is_altered_when_extracted(entry)))
    if altered:
        await report.log(
            f"{counted(len(altered), 'link')} (absolute, through '..' or with '//'), such as '{shown(altered[0])}': "
            "the archive holds them, but 7-Zip alters or refuses them when it extracts; their targets are kept in the "
            "manifest",
            LogLevel.WARNING,
        )


def _is_altered_when_extracted(entry: Seen) -> bool:
    return entry.target is not None and (
        entry.target.startswith(b"/") or b"//" in entry.target or b".." in entry.target.split(b"/")
    )


def _require_archivable(scan: Scan, root: bytes, *, inode: int | None) -> None:
    if scan.inode != inode:
        raise Temporary(
            f"'{shown(root)}' is no longer the folder the job began with",
            problem="source-changed",
            start_over=True,
        )
    if scan.unreadable:
        raise Permanent(
            f"the source cannot be read in full: {'; '.join(scan.unreadable[:5])}",
            problem="source-unreadable",
        )
    special = sorted(entry.path for entry in scan.entries.of_kind(EntryKind.OTHER))
    if special:
        names = ", ".join(repr(shown(path)) for path in special[:5])
        raise Permanent(
            f"sockets, FIFOs and devices cannot be archived: {names}: remove them, then retry",
            problem="unsupported-entries",
        )
    if scan.total.files == 0:
        raise Permanent("the source holds no file: is the NAS mounted?", problem="source-empty")


def _require_times_that_can_be_sealed(entries: Iterable[Seen]) -> None:
    """The database holds 64 bits of nanoseconds. Better told now than after hours of copying."""
    for entry in entries:
        if not -(2**63) <= entry.mtime_ns < 2**63:
            raise Permanent(
                f"'{shown(entry.path)}' has a modification time outside the years 1678 to 2262: set another",
                problem="unsupported-entries",
            )


def _empty_folder(working_folder: bytes, copy: bytes, work: Work) -> None:
    try:
        removal.remove_working_copy(working_folder, work)
        make_folders(copy)
    except OSError as error:
        raise local_error(copy, error) from error


def _manifest(entries: Iterable[Seen], digests: Digests) -> Iterator[Entry]:
    rest = iter(digests)
    for entry in entries:
        yield _sealed(entry, next(rest, None) if entry.kind is EntryKind.FILE else None)


def _sealed(entry: Seen, digest: Digest | None) -> Entry:
    crc32 = zlib.crc32(entry.target) if entry.target is not None else None
    sha256 = None
    if entry.kind is EntryKind.FILE:
        if digest is None or digest.size != entry.size:
            raise Temporary(f"'{shown(entry.path)}' was not copied whole", problem="copy-differs")
        crc32, sha256 = digest.crc32, digest.sha256
    return Entry(entry.path, entry.kind, entry.size, entry.mtime_ns, entry.mode, entry.target, crc32, sha256)
