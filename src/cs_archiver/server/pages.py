"""The pages for people."""

import re

import aiohttp_jinja2
from aiohttp import web

import cs_archiver
from cs_archiver.server.keys import IS_GLOBUS_SANDBOX, PUBLIC_URL

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


async def home(request: web.Request) -> web.Response:
    context = {
        "address": request.app[PUBLIC_URL] or _address_called(request),
        "version": cs_archiver.__version__,
        "is_globus_sandbox": request.app[IS_GLOBUS_SANDBOX],
    }
    return aiohttp_jinja2.render_template("home.html", request, context)


def _address_called(request: web.Request) -> str:
    # Any text can come as the Host, and this one ends up in lines that people paste into a shell.
    host = request.host if _HOST.fullmatch(request.host) else "localhost"
    return f"{request.scheme}://{host}"
