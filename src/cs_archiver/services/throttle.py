"""Slows down the guessing of passwords: each account and each address, without shutting anybody out."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from cs_archiver.errors import InvalidRequest

_Key = TypeVar("_Key", bound=Hashable)

_MOST_KEYS = 10_000
_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_NAME = 64  # beyond it there are no accounts
_IPV6_NETWORK_BITS = 64  # what one household or server has


class TooManyAttempts(InvalidRequest):
    """Wait before trying again; `is_first` tells the one that began the wait from those that ignored it."""

    status = 429

    def __init__(self, wait_seconds: float, *, is_first: bool) -> None:
        seconds = max(1, math.ceil(wait_seconds))
        detail = f"Too many attempts to sign in have failed: try again in {seconds} s."
        super().__init__("too-many-attempts", detail, retry_after=seconds)
        self.is_first = is_first


@dataclass(slots=True)
class _Count:
    failures: float = 0.0
    at: float = 0.0
    until: float = 0.0
    told: bool = False


class _Limit(NamedTuple):
    """So many failures are free; one is forgotten each `forget_seconds`."""

    free: int
    forget_seconds: float


_OF_A_PAIR = _Limit(5, 180)  # one account from one address
_OF_AN_ADDRESS = _Limit(20, 3)
_OF_AN_ACCOUNT = _Limit(50, 18)  # from all addresses together


class _Counts(Generic[_Key]):
    """Failures by key, of the keys last seen."""

    def __init__(self, limit: _Limit) -> None:
        self._limit = limit
        self._counts: OrderedDict[_Key, _Count] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def of(self, key: _Key, now: float) -> _Count:
        """As it stands at this moment; made if it is new."""
        count = self._counts.setdefault(key, _Count(at=now))
        self._counts.move_to_end(key)
        if len(self._counts) > _MOST_KEYS:
            self._counts.popitem(last=False)
        count.failures = max(0.0, count.failures - (now - count.at) / self._limit.forget_seconds)
        count.at = now
        return count

    def require_no_wait(self, key: _Key, now: float) -> None:
        count = self.of(key, now)
        if count.until > now:
            is_first, count.told = not count.told, True
            raise TooManyAttempts(count.until - now, is_first=is_first)

    def is_over(self, key: _Key, now: float) -> bool:
        return self.of(key, now).failures > self._limit.free

    def add(self, key: _Key, now: float, *, free: int | None = None) -> None:
        count = self.of(key, now)
        count.failures += 1
        beyond = round(count.failures) - (self._limit.free if free is None else free)
        if beyond >= 0:
            count.until = now + min(2.0 ** min(beyond, 10), _LONGEST_WAIT_SECONDS)
            count.told = False

    def take_back(self, key: _Key, now: float) -> None:
        count = self.of(key, now)
        count.failures = max(0.0, count.failures - 1)
        count.until = min(count.until, now)

    def clear(self, key: _Key) -> None:
        self._counts.pop(key, None)


class LoginThrottle:
    """Waits grow from 1 s to 60 s and fade by themselves.

    Failures elsewhere never keep an address from its first attempt at an account, so that no one can lock its owner
    out; they only leave each address fewer attempts that are free.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._pairs: _Counts[tuple[str, str]] = _Counts(_OF_A_PAIR)
        self._addresses: _Counts[str] = _Counts(_OF_AN_ADDRESS)
        self._accounts: _Counts[str] = _Counts(_OF_AN_ACCOUNT)

    def begin(self, username: str, address: str) -> None:
        """Counts as a failure until `succeeded`, so that many at once are no way around. Raises TooManyAttempts."""
        now = self._clock()
        name, network = _folded(username), network_of(address)
        self._addresses.require_no_wait(network, now)
        self._pairs.require_no_wait((name, network), now)
        self._accounts.add(name, now)
        self._addresses.add(network, now)
        self._pairs.add((name, network), now, free=1 if self._accounts.is_over(name, now) else None)

    def succeeded(self, username: str, address: str) -> None:
        now = self._clock()
        name, network = _folded(username), network_of(address)
        self._pairs.clear((name, network))
        self._addresses.take_back(network, now)
        self._accounts.take_back(name, now)

    def undecided(self, username: str, address: str) -> None:
        """The attempt was neither right nor wrong: as if it had not been made."""
        now = self._clock()
        name, network = _folded(username), network_of(address)
        self._pairs.take_back((name, network), now)
        self._addresses.take_back(network, now)
        self._accounts.take_back(name, now)

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._pairs) + len(self._addresses) + len(self._accounts)


def _folded(username: str) -> str:
    return username[:_LONGEST_NAME].casefold()


def network_of(address: str) -> str:
    """What is counted as one: an IPv4 address, or all of the IPv6 addresses that one household or server has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _IPV6_NETWORK_BITS), strict=False))
    return str(found)
