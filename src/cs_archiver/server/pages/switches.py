"""The forms that pause and resume; they stand on the queue's page."""

from aiohttp import web

from cs_archiver.domain.switches import PAUSED, RESUMED
from cs_archiver.server.api.switches import changed
from cs_archiver.server.contract.forms import Form
from cs_archiver.server.pages.flash import Level
from cs_archiver.server.pages.frame import go_on
from cs_archiver.server.route import Call

_PAGE = "/queue"


async def pause(call: Call[None, Form]) -> web.Response:
    state = await changed(call, call.in_path("switch"), paused=True)
    return go_on(call, _PAGE, f"{PAUSED[state.switch]}, also after a restart, until somebody resumes.", Level.WARNING)


async def resume(call: Call[None, Form]) -> web.Response:
    state = await changed(call, call.in_path("switch"), paused=False)
    return go_on(call, _PAGE, f"{RESUMED[state.switch]}.")
