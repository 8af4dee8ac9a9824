"""The URL table as an OpenAPI 3.1 document; pydantic's JSON Schema 2020-12 is the dialect of 3.1."""

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Literal, get_origin

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

import cs_archiver
from cs_archiver.domain.access import Scope
from cs_archiver.domain.switches import Switch
from cs_archiver.server.headers import REQUEST_ID_HEADER
from cs_archiver.server.paging import TOTAL_COUNT
from cs_archiver.server.problem_names import PROBLEMS, problems_of
from cs_archiver.server.problems import MEDIA_TYPE, Problem, title_of
from cs_archiver.server.route import JSON, Route, Who
from cs_archiver.services.accounts import RECENT

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_EXAMPLE_REQUEST = "0f0e0d0c0b0a49008800070605040302"

_NUMBER: Json = {"type": "integer", "minimum": 1, "maximum": 2**53 - 1, "examples": [7]}

# What may stand in a path, by its name there.
_IN_PATH: dict[str, Json] = {
    "job_id": {"type": "string", "format": "uuid", "examples": ["123e4567-e89b-42d3-a456-426614174000"]},
    "switch": {"type": "string", "enum": [switch.value for switch in Switch]},
    "user_id": _NUMBER,
    "token_id": _NUMBER,
    "session_id": {"type": "string", "examples": ["123e4567e89b42d3a456426614174000"]},
}
_WHO = {
    Who.ANYONE: "Anyone may call this.",
    Who.NEWCOMER: "Anyone who is signed in may call this, also before the first password is changed.",
    Who.ENROLLING: "Every user may call this, also before an administrator's second factor is switched on.",
    Who.USER: "Every user may call this.",
    Who.ADMIN: "Only administrators may call this.",
}
_SCOPES = {
    Scope.READ: "A personal API token needs the scope `read`.",
    Scope.OPERATE: "A personal API token needs the scope `operate`.",
    Scope.ADMIN: "A personal API token needs the scope `admin`.",
    None: "Personal API tokens may not call this.",
}
_RECENTLY = f" Who is signed in must have done so within the last {RECENT.total_seconds() / 60:.0f} minutes."
_MONITORS = " The addresses of `[metrics] allowed_networks` may call this without signing in."
_DESCRIPTION = """\
Archives finished folders of a NAS to Globus, and deletes a source only once its archive is proven stored.

Sign in with `POST /api/auth/login` and send the token as `Authorization: Bearer ...`. Bodies are JSON. Fields and
parameters that are not known are refused by name, also in a body where none is described. Times are UTC, ISO 8601,
ending in Z. Lists are arrays; `X-Total-Count` says how many there are, and `Link` leads to the pages beside this one.

What changes is told over the WebSocket `/ws/jobs`, which takes the token as `?token=...` too: first a `snapshot` of all
active jobs, then `job_update`, `queue_update`, `folders_update` and `log` messages, numbered by `seq`.

Errors are problem documents (RFC 9457) of the media type `application/problem+json`: tell them apart by `type`,
which ends in one of the names given with each operation. Any path may also answer 404 `not-found`,
405 `method-not-allowed`, and 500 `internal-error` after a defect of the server, and every answer has an
`X-Request-Id` that stands in the server's log as well."""


