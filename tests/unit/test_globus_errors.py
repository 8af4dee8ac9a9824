"""Which error a caller gets for which failure of a Globus call, without any network."""

import json
import traceback

import pytest
import requests
from globus_sdk import (
    AuthAPIError,
    GlobusAPIError,
    GlobusConnectionError,
    GlobusTimeoutError,
    NetworkError,
    TransferAPIError,
)
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError

from cs_archiver.errors import ConnectionTrouble, JobError, NeedsOperator, Permanent, Temporary
from cs_archiver.tools.globus_errors import UnexpectedAnswer, is_definitely_absent, one_line, translated

NESTED = MaxRetryError(HTTPConnectionPool("auth.globus.org"), "/token", OSError("no route"))


def answer(status: int, body: object, *, kind: type[GlobusAPIError] = TransferAPIError) -> GlobusAPIError:
    """The SDK's error for an answer; text is sent as HTML, everything else as JSON."""
    response = requests.Response()
    response.status_code = status
    response.reason = "Reason"
    response.url = "http://127.0.0.1/"
    response.request = requests.Request("GET", response.url).prepare()
    is_page = isinstance(body, str)
    response.headers["Content-Type"] = "text/html" if is_page else "application/json"
    response._content = (str(body) if is_page else json.dumps(body)).encode()
    return kind(response)


def globus_answer(status: int, code: str) -> GlobusAPIError:
    return answer(status, {"code": code, "message": "as it was said", "request_id": "aB3"})


@pytest.mark.parametrize(
    ("status", "code", "expected", "problem"),
    [
        (401, "AuthenticationFailed", NeedsOperator, "globus-credentials"),
        (403, "ConsentRequired", NeedsOperator, "globus-consent"),
        (403, "PermissionDenied", NeedsOperator, "globus-permission"),
        (403, "EndpointPermissionDenied", NeedsOperator, "globus-permission"),
        (502, "ExternalError.DirListingFailed.PermissionDenied", NeedsOperator, "globus-permission"),
        (502, "ExternalError.DirListingFailed.LoginFailed", NeedsOperator, "globus-permission"),
        (404, "EndpointNotFound", NeedsOperator, "globus-collection-unknown"),
        (502, "ExternalError.DirListingFailed.GCDisconnected", NeedsOperator, "globus-collection-offline"),
        (502, "ExternalError.DirListingFailed.GCPaused", NeedsOperator, "globus-collection-offline"),
        (409, "OperationPaused", NeedsOperator, "globus-collection-paused"),
        (400, "ClientError.BadRequest", Permanent, "globus-rejected"),
        (400, "ClientError.BadRequest.NoTransferItems", Permanent, "globus-rejected"),
        (400, "BadRequest", Permanent, "globus-rejected"),
        (404, "TaskNotFound", Temporary, "globus-task-unknown"),
        (400, "SomethingElse", ConnectionTrouble, "globus-unreachable"),
        (500, "BadRequest", ConnectionTrouble, "globus-unreachable"),
        (404, "NotFound", ConnectionTrouble, "globus-unreachable"),
        (404, "ClientError.NotFound", ConnectionTrouble, "globus-unreachable"),
        (409, "Conflict", ConnectionTrouble, "globus-unreachable"),
        (429, "ServiceUnavailable.RateLimit", ConnectionTrouble, "globus-unreachable"),
        (500, "InternalError", ConnectionTrouble, "globus-unreachable"),
        (502, "EndpointError", ConnectionTrouble, "globus-unreachable"),
        (502, "ExternalError.DirListingFailed.ConnectFailed", ConnectionTrouble, "globus-unreachable"),
        (503, "ServiceUnavailable", ConnectionTrouble, "globus-unreachable"),
    ],
)
def test_a_code_of_globus_decides_what_to_do(status: int, code: str, expected: type[JobError], problem: str) -> None:
    failure = translated("reading it", globus_answer(status, code))
    assert (type(failure), failure.problem) == (expected, problem)
    assert str(failure).startswith(f"reading it: HTTP {status} {code}: as it was said (request aB3)")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500, 502, 503])
