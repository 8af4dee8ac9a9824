"""Users and their sessions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, func, select

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.database import Database
from cs_archiver.db.second_factors import Proof, spend

_USERS = tables.users
_SESSIONS = tables.sessions

# Asked with every request: building it takes as long as running it.
_BY_SESSION = (
    select(_USERS, _SESSIONS.c.created_at.label("begun_at"), _SESSIONS.c.expires_at, _SESSIONS.c.last_used_at)
    .join(_SESSIONS, _SESSIONS.c.user_id == _USERS.c.id)
    .where(_SESSIONS.c.jti == bindparam("jti"), _SESSIONS.c.expires_at > bindparam("now"))
)

_NOTE_USE = _SESSIONS.update().where(_SESSIONS.c.jti == bindparam("of")).values(last_used_at=bindparam("at"))

MOST_SESSIONS = 100
"""Of one user at a time: a script that signs in at each run must not fill the table."""


@dataclass(frozen=True, slots=True)
class User:
    id: int
    username: str
    password_hash: str = field(repr=False)
    is_admin: bool
    must_change_password: bool
    created_at: str
    last_login: str | None
    password_expires_at: str | None
    totp_secret: str | None = field(repr=False)

    @property
    def has_second_factor(self) -> bool:
        return self.totp_secret is not None


@dataclass(frozen=True, slots=True)
class Begun:
    """A session as it begins: where from is for people, to know their own again."""

    jti: str
    expires_at: str
    address: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class SessionLine:
    jti: str
    created_at: str
    expires_at: str
    address: str
    user_agent: str
    last_used_at: str


class SessionRow(NamedTuple):
    """What a session's token stands for, until `expires_at` at the latest."""

    user: User
    begun_at: str
    expires_at: str
    last_used_at: str


class Accounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_empty(self) -> bool:
        async with self._database.read() as connection:
            return not await connection.scalar(select(func.count()).select_from(_USERS))

    async def add(self, username: str, password_hash: str, *, is_admin: bool, must_change_password: bool) -> None:
        async with self._database.write() as connection:
            await insert_user(
                connection, username, password_hash, is_admin=is_admin, must_change_password=must_change_password
            )

    async def by_name(self, username: str) -> User | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(_USERS).where(_USERS.c.username == username))).first()
        return None if row is None else user_of(row)

    async def begin_session(
        self,
        user: User,
        begun: Begun,
        *,
        new_hash: str | None = None,
        instead_of: str | None = None,
        proof: Proof | None = None,
    ) -> list[str] | None:
        """Begin a session, and replace the hash of the same password by `new_hash` if one is given.

        Gives back the sessions that this one ended: the one it takes the place of, and the oldest beyond the most there
        may be. None, and nothing is changed, when the password or the second factor was changed since `user` was read.
        Raises as `spend` does.
        """
        async with self._database.write() as connection:
            values = {"last_login": now_text(), "password_hash": new_hash or user.password_hash}
            if not await update_as_read(connection, user, values):
                return None
            if proof is not None:
                await spend(connection, user.id, proof)
            over = (_SESSIONS.c.expires_at <= now_text()) | (_SESSIONS.c.jti == instead_of)
            await connection.execute(_SESSIONS.delete().where(over))
            await _insert_session(connection, user, begun)
            replaced = [] if instead_of is None else [instead_of]
            return replaced + await _end_oldest(connection, user)

    async def by_session(self, jti: str) -> SessionRow | None:
        """A session that has neither ended nor expired."""
        for row in await self._database.rows(_BY_SESSION, {"jti": jti, "now": now_text()}):
            return SessionRow(user_of(row), row.begun_at, row.expires_at, row.last_used_at)
        return None

    async def note_use(self, used: Mapping[str, str], *, end_unused_since: str | None) -> list[str]:
        """Write down when each session was last used, by its `jti`, and end those not used since that moment.

        Gives back the sessions that ended.
        """
        async with self._database.write() as connection:
            if used:
                moments = [{"of": jti, "at": moment} for jti, moment in used.items()]
                await connection.execute(_NOTE_USE, moments)
            if end_unused_since is None:
                return []
            unused = _SESSIONS.delete().where(_SESSIONS.c.last_used_at <= end_unused_since)
            return list((await connection.scalars(unused.returning(_SESSIONS.c.jti))).all())

    async def sessions(self, user: User) -> list[SessionLine]:
        """Those that still count, the newest first."""
        columns = [_SESSIONS.c[name] for name in SessionLine.__slots__]
        query = (
            select(*columns)
            .where(_SESSIONS.c.user_id == user.id, _SESSIONS.c.expires_at > now_text())
            .order_by(_SESSIONS.c.created_at.desc(), _SESSIONS.c.jti)
        )
        return [SessionLine(*row) for row in await self._database.rows(query)]

    async def end_session(self, user: User, jti: str) -> bool:
        """False when the user has no such session."""
        mine = (_SESSIONS.c.jti == jti) & (_SESSIONS.c.user_id == user.id)
        async with self._database.write() as connection:
            return (await connection.execute(_SESSIONS.delete().where(mine))).rowcount == 1

    async def change_password(self, user: User, new_hash: str, begun: Begun) -> bool:
        """Set the password, end every session of the user and begin one new one, all in one transaction.

        False, and nothing is changed, when the password or the second factor was changed since `user` was read.
        """
        async with self._database.write() as connection:
            values = {"password_hash": new_hash, "must_change_password": 0, "password_expires_at": None}
            if not await update_as_read(connection, user, values):
                return False
            await end_sessions(connection, user.id)
            await _insert_session(connection, user, begun)
            return True


