"""Turns whatever a Globus call raised into what the caller can do about it."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from globus_sdk import (
    AuthAPIError,
    GlobusAPIError,
    GlobusConnectionError,
    GlobusTimeoutError,
    NetworkError,
    TransferAPIError,
)
from globus_sdk.response import GlobusHTTPResponse

from cs_archiver.domain.text import printable
from cs_archiver.errors import ConnectionTrouble, JobError, NeedsOperator, Permanent, Temporary

_MESSAGE_CHARACTERS: Final = 300
_ABSENT: Final = frozenset({"NotFound", "ClientError.NotFound"})


class UnexpectedAnswer(Exception):
    """Globus, or something between it and us, answered without an error and without what was asked for."""


class _Remedy(NamedTuple):
    problem: str
    advice: str


_REFUSED: Final = _Remedy(
    "globus-credentials", "check the Globus client id and secret, and that this client may use client credentials"
)
_DENIED: Final = _Remedy(
    "globus-permission", "give the identity of the Globus client access to this path of the collection"
)
_OFFLINE: Final = _Remedy("globus-collection-offline", "start Globus Connect Personal on that computer again")

# By the last part of the code: Globus puts the same facts under several families, as in
# ExternalError.DirListingFailed.PermissionDenied.
_REMEDIES: Final[Mapping[str, _Remedy]] = {
    "AuthenticationFailed": _REFUSED,
    "ConsentRequired": _Remedy(
        "globus-consent",
        "Globus still wants a consent although the client gave it: check its access to the collection",
    ),
    "PermissionDenied": _DENIED,
    "EndpointPermissionDenied": _DENIED,
    "LoginFailed": _Remedy(
        "globus-permission",
        "let the collection accept the identity of the Globus client (a mapping or a guest collection)",
    ),
    "EndpointNotFound": _Remedy("globus-collection-unknown", "check the ids of the two collections in [globus]"),
    "GCDisconnected": _OFFLINE,
    "GCPaused": _OFFLINE,
    "OperationPaused": _Remedy("globus-collection-paused", "ask the administrator of the collection to end the pause"),
}


def translated(doing: str, error: Exception) -> JobError:
    """The error to raise instead of `error`; `doing` says what was going on and of what.

    ConnectionTrouble is the answer to everything that is not known to mean something else. The notes the
    SDK hangs on its exceptions are taken off: they hold whole answers, which logs have no business with.
    """
    _drop_notes(error)
    if isinstance(error, JobError):
        return type(error)(f"{doing}: {error}", problem=error.problem)
    what = f"{doing}: {description(error)}"
    if isinstance(error, AuthAPIError):
        return _auth_error(what, error)
    if isinstance(error, GlobusAPIError):
        return _transfer_error(what, error)
    return _trouble(what)


def description(error: BaseException) -> str:
    """What happened, in one line: HTTP status, code, message and request id, as far as there are any."""
    if isinstance(error, GlobusAPIError):
        return _answer(error)
    if isinstance(error, GlobusConnectionError | GlobusTimeoutError):
        return one_line(f"{error.message}: {_reason_of(error.underlying_exception)}")
    if isinstance(error, NetworkError):
        # What lies below may be a complaint about a header, and quote it.
        return f"the connection failed: {error.message} ({type(error.underlying_exception).__name__})"
    if isinstance(error, UnexpectedAnswer):
        return f"unexpected answer: {one_line(str(error))}"
    return f"unexpected {type(error).__name__}: {one_line(str(error))}"


def is_definitely_absent(error: GlobusAPIError) -> bool:
    """Whether Globus itself says that the path is not there; any other 404 may come from anywhere."""
    complete = error.message is not None and error.request_id is not None
    return isinstance(error, TransferAPIError) and error.http_status == 404 and error.code in _ABSENT and complete


def is_bad_request(error: GlobusAPIError) -> bool:
    """Whether Globus refused the request itself."""
    return error.http_status == 400 and "BadRequest" in (error.code or "").split(".")


def is_conflict(error: GlobusAPIError) -> bool:
    """Whether a transfer of the same paths is still under way."""
    return error.http_status == 409 and _last_part(error) == "Conflict"


def is_task_complete(error: GlobusAPIError) -> bool:
    """Whether a task could not be cancelled because it had ended."""
    return _last_part(error) == "TaskComplete"


def is_consent_missing(error: GlobusAPIError) -> bool:
    """Whether the scopes Globus lists have to be requested before it does what it was asked."""
    return error.http_status == 403 and _last_part(error) == "ConsentRequired"


def date_of(answer: GlobusHTTPResponse) -> datetime | None:
    """When Globus gave this answer; None when it does not say. Raises UnexpectedAnswer for anybody else's."""
    if not isinstance(answer.data, dict):
        raise UnexpectedAnswer(f"HTTP {answer.http_status} with something else than a JSON object")
    try:
        return parsedate_to_datetime((answer.headers or {}).get("Date", ""))
    except ValueError:
        return None


def one_line(text: str) -> str:
    """Fit for a message or a log: printable, one line, not long."""
    return " ".join(printable(text, instead=" ").split())[:_MESSAGE_CHARACTERS]


def _auth_error(what: str, error: AuthAPIError) -> JobError:
    # A page of a proxy has these statuses too, but says nothing about our credentials.
    if error.http_status in {400, 401, 403} and isinstance(error.raw_json, dict):
        return NeedsOperator(f"{what}; {_REFUSED.advice}", problem=_REFUSED.problem)
    return _trouble(what)


def _transfer_error(what: str, error: GlobusAPIError) -> JobError:
    remedy = _REMEDIES.get(_last_part(error))
    if remedy is not None:
        return NeedsOperator(f"{what}; {remedy.advice}", problem=remedy.problem)
    if is_bad_request(error):
        return Permanent(what, problem="globus-rejected")
    if _last_part(error) == "TaskNotFound":
        return Temporary(
            f"{what}; only the Globus client that submitted a task sees it: give that one back, or submit the folder "
            "again with on_existing=new_version",
            problem="globus-task-unknown",
        )
    return _trouble(what)


def _trouble(what: str) -> ConnectionTrouble:
    return ConnectionTrouble(what, problem="globus-unreachable")


def _answer(error: GlobusAPIError) -> str:
    body: Any = error.raw_json
    code = error.code or (body.get("error") if isinstance(body, dict) else None)
    parts = [f"HTTP {error.http_status}", *([one_line(str(code))] if code else [])]
    text = f"{' '.join(parts)}: {one_line(error.message or error.http_reason or 'no reason given')}"
    return f"{text} (request {one_line(error.request_id)})" if error.request_id else text


def _reason_of(error: BaseException | None) -> BaseException | None:
    """What lies at the bottom of it; above that stands only that it was tried, and at which address."""
    tried = error.args[0] if error is not None and error.args else None
    reason = getattr(tried, "reason", None)
    return reason if isinstance(reason, BaseException) else error


def _last_part(error: GlobusAPIError) -> str:
    return (error.code or "").rsplit(".", 1)[-1]


def _drop_notes(error: BaseException) -> None:
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        link = pending.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        if hasattr(link, "__notes__"):
            del link.__notes__
        pending += [link.__cause__, link.__context__]