@pytest.mark.parametrize(
    "body", ["<html>PermissionDenied</html>", [], None, {"code": None}, {"message": "NotFound"}, 7]
)
@pytest.mark.parametrize("kind", [TransferAPIError, AuthAPIError])
def test_an_answer_without_a_code_of_globus_decides_nothing(
    status: int, body: object, kind: type[GlobusAPIError]
) -> None:
    failure = translated("reading it", answer(status, body, kind=kind))
    is_refusal = kind is AuthAPIError and status in {400, 401, 403} and isinstance(body, dict)
    assert type(failure) is (NeedsOperator if is_refusal else ConnectionTrouble)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, NeedsOperator),
        (401, NeedsOperator),
        (403, NeedsOperator),
        (404, ConnectionTrouble),
        (429, ConnectionTrouble),
        (500, ConnectionTrouble),
        (503, ConnectionTrouble),
    ],
)
def test_only_a_refusal_of_globus_auth_is_about_the_credentials(status: int, expected: type[JobError]) -> None:
    failure = translated("signing in", answer(status, {"error": "invalid_client"}, kind=AuthAPIError))
    assert type(failure) is expected
    assert str(failure).startswith(f"signing in: HTTP {status} invalid_client: Reason")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (GlobusConnectionError("no way", OSError("Connection refused")), "no way: Connection refused"),
        (GlobusConnectionError("no way", requests.ConnectionError(NESTED)), "no way: no route"),
        (GlobusTimeoutError("too late", TimeoutError("read\ntimed out")), "too late: read timed out"),
        (NetworkError("odd", ValueError("Bearer abc")), "the connection failed: odd (ValueError)"),
        (UnexpectedAnswer("it holds\nno list"), "unexpected answer: it holds no list"),
        (KeyError("task_id"), "unexpected KeyError: 'task_id'"),
        (TypeError("x"), "unexpected TypeError: x"),
        (ValueError("x"), "unexpected ValueError: x"),
        (RuntimeError(""), "unexpected RuntimeError: "),
    ],
)
def test_everything_else_is_connection_trouble(error: Exception, text: str) -> None:
    failure = translated("reading it", error)
    assert type(failure) is ConnectionTrouble
    assert str(failure) == f"reading it: {text}"


@pytest.mark.parametrize("kind", [Temporary, Permanent, NeedsOperator, ConnectionTrouble])
def test_an_error_of_ours_stays_what_it_is(kind: type[JobError]) -> None:
    failure = translated("reading it", kind("said already", problem="as-it-was"))
    assert (type(failure), failure.problem, str(failure)) == (kind, "as-it-was", "reading it: said already")


def test_whole_answers_do_not_reach_a_log_from_anywhere_in_the_chain() -> None:
    first = answer(401, {"code": "AuthenticationFailed", "message": "first", "token": "hidden-1"})
    second = answer(502, "<html>hidden-2</html>", kind=AuthAPIError)
    second.__context__ = first
    first.__cause__ = second
    assert "hidden-1" in shown(first)
    failure = translated("reading it", second)
    failure.__cause__ = second
    assert "hidden" not in shown(failure)


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (globus_answer(404, "NotFound"), True),
        (globus_answer(404, "ClientError.NotFound"), True),
        (globus_answer(404, "EndpointNotFound"), False),
        (globus_answer(404, "TaskNotFound"), False),
        (globus_answer(404, "notfound"), False),
        (globus_answer(410, "NotFound"), False),
        (globus_answer(403, "NotFound"), False),
        (globus_answer(502, "ExternalError.DirListingFailed.NotFound"), False),
        (answer(404, {"code": "NotFound"}), False),
        (answer(404, {"code": "NotFound", "message": "without a request id"}), False),
        (answer(404, {"code": ["NotFound"], "message": "m", "request_id": "r"}), False),
        (answer(404, "NotFound"), False),
        (answer(404, ["NotFound"]), False),
        (answer(404, {"code": "NotFound", "message": "m", "request_id": "r"}, kind=AuthAPIError), False),
    ],
)
def test_only_globus_own_words_mean_absent(error: GlobusAPIError, expected: bool) -> None:
    assert is_definitely_absent(error) is expected


def test_a_message_is_one_printable_line_of_300_characters() -> None:
    assert one_line("a\n\tb\x1b[31m\u2028c") == "a b [31m c"
    assert one_line("x" * 301) == "x" * 300
    long = translated("reading it", answer(503, {"code": "C", "message": "m\n" * 500, "request_id": "r"}))
    assert len(str(long)) < 350
    assert "\n" not in str(long)
