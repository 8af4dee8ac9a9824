"""The wrong answers Globus, or something between it and us, is known to give; ready to attach to an operation."""

from collections.abc import Mapping

from cs_archiver.sandbox.auth import consent_required
from cs_archiver.sandbox.faults import Answer


def error(status: int, code: str, message: str = "scripted by the sandbox") -> Answer:
    """A well-formed error document."""
    return Answer(status, {"code": code, "message": message, "request_id": "sandbox00", "resource": "scripted"})


def rate_limited(retry_after: str = "1") -> Answer:
    """429; `retry_after` is whole seconds or an HTTP date, as Globus may send both."""
    answer = error(429, "ServiceUnavailable.RateLimit", "Too many requests")
    return Answer(answer.status, answer.body, {"Retry-After": retry_after})


def needs_consent(collection_id: str) -> Answer:
    refusal = consent_required(collection_id)
    return Answer(refusal.status, refusal.document("scripted"))


AUTHENTICATION_FAILED = error(401, "AuthenticationFailed", "Token is not active")
PERMISSION_DENIED = error(403, "PermissionDenied")
LOGIN_FAILED = error(502, "ExternalError.DirListingFailed.LoginFailed", "None of your identities are allowed")
NULL_CODE_500 = Answer(500, {"code": None, "message": None})
JSON_LIST_502 = Answer(502, ["bad gateway"])
COLLECTION_DISCONNECTED = error(502, "ExternalError.DirListingFailed.GCDisconnected", "Not connected")
CONNECT_FAILED = error(502, "ExternalError.DirListingFailed.ConnectFailed", "Connection timed out")
HTML_503 = Answer(503, "<html><body>Service unavailable</body></html>")
HTML_200 = Answer(200, "<html><body>Welcome to the guest network</body></html>")
EMPTY_OBJECT = Answer(200, {})
FOREIGN_404 = error(404, "EndpointNotFound", "No such endpoint")
HTML_404 = Answer(404, "<html><body>Not Found</body></html>")
TASK_NOT_FOUND = error(404, "TaskNotFound", "No task found with id")
CONFLICT = error(409, "Conflict", "A transfer with identical paths has not yet completed")

CATALOGUE: Mapping[str, Answer] = {
    "authentication_failed": AUTHENTICATION_FAILED,
    "permission_denied": PERMISSION_DENIED,
    "login_failed": LOGIN_FAILED,
    "rate_limited": rate_limited(),
    "null_code_500": NULL_CODE_500,
    "json_list_502": JSON_LIST_502,
    "collection_disconnected": COLLECTION_DISCONNECTED,
    "connect_failed": CONNECT_FAILED,
    "html_503": HTML_503,
    "html_200": HTML_200,
    "empty_object": EMPTY_OBJECT,
    "foreign_404": FOREIGN_404,
    "html_404": HTML_404,
    "task_not_found": TASK_NOT_FOUND,
    "conflict": CONFLICT,
}
