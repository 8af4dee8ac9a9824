"""Signing in, the sessions this begins, and the password."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from cs_archiver.db.accounts import SessionLine, User
from cs_archiver.server.contract.base import Answer, Body, Moment
from cs_archiver.services import accounts
from cs_archiver.services.password_rules import EXAMPLE_PASSWORD

NewPassword = Annotated[
    str, Field(description="At least 12 characters, in no list of stolen passwords, and not easy to guess.")
]


class Credentials(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"username": "admin", "password": "changeme"}]})

    username: str
    password: str
    code: Annotated[
        str | None, Field(max_length=64, description="Of the second factor, where there is one, or for recovery.")
    ] = None
    cookie: Annotated[
        bool, Field(description="Also sign the browser in, by a cookie; X-CSRF-Token then has its form token.")
    ] = False


class PasswordChange(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"current_password": "changeme", "new_password": EXAMPLE_PASSWORD}]}
    )

    current_password: str
    new_password: NewPassword


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


class FormToken(Answer):
    csrf_token: Annotated[str, Field(description="Send it as X-CSRF-Token with requests that carry the cookie.")]


class OwnSession(Answer):
    id: str
    created_at: Moment
    expires_at: Moment
    last_used_at: Annotated[Moment, Field(description="What pages and WebSockets hear by themselves is no use.")]
    address: Annotated[str, Field(description="Where it was begun from.", examples=["192.0.2.7"])]
    user_agent: Annotated[str, Field(description="What the program that began it called itself.")]
    current: Annotated[bool, Field(description="Whether this request came with it.")]

    @classmethod
    def of(cls, line: SessionLine, *, credential: str) -> Self:
        return cls(
            id=line.jti,
            created_at=line.created_at,
            expires_at=line.expires_at,
            last_used_at=line.last_used_at,
            address=line.address,
            user_agent=line.user_agent,
            current=line.jti == credential,
        )
