"""The password once more, before what concerns accounts is changed: a page that was left open must not do for that."""

from aiohttp import web
from yarl import URL

from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.server import cookies
from cs_archiver.server.address import origin_of
from cs_archiver.server.contract.forms import Form
from cs_archiver.server.keys import ACCOUNTS, FLASHES
from cs_archiver.server.links import is_own, link
from cs_archiver.server.pages.flash import FLASH, Flash, Level
from cs_archiver.server.pages.frame import redirect, refused, render
from cs_archiver.server.pages.sign_in import NextQuery
from cs_archiver.server.route import Call
from cs_archiver.services.accounts import Session

_PAGE = "reauthenticate.html"


class ReauthenticateForm(Form):
    password: str
    code: str | None = None
    next: str = ""
    undone: str = ""


async def ask(call: Call[NextQuery, None]) -> web.Response:
    return await render(call.request, _PAGE, {"next": call.query.next, "undone": call.query.undone})


async def confirm(call: Call[None, ReauthenticateForm]) -> web.Response:
    given = call.body
    call.concerns(call.user.username)
    try:
        service, origin = call.service(ACCOUNTS), origin_of(call.request)
        session = await service.reauthenticate(call.caller, given.password, origin, code=given.code)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _PAGE, {"next": given.next, "undone": bool(given.undone)})
    response = redirect(_following(call, session))
    response.headers.update(cookies.begin(call.request, session))
    return response


def _following(call: Call[None, ReauthenticateForm], session: Session) -> str:
    app, given = call.request.app, call.body
    page = given.next if is_own(app, given.next) else link(app, "/settings")
    if not given.undone:
        return page
    told = call.service(FLASHES).leave(session.jti, Flash(Level.SUCCESS, "Thank you. Do it once more now."))
    return str(URL(page, encoded=True).update_query({FLASH: told}))
