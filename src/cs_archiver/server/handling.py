"""From a route to the function that answers it: admit, check, call, and render, in this order for every route."""

from functools import cache, partial
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import TypeAdapter

from cs_archiver.server.admitted_still import require_admitted_still
from cs_archiver.server.auth import admit
from cs_archiver.server.contract.base import Body, Query
from cs_archiver.server.contract.forms import Form
from cs_archiver.server.negotiation import prefers_text
from cs_archiver.server.parsing import body_of, form_of, query_of, require_no_body
from cs_archiver.server.route import JSON, Call, Made, Reply, Route
from cs_archiver.server.shared import Shared


def handler_of(route: Route) -> Handler:
    """There is no other way from a route to a handler, so none is without its gate."""
    adapter = _adapter_of(route.answer)
    shared: Shared[web.StreamResponse | Rendered] = Shared()

    async def called(
        request: web.Request, query: Query | None, body: Body | Form | None
    ) -> web.StreamResponse | Rendered:
        reply = await route.handler(Call(request, query, body, route.who))
        return Rendered(reply, adapter) if isinstance(reply, Reply) else reply

    async def handle(request: web.Request) -> web.StreamResponse:
        await admit(request, route)
        query = None if route.query is None else query_of(request, route.query)
        body = await _body_of(request, route)
        if request.body_exists:
            await require_admitted_still(request, route.who)  # it may have come slowly
        if route.is_for_all and not (len(route.media) > 1 and prefers_text(request)):
            answer = await shared.answer(str(request.rel_url), partial(called, request, query, body))
        else:
            answer = await called(request, query, body)
        return answer.response(route.status) if isinstance(answer, Rendered) else answer

    return handle


@cache
def _adapter_of(answer: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answer)


class Rendered:
    """A reply as JSON, for whoever asked for it; without content where there is none."""

    def __init__(self, reply: Reply, adapter: TypeAdapter[Any]) -> None:
        self._headers = reply.headers
        self._content = _as_json(reply.value, adapter)

    def response(self, status: int) -> web.Response:
        if self._content is None:
            return web.Response(status=status, headers=self._headers)
        return web.Response(
            body=self._content, status=status, headers=self._headers, content_type=JSON, charset="utf-8"
        )


def _as_json(value: object, adapter: TypeAdapter[Any]) -> bytes | None:
    if value is None:
        return None
    return value.content if isinstance(value, Made) else adapter.dump_json(value)


async def _body_of(request: web.Request, route: Route) -> Body | Form | None:
    if route.takes_no_body:
        await require_no_body(request)
    if route.body is None:
        return None
    return await (form_of(request, route.body) if issubclass(route.body, Form) else body_of(request, route.body))
