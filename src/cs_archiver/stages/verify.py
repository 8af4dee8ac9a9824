"""verifying -> awaiting_upload: the archive is tested, compared with the manifest, made durable, and given its name."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from cs_archiver.db.catalogue import Catalogue
from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import Entry, EntryKind, shown
from cs_archiver.domain.packed import Manifest
from cs_archiver.domain.sizes import counted, human_size
from cs_archiver.domain.states import JobStatus
from cs_archiver.errors import Temporary
from cs_archiver.stages.places import Places
from cs_archiver.stages.stage import Advance, Report
from cs_archiver.tools import removal
from cs_archiver.tools.disk import local_error, sync_file, sync_folder
from cs_archiver.tools.fixity import Digest, digest_of_file
from cs_archiver.tools.sevenzip import Listed, SevenZip, shown_name
from cs_archiver.tools.threads import Work, first_error, in_thread


class Verify:
    """Safe to repeat: it only reads, until the one link that gives the archive its name, which is recorded next.

    From then on only the temporary copy is to be removed. After a crash the job goes through the queue again, where
    `admit` goes on with the recorded archive; one that was not recorded yet it sets aside.
    """

    def __init__(self, seven_zip: SevenZip, catalogue: Catalogue, places: Places) -> None:
        self._seven_zip = seven_zip
        self._catalogue = catalogue
        self._places = places

    async def run(self, job: Job, report: Report) -> Advance:
        if job.archive_sha256 is None:
            await self._prove_and_name(job, report)
        report.operation("Removing the temporary copy")  # of very many files, this takes minutes
        await in_thread(lambda work: _remove_copy(self._places.working_folder(job), work))
        said = f"Temporary copy removed ({human_size(job.folder_size_bytes or 0)})"
        return Advance(JobStatus.AWAITING_UPLOAD, said=[said])

    async def _prove_and_name(self, job: Job, report: Report) -> None:
        partial, archive = self._places.partial(job), self._places.archive(job)
        path = await in_thread(lambda _work: _the_one_there(partial, archive))
        report.operation("Testing the archive, comparing it with the manifest, hashing it, and making it durable")
        try:
            digest = await self._proven(job, path, report)
        except _NotDurable:
            # Nobody is to fsync it again and take it for whole; what cannot be removed here, `admit` clears, or tells.
            with suppress(OSError):
                await in_thread(lambda _work: removal.remove_file(partial))
            raise
        if path == partial:
            await in_thread(lambda _work: _name(partial, archive))
        await report.record(archive_sha256=digest.sha256.hex())
        await report.log("Archive integrity verified: 7z test passed, every entry equals the manifest")

    async def _proven(self, job: Job, archive: bytes, report: Report) -> Digest:
        """Tested, listed, hashed and made durable at the same time: one by one, each would have the others wait.

        What fails first ends the others.
        """
        with first_error():
            async with asyncio.TaskGroup() as group:
                hashing = group.create_task(self._digest(job, archive), name="hash the archive")
                group.create_task(self._require_all_listed(job, archive), name="list the archive")
                group.create_task(in_thread(lambda _work: _make_durable(archive)), name="make the archive durable")
                await self._test(archive, report)
        return hashing.result()

    async def _test(self, archive: bytes, report: Report) -> None:
        with _damage_starting_over():
            await self._seven_zip.test(archive, on_percent=lambda percent: report.progress(percent=percent))

    async def _require_all_listed(self, job: Job, archive: bytes) -> None:
        if job.manifest_id is None:
            raise Temporary("the copy has no manifest", start_over=True)
        manifest = await self._catalogue.manifest(job.manifest_id)
        comparison = ListingComparison(manifest, root=os.fsencode(job.folder_name))
        with _damage_starting_over():
            await self._seven_zip.list(archive, on_entries=comparison.take)
        problem = await in_thread(lambda _work: comparison.problem())
        if problem is not None:
            raise Temporary(
                f"the archive does not hold what was copied: {problem}",
                problem="archive-differs",
                start_over=True,
            )

    async def _digest(self, job: Job, archive: bytes) -> Digest:
        def read(work: Work) -> Digest:
            try:
                return digest_of_file(archive, work.add)
            except OSError as error:
                raise local_error(archive, error, doing="read") from error

        digest = await in_thread(read)
        if digest.size != job.archive_size_bytes:
            raise Temporary("the archive changed size while it was verified", start_over=True)
        return digest


@contextmanager
def _damage_starting_over() -> Iterator[None]:
    """What 7-Zip cannot read is packed anew."""
    try:
        yield
    except Temporary as error:
        raise Temporary(str(error), problem="archive-damaged", start_over=True) from error


_Key = tuple[bytes, str, int, int | None]


class ListingComparison:
    """Whether an archive holds exactly the folder itself and every entry of the manifest, found out as it is listed.

    Compared are name, kind, size and CRC32. 7z prints some characters of names as others, so names are compared
    as it prints them, each as often as it occurs; entries that print alike are still told apart by the rest. Any order
    will do: what comes at its own time is compared and forgotten, what does not waits for its counterpart.
    """

    def __init__(self, manifest: Manifest, *, root: bytes) -> None:
        self._wanted = _keys(manifest, root)
        self._missing: Counter[_Key] = Counter()
        self._extra: Counter[_Key] = Counter()

    def take(self, listed: Iterable[Listed]) -> None:
        for item in listed:
            found: _Key = (item.path, item.kind, item.size, item.crc32)
            wanted = next(self._wanted, None)
            if found != wanted:
                _set_off(found, self._missing, self._extra)
                if wanted is not None:
                    _set_off(wanted, self._extra, self._missing)

    def problem(self) -> str | None:
        """None when it does. To be asked once, when all of the archive has been listed."""
        for wanted in self._wanted:
            _set_off(wanted, self._extra, self._missing)
        if not self._missing and not self._extra:
            return None
        return (
            f"{counted(self._missing.total(), 'entry', 'entries')} missing or different{_example(self._missing)}, "
            f"{self._extra.total()} not in the manifest{_example(self._extra)}"
        )


def _set_off(key: _Key, against: Counter[_Key], otherwise: Counter[_Key]) -> None:
    if key not in against:
        otherwise[key] += 1
    elif against[key] > 1:
        against[key] -= 1
    else:
        del against[key]


def _keys(manifest: Iterable[Entry], root: bytes) -> Iterator[_Key]:
    """As 7z orders them, nearly: what has no content comes first."""
    yield (shown_name(root), EntryKind.DIR.value, 0, None)
    yield from (_key_of(entry, root) for entry in manifest if not entry.size)
    yield from (_key_of(entry, root) for entry in manifest if entry.size)


def _key_of(entry: Entry, root: bytes) -> _Key:
    name = shown_name(root + b"/" + entry.path)
    if entry.kind is EntryKind.DIR:
        return (name, entry.kind.value, 0, None)
    return (name, entry.kind.value, entry.size, entry.crc32 if entry.size else None)


def _example(entries: Counter[_Key]) -> str:
    for path, kind, size, crc32 in entries:
        digits = "none" if crc32 is None else f"{crc32:08X}"
        return f" (such as {kind} {path.decode('utf-8', 'backslashreplace')!r}, {size} bytes, CRC {digits})"
    return ""


def _the_one_there(partial: bytes, archive: bytes) -> bytes:
    """The one that has its name already, where the database did not take that down; what it is, is to be proven."""
    for path in (partial, archive):
        if os.path.lexists(path):
            return path
    raise Temporary("the archive that was packed is gone", problem="archive-damaged", start_over=True)


def _make_durable(archive: bytes) -> None:
    try:
        sync_file(archive)
        sync_folder(archive.rpartition(b"/")[0])
    except OSError as error:
        raise _NotDurable(archive, error) from error


class _NotDurable(Temporary):
    """After it a second fsync of the same file claims success without the data."""

    def __init__(self, archive: bytes, error: OSError) -> None:
        super().__init__(
            f"'{shown(archive)}' could not be made durable: {error.strerror}: check the disk of the storage folder",
            problem="storage-error",
            start_over=True,
        )


def _name(partial: bytes, final: bytes) -> None:
    try:
        removal.move_without_overwriting(partial, final)
    except FileExistsError as error:
        raise Temporary(
            f"{final.decode('utf-8', 'backslashreplace')!r} exists already and is never overwritten",
            problem="archive-exists",
            start_over=True,
        ) from error
    except OSError as error:
        raise local_error(final, error) from error


def _remove_copy(folder: bytes, work: Work) -> None:
    try:
        removal.remove_working_copy(folder, work)
    except OSError as error:
        raise local_error(folder, error) from error
