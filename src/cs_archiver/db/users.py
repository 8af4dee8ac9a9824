"""The list of users, as administrators change it."""

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from cs_archiver.db import tables
from cs_archiver.db.accounts import User, end_sessions, insert_user, update_as_read, user_of
from cs_archiver.db.connection import Connection
from cs_archiver.db.database import Database
from cs_archiver.domain.access import StillAllowed
from cs_archiver.errors import Conflict

_USERS = tables.users
_TOKENS = tables.api_tokens


class Users:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def listed(self) -> list[User]:
        async with self._database.read() as connection:
            rows = (await connection.execute(select(_USERS).order_by(_USERS.c.id))).all()
        return [user_of(row) for row in rows]

    async def find(self, user_id: int) -> User | None:
        async with self._database.read() as connection:
            return await _find(connection, user_id)

    async def add(
        self, username: str, password_hash: str, still: StillAllowed, *, is_admin: bool, expires_at: str
    ) -> User:
        """With a password to be changed at the first sign-in, until then. Raises Conflict "username-taken"."""
        async with self._database.write() as connection:
            await still()
            try:
                user_id = await insert_user(
                    connection,
                    username,
                    password_hash,
                    is_admin=is_admin,
                    must_change_password=True,
                    password_expires_at=expires_at,
                )
            except IntegrityError as error:
                raise Conflict("username-taken", f"There is a user of the name {username} already.") from error
            user = await _find(connection, user_id)
            assert user is not None  # noqa: S101  inserted in this very transaction
            return user

    async def remove(self, user: User, still: StillAllowed) -> bool:
        """With its sessions and tokens. False when it is gone already. Raises Conflict "last-admin"."""
        async with self._database.write() as connection:
            await still()
            others = (_USERS.c.is_admin == 1) & (_USERS.c.id != user.id)
            if user.is_admin and not await connection.scalar(select(func.count()).where(others)):
                raise Conflict("last-admin", "This is the last administrator, without whom nobody could manage users.")
            return (await connection.execute(_USERS.delete().where(_USERS.c.id == user.id))).rowcount == 1

    async def reset_password(self, user: User, new_hash: str, still: StillAllowed, *, expires_at: str) -> bool:
        """To be changed at the next sign-in, until then; sessions and tokens end.

        False when the password changed meanwhile.
        """
        async with self._database.write() as connection:
            await still()
            values = {"password_hash": new_hash, "must_change_password": 1, "password_expires_at": expires_at}
            if not await update_as_read(connection, user, values):
                return False
            await end_sessions(connection, user.id)
            await connection.execute(_TOKENS.delete().where(_TOKENS.c.user_id == user.id))
            return True


async def _find(connection: Connection, user_id: int) -> User | None:
    row = (await connection.execute(select(_USERS).where(_USERS.c.id == user_id))).first()
    return None if row is None else user_of(row)
