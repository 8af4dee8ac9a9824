"""What clients may send: the bodies and query parameters, with their bounds."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import OnExisting
from cs_archiver.domain.states import JobStatus

_LONGEST_PATH = 4096  # Linux PATH_MAX
_MOST_OFFSET = 10**15  # far beyond any table, and safe as a number in JSON and SQLite


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Query(BaseModel):
    """Without fields of its own it accepts no parameter at all."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a null character")
    return text


def _flag(value: Any) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if not isinstance(value, str) or value.lower() not in known:
        raise ValueError("must be true, false, 1 or 0, and be given once")
    return known[value.lower()]


def _whole_number(value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
        raise ValueError("must be a whole number, and be given once")
    return int(value)


FolderPath = Annotated[str, Field(min_length=1, max_length=_LONGEST_PATH), AfterValidator(_without_nul)]
Flag = Annotated[bool, BeforeValidator(_flag)]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]


class Credentials(Body):
    username: str
    password: str


class PasswordChange(Body):
    current_password: str
    new_password: str


class NewJob(Body):
    folder_path: FolderPath
    on_existing: OnExisting = OnExisting.FAIL


class FoldersQuery(Query):
    refresh: Flag = False


class JobsQuery(Query):
    status: tuple[JobStatus, ...] = ()
    limit: Annotated[WholeNumber, Field(ge=1, le=1000)] = 100
    offset: Annotated[WholeNumber, Field(ge=0, le=_MOST_OFFSET)] = 0


class LogsQuery(Query):
    limit: Annotated[WholeNumber, Field(ge=1, le=100_000)] = 1000
    level: LogLevel | None = None
