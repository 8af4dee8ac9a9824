"""What every body, query and answer has in common, and the kinds of value they share."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_MOST_OFFSET = 10**15  # far beyond any table, and safe as a number in JSON and SQLite


class Body(BaseModel):
    """JSON from a client: a field that is not known is refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Query(BaseModel):
    """Parameters from a client. Without fields of its own it accepts no parameter at all."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Answer(BaseModel):
    """JSON for a client; checked when it is made, so that no answer lacks a field or has one of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _flag(value: Any) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if not isinstance(value, str) or value.lower() not in known:
        raise ValueError("must be true, false, 1 or 0, and be given once")
    return known[value.lower()]


def _whole_number(value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
        raise ValueError("must be a whole number of at most 18 digits, and be given once")
    return int(value)


Flag = Annotated[bool, BeforeValidator(_flag)]

whole_number = BeforeValidator(_whole_number)
"""Of a query parameter; stands behind its bounds, which would be missing from the description otherwise."""

Limit = Annotated[int, Field(ge=1, le=1000, description="At most so many."), whole_number]
Offset = Annotated[int, Field(ge=0, le=_MOST_OFFSET, description="So many are left out first."), whole_number]

Moment = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-15T14:32:01.250Z"], description="UTC.")
]
JobId = Annotated[str, Field(json_schema_extra={"format": "uuid"}, examples=["123e4567-e89b-42d3-a456-426614174000"])]
# The bounds of answers are told, not checked: a value a little off is better shown than withheld.
ByteCount = Annotated[int, Field(json_schema_extra={"minimum": 0}, examples=[1073741824])]
Percent = Annotated[float, Field(json_schema_extra={"minimum": 0, "maximum": 100})]
WholePercent = Annotated[int, Field(json_schema_extra={"minimum": 0, "maximum": 100})]
