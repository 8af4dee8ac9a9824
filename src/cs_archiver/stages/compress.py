"""compressing -> verifying: 7z packs the copy into a partial archive, which is made durable."""

from cs_archiver.domain.job import Job
from cs_archiver.domain.sizes import human_size
from cs_archiver.domain.states import JobStatus
from cs_archiver.errors import Temporary
from cs_archiver.stages.places import Places
from cs_archiver.stages.stage import Advance, Report
from cs_archiver.tools.disk import file_size, local_error, make_folders, sync_file, sync_folder
from cs_archiver.tools.removal import remove_file
from cs_archiver.tools.sevenzip import Compression, SevenZip
from cs_archiver.tools.threads import in_thread


class Compress:
    """Safe to repeat: a partial archive of an earlier run is removed first, never added to."""

    def __init__(self, seven_zip: SevenZip, places: Places, compression: Compression) -> None:
        self._seven_zip = seven_zip
        self._places = places
        self._compression = compression

    async def run(self, job: Job, report: Report) -> Advance:
        partial = self._places.partial(job)
        await in_thread(lambda _work: _make_room(partial))
        await report.log("Starting compression")
        report.operation(f"Compressing {human_size(job.folder_size_bytes or 0)}")
        await self._seven_zip.pack(
            self._places.copy(job),
            partial,
            compression=self._compression,
            on_percent=lambda percent: report.progress(
                percent=percent,
                bytes_done=(job.folder_size_bytes or 0) * percent // 100,
                bytes_total=job.folder_size_bytes,
            ),
        )
        report.operation("Making the archive durable")
        size = await in_thread(lambda _work: _make_durable(partial))
        await report.log(f"Compression complete ({human_size(size)})")
        return Advance(JobStatus.VERIFYING, {"archive_size_bytes": size})


def _make_room(partial: bytes) -> None:
    try:
        make_folders(partial.rsplit(b"/", 1)[0])
        remove_file(partial)
    except OSError as error:
        raise local_error(partial, error) from error


def _make_durable(partial: bytes) -> int:
    try:
        sync_file(partial)
        sync_folder(partial.rsplit(b"/", 1)[0])
        return file_size(partial)
    except OSError as error:
        # Never fsync the same file again: after a failure a second one claims success without the data.
        raise Temporary(f"the archive could not be made durable: {error.strerror}") from error
