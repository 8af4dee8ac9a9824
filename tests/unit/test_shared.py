"""Those who ask the same at the same moment share one answer, and nobody gets one that was begun before they asked."""

import asyncio

import pytest

from cs_archiver.server.shared import Shared


class World:
    """What answers tell of: how often it has changed."""

    def __init__(self) -> None:
        self.changes = 0
        self.looks = 0
        self.may_end = asyncio.Event()

    async def look(self) -> int:
        self.looks += 1
        seen = self.changes
        await self.may_end.wait()
        return seen


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_who_ask_meanwhile_share_one_that_begins_after_they_asked() -> None:
    world, shared = World(), Shared[int]()
    first = asyncio.create_task(shared.answer("key", world.look))
    await _settled()
    world.changes += 1
    others = [asyncio.create_task(shared.answer("key", world.look)) for _ in range(5)]
    await _settled()
    assert world.looks == 1
    world.may_end.set()
    assert await first == 0
    assert await asyncio.gather(*others) == [1] * 5
    assert world.looks == 2
    assert await shared.answer("key", world.look) == 1
    assert world.looks == 3


async def test_whoever_asks_while_others_wait_for_their_turn_joins_them_and_passes_nobody() -> None:
    world, shared = World(), Shared[int]()
    first = asyncio.create_task(shared.answer("key", world.look))
    await _settled()
    second = asyncio.create_task(shared.answer("key", world.look))
    await asyncio.sleep(0)
    world.may_end.set()
    late = [second]
    while not first.done():
        late.append(asyncio.create_task(shared.answer("key", world.look)))
        await asyncio.sleep(0)
    await asyncio.gather(first, *late)
    assert world.looks <= 3


async def test_what_is_asked_for_under_another_key_waits_for_nobody() -> None:
    world, other, shared = World(), World(), Shared[int]()
    first = asyncio.create_task(shared.answer("key", world.look))
    await _settled()
    other.may_end.set()
    assert await shared.answer("another", other.look) == 0
    world.may_end.set()
    assert await first == 0


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    world, shared = World(), Shared[int]()
    tasks = [asyncio.create_task(shared.answer("key", world.look)) for _ in range(4)]
    await _settled()
    tasks[0].cancel()  # the one whose answer is being made
    await _settled()
    tasks[1].cancel()  # the one who asked for the next
    world.may_end.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, asyncio.CancelledError, int, int]
    assert await shared.answer("key", world.look) == 0


async def test_an_error_is_everybodys_and_ends_with_them() -> None:
    shared, may_end = Shared[int](), asyncio.Event()

    async def fail() -> int:
        await may_end.wait()
        raise ValueError("no")

    tasks = [asyncio.create_task(shared.answer("key", fail)) for _ in range(3)]
    await _settled()
    may_end.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["no"] * 3
    with pytest.raises(ValueError, match="no"):
        await shared.answer("key", fail)
    world = World()
    world.may_end.set()
    assert await shared.answer("key", world.look) == 0