class _WithoutTitles(GenerateJsonSchema):
    """Titles made from the names of fields say nothing that the names do not."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


class _Shapes:
    """The JSON Schemas of all queries, bodies and answers, made together so that each model is described once."""

    def __init__(self, routes: Iterable[Route]) -> None:
        inputs: list[tuple[str, Literal["validation", "serialization"], TypeAdapter[Any]]] = [
            ("problem", "validation", TypeAdapter(Problem))
        ]
        for route in routes:
            if route.query is not None and route.query.model_fields:
                inputs.append((f"{route.operation_id} query", "validation", TypeAdapter(route.query)))
            if route.body is not None:
                inputs.append((f"{route.operation_id} body", "validation", TypeAdapter(route.body)))
            if route.answer is not None:
                inputs.append((f"{route.operation_id} answer", "serialization", TypeAdapter(route.answer)))
        template = _SCHEMAS + "{model}"
        found, definitions = TypeAdapter.json_schemas(inputs, ref_template=template, schema_generator=_WithoutTitles)
        self._by_key: dict[str, Json] = {key: schema for (key, _), schema in found.items()}
        self.components: Json = definitions.get("$defs", {})
        queries = {
            key: ref["$ref"].removeprefix(_SCHEMAS) for key, ref in self._by_key.items() if key.endswith(" query")
        }
        self._queries: dict[str, Json] = {key: self.components[name] for key, name in queries.items()}
        for name in set(queries.values()):  # parameters are described one by one
            del self.components[name]

    def body(self, route: Route) -> Json:
        return self._by_key[f"{route.operation_id} body"]

    def answer(self, route: Route) -> Json:
        return self._by_key[f"{route.operation_id} answer"]

    def query(self, route: Route) -> Json:
        return self._queries.get(f"{route.operation_id} query", {"properties": {}})


def document(routes: Iterable[Route], *, server: str = "/") -> Json:
    """The description of every route below /api/, and of those for monitors; `server` is the path before all."""
    described = [route for route in routes if route.path.startswith("/api/") or route.is_for_monitors]
    shapes = _Shapes(described)
    paths: dict[str, Json] = defaultdict(dict)
    for route in described:
        paths[route.path][route.method.lower()] = _operation(route, shapes)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "CS Archiver",
            "version": cs_archiver.__version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server, "description": "This server"}],
        "tags": [{"name": tag, "description": _tag_text(tag, described)} for tag in _tags(described)],
        "paths": dict(paths),
        "components": {
            "schemas": shapes.components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of a sign-in, or a personal API token.",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "csa",
                    "description": "Of a browser that signed in with `cookie`; `__Host-csa` under https. What changes "
                    "something must also come from a page of this service, or show `X-CSRF-Token`.",
                },
            },
            "headers": _HEADERS,
            "examples": {name: _problem_example(name) for name in PROBLEMS},
        },
    }


_HEADERS: Json = {
    REQUEST_ID_HEADER: {"description": "Names this request in the server's log.", "schema": {"type": "string"}},
    TOTAL_COUNT: {
        "description": "How many there are in all, also where fewer are shown.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Link": {"description": "The pages beside this one (RFC 8288).", "schema": {"type": "string"}},
    "Location": {"description": "Where the new one is.", "schema": {"type": "string", "format": "uri-reference"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {"description": "How to sign in.", "schema": {"type": "string"}},
}


def _tags(routes: list[Route]) -> list[str]:
    return list(dict.fromkeys(route.tag for route in routes))


def _tag_text(tag: str, routes: list[Route]) -> str:
    """The docstring of the module whose handlers answer: it says what they are about."""
    module = next(route.handler.__module__ for route in routes if route.tag == tag)
    return (sys.modules[module].__doc__ or "").strip()


def _operation(route: Route, shapes: _Shapes) -> Json:
    operation: Json = {
        "operationId": route.operation_id,
        "tags": [route.tag],
        "summary": route.summary,
        **_access(route),
        "parameters": [*_path_parameters(route), *_query_parameters(shapes.query(route))],
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": shapes.body(route)}}}
    operation["responses"] = {str(route.status): _success(route, shapes), **_refusals(route)}
    return operation


def _access(route: Route) -> Json:
    """The scope stands as a role of the bearer token, which OpenAPI 3.1 allows for every kind of security."""
    if route.who is Who.ANYONE:
        return {"description": _WHO[route.who], "security": []}
    scopes = [] if route.scope is None else [route.scope]
    of_monitors = _MONITORS if route.is_for_monitors else ""
    recently = _RECENTLY if route.is_sensitive else ""
    return {
        "description": f"{_WHO[route.who]} {_SCOPES[route.scope]}{of_monitors}{recently}",
        "security": [{"bearer": scopes}, {"cookie": []}],
    }


def _path_parameters(route: Route) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _IN_PATH[name]}
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _query_parameters(schema: Json) -> list[Json]:
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": described.get("description", ""),
            "schema": {key: value for key, value in described.items() if key != "description"},
        }
        for name, described in schema["properties"].items()
    ]


def _success(route: Route, shapes: _Shapes) -> Json:
    names = [REQUEST_ID_HEADER]
    if get_origin(route.answer) is list:
        names.append(TOTAL_COUNT)
    if route.query is not None and "offset" in route.query.model_fields:
        names.append("Link")
    if route.status == HTTPStatus.CREATED:
        names.append("Location")
    found: Json = {"description": HTTPStatus(route.status).phrase, "headers": _refs("headers", names)}
    if route.answer is not None:
        found["content"] = {
            media: {"schema": shapes.answer(route) if media == JSON else {"type": "string"}} for media in route.media
        }
    return found


def _refusals(route: Route) -> Json:
    by_status: dict[int, list[str]] = defaultdict(list)
    for name in problems_of(route):
        by_status[PROBLEMS[name].status].append(name)
    return {str(status): _refusal(status, names) for status, names in sorted(by_status.items())}


_REFUSAL_HEADERS: dict[int, tuple[str, ...]] = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After",),
}


def _refusal(status: int, names: list[str]) -> Json:
    headers = [REQUEST_ID_HEADER, *_REFUSAL_HEADERS.get(status, ())]
    return {
        "description": " ".join(f"`{name}`: {PROBLEMS[name].meaning}" for name in names),
        "headers": _refs("headers", headers),
        "content": {
            MEDIA_TYPE: {"schema": {"$ref": _SCHEMAS + "Problem"}, "examples": _refs("examples", names)},
        },
    }


def _refs(kind: str, names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/{kind}/{name}"} for name in names}


def _problem_example(name: str) -> Json:
    status, meaning = PROBLEMS[name]
    return {
        "summary": meaning,
        "value": {
            "type": f"/problems/{name}",
            "title": title_of(name),
            "status": status,
            "detail": meaning,
            "instance": "/api/...",
            "request_id": _EXAMPLE_REQUEST,
        },
    }
