"""When sessions were last used: noted in memory with each request, written down for all of them once a minute."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from cs_archiver.bus import Bus
from cs_archiver.clock import now_text
from cs_archiver.db.accounts import Accounts, SessionLine
from cs_archiver.domain.events import SessionEnded
from cs_archiver.errors import JobError

_LOOK_SECONDS = 60.0

_log = logging.getLogger(__name__)


class SessionUse:
    def __init__(self, accounts: Accounts, bus: Bus, idle: timedelta | None) -> None:
        """`idle`: a session that is not used for so long has ended. None: none ends for that."""
        self._accounts = accounts
        self._bus = bus
        self._idle = idle
        self._used: dict[str, str] = {}  # what is not written down yet

    @property
    def idle_seconds(self) -> int:
        """0 where no session ends for that."""
        return 0 if self._idle is None else int(self._idle.total_seconds())

    def note(self, jti: str) -> None:
        self._used[jti] = now_text()

    def is_idle(self, jti: str, written: str) -> bool:
        """Whether it counts no longer. `written` is what the database knows of its last use."""
        return self._idle is not None and self._last(jti, written) <= now_text(after=-self._idle)

    def current(self, lines: list[SessionLine]) -> list[SessionLine]:
        """Those that count, each with its last use as it is known here."""
        return [
            replace(line, last_used_at=self._last(line.jti, line.last_used_at))
            for line in lines
            if not self.is_idle(line.jti, line.last_used_at)
        ]

    def _last(self, jti: str, written: str) -> str:
        return max(self._used.get(jti, ""), written)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks once a minute meanwhile, and at the end once more."""
        task = asyncio.create_task(self._run(), name="use of sessions")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            await self._try_to_look()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._try_to_look()

    async def _try_to_look(self) -> None:
        try:
            await self.look()
        except JobError as error:
            _log.warning("when sessions were used is written down later: %s", error)
        except Exception:  # noqa: BLE001  it must not end, and nobody else would hear of it
            _log.exception("when sessions were used is not written down")

    async def look(self) -> None:
        """Write down what was used, and end what was not. Raises NeedsOperator when the database cannot be written."""
        used = dict(self._used)
        if not used and self._idle is None:
            return
        since = None if self._idle is None else now_text(after=-self._idle)
        ended = await self._accounts.note_use(used, end_unused_since=since)
        for jti, moment in used.items():
            if self._used[jti] == moment:
                del self._used[jti]
        for jti in ended:
            self._bus.publish(SessionEnded(jti))
