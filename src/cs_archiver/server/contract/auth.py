"""Signing in, and the password."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from cs_archiver.db.accounts import User
from cs_archiver.server.contract.base import Answer, Body
from cs_archiver.services import accounts


class Credentials(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"username": "admin", "password": "changeme"}]})

    username: str
    password: str


class PasswordChange(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"current_password": "changeme", "new_password": "a few words that do not belong together"}]
        }
    )

    current_password: str
    new_password: Annotated[str, Field(description="At least 12 characters, and not among those that are tried first.")]


class Account(Answer):
    id: int
    username: str
    is_admin: bool

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(id=user.id, username=user.username, is_admin=user.is_admin)


class Session(Answer):
    access_token: Annotated[str, Field(description="Send it as `Authorization: Bearer ...` with every other call.")]
    token_type: Literal["bearer"]
    user: Account

    @classmethod
    def of(cls, begun: accounts.Session) -> Self:
        return cls(access_token=begun.token, token_type="bearer", user=Account.of(begun.user))  # noqa: S106  no secret
