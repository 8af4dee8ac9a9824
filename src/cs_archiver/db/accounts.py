"""Users and their sessions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.database import Database

_USERS = tables.users
_SESSIONS = tables.sessions


@dataclass(frozen=True, slots=True)
class User:
    id: int
    username: str
    password_hash: str = field(repr=False)
    is_admin: bool
    must_change_password: bool
    created_at: str
    last_login: str | None


class Accounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_empty(self) -> bool:
        async with self._database.read() as connection:
            return not await connection.scalar(select(func.count()).select_from(_USERS))

    async def add(self, username: str, password_hash: str, *, is_admin: bool, must_change_password: bool) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                _USERS.insert().values(
                    username=username,
                    password_hash=password_hash,
                    is_admin=int(is_admin),
                    must_change_password=int(must_change_password),
                    created_at=now_text(),
                )
            )

    async def by_name(self, username: str) -> User | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(_USERS).where(_USERS.c.username == username))).first()
        return None if row is None else _user_of(row)

    async def begin_session(self, user: User, *, jti: str, expires_at: str, new_hash: str | None = None) -> bool:
        """Begin a session, and replace the hash of the same password by `new_hash` if one is given.

        False, and nothing is changed, when the password was changed since `user` was read.
        """
        async with self._database.write() as connection:
            values = {"last_login": now_text(), "password_hash": new_hash or user.password_hash}
            if not await _update_as_read(connection, user, values):
                return False
            await connection.execute(_SESSIONS.delete().where(_SESSIONS.c.expires_at <= now_text()))
            await _insert_session(connection, user, jti=jti, expires_at=expires_at)
            return True

    async def by_session(self, jti: str) -> User | None:
        """The user of a session that has neither ended nor expired."""
        query = (
            select(_USERS)
            .join(_SESSIONS, _SESSIONS.c.user_id == _USERS.c.id)
            .where(_SESSIONS.c.jti == jti, _SESSIONS.c.expires_at > now_text())
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _user_of(row)

    async def end_session(self, jti: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(_SESSIONS.delete().where(_SESSIONS.c.jti == jti))

    async def change_password(self, user: User, new_hash: str, *, jti: str, expires_at: str) -> bool:
        """Set the password, end every session of the user and begin one new one, all in one transaction.

        False, and nothing is changed, when the password was changed since `user` was read.
        """
        async with self._database.write() as connection:
            values = {"password_hash": new_hash, "must_change_password": 0}
            if not await _update_as_read(connection, user, values):
                return False
            await connection.execute(_SESSIONS.delete().where(_SESSIONS.c.user_id == user.id))
            await _insert_session(connection, user, jti=jti, expires_at=expires_at)
            return True


async def _update_as_read(connection: AsyncConnection, user: User, values: Mapping[str, Any]) -> bool:
    as_read = (_USERS.c.id == user.id) & (_USERS.c.password_hash == user.password_hash)
    return (await connection.execute(_USERS.update().where(as_read).values(values))).rowcount == 1


async def _insert_session(connection: AsyncConnection, user: User, *, jti: str, expires_at: str) -> None:
    await connection.execute(
        _SESSIONS.insert().values(jti=jti, user_id=user.id, created_at=now_text(), expires_at=expires_at)
    )


def _user_of(row: Row[Any]) -> User:
    values = dict(row._mapping)
    for flag in ("is_admin", "must_change_password"):
        values[flag] = bool(values[flag])
    return User(**values)
