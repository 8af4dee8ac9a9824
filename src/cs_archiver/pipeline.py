"""Builds the two workers and the stages they run, from the settings."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Protocol

from cs_archiver.bus import Bus
from cs_archiver.db.backups import Backups
from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.db.switches import Switches
from cs_archiver.domain.packing import Mode
from cs_archiver.domain.retry import Operation, RetryPolicy
from cs_archiver.domain.states import JobStatus, WorkerName
from cs_archiver.services.readiness import Pulse
from cs_archiver.settings import Settings
from cs_archiver.stages.admit import Admit, AdmitSettings
from cs_archiver.stages.cancel import Cancel
from cs_archiver.stages.compress import Compress
from cs_archiver.stages.copy import Copy, CopySettings
from cs_archiver.stages.delete_source import DeleteSource
from cs_archiver.stages.destination import Destination
from cs_archiver.stages.nas import Nas
from cs_archiver.stages.outage import why_out_of_reach
from cs_archiver.stages.places import Places
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.stages.source import Approvals, ComparedCopies, SourceLook
from cs_archiver.stages.stage import Stage
from cs_archiver.stages.strategies import Strategies
from cs_archiver.stages.transfer import Transfers, TransferSettings
from cs_archiver.stages.upload import StartUpload, UploadArchive
from cs_archiver.stages.verify import Verify
from cs_archiver.stages.verify_upload import VerifySettings, VerifyUpload
from cs_archiver.tools.dd import Dd
from cs_archiver.tools.disk import mount_point_of
from cs_archiver.tools.globus import Globus, GlobusAccess
from cs_archiver.tools.mark import SentMark
from cs_archiver.tools.nas import NasProbe
from cs_archiver.tools.process import Processes
from cs_archiver.tools.rsync import Rsync
from cs_archiver.tools.sevenzip import SevenZip
from cs_archiver.workers.aftermath import Aftermath
from cs_archiver.workers.backups import NightlyBackups
from cs_archiver.workers.leave import Leave
from cs_archiver.workers.retention import Retention
from cs_archiver.workers.upkeep import Upkeep
from cs_archiver.workers.worker import Worker


@dataclass(frozen=True, slots=True)
class Parts:
    """What the workers share with the rest of the service."""

    settings: Settings
    database: Database
    bus: Bus
    globus: Globus
    processes: Processes
    switches: Switches
    pulse: Pulse = field(default_factory=Pulse)


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
    places = replace(places_of(settings), nas_mount=mount_point_of(settings.qnap.base_path))
    nas = Nas(places, NasProbe(settings.qnap.base_path, timeout_seconds=settings.qnap.timeout_seconds))
    globus = settings.globus
    compared = ComparedCopies()
    recheck = settings.verification.recheck
    source = SourceLook(places, nas, compared, threads=settings.copy.threads, read_content=recheck == "hash")
    catalogue, jobs = Catalogue(parts.database), Jobs(parts.database)
    destination = Destination(parts.globus, catalogue, jobs, source, collection=globus.destination_endpoint)
    transfers = _transfers(parts, places, destination)
    stages = {
        WorkerName.LOCAL: _local_stages(parts, places, nas, destination, compared),
        WorkerName.TRANSFER: _transfer_stages(parts, places, nas, source, destination, transfers),
    }
    reached = (
        (globus.source_endpoint, settings.source_base_path),
        (globus.destination_endpoint, globus.destination_base_path),
    )
    aftermath = Aftermath(
        queue=Queue(parts.database),
        jobs=Jobs(parts.database),
        bus=parts.bus,
        policy=policy,
        set_aside=SetAside(places),
        outage=partial(why_out_of_reach, parts.globus, reached),
        recheck_seconds=settings.disk_space.check_interval_seconds,
    )
    leave = Leave(
        parts.switches,
        Catalogue(parts.database),
        copy_hours=settings.politeness.hours_of_copies,
        upload_hours=settings.politeness.hours_of_uploads,
    )
    return [
        Worker(
            name,
            stages[name],
            queue=Queue(parts.database),
            jobs=jobs,
            bus=parts.bus,
            cancel=Cancel(catalogue, jobs, SetAside(places), transfers),
            aftermath=aftermath,
            leave=leave,
            recheck_seconds=settings.disk_space.check_interval_seconds,
            longest_wait_seconds=max(settings.disk_space.check_interval_seconds, settings.retry.delay_seconds),
        )
        for name in WorkerName
    ]


class Caretaker(Protocol):
    """Looks after something beside the jobs, until it is cancelled; what it cannot do disturbs none of them."""

    async def run(self) -> None: ...


def build_caretakers(parts: Parts) -> dict[str, Caretaker]:
    """Each by the name of its task."""
    settings, database = parts.settings, parts.database
    kept = _time(settings.storage.failed_keep_days)
    backups = Backups(settings.database.path, settings.backup.folder)
    retention = settings.retention
    return {
        "retention": Retention(Jobs(database), SetAside(places_of(settings)), parts.switches, keep=kept),
        "backups": NightlyBackups(database, backups, hour=settings.backup.hour, keep=settings.backup.keep),
        "upkeep": Upkeep(
            database, keep_completed=_time(retention.completed_jobs_days), keep_logs=_time(retention.job_logs_days)
        ),
    }


def _time(days: float) -> timedelta | None:
    return timedelta(days=days) if days else None


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


def _local_stages(
    parts: Parts, places: Places, nas: Nas, destination: Destination, compared: ComparedCopies
) -> dict[JobStatus, Stage]:
    settings = parts.settings
    catalogue = Catalogue(parts.database)
    seven_zip = SevenZip(parts.processes)
    admit = AdmitSettings(
        source_collection=settings.globus.source_endpoint,
        destination_collection=settings.globus.destination_endpoint,
        min_free_gb=settings.disk_space.min_free_gb,
        size_estimate_ratio=settings.compression.size_estimate_ratio,
    )
    limit = settings.politeness.copy_limit
    copy = CopySettings(
        shutil_below_bytes=settings.copy.small_below_bytes,
        rsync_below_bytes=settings.copy.medium_below_bytes,
        dd_below_bytes=settings.copy.large_below_bytes,
        threads=settings.copy.threads,
        limit=limit,
        marker_patterns=settings.discovery.marker_patterns,
    )
    strategies = Strategies(
        Rsync(parts.processes, limit=limit),
        Dd(parts.processes),
        threads=settings.copy.threads,
        limit=limit,
        hash_source_at_once=settings.verification.recheck == "metadata",
    )
    return {
        JobStatus.QUEUED: Admit(parts.globus, catalogue, places, nas, destination, admit),
        JobStatus.COPYING: Copy(strategies, catalogue, places, nas, compared, copy),
        JobStatus.COMPRESSING: Compress(
            seven_zip, places, Mode(settings.compression.mode), threads=settings.copy.threads
        ),
        JobStatus.VERIFYING: Verify(seven_zip, catalogue, places),
    }


def _transfer_stages(
    parts: Parts, places: Places, nas: Nas, source: SourceLook, destination: Destination, transfers: Transfers
) -> dict[JobStatus, Stage]:
    settings = parts.settings
    globus = settings.globus
    catalogue = Catalogue(parts.database)
    approvals = Approvals()
    verify = VerifySettings(
        source_collection=globus.source_endpoint,
        destination_collection=globus.destination_endpoint,
        size_tolerance_percent=settings.verification.size_tolerance_percent,
        compare_again=settings.verification.compare_again,
    )
    return {
        JobStatus.AWAITING_UPLOAD: StartUpload(),
        JobStatus.UPLOADING: UploadArchive(catalogue, places, destination, transfers, sync_level=globus.sync_level),
        JobStatus.UPLOAD_VERIFYING: VerifyUpload(
            parts.globus, catalogue, places, nas, source, approvals, transfers, parts.switches, verify
        ),
        JobStatus.DELETING_SOURCE: DeleteSource(
            parts.globus,
            catalogue,
            places,
            nas,
            source,
            approvals,
            SentMark(places.storage),
            parts.switches,
            collection=globus.destination_endpoint,
            threads=settings.copy.threads,
        ),
    }


def _transfers(parts: Parts, places: Places, destination: Destination) -> Transfers:
    globus, upload = parts.settings.globus, parts.settings.upload
    settings = TransferSettings(
        source_collection=globus.source_endpoint,
        destination_collection=globus.destination_endpoint,
        external_checksum=globus.external_checksum == "SHA256",
        poll_interval=timedelta(seconds=upload.task_poll_interval_seconds),
        task_timeout=timedelta(hours=upload.task_timeout_hours),
        deadline=timedelta(hours=upload.task_deadline_hours) if upload.task_deadline_hours else None,
    )
    catalogue, mark = Catalogue(parts.database), SentMark(places.storage)
    return Transfers(parts.globus, catalogue, places, destination, mark, parts.switches, settings)


def access_of(settings: Settings) -> GlobusAccess:
    globus = settings.globus
    return GlobusAccess(
        client_id=globus.client_id,
        client_secret=globus.client_secret.get_secret_value(),
        auth_url=globus.service_url_auth or None,
        transfer_url=globus.service_url_transfer or None,
        http_timeout_seconds=globus.http_timeout_seconds,
    )
