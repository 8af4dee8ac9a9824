"""Passwords: which are taken, and how they are hashed and compared."""

import asyncio
import base64
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from cs_archiver.errors import InvalidRequest

_T = TypeVar("_T")

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1024

_HASHES_AT_ONCE = 2  # each takes argon2's full memory, and the archive tools need the processors

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


class Passwords:
    """Argon2id in threads of its own, a few at once."""

    def __init__(self, cost: HashCost) -> None:
        self._hasher = PasswordHasher(cost.time, cost.memory_kib, cost.parallelism)
        self._nobodys_hash = _hash_without_password(cost)
        self._threads = ThreadPoolExecutor(_HASHES_AT_ONCE, thread_name_prefix="argon2")

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    async def hash(self, password: str) -> str:
        return await self._in_thread(self._hasher.hash, password)

    async def fits(self, password_hash: str | None, password: str) -> bool:
        """Without a hash, of nobody's, it takes as long as with one, and no password fits."""

        def verify() -> bool:
            try:
                return self._hasher.verify(password_hash or self._nobodys_hash, password)
            except VerifyMismatchError:
                return False

        return await self._in_thread(verify)

    async def rehashed(self, password_hash: str, password: str) -> str | None:
        """A hash of the present cost, if this one was made at another."""
        return await self.hash(password) if self._hasher.check_needs_rehash(password_hash) else None

    async def _in_thread(self, function: Callable[..., _T], *arguments: str) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def require_strong(password: str, *, username: str, current: str = "", member: str = "new_password") -> None:
    """Raises InvalidRequest "weak-password", which points at `member` of the body."""
    flaw = password_flaw(password, username=username, current=current)
    if flaw is not None:
        raise wrong_member("weak-password", member, flaw)


def wrong_member(problem: str, member: str, detail: str) -> InvalidRequest:
    """The refusal of one value of a body."""
    return InvalidRequest(problem, detail, errors=[{"pointer": f"#/{member}", "detail": detail}])


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


def _hash_without_password(cost: HashCost) -> str:
    salt, digest = (base64.b64encode(bytes(length)).decode().rstrip("=") for length in (16, 32))
    return f"$argon2id$v=19$m={cost.memory_kib},t={cost.time},p={cost.parallelism}${salt}${digest}"
