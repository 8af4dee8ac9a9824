"""What may be asked of an account: how it may be called, and what a token of its may do."""

from collections.abc import Awaitable, Callable
from enum import StrEnum

USERNAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
"""ASCII alone: the database tells names apart without regard to case, and knows no other letters' cases."""


StillAllowed = Callable[[], Awaitable[object]]
"""Raises what somebody is told who may no longer have what was asked for: the asking may have had to wait.

It is called with the one lock for writing in hand, so it must not write. Who ends an account waits for that lock,
so nothing comes between.
"""


async def always() -> None:
    """For what is asked for on the host, by nobody who can be signed out."""


class Scope(StrEnum):
    """What a personal API token may do; each includes those above it."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    def includes(self, needed: "Scope") -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(needed)
