"""From the bytes of a request to checked values, or to a list of what is wrong and where."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, TypeVar, get_origin
from urllib.parse import parse_qsl, quote

from aiohttp import web
from pydantic import BaseModel, ValidationError

from cs_archiver.server.contract.base import Body, Query
from cs_archiver.server.contract.forms import Form
from cs_archiver.server.problems import NotUnderstood, UnknownMediaType, invalid_values

_Body = TypeVar("_Body", bound=Body)
_Form = TypeVar("_Form", bound=Form)
_Query = TypeVar("_Query", bound=Query)

_MOST_ERRORS = 20
_BODY_SECONDS = 30.0
_MOST_FIELDS = 1000
FORM_TYPE = "application/x-www-form-urlencoded"
_WORDS = {"extra_forbidden": "not known here", "missing": "required, but missing"}


class _Nothing(Body):
    """The body of a route that takes none."""


async def body_of(request: web.Request, model: type[_Body]) -> _Body:
    """The JSON body.

    Raises UnknownMediaType when it is not called JSON, NotUnderstood when it is none, and InvalidRequest when its
    values are wrong.
    """
    _require_json(request)
    return _checked(await _read(request), model)


async def require_no_body(request: web.Request) -> None:
    """For a route that takes none: whoever sends one means something by it. Raises as `body_of` does.

    An empty one and `{}` say nothing, and are what some clients always send.
    """
    raw = (await _read(request)).strip() if request.body_exists else b""
    if raw not in {b"", b"{}"}:
        _require_json(request)
        _checked(raw, _Nothing)


def _require_json(request: web.Request) -> None:
    # Also a defence: another site's form can send any text, but not under this type.
    if request.content_type != "application/json":
        raise UnknownMediaType("unsupported-media-type", "Send the body as JSON, with Content-Type: application/json.")


def _checked(raw: bytes, model: type[_Body]) -> _Body:
    try:
        body = model.model_validate_json(raw)
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            detail = str(error.errors()[0]["ctx"]["error"])
            raise NotUnderstood("malformed-json", f"The body is not valid JSON: {detail}.") from error
        raise invalid_values(_described(error, "#/")) from error
    if twice := _given_twice(raw):
        raise invalid_values([{"pointer": f"#/{_escaped(name)}", "detail": "given twice"} for name in twice])
    return body


def _given_twice(raw: bytes) -> list[str]:
    """The names of fields that sound JSON gives more than once: pydantic takes the last, others the first."""
    found: list[str] = []

    def noted(pairs: list[tuple[str, Any]]) -> None:
        found.extend(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)

    json.loads(raw, object_pairs_hook=noted)
    return found


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:  # also after a chunk that is none: aiohttp gives up reading, and tells nobody
        raise NotUnderstood("malformed-body", f"The body is not whole after {_BODY_SECONDS:g} s.") from error
    except (ConnectionError, RuntimeError) as error:  # the latter where it had left before we began to read
        if isinstance(error, RuntimeError) and request.transport is not None:
            raise
        raise NotUnderstood("malformed-body", "The client left before its body was whole.") from error


def query_of(request: web.Request, model: type[_Query]) -> _Query:
    """The query parameters. Raises InvalidRequest for wrong values and for names that are not known."""
    try:
        return model.model_validate(_by_name(request.query.items(), model))
    except ValidationError as error:
        raise invalid_values(_described(error, "?", is_flat=True)) from error


async def form_of(request: web.Request, model: type[_Form]) -> _Form:
    """The fields of a form. Raises as `body_of` does."""
    given = _by_name(await fields_of(request), model)
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid_values(_described(error, "#/")) from error


async def fields_of(request: web.Request) -> list[tuple[str, str]]:
    """Every field of a form by its name, in order. Raises UnknownMediaType and NotUnderstood."""
    if request.content_type != FORM_TYPE:
        raise UnknownMediaType("unsupported-media-type", f"Send the form with Content-Type: {FORM_TYPE}.")
    try:
        text = (await _read(request)).decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise NotUnderstood("malformed-body", f"The form cannot be read: {error}") from error


def _by_name(pairs: Iterable[tuple[str, str]], model: type[BaseModel]) -> dict[str, Any]:
    values: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        values[name].append(value)
    return {
        name: several if _takes_several(model, name) or len(several) > 1 else several[0]
        for name, several in values.items()
    }


def _takes_several(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is not None and get_origin(field.annotation) is tuple


def _described(error: ValidationError, prefix: str, *, is_flat: bool = False) -> list[dict[str, str]]:
    """`is_flat`: a name below a member is none of the client's, but that of a type which pydantic tried."""
    return [
        {
            "pointer": (prefix + "/".join(map(_escaped, _steps(found["loc"], is_flat=is_flat)))).removesuffix("/"),
            "detail": _WORDS.get(found["type"], found["msg"].removeprefix("Value error, ")),
        }
        for found in error.errors(include_url=False, include_input=False)[:_MOST_ERRORS]
    ]


def _steps(loc: tuple[str | int, ...], *, is_flat: bool) -> Iterable[str | int]:
    return [*loc[:1], *(step for step in loc[1:] if isinstance(step, int))] if is_flat else loc


def _escaped(part: str | int) -> str:
    """One step of a JSON pointer as a URI fragment (RFC 6901, section 6)."""
    return quote(str(part).replace("~", "~0").replace("/", "~1"), safe="~")
