"""The accounts, as administrators see them."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field

from cs_archiver.db.accounts import User
from cs_archiver.domain.access import USERNAME_PATTERN
from cs_archiver.server.contract.auth import NewPassword
from cs_archiver.server.contract.base import Answer, Body, Moment
from cs_archiver.services.password_rules import EXAMPLE_PASSWORD


class NewUser(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "kim", "password": EXAMPLE_PASSWORD, "is_admin": False}]}
    )

    username: Annotated[
        str, Field(pattern=USERNAME_PATTERN, description="Told apart from others without regard to case.")
    ]
    password: Annotated[NewPassword, Field(description="To be changed at the first sign-in, within 7 days.")]
    is_admin: bool = False


class PasswordReset(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"new_password": EXAMPLE_PASSWORD}]})

    new_password: NewPassword


class UserLine(Answer):
    id: int
    username: str
    is_admin: bool
    created_at: Moment
    last_login: Moment | None

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(
            id=user.id,
            username=user.username,
            is_admin=user.is_admin,
            created_at=user.created_at,
            last_login=user.last_login,
        )
