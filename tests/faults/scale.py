"""How much of each suite runs: a slice of it in `make test`, all of it in `make test-faults`."""

import os

FULL = os.environ.get("CS_ARCHIVER_FAULTS") == "full"


def pick(a_slice: int, everything: int) -> int:
    """The number of runs at the present scale."""
    return everything if FULL else a_slice
