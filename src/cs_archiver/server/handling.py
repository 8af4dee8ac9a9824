"""From a route to the function that answers it: admit, check, call, and render, in this order for every route."""

from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import TypeAdapter

from cs_archiver.server.auth import admit
from cs_archiver.server.contract.base import Body
from cs_archiver.server.contract.forms import Form
from cs_archiver.server.parsing import body_of, form_of, query_of
from cs_archiver.server.route import JSON, Call, Reply, Route


def handler_of(route: Route) -> Handler:
    """There is no other way from a route to a handler, so none is without its gate."""
    adapter: TypeAdapter[Any] = TypeAdapter(route.answer)

    async def handle(request: web.Request) -> web.StreamResponse:
        await admit(request, route)
        query = None if route.query is None else query_of(request, route.query)
        body = await _body_of(request, route)
        reply = await route.handler(Call(request, query, body))
        return _rendered(reply, adapter, route.status) if isinstance(reply, Reply) else reply

    return handle


async def _body_of(request: web.Request, route: Route) -> Body | Form | None:
    if route.body is None:
        return None
    return await (form_of(request, route.body) if issubclass(route.body, Form) else body_of(request, route.body))


def _rendered(reply: Reply, adapter: TypeAdapter[Any], status: int) -> web.Response:
    if reply.value is None:
        return web.Response(status=status, headers=reply.headers)
    content = adapter.dump_json(reply.value)
    return web.Response(body=content, status=status, headers=reply.headers, content_type=JSON, charset="utf-8")
