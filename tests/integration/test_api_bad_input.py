"""No input makes a 500: bodies, headers and bytes that nobody means well by."""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cs_archiver.logs.lines import OneLine
from cs_archiver.server import keys
from tests.support.api import PASSWORD, Api, refusal_of, running_api

BODY_LIMIT = 64 * 1024
JSON_TYPE = {"Content-Type": "application/json"}
POSTS = ("/api/auth/login", "/api/auth/password", "/api/jobs", "/api/jobs/bulk", "/api/jobs/preview")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"folder_path": "x",}',
        b"folder_path=x",
        b"\xff\xfe",
        b'{"folder_path": "\\ud800"}',
        b'{"folder_path": "\xff"}',
        b"[" * 60_000,
        b"\x00",
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_body_that_is_no_json_is_malformed(api: Api, path: str, body: bytes) -> None:
    await refusal_of(await api.call("POST", path, data=body, headers=JSON_TYPE), 400, "malformed-json")


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"#/folder_path": "required, but missing"}),
        ({"folder_path": 7}, {"#/folder_path": None}),
        ({"folder_path": None}, {"#/folder_path": None}),
        ({"folder_path": ["/a"]}, {"#/folder_path": None}),
        ({"folder_path": "x" * 4097}, {"#/folder_path": None}),
        ({"folder_path": "/a", "on_existing": "replace"}, {"#/on_existing": None}),
        ({"folder_path": "/a", "on_existing": None}, {"#/on_existing": None}),
        ({"folder_path": "/a", "priority": 1}, {"#/priority": "not known here"}),
        ({"folder_path": "/a", "a/b~c d": 1}, {"#/a~1b~0c%20d": "not known here"}),
        ({"FOLDER_PATH": "/a"}, {"#/folder_path": None, "#/FOLDER_PATH": None}),
        ([], {"#": None}),
        ("text", {"#": None}),
        (1e400, {"#": None}),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_wrong_values_are_named_one_by_one(api: Api, body: Any, errors: dict[str, str | None]) -> None:
    document = await refusal_of(await api.call("POST", "/api/jobs", json=body), 422, "invalid-value")
    assert [error["pointer"] for error in document["errors"]] == list(errors)
    for error in document["errors"]:
        assert errors[error["pointer"]] in {None, error["detail"]}
    assert next(iter(errors)) in document["detail"]


async def test_field_that_is_given_twice_is_refused(api: Api) -> None:
    alpha, beta = (json.dumps(api.folder(name)) for name in ("Alpha", "Beta"))
    for second in (beta, alpha):
        body = f'{{"folder_path": {alpha}, "folder_path": {second}}}'
        response = await api.call("POST", "/api/jobs", data=body.encode(), headers=JSON_TYPE)
        document = await refusal_of(response, 422, "invalid-value")
        assert document["errors"] == [{"pointer": "#/folder_path", "detail": "given twice"}]
    assert (await api.get("/api/queue"))["queued_jobs"] == []


async def test_two_tokens_in_two_headers_are_refused(api: Api) -> None:
    tokens = [await api.token_of("ann"), await api.token_of("root")]
    for pair in (tokens, tokens[::-1], [tokens[0], tokens[0]], [tokens[0], ""]):
        headers = [("Authorization", f"Bearer {token}") for token in pair]
        await refusal_of(await api.client.get("/api/queue", headers=headers), 401, "not-authenticated")


async def test_list_of_errors_stays_short(api: Api) -> None:
    body = {f"unknown{number}": 1 for number in range(3000)}
    document = await refusal_of(await api.call("POST", "/api/jobs", json=body), 422, "invalid-value")
    assert len(document["errors"]) == 20


async def test_refusals_do_not_repeat_the_password(api: Api) -> None:
    secret = "a password that must not be shown"
    for body in ({"username": 1, "password": secret}, {"username": "ann", "password": [secret]}):
        response = await api.call("POST", "/api/auth/login", token="", json=body)
        await refusal_of(response, 422, "invalid-value")
        assert secret not in await response.text()


