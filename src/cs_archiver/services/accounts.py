"""Who may come in: passwords, sign-ins, and the tokens that stand for them."""

import asyncio
import base64
import fcntl
import logging
import os
import re
import secrets
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from cs_archiver.clock import to_text
from cs_archiver.db.accounts import Accounts, User
from cs_archiver.errors import ConfigError, InvalidRequest, NotAuthenticated

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

FIRST_USERNAME = "admin"
FIRST_PASSWORD = "changeme"  # noqa: S105  known to all, and so it must be changed before anything else
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1024

_HASHES_AT_ONCE = 2  # each takes argon2's full memory, and the archive tools need the processors
_ALGORITHM = "HS256"
_ISSUER = _AUDIENCE = "cs-archiver"
_CLAIMS = ["aud", "exp", "iat", "iss", "jti", "sub"]
_CLOCK_LEEWAY = timedelta(seconds=30)
_SECRET_BYTES = 48
_SHORTEST_SECRET_BYTES = 32

_COMMON_WORD = re.compile(
    r"changeme|changeit|password|passwort|passwd|qwerty(uiop)?|qwertz(uiop)?|azerty(uiop)?|asdfgh(jkl)?"
    r"|admin(istrator)?|root|user|welcome|letmein|secret|iloveyou|default|csarchiver|archiver|abc|test"
)


@dataclass(frozen=True, slots=True)
class HashCost:
    """What one Argon2id hash costs: passes, memory in KiB, lanes."""

    time: int
    memory_kib: int
    parallelism: int


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in: `token` is what the client shows from now on."""

    token: str = field(repr=False)
    user: User


class _Ticket(NamedTuple):
    token: str
    jti: str
    expires_at: str


class AccountService:
    """Sign-in and sign-out. Every token stands for a row of `sessions`, so ending one counts at once."""

    def __init__(self, accounts: Accounts, *, cost: HashCost, secret: str, lifetime: timedelta) -> None:
        """`secret` signs the tokens (at least 32 bytes), which count for `lifetime`."""
        self._accounts = accounts
        self._hasher = PasswordHasher(cost.time, cost.memory_kib, cost.parallelism)
        self._nobodys_hash = _hash_without_password(cost)
        self._threads = ThreadPoolExecutor(_HASHES_AT_ONCE, thread_name_prefix="argon2")
        self._secret = secret
        self._lifetime = lifetime

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    async def ensure_first_admin(self, initial_password: str) -> None:
        """Create the first account if there is none.

        Without `initial_password` it gets the well-known one, which must be changed before anything else.
        """
        if not await self._accounts.is_empty():
            return
        password_hash = await self._in_thread(self._hasher.hash, initial_password or FIRST_PASSWORD)
        await self._accounts.add(
            FIRST_USERNAME, password_hash, is_admin=True, must_change_password=not initial_password
        )
        _log.info("the first account is created: %s", FIRST_USERNAME)

    async def login(self, username: str, password: str) -> Session:
        """Raises NotAuthenticated, with the same words after the same time whether the name is known or not."""
        user = await self._accounts.by_name(username)
        fits = await self._fits(self._nobodys_hash if user is None else user.password_hash, password)
        if user is None or not fits:
            raise _login_refused()
        new_hash = None
        if self._hasher.check_needs_rehash(user.password_hash):
            new_hash = await self._in_thread(self._hasher.hash, password)
        token, jti, expires_at = self._ticket(user)
        if not await self._accounts.begin_session(user, jti=jti, expires_at=expires_at, new_hash=new_hash):
            raise _login_refused()
        return Session(token, user)

    async def authenticate(self, token: str) -> User:
        """The user a token stands for. Raises NotAuthenticated when it no longer counts, or never did."""
        claims = self._claims(token)
        user = await self._accounts.by_session(claims["jti"])
        if user is None or str(user.id) != claims["sub"]:
            raise _token_refused()
        return user

    async def logout(self, token: str) -> None:
        await self._accounts.end_session(self._claims(token)["jti"])

    async def change_password(self, user: User, current: str, new: str) -> Session:
        """Every session of the user ends and a new one begins.

        Raises InvalidRequest when `current` is wrong or `new` is too weak.
        """
        if not await self._fits(user.password_hash, current):
            raise _refused("wrong-password", "current_password", "This is not your present password.")
        if (flaw := password_flaw(new, username=user.username, current=current)) is not None:
            raise _refused("weak-password", "new_password", flaw)
        new_hash = await self._in_thread(self._hasher.hash, new)
        token, jti, expires_at = self._ticket(user)
        if not await self._accounts.change_password(user, new_hash, jti=jti, expires_at=expires_at):
            raise _token_refused()  # another change of the password ended this session
        return Session(token, replace(user, password_hash=new_hash, must_change_password=False))

    async def _fits(self, password_hash: str, password: str) -> bool:
        def verify() -> bool:
            try:
                return self._hasher.verify(password_hash, password)
            except VerifyMismatchError:
                return False

        return await self._in_thread(verify)

    async def _in_thread(self, function: Callable[..., _T], *arguments: str) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _ticket(self, user: User) -> _Ticket:
        now = datetime.now(UTC).replace(microsecond=0)
        expires = now + self._lifetime
        jti = uuid.uuid4().hex
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": str(user.id),
            "jti": jti,
            "iat": now,
            "exp": expires,
        }
        return _Ticket(jwt.encode(claims, self._secret, algorithm=_ALGORITHM), jti, to_text(expires))

    def _claims(self, token: str) -> dict[str, Any]:
        if not token.isascii():
            raise _token_refused()
        try:
            return jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                audience=_AUDIENCE,
                leeway=_CLOCK_LEEWAY,
                options={"require": _CLAIMS},
            )
        except (jwt.InvalidTokenError, RecursionError) as error:
            raise _token_refused() from error


def password_flaw(password: str, *, username: str, current: str) -> str | None:
    """Why this cannot be somebody's new password, or None."""
    if len(password) < SHORTEST_PASSWORD:
        return f"A password has at least {SHORTEST_PASSWORD} characters."
    if len(password) > LONGEST_PASSWORD:
        return f"A password has at most {LONGEST_PASSWORD} characters."
    if password == current:
        return "The new password must differ from the old one."
    if _is_easily_guessed(password, username):
        return "This password is among the first that are tried: choose a few words that do not belong together."
    return None


