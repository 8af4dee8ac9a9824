"""compressing -> verifying: 7z packs the copy into a partial archive."""

import time

from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.packing import Mode, PackingPlan, families, first_share, plan
from cs_archiver.domain.sizes import counted, human_size
from cs_archiver.domain.states import JobStatus
from cs_archiver.stages.places import Places
from cs_archiver.stages.stage import Advance, Report
from cs_archiver.tools.disk import file_size, local_error, make_folders, room_on, trouble_with_copy
from cs_archiver.tools.removal import remove_file
from cs_archiver.tools.sampling import sample_families
from cs_archiver.tools.sevenzip import SevenZip
from cs_archiver.tools.sevenzip_commands import Compression
from cs_archiver.tools.threads import Work, in_thread
from cs_archiver.tools.tree import scan_tree


class Compress:
    """Safe to repeat: a partial archive of an earlier run is removed first, never added to."""

    def __init__(self, seven_zip: SevenZip, places: Places, mode: Mode, *, threads: int) -> None:
        self._seven_zip = seven_zip
        self._places = places
        self._mode = mode
        self._threads = threads

    async def run(self, job: Job, report: Report) -> Advance:
        partial = self._places.partial(job)
        await in_thread(lambda _work: _remove(partial))
        await report.log("Starting compression")
        began = time.monotonic()
        planned = await self._plan(job, report)
        if _is_forced(planned):
            await report.log(_why_forced(planned), LogLevel.WARNING)
        # Not before: whoever removes the last archive of a folder removes that too.
        await in_thread(lambda _work: _make_folder_of(partial))
        report.operation(f"Compressing {human_size(job.folder_size_bytes or 0)}")
        await self._pack(job, planned, partial, report)
        size = await in_thread(lambda _work: _size_of(partial))
        gain = _gain(size, job.folder_size_bytes or 0, time.monotonic() - began)
        said = f"Compression complete ({human_size(size)}{gain}{_sorts(planned)})"
        return Advance(JobStatus.VERIFYING, {"archive_size_bytes": size}, said=[said])

    async def _plan(self, job: Job, report: Report) -> PackingPlan:
        """What `auto` finds in the copy; the other modes know without looking."""
        if self._mode is not Mode.AUTO:
            return PackingPlan(self._mode)
        report.operation("Trying on samples what is worth compressing")
        copy = self._places.copy(job)

        def look(work: Work) -> PackingPlan:
            entries = scan_tree(copy, threads=self._threads, work=work, trouble=trouble_with_copy(copy)).entries
            gains = sample_families(copy, families(entries), threads=self._threads, work=work)
            return plan(copy.rpartition(b"/")[2], entries, gains)

        planned = await in_thread(look)
        if planned.mode is not Mode.AUTO or not job.disk_was_full:
            return planned
        needed, free = 2 * (job.folder_size_bytes or 0), (await in_thread(lambda _work: room_on(copy))).free_bytes
        if needed <= free:
            return planned
        await report.log(
            "Compressing everything: this job had to wait for disk space before, and to store a part of the files "
            "takes a second run of 7-Zip, which writes the archive anew beside the first one: up to "
            f"{human_size(needed)} in all, and {human_size(free)} are free",
            LogLevel.WARNING,
        )
        return PackingPlan(Mode.FAST)

    async def _pack(self, job: Job, planned: PackingPlan, partial: bytes, report: Report) -> None:
        copy, total = self._places.copy(job), job.folder_size_bytes

        def on_percent(percent: int) -> None:
            report.progress(percent=percent, bytes_done=(total or 0) * percent // 100, bytes_total=total)

        if planned.mode is Mode.AUTO:
            await self._seven_zip.pack_in_two(
                copy, partial, compressed=planned.listed, first_share=first_share(planned), on_percent=on_percent
            )
        else:
            await self._seven_zip.pack(copy, partial, compression=Compression(planned.mode), on_percent=on_percent)


def _gain(size: int, of: int, seconds: float) -> str:
    return f", {size / of:.1%} of the folder, in {seconds:.1f} s" if of else ""


def _sorts(planned: PackingPlan) -> str:
    """Which files shrink and which do not, where that was looked at and used."""
    sorts = {
        "compressed": planned.compressed,
        "stored, as samples did not shrink": planned.stored,
        "stored as well, as no list can hold their names": planned.unlisted,
    }
    said = [f"{counted(files, 'file')}, {human_size(size)} {what}" for what, (files, size) in sorts.items() if files]
    return "; " + "; ".join(said) if said and not _is_forced(planned) else ""


def _is_forced(planned: PackingPlan) -> bool:
    """Whether all is compressed, although some of it would not shrink."""
    return planned.mode is Mode.FAST and planned.stored.files > 0


def _why_forced(planned: PackingPlan) -> str:
    files, size = planned.unlisted
    return (
        f"Compressing everything, although {human_size(planned.stored.bytes)} of it would not shrink: 7-Zip can leave "
        f"that out only where a list names the rest, and no list can hold the names of {counted(files, 'file')}, "
        f"{human_size(size)}, that shrink (control characters, backslashes, or no UTF-8)"
    )


def _remove(partial: bytes) -> None:
    try:
        remove_file(partial)
    except OSError as error:
        raise local_error(partial, error) from error


def _make_folder_of(partial: bytes) -> None:
    try:
        make_folders(partial.rsplit(b"/", 1)[0])
    except OSError as error:
        raise local_error(partial, error) from error


def _size_of(partial: bytes) -> int:
    try:
        return file_size(partial)
    except OSError as error:
        raise local_error(partial, error, doing="read") from error