async def test_body_up_to_the_limit_is_read_and_a_longer_one_is_not(api: Api) -> None:
    fits = b" " * (BODY_LIMIT - 2) + b"{}"
    await refusal_of(await api.call("POST", "/api/jobs", data=fits, headers=JSON_TYPE), 422, "invalid-value")
    response = await api.call("POST", "/api/jobs", data=b" " + fits, headers=JSON_TYPE)
    await refusal_of(response, 413, "body-too-large")


async def test_small_body_that_unpacks_to_a_large_one_is_too_large(api: Api) -> None:
    headers = {"Content-Encoding": "gzip", **JSON_TYPE}
    response = await api.call("POST", "/api/jobs", data=gzip.compress(b" " * 10_000_000), headers=headers)
    await refusal_of(response, 413, "body-too-large")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "media_type",
    ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/jsonp", ";;;"],
)
async def test_body_that_is_not_called_json_is_not_looked_at(api: Api, path: str, media_type: str) -> None:
    """Forms of other sites can send these types, but never application/json."""
    body = json.dumps({"folder_path": api.folder("Alpha")})
    response = await api.call("POST", path, data=body, headers={"Content-Type": media_type})
    document = await refusal_of(response, 415, "unsupported-media-type")
    assert "application/json" in document["detail"]
    assert (await api.get("/api/queue"))["queued_jobs"] == []


async def test_body_without_a_type_is_not_looked_at(api: Api) -> None:
    await refusal_of(await api.call("POST", "/api/jobs"), 415, "unsupported-media-type")


async def test_type_of_the_body_may_name_its_charset_and_ignores_case(api: Api) -> None:
    body = json.dumps({"folder_path": api.folder("Alpha")})
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await api.call("POST", "/api/jobs", data=body, headers=headers)).status == 201


_TEXT = st.text(max_size=40)
_KNOWN = st.sampled_from(
    ["folder_path", "folder_paths", "on_existing", "username", "password", "current_password", "new_password"]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT | _KNOWN, inner, max_size=4),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(_KNOWN | _TEXT, _VALUES, max_size=6)
_STRINGS = st.fixed_dictionaries({"folder_path": _TEXT}) | st.fixed_dictionaries({"username": _TEXT, "password": _TEXT})
_BODIES = st.binary(max_size=200) | (_VALUES | _OBJECTS | _STRINGS).map(lambda value: json.dumps(value).encode())


@settings(
    max_examples=300,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(path=st.sampled_from(POSTS), body=_BODIES)
@example(path="/api/jobs", body=b'{"folder_path": "/a\\u0000b"}')
@example(path="/api/auth/login", body=b'{"username": "\\u0000", "password": "\\u0000"}')
async def test_no_body_makes_a_500(api: Api, path: str, body: bytes) -> None:
    response = await api.call("POST", path, data=body, headers=JSON_TYPE)
    assert 400 <= response.status < 500, (response.status, await response.text())
    assert response.content_type == "application/problem+json"


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    path=st.sampled_from(
        (
            "/api/jobs",
            "/api/folders",
            f"/api/jobs/{chr(48) * 32}/logs",
            f"/api/jobs/{chr(48) * 32}/files",
            f"/api/jobs/{chr(48) * 32}",
            "/api/queue",
        )
    ),
    query=st.dictionaries(
        st.sampled_from(("limit", "offset", "status", "level", "refresh", "q", "sort", "created_by", "since", "wait"))
        | st.text(max_size=8),
        st.text(max_size=12) | st.integers().map(str),
        max_size=3,
    ),
)
async def test_no_query_makes_a_500(api: Api, path: str, query: dict[str, str]) -> None:
    response = await api.call("GET", path, params=query)
    assert response.status in {200, 404, 422}, (response.status, await response.text())


async def _raw(api: Api, request: bytes, *, hang_up: bool = False) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
    writer.write(request)
    if hang_up:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /api/\xff HTTP/1.1",
        b"GET /api/jobs?status=\xff HTTP/1.1",
        b"GET /api/jobs/%ED%A0%80 HTTP/1.1",
        b"GET //evil.example/api HTTP/1.1",
        b"GET http://other.example/api/queue HTTP/1.1",
        b"GET /api/jobs?%zz=%&&&==;# HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET /../../etc/passwd HTTP/1.1",
        b"GET /api/%2e%2e/%2e%2e HTTP/1.1",
        b"BREW /api/jobs HTTP/1.1",
        b"GET / HTTP/1.0",
        b"nonsense",
    ],
)
async def test_no_request_line_makes_a_500(api: Api, request_line: bytes) -> None:
    token = (await api.token_of("ann")).encode()
    headers = b"\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
    status = (await _raw(api, request_line + headers)).split(b" ", 2)[1]
    assert status[:1] in {b"2", b"3", b"4"}, status


