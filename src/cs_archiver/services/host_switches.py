"""Pausing and resuming on the host itself, where whoever may write the database needs no sign-in."""

from cs_archiver.db.audit import Deed
from cs_archiver.db.switches import Switches
from cs_archiver.domain.switches import Pause, Switch
from cs_archiver.services.audit import AuditService


class HostSwitches:
    """Works beside a service that runs, which hears of it within a second."""

    def __init__(self, switches: Switches, audit: AuditService, *, login: str) -> None:
        """`login`: whose shell on the host this is."""
        self._switches = switches
        self._audit = audit
        self._login = login

    async def pause(self, switch: Switch) -> Pause:
        """The pause as it stands: who paused first stays named. Raises DatabaseUnhealthy."""
        pause = await self._switches.pause(switch, by=f"{self._login} (on the host)")
        await self._note(switch, "pause")
        return pause

    async def resume(self, switch: Switch) -> None:
        """Raises DatabaseUnhealthy."""
        await self._switches.resume(switch)
        await self._note(switch, "resume")

    async def _note(self, switch: Switch, what: str) -> None:
        detail = f"on the host, as {self._login}"
        await self._audit.record(Deed("switches_change", "ok", target=f"{switch}: {what}", detail=detail))
