"""Errors as the client reads them: RFC 9457 problem documents."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from cs_archiver.errors import InvalidRequest
from cs_archiver.server.keys import PROBLEM, REQUEST_ID
from cs_archiver.server.links import called, link

MEDIA_TYPE = "application/problem+json"
_NAMES = {
    HTTPStatus.BAD_REQUEST: "malformed-request",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body-too-large",
    HTTPStatus.EXPECTATION_FAILED: "expectation-failed",
}


class Wrong(BaseModel):
    """One value of the request that is wrong."""

    model_config = ConfigDict(extra="forbid")

    pointer: Annotated[str, Field(description="`#/field` in the body, `?name` in the query.")]
    detail: str


class Problem(BaseModel):
    """A request that was refused (RFC 9457). Some problems have members of their own beside these."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(description="Stable: tell problems apart by this.")]
    title: str
    status: int
    detail: Annotated[str, Field(description="What happened, to what, and what to do, for people.")]
    instance: Annotated[str, Field(description="The path that was called.")]
    request_id: Annotated[str, Field(description="The same as in X-Request-Id and in the server's log.")]
    errors: list[Wrong] = []


def title_of(name: str) -> str:
    return name.replace("-", " ").capitalize()


def document_of(request: web.Request, error: InvalidRequest) -> dict[str, object]:
    return {
        "type": f"/problems/{error.problem}",
        "title": title_of(error.problem),
        "status": error.status,
        "detail": error.detail,
        "instance": called(request).raw_path,
        "request_id": request[REQUEST_ID],
        **error.members,
        **_linked(request, error),
    }


def _linked(request: web.Request, error: InvalidRequest) -> dict[str, str]:
    """What leads to a path of the service, as clients must call it."""
    return {name: link(request.app, str(path)) for name, path in error.members.items() if name.endswith("_url")}


def problem(request: web.Request, error: InvalidRequest, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """The answer to a request that is refused; a 401 says how to sign in, and a wait how long it is."""
    document = document_of(request, error)
    request[PROBLEM] = error.problem
    all_headers = dict(headers or {})
    if error.status == HTTPStatus.UNAUTHORIZED:
        all_headers["WWW-Authenticate"] = "Bearer"
    if "retry_after" in error.members:
        all_headers[hdrs.RETRY_AFTER] = str(error.members["retry_after"])
    return web.Response(text=json.dumps(document), status=error.status, content_type=MEDIA_TYPE, headers=all_headers)


class NotUnderstood(InvalidRequest):
    """The request is not well-formed."""

    status = 400


class UnknownMediaType(InvalidRequest):
    """The body is of a kind that is not read here."""

    status = 415


class NotReady(InvalidRequest):
    """Sound, but something this needs is out of reach just now."""

    status = 503


class OurFault(InvalidRequest):
    """A defect of the server: nothing the client could correct."""

    status = 500


class Refused(InvalidRequest):
    """What the HTTP library refuses, with the status it gives."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(_NAMES.get(HTTPStatus(status), f"http-{status}"), detail)
        self.status = status


def invalid_values(errors: list[dict[str, str]]) -> InvalidRequest:
    """`errors` says of each value where it stands and what is wrong with it."""
    first = f"{errors[0]['pointer']}: {errors[0]['detail']}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return InvalidRequest("invalid-value", first + more, errors=errors)
