"""The folders that can be archived, and those that cannot."""

from aiohttp import web

from cs_archiver.server import render
from cs_archiver.server.keys import FOLDERS
from cs_archiver.server.parsing import query_of
from cs_archiver.server.render import total
from cs_archiver.server.schemas import FoldersQuery, Query


async def listed(request: web.Request) -> web.Response:
    query = query_of(request, FoldersQuery)
    found = await request.app[FOLDERS].listed(refresh=query.refresh)
    return web.json_response([render.folder(folder) for folder in found], headers=total(found))


async def left_out(request: web.Request) -> web.Response:
    query_of(request, Query)
    found = await request.app[FOLDERS].left_out()
    return web.json_response([render.left_out_folder(folder) for folder in found], headers=total(found))
