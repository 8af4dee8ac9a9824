"""Long lists, made a few at a time so that others get their turn of the event loop in between."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

_Row = TypeVar("_Row")
_Line = TypeVar("_Line")

_A_TURN = 500  # takes a few milliseconds


async def made_of(rows: Sequence[_Row], make: Callable[[_Row], _Line]) -> list[_Line]:
    """`make` of every row, in order."""
    made: list[_Line] = []
    for start in range(0, len(rows), _A_TURN):
        made += map(make, rows[start : start + _A_TURN])
        await asyncio.sleep(0)
    return made
