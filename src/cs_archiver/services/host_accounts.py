"""The accounts as they are managed on the host itself, where whoever may read the database needs no sign-in."""

from collections.abc import Awaitable
from typing import TypeVar

from cs_archiver.db.accounts import User
from cs_archiver.db.audit import Deed
from cs_archiver.domain.access import always
from cs_archiver.errors import InvalidRequest
from cs_archiver.services.audit import AuditService
from cs_archiver.services.second_factor import SecondFactorService
from cs_archiver.services.users import UserService

_Result = TypeVar("_Result")


class HostAccounts:
    """Works beside a service that runs; a live connection of a user that ends here hears of it within a minute."""

    def __init__(self, users: UserService, factors: SecondFactorService, audit: AuditService, *, login: str) -> None:
        """`login`: whose shell on the host this is."""
        self._users = users
        self._factors = factors
        self._audit = audit
        self._login = login

    async def listed(self) -> list[User]:
        """In the order in which they were created."""
        return await self._users.listed()

    async def add(self, username: str, password: str, *, is_admin: bool) -> User:
        """Raises as `UserService.add` does."""
        work = self._users.add(username, password, always, is_admin=is_admin)
        return await self._noted("users_add", username, work)

    async def reset_password(self, username: str, new: str) -> User:
        """Raises NotFound for a name that no user has, and as `UserService.reset_password` does."""
        user = await self._users.named(username)
        work = self._users.reset_password(user, new, always, by=None)
        await self._noted("users_reset_password", user.username, work)
        return user

    async def remove_second_factor(self, username: str) -> User:
        """Raises NotFound for a name that no user has, and Conflict "second-factor-off"."""
        user = await self._users.named(username)
        await self._noted("users_remove_second_factor", user.username, self._factors.remove(user, by=None))
        return user

    async def _noted(self, action: str, target: str, work: Awaitable[_Result]) -> _Result:
        result = "ok"
        try:
            return await work
        except InvalidRequest as error:
            result = error.problem
            raise
        finally:
            detail = f"on the host, as {self._login}"
            await self._audit.record(Deed(action, result, target=target, detail=detail))
