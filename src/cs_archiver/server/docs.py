"""The OpenAPI document as a page: every operation with a line for the shell, and every shape."""

import json
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

import jinja2

from cs_archiver.server.openapi import Json
from cs_archiver.server.route import JSON

_SCHEMAS = "#/components/schemas/"


class Operation(NamedTuple):
    method: str
    path: str
    curl: str
    described: Json


class Kind(NamedTuple):
    """The kind of a value in words; `shape` names the component it refers to, if it does."""

    text: str
    shape: str | None = None


def page(document: Json, templates: jinja2.Environment, *, address: str) -> str:
    """`address` is that of the service for people; empty where nobody said."""
    return templates.get_template("docs.html").render(
        document=document,
        operations=list(operations(document)),
        kind=kind,
        json=JSON,
        address=address or "http://archiver.example.org:8000",
    )


def operations(document: Json) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            yield Operation(method.upper(), path, _curl(method.upper(), path, described, document), described)


def kind(schema: Json) -> Kind:
    """What a person reads for a JSON Schema."""
    match schema:
        case {"$ref": str(ref)}:
            name = ref.removeprefix(_SCHEMAS)
            return Kind(name, name)
        case {"anyOf": list(ways)}:
            kinds = [kind(way) for way in ways]
            return Kind(" or ".join(way.text for way in kinds), next((way.shape for way in kinds if way.shape), None))
        case {"type": "array", "items": items}:
            found = kind(items)
            return Kind(f"list of {found.text}", found.shape)
        case {"enum": list(values)}:
            return Kind(" | ".join(map(json.dumps, values)))
        case {"const": value}:
            return Kind(json.dumps(value))
        case _:
            return Kind(schema.get("format") or schema.get("type", "any"))


def _curl(method: str, path: str, described: Json, document: Json) -> str:
    """$SERVER and $TOKEN are the reader's; the body is the example of its model."""
    words = ["curl -sS", *([] if method == "GET" else [f"-X {method}"])]
    names = [parameter["name"] for parameter in described["parameters"] if parameter["in"] == "path"]
    words.append('"$SERVER' + path.format(**{name: name.upper() for name in names}) + '"')
    if described["security"]:
        words.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in described:
        body = json.dumps(_example(described["requestBody"]["content"][JSON]["schema"], document))
        words += [f"-H 'Content-Type: {JSON}'", f"-d {shlex.quote(body)}"]
    return " ".join(words)


def _example(schema: Json, document: Json) -> Any:
    return document["components"]["schemas"][schema["$ref"].removeprefix(_SCHEMAS)]["examples"][0]
