"""The key of the service, and what is signed with it: the tokens of sessions, and their form tokens."""

import base64
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jwt

from cs_archiver.clock import to_text
from cs_archiver.errors import ConfigError, NotAuthenticated
from cs_archiver.settings import CLOSED_FILE, mode_if_open

_ALGORITHM = "HS256"
_ISSUER = _AUDIENCE = "cs-archiver"
_CLAIMS = ["aud", "exp", "iat", "iss", "jti", "sub"]
_CLOCK_LEEWAY = timedelta(seconds=30)
_KNOWN_TOKENS = 1000
_SECRET_BYTES = 48
_SHORTEST_SECRET_BYTES = 32
_ID_BYTES = 16
# The bits of the last letter that encode nothing are zero: so each token has one spelling.
_SHAPE = re.compile(r"[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]", re.ASCII)


class Ticket(NamedTuple):
    """A signed token, and the session it stands for."""

    token: str
    jti: str
    expires_at: str


class Signer:
    """Signs and checks with one key, of at least 32 bytes; tokens count for `lifetime`."""

    def __init__(self, secret: str, lifetime: timedelta) -> None:
        self._secret = secret
        self.lifetime = lifetime
        self._decoded = lru_cache(maxsize=_KNOWN_TOKENS)(self._decode)

    def ticket(self, user_id: int) -> Ticket:
        now = datetime.now(UTC).replace(microsecond=0)
        expires = now + self.lifetime
        jti = secrets.token_hex(_ID_BYTES)
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": str(user_id),
            "jti": jti,
            "iat": now,
            "exp": expires,
        }
        return Ticket(jwt.encode(claims, self._secret, algorithm=_ALGORITHM), jti, to_text(expires))

    def claims(self, token: str) -> dict[str, Any]:
        """Raises NotAuthenticated for whatever is not such a token, of this service, and still valid."""
        if not _SHAPE.fullmatch(token):
            raise token_refused()
        claims = self._decoded(token)
        if int(claims["exp"]) + _CLOCK_LEEWAY.total_seconds() <= time.time():  # it was valid when it was first shown
            raise token_refused()
        return claims

    def _decode(self, token: str) -> dict[str, Any]:
        """What a good token says is looked at once, but for its time; one that is refused, each time."""
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
            raise token_refused() from error

    def form_token(self, jti: str) -> str:
        """What only pages of this service can know of a session, whose cookie goes along with other sites' requests."""
        mac = hmac.digest(self._secret.encode(), f"form token of {jti}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def token_refused() -> NotAuthenticated:
    return NotAuthenticated("not-authenticated", "The token is not valid or no longer counts: sign in again.")


def load_or_create_secret(path: Path) -> str:
    """The key that signs the tokens, kept in a file that only its owner can read; made at the first start.

    Raises ConfigError when the file cannot be read or written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            _require_closed(path)
            found = stream.read().decode("ascii").strip()
            return found if len(found) >= _SHORTEST_SECRET_BYTES else _write_secret(stream.fileno(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected a file for the key that signs the tokens: {error}") from error


def _require_closed(path: Path) -> None:
    mode = mode_if_open(path)
    if mode is not None:
        raise ConfigError(f"{path}: expected {CLOSED_FILE}, found the mode {mode}")


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
