"""How the Transfer API answers: refusals as exceptions, times, checked reading of request documents."""

import json
import urllib.parse
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

Json = dict[str, Any]


class Refusal(Exception):
    """An error answer of the Transfer API: HTTP status, code, message, further members."""

    def __init__(self, status: int, code: str, message: str, **members: object) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.members = members

    def document(self, resource: str) -> Json:
        return {
            "code": self.code,
            "message": self.message,
            "request_id": new_request_id(),
            "resource": resource,
            **self.members,
        }


def bad_request(message: str, detail: str = "") -> Refusal:
    code = f"ClientError.BadRequest.{detail}" if detail else "ClientError.BadRequest"
    return Refusal(400, code, message)


def new_request_id() -> str:
    return uuid.uuid4().hex[:9]


def result(data_type: str, code: str, message: str, resource: str, **members: object) -> Json:
    return {
        "DATA_TYPE": data_type,
        "code": code,
        "message": message,
        "request_id": new_request_id(),
        "resource": resource,
        **members,
    }


async def read_document(request: web.Request) -> Json:
    """The JSON object sent with the request; raises Refusal 400 for anything else."""
    try:
        document = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise bad_request("The request body is not valid JSON") from error
    if not isinstance(document, dict):
        raise bad_request("The request body must be a JSON object")
    return document


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a form, the last value of each."""
    text = (await request.read()).decode(errors="replace")
    return dict(urllib.parse.parse_qsl(text, keep_blank_values=True))


def text_member(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise bad_request(f"'{name}' must be a non-empty string")
    return value


def flag_member(document: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise bad_request(f"'{name}' must be true or false")
    return value


def number_parameter(request: web.Request, name: str, default: int, highest: int) -> int:
    """A whole number of the query from 0 to `highest`; larger ones are cut to it."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise bad_request(f"'{name}' must be a whole number of 0 or more")
    return min(int(text), highest)


def now() -> datetime:
    return datetime.now(UTC)


def parse_time(value: object, name: str) -> datetime:
    """Any form the SDK and the CLI send: blank or T, with or without fraction and zone (then UTC)."""
    if not isinstance(value, str):
        raise bad_request(f"'{name}' must be a time such as 2026-12-01 00:00:00")
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise bad_request(f"'{name}' is not a time: {value!r}") from error


def shown_time(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(microsecond=0).isoformat()
