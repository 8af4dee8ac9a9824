"""What was made of one version is made once, and never given to those who know of a newer one."""

import asyncio

import pytest

from cs_archiver.services.made_once import MadeOnce


class Maker:
    def __init__(self) -> None:
        self.made = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.error: Exception | None = None

    async def make(self) -> int:
        self.made += 1
        number = self.made
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return number


async def test_one_version_is_made_once_for_each_key() -> None:
    kept, maker = MadeOnce[int](2), Maker()
    assert [await kept.of(1, "a", maker.make) for _ in range(3)] == [1, 1, 1]
    assert [await kept.of(1, "b", maker.make) for _ in range(2)] == [2, 2]
    assert await kept.of(2, "a", maker.make) == 3
    assert await kept.of(1, "a", maker.make) == 3, "who knows of less may be given more"
    assert await kept.of(2, "b", maker.make) == 4
    assert await kept.of(2, "c", maker.make) == 5
    assert await kept.of(2, "a", maker.make) == 6, "only so many are kept"


async def test_those_who_ask_meanwhile_wait_for_it_and_one_who_leaves_takes_nothing_along() -> None:
    kept, maker = MadeOnce[int](2), Maker()
    maker.may_end.clear()
    tasks = [asyncio.create_task(kept.of(1, "a", maker.make)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    newer = asyncio.create_task(kept.of(2, "a", maker.make))
    await asyncio.sleep(0)
    maker.may_end.set()
    assert await asyncio.gather(*tasks[1:], newer) == [1, 1, 2]
    assert await kept.of(2, "a", maker.make) == 2, "what was made of the older version is forgotten"


async def test_an_error_is_not_kept() -> None:
    kept, maker = MadeOnce[int](2), Maker()
    maker.error = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        await kept.of(1, "a", maker.make)
    maker.error = None
    assert await kept.of(1, "a", maker.make) == 2
