"""How much of each suite runs: a slice of it in `make test`, all of it or one part of that in `make test-faults`."""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")

FULL = os.environ.get("CS_ARCHIVER_FAULTS") == "full"


class Part(NamedTuple):
    """The `number`-th, from 1, of so many parts of about the same size and mixture; each test is in one of them."""

    number: int
    of: int

    def among(self, tests: Sequence[T]) -> Sequence[T]:
        """Every so many-th of them."""
        return tests[self.number - 1 :: self.of]


def pick(a_slice: T, everything: T) -> T:
    """What is to be run at the present scale."""
    return everything if FULL else a_slice


def part_of(text: str) -> Part:
    """Of "3/10"; all of it when empty. Raises ValueError."""
    match = re.fullmatch(r"(\d+)/(\d+)", text or "1/1")
    part = Part(int(match[1]), int(match[2])) if match else None
    if part is None or not 1 <= part.number <= part.of:
        raise ValueError(f"CS_ARCHIVER_FAULTS_PART is {text!r}: write it as 3/10, the third of ten parts")
    return part


PART = part_of(os.environ.get("CS_ARCHIVER_FAULTS_PART", ""))
