"""How the system is doing."""

from aiohttp import web

import cs_archiver
from cs_archiver.server import render
from cs_archiver.server.keys import STATUS
from cs_archiver.server.parsing import query_of
from cs_archiver.server.schemas import Query


async def status(request: web.Request) -> web.Response:
    query_of(request, Query)
    return web.json_response(render.system_status(await request.app[STATUS].read()))


async def health(request: web.Request) -> web.Response:
    query_of(request, Query)
    return web.json_response(render.health())


async def version(request: web.Request) -> web.Response:
    query_of(request, Query)
    return web.json_response({"version": cs_archiver.__version__})
