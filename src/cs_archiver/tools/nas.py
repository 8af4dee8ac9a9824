"""Whether the NAS answers at all: a dead mount neither fails nor ends a call, it hangs."""

import asyncio
import contextlib
import os
from pathlib import Path

from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.threads import begin


class NasProbe:
    """Asks for a sign of life. A NAS that hangs holds one thread, however often it is asked."""

    def __init__(self, base: Path, *, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self._base = base
        self._asked: asyncio.Future[None] | None = None

    async def require_answer(self) -> None:
        """Any answer will do, an error too. Raises NeedsOperator when there is none in time."""
        if self._asked is None or self._asked.done():
            self._asked = begin(lambda: _ask(self._base))
        done, _ = await asyncio.wait({self._asked}, timeout=self.timeout_seconds)
        if not done:
            raise NeedsOperator(
                f"the NAS does not answer: a look at {str(self._base)!r} takes over {self.timeout_seconds:g} s; check "
                "the NAS, the network and the mount; nothing is deleted meanwhile",
                problem="nas-unreachable",
            )


def _ask(base: Path) -> None:
    with contextlib.suppress(OSError):
        os.statvfs(base)  # attributes may come from a cache; this is asked of the server
        with os.scandir(base) as entries:
            next(entries, None)
