"""The accounts, as administrators manage them."""

import re
from datetime import timedelta

from cs_archiver.bus import Bus
from cs_archiver.clock import now_text
from cs_archiver.db.accounts import User
from cs_archiver.db.users import Users
from cs_archiver.domain.access import USERNAME_PATTERN, StillAllowed
from cs_archiver.domain.events import UserEnded
from cs_archiver.errors import Conflict, NotFound
from cs_archiver.services.passwords import Passwords, wrong_member

GIVEN_PASSWORD_LASTS = timedelta(days=7)
"""For so long somebody can sign in with a password that another person gave, and must choose one of their own."""


class UserService:
    """Whatever ends an account, or gives it another password, ends its sessions and tokens in the same transaction.

    A password takes its time to be hashed, and others may be before it: who asked must be allowed to at the end, too.
    """

    def __init__(self, users: Users, bus: Bus, passwords: Passwords) -> None:
        self._users = users
        self._bus = bus
        self._passwords = passwords

    async def listed(self) -> list[User]:
        """In the order in which they were created."""
        return await self._users.listed()

    async def get(self, user_id: int) -> User:
        """Raises NotFound for an id that no user has."""
        user = await self._users.find(user_id)
        if user is None:
            raise _no_such_user()
        return user

    async def named(self, username: str) -> User:
        """Raises NotFound for a name that no user has."""
        for user in await self._users.listed():
            if user.username.casefold() == username.casefold():
                return user
        raise _no_such_user()

    async def add(self, username: str, password: str, still: StillAllowed, *, is_admin: bool) -> User:
        """The password must be changed at the first sign-in, within GIVEN_PASSWORD_LASTS.

        Raises InvalidRequest for a name or password that is not taken, and Conflict "username-taken".
        """
        if not re.fullmatch(USERNAME_PATTERN, username, re.ASCII):
            detail = (
                "A user name has 1 to 64 letters of ASCII, digits, or any of . _ @ - and begins with the first two."
            )
            raise wrong_member("invalid-value", "username", detail)
        await self._passwords.require_strong(password, username=username, member="password")
        password_hash = await self._passwords.hash(password)
        expires_at = now_text(after=GIVEN_PASSWORD_LASTS)
        return await self._users.add(username, password_hash, still, is_admin=is_admin, expires_at=expires_at)

    async def remove(self, user: User, still: StillAllowed, *, by: User) -> None:
        """Raises Conflict "own-account" and "last-admin", and NotFound when it is gone meanwhile."""
        if user.id == by.id:
            raise Conflict("own-account", "Nobody can delete the account they are signed in with.")
        if not await self._users.remove(user, still):
            raise _no_such_user()
        self._bus.publish(UserEnded(user.id))

    async def reset_password(self, user: User, new: str, still: StillAllowed, *, by: User | None) -> None:
        """It must be changed at the next sign-in, as after `add`. `by` nobody who is signed in: from the host.

        Raises InvalidRequest "weak-password", and Conflict "own-account" and "changed-meanwhile".
        """
        if by is not None and user.id == by.id:
            raise Conflict("own-account", "Change your own password at POST /api/auth/password, with the present one.")
        await self._passwords.require_strong(new, username=user.username)
        new_hash = await self._passwords.hash(new)
        expires_at = now_text(after=GIVEN_PASSWORD_LASTS)
        if not await self._users.reset_password(user, new_hash, still, expires_at=expires_at):
            raise Conflict("changed-meanwhile", "The password was changed, or the account deleted, at this moment.")
        self._bus.publish(UserEnded(user.id))


def _no_such_user() -> NotFound:
    return NotFound("user-not-found", "There is no such user.")
