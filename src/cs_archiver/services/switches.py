"""Pausing and resuming, as people ask for it."""

from dataclasses import dataclass

from cs_archiver.bus import Bus
from cs_archiver.db.switches import Switches
from cs_archiver.domain.events import QueueUpdate
from cs_archiver.domain.switches import Pause, Pauses, Switch
from cs_archiver.errors import Forbidden, NotFound


@dataclass(frozen=True, slots=True)
class SwitchState:
    """`pause` None: it is not paused."""

    switch: Switch
    pause: Pause | None


class SwitchService:
    """Everybody may pause; only administrators may have deletions go on again."""

    def __init__(self, switches: Switches, bus: Bus) -> None:
        self._switches = switches
        self._bus = bus

    @property
    def paused(self) -> Pauses:
        """As last known, without asking the database."""
        return self._switches.paused

    def states(self) -> list[SwitchState]:
        return [SwitchState(switch, self.paused.get(switch)) for switch in Switch]

    async def pause(self, name: str, *, by: str) -> SwitchState:
        """Who paused first stays named. Raises NotFound for a name that no switch has, DatabaseUnhealthy."""
        switch = _switch_of(name)
        pause = await self._switches.pause(switch, by=by)
        self._bus.publish(QueueUpdate())
        return SwitchState(switch, pause)

    async def resume(self, name: str, *, by_admin: bool) -> SwitchState:
        """Raises as `pause`, and Forbidden for deletions unless an administrator asks."""
        switch = _switch_of(name)
        if switch is Switch.DELETIONS and not by_admin:
            raise Forbidden("admins-only", "Only an administrator may have deletions go on again.")
        await self._switches.resume(switch)
        self._bus.publish(QueueUpdate())
        return SwitchState(switch, None)


def _switch_of(name: str) -> Switch:
    if name not in set(Switch):
        raise NotFound("switch-not-found", f"There is no switch of this name: there are {', '.join(Switch)}.")
    return Switch(name)
