"""The log of a job."""

import re
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field

from cs_archiver.clock import from_text, to_text
from cs_archiver.db import jobs
from cs_archiver.domain.events import LogLevel
from cs_archiver.server.contract.base import Answer, Moment, Query, whole_number

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def moment(value: Any) -> str:
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError("must be a moment such as 2026-01-15T14:32:01.250Z, and be given once")
    try:
        return to_text(from_text(value))
    except (ValueError, OverflowError) as error:
        raise ValueError("must be a moment that there was or will be") from error


class LogsQuery(Query):
    limit: Annotated[
        int,
        Field(ge=1, le=5000, description="The newest so many lines. As text, all of them if this is not given."),
        whole_number,
    ] = 1000
    level: Annotated[LogLevel | None, Field(description="Only lines of this level.")] = None
    since: Annotated[
        str | None,
        Field(
            description="Only lines from this moment on, such as the time of the newest line known.",
            json_schema_extra={"format": "date-time"},
        ),
        BeforeValidator(moment),
    ] = None

    @property
    def newest(self) -> int | None:
        """How many lines of the text are wanted; None for all."""
        return self.limit if "limit" in self.model_fields_set else None


class LogLine(Answer):
    timestamp: Moment
    level: LogLevel
    message: str

    @classmethod
    def of(cls, line: jobs.LogLine) -> Self:
        return cls(timestamp=line.timestamp, level=line.level, message=line.message)
