"""Personal API tokens."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field

from cs_archiver.db.tokens import TokenLine
from cs_archiver.domain.access import Scope
from cs_archiver.server.contract.base import Answer, Body, Moment
from cs_archiver.services.tokens import NewToken

TokenName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$",
        description="What it is for.",
    ),
]
TokenDays = Annotated[int, Field(ge=1, le=366)]


class TokenWish(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "nightly report", "scope": "read"}]})

    name: TokenName
    scope: Annotated[
        Scope,
        Field(description="`read` looks; `operate` also submits, cancels and retries; `admin` also manages users."),
    ]
    expires_in_days: TokenDays = 90


class TokenShown(Answer):
    """A token as its owner sees it from its creation on."""

    id: int
    name: str
    scope: Scope
    created_at: Moment
    expires_at: Moment
    last_used_at: Annotated[Moment | None, Field(description="Noted once a minute at most.")]

    @classmethod
    def of(cls, line: TokenLine) -> Self:
        return cls(
            id=line.id,
            name=line.name,
            scope=line.scope,
            created_at=line.created_at,
            expires_at=line.expires_at,
            last_used_at=line.last_used_at,
        )


class TokenCreated(Answer):
    token: Annotated[str, Field(description="Shown this once. Send it as `Authorization: Bearer ...`.")]
    details: TokenShown

    @classmethod
    def of(cls, created: NewToken) -> Self:
        return cls(token=created.token, details=TokenShown.of(created.line))
