"""The checks of the installation: what was found, what to do, and a button to look again."""

from collections import Counter

from aiohttp import web

from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.keys import STATUS
from cs_archiver.server.pages.flash import Level
from cs_archiver.server.pages.frame import go_on, render
from cs_archiver.server.route import Call


async def show(call: Call[PageQuery, None]) -> web.Response:
    checks = call.service(STATUS).checks.latest
    counts = Counter(check.finding.verdict.value for check in checks)
    return await render(call.request, "checks.html", {"checks": checks, "counts": counts})


async def again(call: Call[None, Form]) -> web.Response:
    await call.service(STATUS).checks.renew()
    count = len(call.service(STATUS).checks.troubles)
    if count:
        what = "One check" if count == 1 else f"{count} checks"
        return go_on(call, "/checks", f"{what} did not pass.", Level.WARNING)
    return go_on(call, "/checks", "All checks passed.")
