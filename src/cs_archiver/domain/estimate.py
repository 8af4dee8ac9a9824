"""How long a job will take, as far as the last ones tell."""

from collections.abc import Sequence
from typing import NamedTuple


class Past(NamedTuple):
    """A job that went through."""

    size_bytes: int
    seconds: float


def expected_seconds(size_bytes: int, past: Sequence[Past]) -> float | None:
    """By their rate, but never less than the shortest of them took; None if there were none."""
    if not past:
        return None
    total_bytes, total_seconds = sum(job.size_bytes for job in past), sum(job.seconds for job in past)
    at_least = min(job.seconds for job in past)
    return max(at_least, size_bytes * total_seconds / total_bytes) if total_bytes else at_least
