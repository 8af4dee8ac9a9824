"""Which jobs are asked for, and one of them."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from cs_archiver.db.job_search import JobSearch, SortBy
from cs_archiver.domain.states import JobStatus
from cs_archiver.server.contract.base import Limit, Offset, Query, whole_number
from cs_archiver.server.contract.job_logs import moment
from cs_archiver.server.contract.text import Words

Sort = Literal[
    "created_at", "-created_at", "started_at", "-started_at", "completed_at", "-completed_at",
    "folder_name", "-folder_name", "status", "-status", "size", "-size",
]  # fmt: skip


class JobsQuery(Query):
    status: Annotated[tuple[JobStatus, ...], Field(description="Only jobs of this state; may be repeated.")] = ()
    created_by: Annotated[Words | None, Field(description="Only jobs this user asked for.")] = None
    q: Annotated[Words | None, Field(description="Only jobs with this in the folder's name or path, or the error.")] = (
        None
    )
    ended_from: Annotated[
        str | None,
        Field(description="Only jobs that ended at this moment or later.", json_schema_extra={"format": "date-time"}),
        BeforeValidator(moment),
    ] = None
    sort: Annotated[
        Sort,
        Field(
            description="What comes first; `-` turns it round. Who reads page after page while jobs are added asks for "
            "`created_at`: new ones come last then, where they would move the others on, and none is read twice."
        ),
    ] = "-created_at"
    limit: Limit = 100
    offset: Offset = 0

    @property
    def search(self) -> JobSearch:
        return JobSearch(
            statuses=tuple(dict.fromkeys(self.status)),  # each once, whoever repeats it
            created_by=self.created_by,
            words=self.q,
            ended_from=self.ended_from,
            sort_by=SortBy(self.sort.removeprefix("-")),
            descending=self.sort.startswith("-"),
        )


class WaitQuery(Query):
    wait: Annotated[
        int,
        Field(ge=0, le=60, description="Answer once the job leaves its state, or has ended, or after so many seconds."),
        whole_number,
    ] = 0
