"""How many sign-ins may wait for their password to be compared: nobody waits behind more than these."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cs_archiver.errors import InvalidRequest
from cs_archiver.services.throttle import network_of

_IN_ALL = 24
_OF_A_NETWORK = 8
_RETRY_AFTER_SECONDS = 3


class SignInBusy(InvalidRequest):
    """Nothing was tried: too many others are being signed in."""

    status = 503

    def __init__(self) -> None:
        detail = f"Too many are signing in at this moment: try again in {_RETRY_AFTER_SECONDS} s."
        super().__init__("sign-in-busy", detail, retry_after=_RETRY_AFTER_SECONDS)


class SignInQueue:
    """A few from one network, so that one alone cannot take all places."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def place(self, address: str) -> Iterator[None]:
        """Raises SignInBusy where there is none."""
        network = network_of(address)
        if self._waiting.total() >= _IN_ALL or self._waiting[network] >= _OF_A_NETWORK:
            raise SignInBusy
        self._waiting[network] += 1
        try:
            yield
        finally:
            self._waiting[network] -= 1
            if not self._waiting[network]:
                del self._waiting[network]
