"""Asking for several folders at once, each answered for itself; and clearing the list."""

from typing import Annotated

from pydantic import ConfigDict, Field

from cs_archiver.domain.job import OnExisting
from cs_archiver.server.contract.base import Answer, Body
from cs_archiver.server.contract.jobs import EXAMPLE_PATH, FolderPath, SubmittedJob
from cs_archiver.server.problems import Problem


class NewJobs(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"folder_paths": [EXAMPLE_PATH]}]})

    folder_paths: Annotated[list[FolderPath], Field(min_length=1, max_length=200)]
    on_existing: Annotated[
        OnExisting, Field(description="What to do when the destination has an archive of this name already.")
    ] = OnExisting.FAIL


class FolderOutcome(Answer):
    """What came of one of the folders, as if it had been asked for alone."""

    folder_path: str
    status: Annotated[int, Field(description="201, or the status of the problem.")]
    job: Annotated[SubmittedJob | None, Field(description="Null if it was refused.")]
    problem: Annotated[Problem | None, Field(description="Why it was refused, else null.")]


class ClearedJobs(Answer):
    deleted_count: int
