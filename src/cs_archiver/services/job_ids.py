"""The id of a job as people give it, and the answer when there is none of it."""

import uuid

from cs_archiver.errors import NotFound


def canonical(job_id: str) -> str:
    """Raises NotFound for what is no id at all."""
    try:
        return str(uuid.UUID(job_id))
    except ValueError as error:
        raise no_such_job() from error


def no_such_job() -> NotFound:
    return NotFound("job-not-found", "There is no job of this id.")
