"""Passwords: how they are hashed, compared and judged, in threads of their own."""

import asyncio
import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from cs_archiver.errors import InvalidRequest
from cs_archiver.services.password_rules import password_flaw

_T = TypeVar("_T")

_HASHES_AT_ONCE = 2  # each takes argon2's full memory, and the archive tools need the processors


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
        self._new_ones = asyncio.Semaphore(_HASHES_AT_ONCE - 1)  # who signs in waits behind no row of new accounts

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    async def hash(self, password: str) -> str:
        async with self._new_ones:
            return await self._in_thread(self._hasher.hash, password)

    async def fits(self, password_hash: str | None, password: str) -> bool:
        """Without a hash, of nobody's, it takes as long as with one, and no password fits."""

        return await self._in_thread(matches, password_hash or self._nobodys_hash, password)

    async def rehashed(self, password_hash: str, password: str) -> str | None:
        """A hash of the present cost, if this one was made at another."""
        return await self.hash(password) if self._hasher.check_needs_rehash(password_hash) else None

    async def require_strong(
        self, password: str, *, username: str, current: str = "", member: str = "new_password"
    ) -> None:
        """Raises InvalidRequest "weak-password", which points at `member` of the body."""
        async with self._new_ones:
            flaw = await self._in_thread(partial(password_flaw, password, username=username, current=current))
        if flaw is not None:
            raise wrong_member("weak-password", member, flaw)

    async def _in_thread(self, function: Callable[..., _T], *arguments: str) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def matches(password_hash: str, password: str) -> bool:
    """Blocks as long as the hash costs."""
    try:
        return PasswordHasher().verify(password_hash, password)
    except VerifyMismatchError:
        return False


def wrong_member(problem: str, member: str, detail: str) -> InvalidRequest:
    """The refusal of one value of a body."""
    return InvalidRequest(problem, detail, errors=[{"pointer": f"#/{member}", "detail": detail}])


def _hash_without_password(cost: HashCost) -> str:
    salt, digest = (base64.b64encode(bytes(length)).decode().rstrip("=") for length in (16, 32))
    return f"$argon2id$v=19$m={cost.memory_kib},t={cost.time},p={cost.parallelism}${salt}${digest}"