@pytest.mark.parametrize(
    "rest",
    [
        b"Authorization: Bearer \xff\xfe\r\nContent-Length: 0\r\n\r\n",
        b"Content-Length: 100\r\n\r\n{",
        b"Content-Length: x\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        b"Content-Encoding: deflate\r\nContent-Length: 4\r\n\r\n\xff\xff\xff\xff",
        b"Content-Type: ;;;\r\nContent-Length: 2\r\n\r\n[]",
        b"Content-Type: text/plain; charset=nonsense\r\nContent-Length: 2\r\n\r\n[]",
        b"Expect: the-unexpected\r\nContent-Length: 2\r\n\r\n[]",
        b"X-Request-Id: \xff\r\nContent-Length: 2\r\n\r\n[]",
        b"Cookie: \xff=;;=\r\nContent-Length: 2\r\n\r\n[]",
    ],
)
async def test_no_headers_or_broken_bodies_make_a_500(api: Api, rest: bytes, caplog: pytest.LogCaptureFixture) -> None:
    token = (await api.token_of("ann")).encode()
    head = b"POST /api/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    if b"Content-Type" not in rest:
        head += b"Content-Type: application/json\r\n"
    if b"Authorization" not in rest:
        head += b"Authorization: Bearer " + token + b"\r\n"
    with caplog.at_level(logging.ERROR):
        answer = await _raw(api, head + rest, hang_up=rest.endswith((b"{", b"ab")))
    assert not answer or answer.split(b" ", 2)[1][:1] == b"4", answer
    assert [record for record in caplog.records if record.name.startswith("cs_archiver")] == []


_FORM = b"Content-Type: application/x-www-form-urlencoded\r\nAccept: text/html\r\n"
_CREDENTIALS = json.dumps({"username": "ann", "password": PASSWORD}).encode()


@pytest.mark.parametrize(
    ("line", "headers", "body", "status"),
    [
        (b"GET /api/health", b"Expect: \xff\r\n", b"", 417),
        (b"GET /nothing", b"Expect: \xff\r\n", b"", 417),
        (b"GET /ws/jobs", b"Upgrade: \xff\r\n", b"", 426),
        (b"POST /login", b"Origin: http://\xff\r\n" + _FORM, b"username=ann&password=no", 403),
        (b"POST /login", b"Sec-Fetch-Site: \xff\r\n" + _FORM, b"username=ann&password=no", 403),
        (b"POST /api/auth/login", b"User-Agent: \xff\r\nContent-Type: application/json\r\n", _CREDENTIALS, 200),
    ],
)
async def test_headers_that_are_no_text_trouble_nobody(
    api: Api, line: bytes, headers: bytes, body: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    token = (await api.token_of("ann")).encode()
    head = line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + token + b"\r\n"
    answer = await _raw(api, head + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert int(answer.split(b" ", 2)[1]) == status, answer
    assert b"udcff" not in answer
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /api/" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: x\r\n" + b"X-Many: x\r\n" * 1000 + b"\r\n",
    ],
    ids=["path", "header", "headers"],
)
async def test_head_of_a_request_has_its_limits(api: Api, request_bytes: bytes) -> None:
    assert (await _raw(api, request_bytes)).split(b" ", 2)[1] in {b"400", b"414", b"431"}


async def test_unforeseen_error_is_logged_and_its_text_kept_from_the_client(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError("the inner secret")

    monkeypatch.setattr(api.client.app[keys.JOBS], "queue", fail)
    caplog.handler.setFormatter(OneLine())
    response = await api.call("GET", "/api/queue", headers={"X-Request-Id": "find-me"})
    document = await refusal_of(response, 500, "internal-error")
    assert "secret" not in json.dumps(document)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert " request=find-me " in caplog.text
    assert record.exc_info is not None
    assert "the inner secret" in str(record.exc_info[1])
