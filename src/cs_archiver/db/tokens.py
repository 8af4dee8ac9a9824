"""Personal API tokens, by the hash of what their owners hold."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.accounts import User, user_of
from cs_archiver.db.database import Database
from cs_archiver.domain.access import Scope
from cs_archiver.errors import Conflict

_TOKENS = tables.api_tokens
_USERS = tables.users
_COLUMNS = [_TOKENS.c[name] for name in ("id", "name", "scope", "created_at", "expires_at", "last_used_at")]
_USE_IS_NOTED_EACH = timedelta(minutes=1)

MOST_TOKENS = 100
"""Of one user at a time."""


@dataclass(frozen=True, slots=True)
class TokenLine:
    id: int
    name: str
    scope: Scope
    created_at: str
    expires_at: str
    last_used_at: str | None


class Tokens:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def listed(self, user: User) -> list[TokenLine]:
        """The newest first, also those that have expired."""
        query = select(*_COLUMNS).where(_TOKENS.c.user_id == user.id).order_by(_TOKENS.c.id.desc())
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [_line_of(*row) for row in rows]

    async def add(self, user: User, *, sha256: bytes, name: str, scope: Scope, expires_at: str) -> TokenLine | None:
        """None when the user is gone or its password was changed since it was read.

        Raises Conflict "too-many-tokens".
        """
        as_read = (_USERS.c.id == user.id) & (_USERS.c.password_hash == user.password_hash)
        values = {
            "user_id": user.id,
            "sha256": sha256,
            "name": name,
            "scope": scope,
            "created_at": now_text(),
            "expires_at": expires_at,
        }
        async with self._database.write() as connection:
            if await connection.scalar(select(_USERS.c.id).where(as_read)) is None:
                return None
            count = await connection.scalar(select(func.count()).where(_TOKENS.c.user_id == user.id))
            if (count or 0) >= MOST_TOKENS:
                raise Conflict("too-many-tokens", f"You have {MOST_TOKENS} tokens: revoke those you do not use.")
            row = (await connection.execute(_TOKENS.insert().values(values).returning(*_COLUMNS))).one()
        return _line_of(*row)

    async def remove(self, user: User, token_id: int) -> bool:
        """False when the user has no such token."""
        mine = (_TOKENS.c.id == token_id) & (_TOKENS.c.user_id == user.id)
        async with self._database.write() as connection:
            return (await connection.execute(_TOKENS.delete().where(mine))).rowcount == 1

    async def by_sha256(self, sha256: bytes) -> tuple[User, TokenLine] | None:
        """Whose token this is, if it has not expired."""
        is_valid = (_TOKENS.c.sha256 == sha256) & (_TOKENS.c.expires_at > now_text())
        token_query = select(_TOKENS.c.user_id, *_COLUMNS).where(is_valid)
        async with self._database.read() as connection:
            found = (await connection.execute(token_query)).first()
            if found is None:
                return None
            user_id, *columns = found
            row = (await connection.execute(select(_USERS).where(_USERS.c.id == user_id))).one()
        return user_of(row), _line_of(*columns)

    async def note_use(self, token: TokenLine) -> None:
        """At most once a minute, so that reading does not become writing."""
        if token.last_used_at is not None and token.last_used_at > now_text(after=-_USE_IS_NOTED_EACH):
            return
        async with self._database.write() as connection:
            used = _TOKENS.update().where(_TOKENS.c.id == token.id).values(last_used_at=now_text())
            await connection.execute(used)


def _line_of(
    token_id: int, name: str, scope: str, created_at: str, expires_at: str, last_used_at: str | None
) -> TokenLine:
    return TokenLine(token_id, name, Scope(scope), created_at, expires_at, last_used_at)
