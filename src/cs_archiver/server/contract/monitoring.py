"""Whether the service can do its work."""

from typing import Annotated, Literal, Self

from pydantic import Field

from cs_archiver.domain.checks import Checked, Verdict
from cs_archiver.server.contract.base import Answer


class CheckLine(Answer):
    """A quick check, named and judged as in `checks` of the system's status where it is one of those."""

    name: Literal["database", "workers", "storage", "space", "nas", "seven_zip", "held_jobs"]
    verdict: Annotated[
        Verdict, Field(description="`warning`: the service goes on. `unknown`: nothing answered, and it cannot work.")
    ]
    found: Annotated[
        str | None, Field(description="Told to users, and to the addresses that may read the metrics; null for others.")
    ]
    advice: Annotated[str | None, Field(description="What to do; told to the same, and empty where there is nothing.")]

    @classmethod
    def of(cls, check: Checked, *, with_details: bool) -> Self:
        verdict, found, advice = check.finding
        details = {"found": found, "advice": advice} if with_details else {"found": None, "advice": None}
        return cls.model_validate({"name": check.name, "verdict": verdict, **details})


class Ready(Answer):
    status: Literal["ready"]
    checks: list[CheckLine]
