"""What may be asked of an account: how it may be called, and what a token of its may do."""

from enum import StrEnum

USERNAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
"""ASCII alone: the database tells names apart without regard to case, and knows no other letters' cases."""


class Scope(StrEnum):
    """What a personal API token may do; each includes those above it."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    def includes(self, needed: "Scope") -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(needed)
