"""What is no valid HTTP, byte for byte over a socket: refused in the same form as all else, and telling nothing."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cs_archiver.logs.lines import OneLine
from cs_archiver.resources import resource
from cs_archiver.server import keys, parsing
from cs_archiver.server.problem_names import PROBLEMS
from cs_archiver.server.problems import Problem
from tests.support.api import Api, running_api

SECRET = b"a-token-that-nobody-may-read"
PATIENCE_SECONDS = 20


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@asynccontextmanager
async def _connected(api: Api) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def _send(api: Api, writer: asyncio.StreamWriter, *pieces: bytes) -> None:
    """The server has each piece before the next is sent: it answers another request in between."""
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await (await api.client.get("/api/health")).read()


async def _sent(api: Api, *pieces: bytes) -> bytes:
    """All that comes back until the server hangs up."""
    async with _connected(api) as (reader, writer):
        await _send(api, writer, *pieces)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await reader.read()


def _parsed(answer: bytes) -> Answer:
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    return Answer(int(status_line.split(" ")[1]), dict(line.split(": ", 1) for line in lines), body)


def _require_form(answer: Answer, name: str) -> dict[str, Any]:
    """What every refusal has: the protective headers, and a problem document."""
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Server"] == "cs-archiver"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    document: dict[str, Any] = json.loads(answer.body)
    Problem.model_validate_json(answer.body, strict=True)
    assert document["type"] == f"/problems/{name}"
    assert document["status"] == answer.status == PROBLEMS[name].status
    assert document["request_id"] == answer.headers["X-Request-Id"]
    return document


_GET = b"GET /api/health HTTP/1.1\r\nHost: x\r\n"
_POST = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_TOKEN = b"Authorization: Bearer " + SECRET

NO_HTTP = {
    "no request line": b"nonsense\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another version": b"GET / HTTP/3.7\r\nHost: x\r\n\r\n",
    "a method that is none": b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address that is none": b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET /api/health HTTP/1.1\r\n\r\n",
    "two hosts": _GET + b"Host: y\r\n\r\n",
    "lines that end otherwise": b"GET /api/health HTTP/1.1\nHost: x\n\n",
    "a long path": b"GET /api/" + SECRET * 400 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": _GET + _TOKEN * 400 + b"\r\n\r\n",
    "many headers": _GET + b"X-Many: x\r\n" * 1000 + b"\r\n",
    "a name with a space": _GET + b"A b: c\r\n" + _TOKEN + b"\r\n\r\n",
    "a value with NUL": _GET + _TOKEN + b"\x00\r\n\r\n",
    "a value with a bare CR": _GET + _TOKEN + b"\rX-Other: y\r\n\r\n",
    "a value over two lines": _GET + _TOKEN + b"\r\n more\r\n\r\n",
    "two lengths": _POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length that is none": _POST + b"Content-Length: +2\r\n\r\n{}",
    "a length beyond all bounds": _POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "a length and chunks": _POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks, and something after them": _POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a chunk without a size": _POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk with a bare LF": _POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
}
"""The last few are how requests are smuggled past a proxy that reads them otherwise."""


@pytest.mark.parametrize("request_bytes", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_is_a_problem_with_every_header(api: Api, request_bytes: bytes) -> None:
    answer = _parsed(await _sent(api, request_bytes))
    document = _require_form(answer, "malformed-request")
    assert document["instance"] == ""
    assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize("request_bytes", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_is_told_to_nobody_word_for_word(
    api: Api, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(OneLine())
    with caplog.at_level(logging.DEBUG):
        answer = await _sent(api, request_bytes)
    assert SECRET not in answer
    assert SECRET.decode() not in caplog.text
    (line,) = [line for line in caplog.text.splitlines() if " cs_archiver.server.listening " in line]
    assert f" request={_parsed(answer).headers['X-Request-Id']} no valid HTTP: " in line
    assert " from=127.0.0.1" in line
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_rubbish_after_a_sound_request_is_refused_and_ends_the_connection(api: Api) -> None:
    answers = await _sent(api, _GET + b"\r\n", b"rubbish\r\n\r\n" + _GET + b"\r\n")
    first, second = answers.split(b"HTTP/1.0 ")
    assert _parsed(first).status == 200
    _require_form(_parsed(b"HTTP/1.0 " + second), "malformed-request")


_CHUNKS = _POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"


@pytest.mark.parametrize("rest", [b"zz\r\n", b"1\r\n"], ids=["a chunk without a size", "a chunk that never ends"])
async def test_a_body_that_never_comes_to_its_end_is_a_problem_too(
    api: Api, rest: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "_BODY_SECONDS", 0.2)
    async with _connected(api) as (reader, writer):
        await _send(api, writer, _CHUNKS, rest)
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readuntil(b"}")
    _require_form(_parsed(head + body), "malformed-body")


def test_time_for_a_body_is_the_one_that_is_promised() -> None:
    promised = (resource("docs") / "security.md").read_text(encoding="utf-8")
    assert f"A body 64 KiB and {parsing._BODY_SECONDS:g} s;" in promised
    assert parsing._BODY_SECONDS <= 60


async def test_who_leaves_in_the_middle_of_a_body_leaves_no_error_in_the_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with _connected(api) as (_reader, writer):
            await _send(api, writer, _CHUNKS)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (lines := [line for line in caplog.messages if "POST /api/auth/login" in line]):
                await asyncio.sleep(0.01)
    assert lines[0].startswith("POST /api/auth/login 400 ")
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


_RUBBISH = b"Content-Encoding: %s\r\nContent-Length: 40\r\n\r\n" + b"rubbish " * 5


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"rot13"])
@pytest.mark.parametrize(("head", "status"), [(_GET, 200), (_POST, 400)], ids=["no body is wanted", "a body is wanted"])
async def test_a_body_that_is_not_coded_as_it_says_is_refused_and_no_error_of_ours(
    api: Api, head: bytes, status: int, coding: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with _connected(api) as (reader, writer):
            await _send(api, writer, head + _RUBBISH % coding)
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await reader.readuntil(b"\r\n\r\n")
                if status == 200 and coding in {b"gzip", b"deflate"}:
                    await reader.read()  # until it hangs up, and has said why
    # Some codings are refused before anybody asks for the body, and one that is no coding is no empty body.
    assert int(answer.split(b" ")[1]) in {status, 400, 415}
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_an_expectation_nobody_can_meet_is_a_problem_too(api: Api) -> None:
    answer = _parsed(await _sent(api, _GET + b"Expect: the-unexpected\r\n\r\n"))
    assert _require_form(answer, "expectation-failed")["instance"] == "/api/health"


async def test_nobody_is_shown_their_own_request(api: Api) -> None:
    answer = _parsed(await _sent(api, b"TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + _TOKEN + b"\r\n\r\n"))
    _require_form(answer, "method-not-allowed")
    assert SECRET not in answer.body


async def test_behind_https_these_answers_hold_browsers_to_it_too(tmp_path: Path) -> None:
    async with running_api(tmp_path, public_url="https://archiver.test") as api:
        answer = _parsed(await _sent(api, b"nonsense\r\n\r\n"))
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


async def test_a_defect_around_the_handlers_is_a_problem_that_tells_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_deed: object) -> None:
        raise RuntimeError("the inner secret")

    monkeypatch.setattr(api.client.app[keys.AUDIT], "record", fail)
    attempt = json.dumps({"username": "ann", "password": "a guess"}).encode()
    answer = _parsed(await _sent(api, _POST + b"Content-Length: %d\r\n\r\n%s" % (len(attempt), attempt)))
    _require_form(answer, "internal-error")
    assert b"secret" not in answer.body
    assert "the inner secret" in caplog.text
