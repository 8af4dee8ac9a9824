"""What a person sets for themselves: how things are shown, the password, where they are signed in."""

import contextlib
from typing import Any

from aiohttp import web

from cs_archiver.clock import now_text
from cs_archiver.errors import InvalidRequest, JobError, NotFound
from cs_archiver.server import cookies
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.keys import ACCOUNTS, FLASHES, SECOND_FACTORS, TOKENS
from cs_archiver.server.links import link
from cs_archiver.server.pages.flash import FLASH, Flash, Level
from cs_archiver.server.pages.frame import go_on, redirect, refused, render
from cs_archiver.server.pages.preferences import KEYS, THEME, UNITS, ZONE, Keys, Theme, Units, Zone, keep
from cs_archiver.server.pages.settings_agents import agent_text
from cs_archiver.server.pages.sign_in import PasswordForm, session_of_new_password
from cs_archiver.server.route import Call

_PAGE = "/settings"


class DisplayForm(Form):
    theme: Theme
    units: Units
    zone: Zone
    keys: Keys


async def show(call: Call[PageQuery, None]) -> web.Response:
    return await render(call.request, "settings.html", await _context(call))


async def display(call: Call[None, DisplayForm]) -> web.Response:
    wish = call.body
    response = go_on(call, _PAGE, "Kept for this browser.")
    for name, value in ((THEME, wish.theme), (UNITS, wish.units), (ZONE, wish.zone), (KEYS, wish.keys)):
        keep(response, call.request, name, value)
    return response


async def change_password(call: Call[None, PasswordForm]) -> web.Response:
    try:
        session = await session_of_new_password(call)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, "settings.html", await _context(call))
    # The session that called has ended with the old password: the new one is told.
    told = call.service(FLASHES).leave(session.jti, Flash(Level.SUCCESS, "Your password is changed."))
    response = redirect(link(call.request.app, _PAGE, **{FLASH: told}))
    response.headers.update(cookies.begin(call.request, session))
    return response


async def end_session(call: Call[None, Form]) -> web.Response:
    await call.service(ACCOUNTS).end_session(call.user, call.in_path("session_id"))
    return go_on(call, _PAGE, "The session has ended.")


async def end_other_sessions(call: Call[None, Form]) -> web.Response:
    service, count = call.service(ACCOUNTS), 0
    call.concerns("all others")
    for line in await service.sessions(call.user):
        if line.jti != call.caller.credential:
            with contextlib.suppress(NotFound):  # it has ended by itself meanwhile
                await service.end_session(call.user, line.jti)
                count += 1
    return go_on(call, _PAGE, "The other session has ended." if count == 1 else f"{count} other sessions have ended.")


async def _context(call: Call[Any, Any]) -> dict[str, Any]:
    return {
        "sessions": await call.service(ACCOUNTS).sessions(call.user),
        "present": call.caller.credential,
        "agent_text": agent_text,
        "factor": await call.service(SECOND_FACTORS).status(call.user),
        "tokens": await call.service(TOKENS).listed(call.user),
        "now": now_text(),
    }