def _is_easily_guessed(password: str, username: str) -> bool:
    folded = password.casefold()
    steps = {ord(after) - ord(before) for before, after in pairwise(folded)}
    is_run = steps <= {1, -9} or steps <= {-1, 9}  # abcd, 7890123 and backwards
    letters = "".join(filter(str.isalpha, folded))
    name = username.casefold()
    rest = _COMMON_WORD.sub("", letters.replace(name, "") if len(name) > 2 else letters)
    return len(set(folded)) < 5 or is_run or (rest != letters and len(rest) < 3)


def load_or_create_secret(path: Path) -> str:
    """The key that signs the tokens, kept in a file that only its owner can read; made at the first start.

    Raises ConfigError when the file cannot be read or written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            found = stream.read().decode("ascii").strip()
            return found if len(found) >= _SHORTEST_SECRET_BYTES else _write_secret(stream.fileno(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected a file for the key that signs the tokens: {error}") from error


def _write_secret(descriptor: int, path: Path) -> str:
    # A shorter content is what a power cut left of the first writing: no token was ever signed with it.
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, secret.encode("ascii"), 0)
    os.fsync(descriptor)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return secret


def _hash_without_password(cost: HashCost) -> str:
    """Verified for unknown names, so that they take as long as known ones; no password fits it."""
    salt, digest = (base64.b64encode(bytes(length)).decode().rstrip("=") for length in (16, 32))
    return f"$argon2id$v=19$m={cost.memory_kib},t={cost.time},p={cost.parallelism}${salt}${digest}"


def _login_refused() -> NotAuthenticated:
    return NotAuthenticated("login-failed", "The user name is unknown or the password is wrong.")


def _token_refused() -> NotAuthenticated:
    return NotAuthenticated("not-authenticated", "The token is not valid or no longer counts: sign in again.")


def _refused(problem: str, member: str, detail: str) -> InvalidRequest:
    return InvalidRequest(problem, detail, errors=[{"pointer": f"#/{member}", "detail": detail}])
