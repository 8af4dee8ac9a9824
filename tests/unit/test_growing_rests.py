"""How long a task of Globus is left alone between two looks at it."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from cs_archiver.tools.ticking import GrowingRests


async def test_a_task_is_looked_at_soon_and_then_by_and_by_as_seldom_as_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    rested: list[float] = []

    async def sleep(seconds: float) -> None:
        rested.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    pauses = GrowingRests(timedelta(seconds=60))
    for _ in range(80):
        await pauses.rest()
    assert rested[0] == pytest.approx(0.02)
    growing = [seconds for seconds in rested if seconds < 60]
    assert all(later == pytest.approx(1.15 * sooner) for sooner, later in pairwise(growing))
    assert set(rested[len(growing) :]) == {60.0}
    assert len(growing) == 58
