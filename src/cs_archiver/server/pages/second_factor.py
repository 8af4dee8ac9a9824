"""The second factor of the own account, switched on, renewed and switched off by its owner."""

from collections.abc import Awaitable
from typing import Any

import segno
from aiohttp import web

from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.contract.second_factor import Code
from cs_archiver.server.keys import FLASHES, SECOND_FACTORS
from cs_archiver.server.links import link
from cs_archiver.server.pages.flash import Flash, Level
from cs_archiver.server.pages.frame import go_on, redirect, refused, render
from cs_archiver.server.route import Call

_SHOW, _OFF = "second_factor.html", "second_factor_off.html"
_PAGE, _SETTINGS = "/second-factor", "/settings"
_GROUP = 4
_DOT = 5  # pixels


class CodeForm(Form):
    code: Code


class CodesQuery(PageQuery):
    """`shown` names recovery codes that were made a moment ago, until they are shown."""

    shown: str = ""


async def show(call: Call[PageQuery, None]) -> web.Response:
    return await render(call.request, _SHOW, await _context(call))


async def begin(call: Call[None, Form]) -> web.Response:
    try:
        call.service(SECOND_FACTORS).begin(call.caller)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _SHOW, await _context(call))
    return go_on(call, _PAGE)


async def confirm(call: Call[None, CodeForm]) -> web.Response:
    return await _shown_once(call, call.service(SECOND_FACTORS).confirm(call.caller, call.body.code))


async def new_codes(call: Call[None, Form]) -> web.Response:
    return await _shown_once(call, call.service(SECOND_FACTORS).new_codes(call.user))


async def codes(call: Call[CodesQuery, None]) -> web.Response:
    kept = call.service(FLASHES).take(call.caller.credential, call.query.shown)
    if kept is None:
        text = "Recovery codes are shown once only. If you lost them, make new ones."
        return go_on(call, _PAGE, text, Level.WARNING)
    return await render(call.request, "second_factor_codes.html", {"codes": kept.text.split()})


async def ask_to_switch_off(call: Call[PageQuery, None]) -> web.Response:
    return await render(call.request, _OFF)


async def switch_off(call: Call[None, Form]) -> web.Response:
    try:
        await call.service(SECOND_FACTORS).switch_off(call.caller)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _OFF, {})
    return go_on(call, _SETTINGS, "Your second factor is switched off: you sign in with your password alone.")


async def _shown_once(call: Call[Any, Any], making: Awaitable[list[str]]) -> web.Response:
    try:
        codes = await making
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _SHOW, await _context(call))
    # Through a page of its own, so that loading it again makes no others.
    kept = call.service(FLASHES).leave(call.caller.credential, Flash(Level.SUCCESS, " ".join(codes)))
    return redirect(link(call.request.app, "/second-factor/codes", shown=kept))


async def _context(call: Call[Any, Any]) -> dict[str, Any]:
    service = call.service(SECOND_FACTORS)
    begun = service.begun(call.caller)
    return {
        "status": await service.status(call.user),
        "is_needed": service.is_missing(call.user),
        "picture": None if begun is None else _picture_of(begun.address),
        "secret": None if begun is None else _grouped(begun.secret),
    }


def _picture_of(address: str) -> str:
    """A QR code as SVG with attributes alone, on white in any theme: apps read no white on black."""
    code = segno.make(address, error="m")
    return code.svg_inline(scale=_DOT, dark="#000", light="#fff", svgclass=None, lineclass=None)


def _grouped(secret: str) -> str:
    return " ".join(secret[start : start + _GROUP] for start in range(0, len(secret), _GROUP))
