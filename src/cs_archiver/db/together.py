"""Queries that are asked at the same moment, as for one page: answered in one turn of a thread, from one snapshot."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Executable

from cs_archiver.db.connection import AnyRow, to_the_end
from cs_archiver.db.pool import Pool

_MOST = 10  # in one turn, so that those who ask much do not hold up others for long


class _Asked(NamedTuple):
    query: Executable
    parameters: Mapping[str, Any] | None
    answer: "asyncio.Future[Sequence[AnyRow]]"


class Together:
    """What is asked until the event loop comes round again goes to one connection of the pool.

    A turn of a thread costs more than most queries do, above all on a busy machine.
    """

    def __init__(self, pool: Pool, require: Callable[[], None]) -> None:
        """`require` is called before each turn; what it raises, all who asked raise."""
        self._pool = pool
        self._require = require
        self._asked: list[_Asked] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def rows(self, query: Executable, parameters: Mapping[str, Any] | None) -> Sequence[AnyRow]:
        """All rows of one query. Raises NoneFree, and as SQLAlchemy does."""
        loop = asyncio.get_running_loop()
        mine = _Asked(query, parameters, loop.create_future())
        self._asked.append(mine)
        if len(self._asked) == 1:
            loop.call_soon(loop.call_soon, self._send)  # by then a gather within a gather has asked too
        return await to_the_end(mine.answer)

    def _send(self) -> None:
        asked, self._asked = self._asked, []
        for start in range(0, len(asked), _MOST):
            task = asyncio.create_task(self._answer(asked[start : start + _MOST]))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _answer(self, asked: list[_Asked]) -> None:
        answers: Sequence[Sequence[AnyRow] | BaseException]
        try:
            self._require()
            async with self._pool.lend() as connection:
                answers = await connection.rows_of_each([(one.query, one.parameters) for one in asked])
        except BaseException as error:  # noqa: BLE001  each of them raises it
            answers = [error] * len(asked)
        for one, answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)
