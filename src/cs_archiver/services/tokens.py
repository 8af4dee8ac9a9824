"""Personal API tokens: what programs show in place of a person's sign-in."""

import hashlib
import logging
import secrets
from dataclasses import dataclass, field
from datetime import timedelta

from cs_archiver.bus import Bus
from cs_archiver.clock import now_text
from cs_archiver.db.accounts import User
from cs_archiver.db.tokens import TokenLine, Tokens
from cs_archiver.domain.access import Scope
from cs_archiver.domain.events import SessionEnded
from cs_archiver.errors import Forbidden, NeedsOperator, NotFound
from cs_archiver.services.accounts import Caller
from cs_archiver.services.signing import token_refused

_log = logging.getLogger(__name__)

PREFIX = "csa_"
"""By which a token is told apart from a session's, and found where it was leaked."""

_RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewToken:
    """`token` is shown this once: only its hash is kept."""

    token: str = field(repr=False)
    line: TokenLine


class TokenService:
    def __init__(self, tokens: Tokens, bus: Bus) -> None:
        self._tokens = tokens
        self._bus = bus

    async def listed(self, user: User) -> list[TokenLine]:
        """The newest first, also those that have expired."""
        return await self._tokens.listed(user)

    async def create(self, user: User, *, name: str, scope: Scope, lifetime: timedelta) -> NewToken:
        """Raises Forbidden when the scope is above the user, and Conflict "too-many-tokens"."""
        if scope is Scope.ADMIN and not user.is_admin:
            raise Forbidden("admins-only", "Only an administrator's token may have the scope admin.")
        token = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        expires_at = now_text(after=lifetime)
        line = await self._tokens.add(user, sha256=_hash(token), name=name, scope=scope, expires_at=expires_at)
        if line is None:
            raise token_refused()  # the session ended at this moment, with its password or its user
        return NewToken(token, line)

    async def revoke(self, user: User, token_id: int) -> None:
        """Raises NotFound when the user has no such token."""
        if not await self._tokens.remove(user, token_id):
            raise NotFound("token-not-found", "You have no token of this id.")
        self._bus.publish(SessionEnded(_credential(token_id)))

    async def authenticate(self, token: str) -> Caller:
        """Whom the token stands for; only reads, also within a transaction of somebody else's.

        Raises NotAuthenticated when it no longer counts, or never did.
        """
        return _caller_by(*await self._found(token))

    async def use(self, token: str) -> Caller:
        """As `authenticate`, and note when it was used."""
        user, line = await self._found(token)
        try:
            await self._tokens.note_use(line)
        except NeedsOperator as error:  # reading goes on while nothing can be written
            _log.warning("the use of token %d of %s is not noted: %s", line.id, user.username, error)
        return _caller_by(user, line)

    async def _found(self, token: str) -> tuple[User, TokenLine]:
        found = await self._tokens.by_sha256(_hash(token)) if token.isascii() else None
        if found is None:
            raise token_refused()
        return found


def _caller_by(user: User, line: TokenLine) -> Caller:
    return Caller(user, _credential(line.id), line.expires_at, line.created_at, line.scope)


def _credential(token_id: int) -> str:
    return f"token-{token_id}"


def _hash(token: str) -> bytes:
    # No salt, no slow hash: 32 random bytes cannot be guessed.
    return hashlib.sha256(token.encode("ascii")).digest()
