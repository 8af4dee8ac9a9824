"""How the system is doing."""

from typing import Annotated, Literal, Self

from pydantic import Field

import cs_archiver
from cs_archiver.clock import now_text
from cs_archiver.domain.checks import Checked, Verdict
from cs_archiver.domain.space import GIB
from cs_archiver.domain.states import JobStatus, WorkerName
from cs_archiver.server.contract.base import Answer, JobId, Moment, Percent
from cs_archiver.server.contract.switches import SwitchShown
from cs_archiver.services import status
from cs_archiver.services.switches import SwitchState


class DiskSpace(Answer):
    """Under the storage folder, in GB of 1024**3 bytes.

    Nulls when the disk does not answer: no number is better than a made-up one.
    """

    total_gb: float | None
    used_gb: float | None
    free_gb: float | None
    percent_used: Percent | None

    @classmethod
    def of(cls, disk: status.DiskSpace | None) -> Self:
        if disk is None:
            return cls(total_gb=None, used_gb=None, free_gb=None, percent_used=None)
        return cls(
            total_gb=round(disk.total_bytes / GIB, 2),
            used_gb=round(disk.used_bytes / GIB, 2),
            free_gb=round(disk.free_bytes / GIB, 2),
            percent_used=disk.percent_used,
        )


class Worker(Answer):
    status: Literal["idle", "busy"]
    current_job_id: JobId | None

    @classmethod
    def of(cls, job_id: str | None) -> Self:
        return cls(status="idle" if job_id is None else "busy", current_job_id=job_id)


class Workers(Answer):
    copy_compress: Worker
    upload: Worker

    @classmethod
    def of(cls, in_hand: dict[WorkerName, str | None]) -> Self:
        return cls(
            copy_compress=Worker.of(in_hand[WorkerName.LOCAL]),
            upload=Worker.of(in_hand[WorkerName.TRANSFER]),
        )


class Statistics(Answer):
    total_jobs: int
    completed_jobs: int
    failed_jobs: int
    queued_jobs: int

    @classmethod
    def of(cls, counts: dict[JobStatus, int]) -> Self:
        return cls(
            total_jobs=sum(counts.values()),
            completed_jobs=counts[JobStatus.COMPLETED],
            failed_jobs=counts[JobStatus.FAILED],
            queued_jobs=counts[JobStatus.QUEUED],
        )


class CheckResult(Answer):
    """One check of the installation as it last came out."""

    name: Annotated[str, Field(examples=["path_mapping"], description="For programs: never changes.")]
    title: Annotated[str, Field(examples=["Path mapping"])]
    verdict: Annotated[Verdict, Field(description="`unknown`: it could not be checked.")]
    found: str
    advice: Annotated[str, Field(description="What to do; empty where there is nothing.")]
    checked_at: Moment

    @classmethod
    def of(cls, check: Checked) -> Self:
        verdict, found, advice = check.finding
        return cls(
            name=check.name,
            title=check.title,
            verdict=verdict,
            found=found,
            advice=advice,
            checked_at=check.checked_at,
        )


class SystemStatus(Answer):
    disk_space: DiskSpace
    workers: Workers
    statistics: Statistics
    switches: Annotated[list[SwitchShown], Field(description="What can be paused, and what is.")]
    warnings: Annotated[list[str], Field(description="What a person should look at.")]
    checks: Annotated[list[CheckResult], Field(description="Empty until the first round of checks has been made.")]
    globus_sandbox: Annotated[bool, Field(description="A stand-in for Globus is in use: nothing reaches the real one.")]

    @classmethod
    def of(cls, found: status.SystemStatus, switches: list[SwitchState]) -> Self:
        return cls(
            disk_space=DiskSpace.of(found.disk),
            workers=Workers.of(found.in_hand),
            statistics=Statistics.of(found.counts),
            switches=[SwitchShown.of(state) for state in switches],
            warnings=found.warnings,
            checks=[CheckResult.of(check) for check in found.checks],
            globus_sandbox=found.is_globus_sandbox,
        )


class Health(Answer):
    status: Literal["healthy"]
    timestamp: Moment

    @classmethod
    def now(cls) -> Self:
        return cls(status="healthy", timestamp=now_text())


class Version(Answer):
    version: str

    @classmethod
    def installed(cls) -> Self:
        return cls(version=cs_archiver.__version__)
