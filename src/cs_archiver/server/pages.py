"""The pages for people, and what they are made of."""

import re

import aiohttp_jinja2
from aiohttp import web

import cs_archiver
from cs_archiver.errors import NotFound
from cs_archiver.server.files import sent
from cs_archiver.server.keys import IS_GLOBUS_SANDBOX, PUBLIC_URL, STATIC_FILES
from cs_archiver.server.route import Call

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


async def home(call: Call[None, None]) -> web.Response:
    context = {
        "address": call.service(PUBLIC_URL) or _address_called(call.request),
        "version": cs_archiver.__version__,
        "is_globus_sandbox": call.service(IS_GLOBUS_SANDBOX),
    }
    return aiohttp_jinja2.render_template("home.html", call.request, context)


async def static(call: Call[None, None]) -> web.Response:
    file = call.service(STATIC_FILES).get(call.in_path("name"))
    if file is None:
        raise NotFound("not-found", "There is nothing at this path.")
    return sent(call.request, file)


def _address_called(request: web.Request) -> str:
    # Any text can come as the Host, and this one ends up in lines that people paste into a shell.
    host = request.host if _HOST.fullmatch(request.host) else "localhost"
    return f"{request.scheme}://{host}"