async def insert_user(
    connection: Connection,
    username: str,
    password_hash: str,
    *,
    is_admin: bool,
    must_change_password: bool,
    password_expires_at: str | None = None,
) -> int:
    """Gives back the id of the new user."""
    inserted = await connection.execute(
        _USERS.insert()
        .values(
            username=username,
            password_hash=password_hash,
            is_admin=int(is_admin),
            must_change_password=int(must_change_password),
            created_at=now_text(),
            password_expires_at=password_expires_at,
        )
        .returning(_USERS.c.id)
    )
    return int(inserted.scalar_one())


async def end_sessions(connection: Connection, user_id: int) -> None:
    await connection.execute(_SESSIONS.delete().where(_SESSIONS.c.user_id == user_id))


async def update_as_read(connection: Connection, user: User, values: Mapping[str, Any]) -> bool:
    """False, and nothing is changed, when the user is gone, or its password or second factor was changed since."""
    as_read = (
        (_USERS.c.id == user.id)
        & (_USERS.c.password_hash == user.password_hash)
        & _USERS.c.totp_secret.is_not_distinct_from(user.totp_secret)
    )
    return (await connection.execute(_USERS.update().where(as_read).values(values))).rowcount == 1


async def _insert_session(connection: Connection, user: User, begun: Begun) -> None:
    await connection.execute(
        _SESSIONS.insert().values(
            jti=begun.jti,
            user_id=user.id,
            created_at=(now := now_text()),
            expires_at=begun.expires_at,
            address=begun.address,
            user_agent=begun.user_agent,
            last_used_at=now,
        )
    )


async def _end_oldest(connection: Connection, user: User) -> list[str]:
    newest_first = (
        select(_SESSIONS.c.jti)
        .where(_SESSIONS.c.user_id == user.id)
        .order_by(_SESSIONS.c.created_at.desc())
        .offset(MOST_SESSIONS)
        .limit(-1)
    )
    ended = list((await connection.scalars(newest_first)).all())
    if ended:
        await connection.execute(_SESSIONS.delete().where(_SESSIONS.c.jti.in_(ended)))
    return ended


def user_of(row: Row[Any]) -> User:
    return User(
        id=row.id,
        username=row.username,
        password_hash=row.password_hash,
        is_admin=bool(row.is_admin),
        must_change_password=bool(row.must_change_password),
        created_at=row.created_at,
        last_login=row.last_login,
        password_expires_at=row.password_expires_at,
        totp_secret=row.totp_secret,
    )
