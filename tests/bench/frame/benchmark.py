"""What a benchmark is, and what it gives back: the claims it settles, and the section that shows how."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

FEWEST_ROUNDS = 5

Tell = Callable[[str], None]
"""Shows one line to whoever waits."""


@dataclass(frozen=True, slots=True)
class Order:
    """How a benchmark is to be run: at the quick scale or in full, and so many rounds, of which medians are taken.

    `only`: just the cases that hold this in their name.
    """

    full: bool
    rounds: int
    only: str
    tell: Tell


class Claim(NamedTuple):
    """One line of the table of claims.

    `wanted` is empty where nobody set a limit. `ratio` is against the baseline of the same run, with its spread; empty
    where none fits. `bound` says what bounds it where it is not met; None where it is.
    """

    what: str
    wanted: str
    measured: str
    ratio: str
    bound: str | None


class Findings(NamedTuple):
    """`body` is Markdown without the heading and without the circumstances, which the frame writes above it."""

    claims: list[Claim]
    body: str


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`name` is what `make bench ONLY=` takes; `versions` name programs and packages whose versions matter.

    Unless `by_default`, it runs only when it is asked for by name; unless `in_rounds`, it measures all once.
    """

    name: str
    heading: str
    measure: Callable[[Order], Awaitable[Findings]]
    versions: tuple[str, ...] = ()
    by_default: bool = True
    in_rounds: bool = True

    def command(self, *, full: bool) -> str:
        """What writes its figures anew."""
        return f"make bench ONLY={self.name}{' FULL=1' if full else ''} WRITE=1"
