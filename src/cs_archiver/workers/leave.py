"""Whether a stage may begin now: what is paused, and the hours of copies and uploads."""

import time

from cs_archiver.clock import from_unix, wall_minute
from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.switches import Switches
from cs_archiver.domain.hours import Hours
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus, WorkerName, worker_serving
from cs_archiver.domain.switches import DELETIONS_PAUSED, OUTSIDE_HOURS, Pauses, Switch, halted
from cs_archiver.errors import Halted

_COPIES = frozenset({JobStatus.QUEUED, JobStatus.COPYING})
_UPLOADS = frozenset({JobStatus.AWAITING_UPLOAD, JobStatus.UPLOADING})
_SWITCHES = {WorkerName.LOCAL: Switch.LOCAL, WorkerName.TRANSFER: Switch.TRANSFER}


class Leave:
    """Only what begins needs leave: what runs goes on to the end of its stage, and a cancel is always served."""

    def __init__(
        self,
        switches: Switches,
        catalogue: Catalogue,
        *,
        copy_hours: Hours | None,
        upload_hours: Hours | None,
    ) -> None:
        """Hours None: at any time."""
        self._switches = switches
        self._catalogue = catalogue
        self._copy_hours = copy_hours
        self._upload_hours = upload_hours

    async def refused(self, job: Job) -> Halted | None:
        """Why the stage of this job's state may not begin now; None if it may. Raises DatabaseUnhealthy."""
        if job.cancel_requested_by is not None:
            return None
        why = self._paused(job, await self._switches.refresh()) or self._outside_hours(job)
        return None if why is None or await self._runs_at_globus(job) else why

    def _paused(self, job: Job, paused: Pauses) -> Halted | None:
        has_begun = job.status is JobStatus.DELETING_SOURCE
        # Its upload is verified as far as the gate first, and from then on it waits there.
        waits_at_gate = job.status is JobStatus.UPLOAD_VERIFYING and job.error_problem == DELETIONS_PAUSED
        if Switch.DELETIONS in paused and (has_begun or waits_at_gate):
            return halted(Switch.DELETIONS, paused[Switch.DELETIONS], deletion_has_begun=has_begun)
        switch = _SWITCHES[worker_serving(job.status)]
        return halted(switch, paused[switch]) if switch in paused else None

    def _outside_hours(self, job: Job) -> Halted | None:
        now = int(time.time())
        for states, hours, what in (
            (_COPIES, self._copy_hours, "copies"),
            (_UPLOADS, self._upload_hours, "uploads"),
        ):
            if job.status in states and hours is not None and not hours.hold(wall_minute(now)):
                until = from_unix(hours.next_begin(now, wall_minute))
                text = f"Waits for the hours of {what}: from {hours.begin_text}"
                return Halted(text, problem=OUTSIDE_HOURS, until=until)
        return None

    async def _runs_at_globus(self, job: Job) -> bool:
        """Globus goes on with a task whatever we do: it is followed, not taken for something that waits.

        A request that was stored and not answered waits: if Globus did get it, its task is followed later.
        """
        newest = await self._catalogue.latest_upload(job.id) if job.status is JobStatus.UPLOADING else None
        return newest is not None and newest.goes_on_for(job) and newest.task_id is not None
