"""How the system is doing: disk, workers, counts, and what a person should look at."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.switches import Switches
from cs_archiver.domain.checks import Checked
from cs_archiver.domain.states import ACTIVE, BUSY, JobStatus, WorkerName, worker_of
from cs_archiver.domain.switches import NOBODYS_FAULT, said_of
from cs_archiver.services.checks import Checks
from cs_archiver.tools.threads import OneAtATime, begin

WARN_ABOVE_PERCENT_USED = 80.0
_DISK_PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Of the file system under the storage folder. `percent_used` leaves out what is reserved for root."""

    total_bytes: int
    used_bytes: int
    free_bytes: int
    percent_used: float


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """`disk` is None when it cannot be read, `in_hand` has the job of each worker.

    `warnings` are for people; `troubles` are those of them that concern no single job and come from no check.
    """

    disk: DiskSpace | None
    in_hand: dict[WorkerName, str | None]
    counts: dict[JobStatus, int]
    warnings: list[str]
    is_globus_sandbox: bool
    troubles: list[str]
    checks: Sequence[Checked]


class StatusService:
    """Answers within seconds even if the disk does not."""

    def __init__(
        self,
        database: Database,
        checks: Checks,
        switches: Switches,
        *,
        storage_path: Path,
        is_globus_sandbox: bool,
        notices: Sequence[str],
        of_notifications: Callable[[], list[str]],
    ) -> None:
        """`notices` are warnings that hold for as long as the service runs, `of_notifications` gives those of now."""
        self._database = database
        self._switches = switches
        self._jobs = Jobs(database)
        self.checks = checks
        self._notices = notices
        self._of_notifications = of_notifications
        self._storage_path = storage_path
        self._is_globus_sandbox = is_globus_sandbox
        self._reading = OneAtATime(lambda: begin(lambda: _disk_space(str(storage_path))))

    async def read(self) -> SystemStatus:
        (disk, of_disk), active, counts = await asyncio.gather(
            self._disk(), self._jobs.in_line(ACTIVE), self._jobs.counts()
        )
        trouble = self._database.trouble
        of_database = [f"Database unhealthy: {trouble}."] if trouble else []
        if self._database.backup_trouble is not None:
            of_database.append(f"{self._database.backup_trouble}.")
        troubles = [*self._notices, *of_database, *of_disk, *self._of_notifications()]
        paused = [f"{said_of(switch, pause)}." for switch, pause in self._switches.paused.items()]
        troubled = [job for job in active if job.error_problem and job.error_problem not in NOBODYS_FAULT]
        of_jobs = [f"{job.folder_name}: {job.current_operation}" for job in troubled]
        busy = [job for job in active if worker_of(job.status)]
        in_hand: dict[WorkerName, str | None] = {
            worker: next((job.id for job in busy if worker_of(job.status) is worker), None) for worker in BUSY
        }
        warnings = [*troubles, *(check.warning for check in self.checks.troubles), *paused, *of_jobs]
        return SystemStatus(disk, in_hand, counts, warnings, self._is_globus_sandbox, troubles, self.checks.latest)

    async def disk(self) -> DiskSpace | None:
        """None when it cannot be read, or does not answer within seconds."""
        return (await self._disk())[0]

    async def _disk(self) -> tuple[DiskSpace | None, list[str]]:
        try:
            async with asyncio.timeout(_DISK_PATIENCE_SECONDS):
                disk = await asyncio.shield(self._reading.answer())
        except TimeoutError:
            return None, [f"The disk under {self._storage_path} does not answer."]
        except OSError as error:
            return None, [f"The disk under {self._storage_path} cannot be read: {error.strerror}."]
        if disk.percent_used > WARN_ABOVE_PERCENT_USED:
            return disk, [f"Only {100 - disk.percent_used:.1f} % of the disk under {self._storage_path} is free."]
        return disk, []


def _disk_space(path: str) -> DiskSpace:
    usage = psutil.disk_usage(path)
    return DiskSpace(usage.total, usage.used, usage.free, usage.percent)
