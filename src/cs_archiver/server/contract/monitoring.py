"""Whether the service can do its work."""

from typing import Annotated, Literal, Self

from pydantic import Field

from cs_archiver.server.contract.base import Answer
from cs_archiver.services.readiness import Check


class CheckLine(Answer):
    name: Literal["database", "storage", "nas", "held_jobs", "workers", "7z"]
    status: Annotated[
        Literal["ok", "warning", "failing"],
        Field(description="`warning`: a person is needed, but the service goes on."),
    ]
    detail: Annotated[
        str | None, Field(description="What is wrong; told to users, and to the addresses that may read the metrics.")
    ]

    @classmethod
    def of(cls, check: Check, *, with_detail: bool) -> Self:
        detail = check.detail if with_detail and check.detail else None
        return cls.model_validate({"name": check.name, "status": str(check.verdict), "detail": detail})


class Ready(Answer):
    status: Literal["ready"]
    checks: list[CheckLine]
