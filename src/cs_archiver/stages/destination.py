"""Whether a destination at Globus is free, and whether an archive is still there: nothing there is overwritten."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from cs_archiver.db.catalogue import Catalogue, Upload
from cs_archiver.db.jobs import Jobs
from cs_archiver.domain.job import Job
from cs_archiver.domain.verification import Check, last_modified
from cs_archiver.errors import JobError, NeedsOperator, Permanent, Temporary
from cs_archiver.stages.source import SourceLook
from cs_archiver.stages.stage import Report
from cs_archiver.tools.globus import Globus


class Place(NamedTuple):
    """A destination as it was found: why nothing may be written there, or None; and whose leftover lies there.

    `left_by` are the ids of the jobs whose tasks are known to have left exactly what is there.
    """

    why_taken: str | None
    left_by: Sequence[str] = ()


class Destination:
    """What may be written to the destination collection: nothing there is sent over that a source may rest on.

    A leftover of ours is exactly what was found after a task of ours, and was written while that ran: somebody else may
    have put something there since. Our database may be that of a host put back to a snapshot, which believes in a
    leftover although it deleted the source since: so everything its job copied must still be in the source as well,
    looked at right before.
    """

    def __init__(
        self, globus: Globus, catalogue: Catalogue, jobs: Jobs, source: SourceLook, *, collection: str
    ) -> None:
        self._globus = globus
        self._catalogue = catalogue
        self._jobs = jobs
        self._source = source
        self._collection = collection

    async def look_at(self, path: str, report: Report, *, own_job_id: str | None = None) -> Place:
        """As `why_taken` does, and at the sources of what lies there. Raises NeedsOperator when the NAS is not there.

        The verified archive of `own_job_id` does not take it, since that job sends it again.
        """
        found = await _look_at(
            self._globus, self._catalogue, collection=self._collection, path=path, own_job_id=own_job_id
        )
        for job_id in found.left_by:
            why = await self._why_not_whole(job_id, report)
            if why is not None:
                return Place(f"the destination {path} holds what job {job_id} sent, and {why}: it is kept")
        return found

    async def require_no_archive_elsewhere(self, job: Job) -> None:
        """The catalogue says once where a job's archive lies. Raises Permanent when that is in another collection."""
        archive = await self._catalogue.archive_of(job.id)
        if archive is not None and archive.collection != self._collection:
            raise Permanent(
                f"this job's archive is verified in the Globus collection {archive.collection}, and another is set "
                "since as GLOBUS_DESTINATION_ENDPOINT: set that one again and retry, or submit the folder again",
                problem="destination-changed",
            )

    async def why_not_send(self, upload: Upload, job: Job, report: Report) -> str | None:
        """What there is against sending a stored submission of this job of which Globus shows no task.

        What has come to its destination since it was stored is not ours. Raises as `look_at` does.
        """
        path = upload.destination_path
        if upload.compares is None:
            return (await self.look_at(path, report, own_job_id=job.id)).why_taken
        remote = await self._globus.stat(self._collection, path)
        compared = await self._catalogue.upload(upload.compares)
        if remote is None or described(remote) == compared.left_behind:
            return None
        return f"what lies at {path} is no longer what was to be compared: it is kept"

    async def _why_not_whole(self, job_id: str, report: Report) -> str | None:
        job = await self._jobs.find(job_id)
        if job is None:
            return "that job is no longer in the list, so that nobody knows its source"
        manifests = [await self._catalogue.manifest(sealed) for sealed in await self._catalogue.manifests_of(job_id)]
        return await self._source.why_not_whole(job, manifests, report)


async def _look_at(
    globus: Globus, catalogue: Catalogue, *, collection: str, path: str, own_job_id: str | None = None
) -> Place:
    owner = await catalogue.owner_of(collection, path)
    if owner is not None and owner != own_job_id:
        return Place(f"the destination {path} holds the verified archive of job {owner}")
    writer = await catalogue.writer_at(path, other_than=own_job_id)
    if writer is not None:
        return Place(f"a task of job {writer} may still be writing to the destination {path}")
    remote = await globus.stat(collection, path)
    if remote is None:
        return Place(None)
    # Without a time anything of the same size would look the same.
    is_known = remote.get("type") == "file" and remote.get("last_modified") is not None
    left_by = await catalogue.left_by(path, described(remote)) if is_known else []
    written = str(remote.get("last_modified"))
    if left_by and not any([await _wrote(globus, catalogue, upload, written) for upload in left_by]):
        return Place(
            f"the destination {path} holds a file of {written}, when no task of ours was writing it: it is kept"
        )
    if left_by:
        return Place(None, sorted({upload.job_id for upload in left_by}))
    return Place(f"the destination {path} already holds a {remote.get('type', 'file')} that is not ours")


async def _wrote(globus: Globus, catalogue: Catalogue, upload: Upload, written: str) -> bool:
    """Whether a task of this upload ran when the file was written, by Globus' clock and that of the destination."""
    for task_id in await catalogue.tasks_of(upload):
        try:
            task = await globus.task(task_id)
        except Temporary as error:
            if error.problem != "globus-task-unknown":
                raise
            continue
        if _ran_at(task, written):
            return True
    return False


def _ran_at(task: Mapping[str, Any], moment: str) -> bool:
    """To the second, as Globus tells times; false where it does not tell them."""
    times = (task.get("request_time"), moment, task.get("completion_time"))
    try:
        begun, at, ended = (datetime.fromisoformat(str(time)).replace(microsecond=0) for time in times)
    except ValueError:
        return False
    return begun <= at <= ended


async def why_taken(globus: Globus, catalogue: Catalogue, *, collection: str, path: str) -> str | None:
    """Why nothing may be written to this destination, or None when it is free.

    Exactly what a task of ours left there does not take it (decisions, 7); anything put there since does. No source is
    looked at: a Destination does that, before anything is written.
    """
    return (await _look_at(globus, catalogue, collection=collection, path=path)).why_taken


async def require_still_there(globus: Globus, collection: str, job: Job, checks: Sequence[Check]) -> None:
    """Nothing more is deleted unless the verified archive is still at the destination: kind, exact size, time.

    `checks` are its evidence. Raises Permanent when it is not there, and NeedsOperator when Globus does not say.
    """
    path = job.globus_destination_path
    try:
        remote = await globus.stat(collection, path)
    except JobError as error:
        raise NeedsOperator(f"cannot see whether the archive is still there: {error}", problem=error.problem) from error
    expected = ("file", job.archive_size_bytes, last_modified(checks))
    found = None if remote is None else (remote.get("type"), remote.get("size"), str(remote.get("last_modified")))
    if found != expected:
        raise Permanent(
            f"The verified archive is no longer at {path} (expected {expected}, found {found or 'nothing'}): what "
            "is left of the source, and the local archive, are kept",
            problem="archive-missing",
        )


async def left_behind(globus: Globus, collection: str, path: str) -> str | None:
    """What a task that failed left there, described so that it is known again; None if that is no file of ours.

    Raises when Globus does not say: not knowing is not the same as nothing.
    """
    remote = await globus.stat(collection, path)
    return None if remote is None or remote.get("type") != "file" else described(remote)


def described(remote: Mapping[str, Any]) -> str:
    return json.dumps([remote.get(key) for key in ("type", "size", "last_modified")])
