"""How the system is doing, and the description of this API."""

from aiohttp import web

from cs_archiver.server.admitted_still import require_admitted_still
from cs_archiver.server.contract.system import CheckResult, Health, SystemStatus, Version
from cs_archiver.server.files import sent
from cs_archiver.server.keys import DOCS_PAGE, OPENAPI, STATUS, SWITCHES
from cs_archiver.server.paging import whole
from cs_archiver.server.route import Bare, Reply


async def status(call: Bare) -> Reply:
    return Reply(SystemStatus.of(await call.service(STATUS).read(), call.service(SWITCHES).states()))


async def check(call: Bare) -> Reply:
    results = await call.service(STATUS).checks.renew()
    await require_admitted_still(call.request, call.who)  # they may last longer than a session
    return whole([CheckResult.of(found) for found in results])


async def health(_call: Bare) -> Reply:
    return Reply(Health.now())


async def version(_call: Bare) -> Reply:
    return Reply(Version.installed())


async def openapi(call: Bare) -> web.Response:
    return sent(call.request, await call.service(OPENAPI).get())


async def docs(call: Bare) -> web.Response:
    return sent(call.request, await call.service(DOCS_PAGE).get())
