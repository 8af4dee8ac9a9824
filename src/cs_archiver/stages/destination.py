"""Whether a destination at Globus is free, and whether an archive is still there: nothing there is overwritten."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.jobs import Jobs
from cs_archiver.domain.job import Job
from cs_archiver.domain.verification import Check, last_modified
from cs_archiver.errors import JobError, NeedsOperator, Permanent
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

    A leftover is known by what our database says of it, which a host that was put back to a snapshot believes although
    it deleted the source since. So everything its job copied must still be in the source, looked at right before.
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

    async def why_not_send(self, job: Job, report: Report) -> str | None:
        """What there is against sending a stored submission of this job, of which nobody knows whether it was sent.

        What lies there may be what it wrote itself, so only the source tells. Raises as `look_at` does.
        """
        path = job.globus_destination_path
        if await self._globus.stat(self._collection, path) is None:
            return None
        why = await self._why_not_whole(job.id, report)
        return None if why is None else f"something lies at {path}, and {why}: it is kept"

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
    if left_by:
        return Place(None, left_by)
    return Place(f"the destination {path} already holds a {remote.get('type', 'file')} that is not ours")


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
