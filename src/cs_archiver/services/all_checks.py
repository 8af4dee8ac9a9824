"""Puts the checks of this machine and of Globus together, for the service and for `cs-archiver doctor`."""

import asyncio
from collections.abc import Sequence

from cs_archiver.domain.checks import Checked
from cs_archiver.services.checks import MakeRound
from cs_archiver.services.globus_checks import GlobusChecks
from cs_archiver.services.host_checks import HostChecks
from cs_archiver.settings import Settings
from cs_archiver.tools.globus import GlobusAccess
from cs_archiver.tools.process import Processes


def round_of(settings: Settings, access: GlobusAccess, processes: Processes) -> MakeRound:
    """They take no lock and leave nothing behind, so that they may be made beside a service."""
    timeout_seconds = settings.checks.timeout_seconds
    host, globus = HostChecks(settings, processes), GlobusChecks(settings, access)

    async def make_round(is_thorough: bool) -> Sequence[Checked]:
        async with asyncio.TaskGroup() as group:
            looks = host.looks(is_thorough=is_thorough)
            of_host = [group.create_task(look.checked(timeout_seconds)) for look in looks]
            of_globus = group.create_task(globus.round(timeout_seconds))
        return [*(task.result() for task in of_host), *of_globus.result()]

    return make_round
