"""Signing in and out, and the password."""

from aiohttp import web

from cs_archiver.server import render
from cs_archiver.server.keys import ACCOUNTS, TOKEN, USER
from cs_archiver.server.parsing import body_of, query_of
from cs_archiver.server.schemas import Credentials, PasswordChange, Query


async def login(request: web.Request) -> web.Response:
    query_of(request, Query)
    credentials = await body_of(request, Credentials)
    session = await request.app[ACCOUNTS].login(credentials.username, credentials.password)
    return web.json_response(render.session(session))


async def logout(request: web.Request) -> web.Response:
    query_of(request, Query)
    await request.app[ACCOUNTS].logout(request[TOKEN])
    return web.Response(status=204)


async def me(request: web.Request) -> web.Response:
    query_of(request, Query)
    return web.json_response(render.user(request[USER]))


async def change_password(request: web.Request) -> web.Response:
    query_of(request, Query)
    change = await body_of(request, PasswordChange)
    session = await request.app[ACCOUNTS].change_password(request[USER], change.current_password, change.new_password)
    return web.json_response(render.session(session))
