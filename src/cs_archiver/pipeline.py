"""Builds the two workers and the stages they run, from the settings."""

from dataclasses import dataclass
from datetime import timedelta

from cs_archiver.bus import Bus
from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.domain.retry import Operation, RetryPolicy
from cs_archiver.domain.states import JobStatus, WorkerName
from cs_archiver.settings import Settings
from cs_archiver.stages.admit import Admit, AdmitSettings
from cs_archiver.stages.cancel import Cancel
from cs_archiver.stages.compress import Compress
from cs_archiver.stages.copy import Copy, CopySettings
from cs_archiver.stages.delete_source import DeleteSource
from cs_archiver.stages.places import Places
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.stages.source import Approvals, SourceLook
from cs_archiver.stages.stage import Stage
from cs_archiver.stages.upload import StartUpload, UploadArchive, UploadSettings
from cs_archiver.stages.verify import Verify
from cs_archiver.stages.verify_upload import VerifySettings, VerifyUpload
from cs_archiver.tools.dd import Dd
from cs_archiver.tools.globus import Globus
from cs_archiver.tools.process import Processes
from cs_archiver.tools.rsync import Rsync
from cs_archiver.tools.sevenzip import Compression, SevenZip
from cs_archiver.workers.worker import Worker


@dataclass(frozen=True, slots=True)
class Parts:
    """What the workers share with the rest of the service."""

    settings: Settings
    database: Database
    bus: Bus
    globus: Globus
    processes: Processes


def build_workers(parts: Parts) -> list[Worker]:
    settings = parts.settings
    policy = RetryPolicy(
        {
            Operation.COMPRESSION: settings.retry.compression,
            Operation.UPLOAD: settings.retry.upload,
            Operation.CONNECTION: settings.retry.connection_error,
        },
        settings.retry.delay_seconds,
    )
    places = places_of(settings)
    stages = {
        WorkerName.LOCAL: _local_stages(parts, places),
        WorkerName.TRANSFER: _transfer_stages(parts, places),
    }
    return [
        Worker(
            name,
            stages[name],
            queue=Queue(parts.database),
            jobs=Jobs(parts.database),
            bus=parts.bus,
            policy=policy,
            cancel=Cancel(
                parts.globus,
                Catalogue(parts.database),
                SetAside(places),
                collection=settings.globus.destination_endpoint,
                poll_interval=timedelta(seconds=settings.upload.task_poll_interval_seconds),
            ),
            set_aside=SetAside(places),
            recheck_seconds=settings.disk_space.check_interval_seconds,
        )
        for name in WorkerName
    ]


def places_of(settings: Settings) -> Places:
    storage = settings.storage
    return Places(
        nas=settings.qnap.base_path,
        storage=storage.base_path,
        temp=storage.temp_dir,
        archives=storage.archives_dir,
        failed=storage.failed_dir,
        collection_base=settings.source_base_path,
    )


def _local_stages(parts: Parts, places: Places) -> dict[JobStatus, Stage]:
    settings = parts.settings
    catalogue = Catalogue(parts.database)
    seven_zip = SevenZip(parts.processes)
    admit = AdmitSettings(
        source_collection=settings.globus.source_endpoint,
        destination_collection=settings.globus.destination_endpoint,
        min_free_gb=settings.disk_space.min_free_gb,
        size_estimate_ratio=settings.compression.size_estimate_ratio,
    )
    copy = CopySettings(
        shutil_below_bytes=settings.copy.small_below_bytes,
        rsync_below_bytes=settings.copy.medium_below_bytes,
        dd_below_bytes=settings.copy.large_below_bytes,
        threads=settings.copy.threads,
        hash_source_at_once=settings.verification.recheck == "metadata",
    )
    return {
        JobStatus.QUEUED: Admit(parts.globus, catalogue, places, admit),
        JobStatus.COPYING: Copy(Rsync(parts.processes), Dd(parts.processes), catalogue, places, copy),
        JobStatus.COMPRESSING: Compress(seven_zip, places, Compression(settings.compression.mode)),
        JobStatus.VERIFYING: Verify(seven_zip, catalogue, places),
    }


def _transfer_stages(parts: Parts, places: Places) -> dict[JobStatus, Stage]:
    settings = parts.settings
    globus = settings.globus
    catalogue = Catalogue(parts.database)
    approvals = Approvals()
    source = SourceLook(places, threads=settings.copy.threads, read_content=settings.verification.recheck == "hash")
    deadline_hours = settings.upload.task_deadline_hours
    upload = UploadSettings(
        source_collection=globus.source_endpoint,
        destination_collection=globus.destination_endpoint,
        sync_level=globus.sync_level,
        external_checksum=globus.external_checksum == "SHA256",
        poll_interval=timedelta(seconds=settings.upload.task_poll_interval_seconds),
        task_timeout=timedelta(hours=settings.upload.task_timeout_hours),
        deadline=timedelta(hours=deadline_hours) if deadline_hours else None,
    )
    verify = VerifySettings(
        source_collection=globus.source_endpoint,
        destination_collection=globus.destination_endpoint,
        size_tolerance_percent=settings.verification.size_tolerance_percent,
    )
    return {
        JobStatus.AWAITING_UPLOAD: StartUpload(),
        JobStatus.UPLOADING: UploadArchive(parts.globus, catalogue, Queue(parts.database), places, upload),
        JobStatus.UPLOAD_VERIFYING: VerifyUpload(parts.globus, catalogue, places, source, approvals, verify),
        JobStatus.DELETING_SOURCE: DeleteSource(
            parts.globus, catalogue, places, source, approvals, collection=globus.destination_endpoint
        ),
    }
