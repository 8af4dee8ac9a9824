"""Faults on the wire: scripted answers in place of real ones, and the control endpoint for tests.

    POST   /_sandbox/faults   {"operation": "task", "effect": "html_503", "times": 2, "skip": 1, "match": "job-7"}
                              {"operation": "stat", "effect": "answer", "with": {"status": 418, "body": {}}}
                              {"operation": "run", "effect": "outcome", "with": {"kind": "FLIPPED_BIT"}}
    GET    /_sandbox/faults   which effects struck so far
    DELETE /_sandbox/faults   forget all faults, end what is held or hanging

`effect` is a key of faults.EFFECTS with its members in `with`, or a name from answers.CATALOGUE.
`times` null strikes always.
"""

import dataclasses
import json

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import TypeAdapter

from cs_archiver.sandbox.answers import CATALOGUE
from cs_archiver.sandbox.faults import (
    EFFECTS,
    Answer,
    Effect,
    FaultScript,
    Hang,
    LoseReply,
    Operation,
    Overlay,
    RequestEffect,
    Truncate,
)
from cs_archiver.sandbox.replies import Json, bad_request, read_document

CONTROL_PATH = "/_sandbox/faults"


class FaultControl:
    """The routes that change a fault script while the sandbox runs."""

    def __init__(self, script: FaultScript) -> None:
        self._script = script

    def table(self) -> list[web.RouteDef]:
        return [
            web.get(CONTROL_PATH, self.show),
            web.post(CONTROL_PATH, self.add),
            web.delete(CONTROL_PATH, self.clear),
        ]

    async def show(self, _: web.Request) -> web.Response:
        fired = [{"operation": operation, "effect": repr(effect)} for operation, effect in self._script.fired]
        return web.json_response({"fired": fired})

    async def add(self, request: web.Request) -> web.Response:
        document = await read_document(request)
        times, skip, match = document.get("times", 1), document.get("skip", 0), document.get("match", "")
        if not (isinstance(times, int | None) and isinstance(skip, int) and isinstance(match, str)):
            raise bad_request("Invalid fault: times and skip are whole numbers, match is text")
        try:
            operation = Operation(str(document.get("operation")))
            self._script.add(operation, _effect(document), times=times, skip=skip, match=match)
        except ValueError as error:
            raise bad_request(f"Invalid fault: {error}") from error
        return web.json_response({"code": "Added"}, status=201)

    async def clear(self, _: web.Request) -> web.Response:
        self._script.clear()
        return web.json_response({"code": "Cleared"})


def _effect(document: Json) -> Effect:
    name, members = str(document.get("effect")), document.get("with") or {}
    if name in CATALOGUE:
        return CATALOGUE[name]
    kind = EFFECTS.get(name)
    if kind is None or not isinstance(members, dict):
        raise ValueError(f"effect must be one of {', '.join([*EFFECTS, *CATALOGUE])}")
    unknown = members.keys() - {member.name for member in dataclasses.fields(kind)}
    if unknown:
        raise ValueError(f"{name} has no {', '.join(sorted(unknown))}")
    checked: Effect = TypeAdapter(kind).validate_python(members)
    return checked


async def answer_with(
    effect: RequestEffect, request: web.Request, handler: Handler, script: FaultScript
) -> web.StreamResponse:
    """The answer as the effect wants it; what the operation does is really done where the effect says so."""
    if isinstance(effect, Answer):
        return _scripted(effect)
    if isinstance(effect, Hang):
        await script.cleared()
        return _hung_up(request)
    response = await handler(request)
    if isinstance(effect, LoseReply):
        return _hung_up(request)
    if not isinstance(response, web.Response):
        return response
    if isinstance(effect, Truncate):
        return await _cut_short(request, response)
    return _overlaid(effect, response)


def _scripted(answer: Answer) -> web.Response:
    status, body, headers = answer.status, answer.body, answer.headers
    if isinstance(body, str):
        return web.Response(status=status, text=body, content_type="text/html", headers=headers)
    return web.json_response(body, status=status, headers=headers)


def _hung_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def _cut_short(request: web.Request, response: web.Response) -> web.StreamResponse:
    body = response.body if isinstance(response.body, bytes) else b""
    short = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    short.content_length = len(body)
    await short.prepare(request)
    await short.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return short


def _overlaid(overlay: Overlay, response: web.Response) -> web.Response:
    document = json.loads(response.text or "{}") | dict(overlay.members)
    for name in overlay.without:
        document.pop(name, None)
    if overlay.rows:
        document["DATA"] = [row | dict(overlay.rows) for row in document.get("DATA", [])]
    return web.json_response(document, status=response.status)


def operation_of(request: web.Request) -> Operation | None:
    """The operation a request asks for, None for the control endpoint and unknown paths."""
    name = request.match_info.route.name
    return Operation(name) if name else None
