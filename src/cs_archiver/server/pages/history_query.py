"""Which of the ended jobs the history shows: what stands in its address."""

from datetime import date, datetime, time, timedelta, tzinfo
from typing import Annotated, Literal

from pydantic import Field

from cs_archiver.clock import to_text
from cs_archiver.db.job_search import JobSearch, SortBy
from cs_archiver.domain.states import FINAL, JobStatus
from cs_archiver.server.contract.forms import PageQuery
from cs_archiver.server.contract.text import NoneIfEmpty, OptionalWords
from cs_archiver.server.pages.listing import PageNumber, PerPage

NEWEST_FIRST = "-completed_at"

_ENDED = tuple(sorted(FINAL))
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(9998, 12, 31)  # others cannot all be told in UTC

Day = Annotated[Annotated[date, Field(ge=_FIRST_DAY, le=_LAST_DAY)] | None, NoneIfEmpty]
EndState = Annotated[Literal["completed", "failed", "cancelled"] | None, NoneIfEmpty]
Sort = Literal[
    "folder_name", "-folder_name", "status", "-status", "completed_at", "-completed_at", "size", "-size",
]  # fmt: skip


class HistoryQuery(PageQuery):
    """`since` and `until` are days of the reader's calendar, the last of them included."""

    status: EndState = None
    by: OptionalWords = None
    since: Day = None
    until: Day = None
    q: OptionalWords = None
    sort: Sort = "-completed_at"
    page: PageNumber = 1
    per: PerPage = 50

    @property
    def filters(self) -> dict[str, object]:
        """All that narrows the list, as it stands in addresses."""
        return {"status": self.status, "by": self.by, "since": self.since, "until": self.until, "q": self.q}

    @property
    def is_filtered(self) -> bool:
        return any(self.filters.values())

    @property
    def shows_newest_failures(self) -> bool:
        """Whether no failed job is newer than those that are seen here."""
        narrowed = [name for name, value in self.filters.items() if value]
        return narrowed == ["status"] and self.status == "failed" and self.sort == NEWEST_FIRST and self.page == 1

    def search(self, zone: tzinfo) -> JobSearch:
        return JobSearch(
            statuses=_ENDED if self.status is None else (JobStatus(self.status),),
            created_by=self.by,
            words=self.q,
            ended_from=None if self.since is None else start_of(self.since, zone),
            ended_before=None if self.until is None else start_of(self.until + timedelta(days=1), zone),
            sort_by=SortBy(self.sort.removeprefix("-")),
            descending=self.sort.startswith("-"),
        )


def start_of(day: date, zone: tzinfo) -> str:
    """The first moment of this day in this zone, as the database has moments."""
    return to_text(datetime.combine(day, time.min, zone))
