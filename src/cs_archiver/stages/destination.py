"""Whether a destination at Globus is free, and whether an archive is still there: nothing there is overwritten."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cs_archiver.db.catalogue import Catalogue
from cs_archiver.domain.job import Job
from cs_archiver.domain.verification import Check, last_modified
from cs_archiver.errors import JobError, NeedsOperator, Permanent
from cs_archiver.tools.globus import Globus


class Place(NamedTuple):
    """A destination as it was found: why nothing may be written there, or None; and whether something is there."""

    why_taken: str | None
    holds_something: bool = False


async def look_at(
    globus: Globus, catalogue: Catalogue, *, collection: str, path: str, own_job_id: str | None = None
) -> Place:
    """Exactly what a task of ours left there does not take it (decisions, 7), as long as no source rests on it, or only
    that of `own_job_id`, which sends it again: anything put there since does.
    """
    owner = await catalogue.owner_of(collection, path)
    if owner is not None and owner != own_job_id:
        return Place(f"the destination {path} holds the verified archive of job {owner}")
    writer = await catalogue.writer_at(path, other_than=own_job_id)
    if writer is not None:
        return Place(f"a task of job {writer} may still be writing to the destination {path}")
    remote = await globus.stat(collection, path)
    if remote is None:
        return Place(None)
    if remote.get("type") == "file" and await catalogue.is_leftover(path, described(remote)):
        return Place(None, holds_something=True)
    return Place(f"the destination {path} already holds a {remote.get('type', 'file')} that is not ours", True)


async def why_taken(globus: Globus, catalogue: Catalogue, *, collection: str, path: str) -> str | None:
    """Why nothing may be written to this destination, or None when it is free."""
    return (await look_at(globus, catalogue, collection=collection, path=path)).why_taken


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
