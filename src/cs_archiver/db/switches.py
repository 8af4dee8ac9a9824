"""What is paused: durable in the database, and as last read in memory, where a thread may look between two files."""

import asyncio
import logging
from collections.abc import Callable
from types import MappingProxyType

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.database import Database
from cs_archiver.db.pauses import NAMES
from cs_archiver.domain.switches import Pause, Pauses, Switch, halted
from cs_archiver.errors import NeedsOperator

_SWITCHES = tables.switches
_QUERY = select(_SWITCHES.c.name, _SWITCHES.c.changed_at, _SWITCHES.c.changed_by)
_LOOK_SECONDS = 1.0  # another process, on the command line, may change them as well

_log = logging.getLogger(__name__)


class Switches:
    """Made by `read_from`, so that there is no moment at which nothing counts as paused for want of a look."""

    def __init__(self, database: Database, found: Pauses) -> None:
        self.paused: Pauses = found
        self._database = database
        self._turn = asyncio.Lock()  # or an older look would take the place of a newer one

    @classmethod
    async def read_from(cls, database: Database) -> "Switches":
        """Raises DatabaseUnhealthy."""
        return cls(database, await _read(database))

    def deletions_are_paused(self) -> bool:
        """As last read, at most a second or so ago; may be asked by any thread."""
        return Switch.DELETIONS in self.paused

    async def refresh(self) -> Pauses:
        """What the database says now. Raises DatabaseUnhealthy."""
        async with self._turn:
            self.paused = await _read(self._database)
            return self.paused

    async def require_deletions(self, *, has_begun: bool) -> None:
        """Raises Halted while deletions are paused, by the database's word. Raises DatabaseUnhealthy."""
        _require_deletions(await self.refresh(), has_begun=has_begun)

    async def pause(self, switch: Switch, *, by: str) -> Pause:
        """Gives back the pause as it stands: who paused first is remembered. Raises DatabaseUnhealthy."""
        row = {"name": NAMES[switch], "changed_at": now_text(), "changed_by": by}
        async with self._turn:
            async with self._database.write() as connection:
                await connection.execute(insert(_SWITCHES).values(row).on_conflict_do_nothing())
                found = await _read_in(connection)
            self.paused = found
        return found[switch]

    async def resume(self, switch: Switch) -> None:
        """Raises DatabaseUnhealthy."""
        async with self._turn:
            async with self._database.write() as connection:
                await connection.execute(_SWITCHES.delete().where(_SWITCHES.c.name == NAMES[switch]))
                found = await _read_in(connection)
            self.paused = found

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Until cancelled, notice what another process changed, and call `on_change`."""
        seen, trouble = self.paused, None
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                now = await self.refresh()
            except NeedsOperator as error:
                if trouble is None:
                    _log.warning("what is paused cannot be read, and what was last read counts: %s", error)
                trouble = error
                continue
            trouble = None
            if now != seen:
                on_change()
            seen = now


async def require_deletions(connection: Connection) -> None:
    """Within the transaction that begins a deletion, so that none begins after a pause. Raises Halted."""
    _require_deletions(await _read_in(connection), has_begun=False)


def _require_deletions(found: Pauses, *, has_begun: bool) -> None:
    pause = found.get(Switch.DELETIONS)
    if pause is not None:
        raise halted(Switch.DELETIONS, pause, deletion_has_begun=has_begun)


async def _read(database: Database) -> Pauses:
    return _pauses({row.name: Pause(row.changed_at, row.changed_by) for row in await database.rows(_QUERY)})


async def _read_in(connection: Connection) -> Pauses:
    rows = await connection.execute(_QUERY)
    return _pauses({row.name: Pause(row.changed_at, row.changed_by) for row in rows})


def _pauses(found: dict[str, Pause]) -> Pauses:
    return MappingProxyType({switch: found[name] for switch, name in NAMES.items() if name in found})
