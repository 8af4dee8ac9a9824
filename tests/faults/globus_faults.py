"""What goes wrong between the product and Globus, and at which of its calls.

KINDS are the wrong answers, TASK_KINDS the ways a task itself goes wrong, POINTS every use the product makes of a
call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox import answers as known
from cs_archiver.sandbox.answers import error
from cs_archiver.sandbox.faults import (
    Answer,
    CancelByAdmin,
    Effect,
    Fail,
    Hang,
    Hold,
    LoseReply,
    Outcome,
    Overlay,
    SlowCancel,
    Truncate,
)
from tests.support.service import DESTINATION, SOURCE

OTHER_ID = "5c000000-0000-4000-8000-0000000000ff"
ALPHA = "Project_Alpha.tar.7z"
PROBE = ".cs-archiver-probe"
FEW = 4  # more than the SDK's three tries of one call: the product itself has to ask again
_OP = Operation
_TASK_CALLS = frozenset({_OP.TASK, _OP.SUCCESSFUL_TRANSFERS, _OP.EVENT_LIST, _OP.CANCEL})


@dataclass(frozen=True)
class Kind:
    """One way to go wrong. `told` (a pattern) is what the job must say while it goes on for ever.

    `only`: the calls it makes sense at, empty for all. `harmless`: the job completes all the same. `doubted`: an
    upload may rightly be sent again because of it. `quiet`: the job waits without being held.
    """

    effect: Effect
    told: str
    only: frozenset[Operation] = frozenset()
    harmless: bool = False
    doubted: bool = False
    quiet: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)

    def fits(self, operation: Operation) -> bool:
        return not self.only or operation in self.only


_SILENCE = {"GLOBUS_HTTP_TIMEOUT_SECONDS": "0.4"}
_NONSENSE = "unexpected|HTTP 200"
_CUT_OFF = "[Cc]onnection|timed? ?out"

KINDS: dict[str, Kind] = {
    "401": Kind(known.AUTHENTICATION_FAILED, "check the Globus client id and secret"),
    "403-consent": Kind(known.needs_consent(SOURCE), "consent|check the Globus client id"),
    "403-permission": Kind(known.PERMISSION_DENIED, "give the identity of the Globus client|client id and secret"),
    "403-endpoint": Kind(error(403, "EndpointPermissionDenied"), "give the identity|client id and secret"),
    "429-seconds": Kind(known.rate_limited(), "HTTP 429"),
    "429-date": Kind(known.rate_limited("Wed, 21 Oct 2099 07:28:00 GMT"), "HTTP 429"),
    "500-null-code": Kind(known.NULL_CODE_500, "500|unexpected TypeError"),
    "502-list": Kind(known.JSON_LIST_502, "502|unexpected TypeError"),
    "502-html": Kind(Answer(502, "<html><body>Bad gateway</body></html>"), "HTTP 502"),
    "502-disconnected": Kind(known.COLLECTION_DISCONNECTED, "start Globus Connect Personal|HTTP 502"),
    "502-connect": Kind(known.CONNECT_FAILED, "HTTP 502"),
    "502-login": Kind(known.LOGIN_FAILED, "let the collection accept the identity|HTTP 502"),
    "502-endpoint": Kind(error(502, "EndpointError"), "HTTP 502"),
    "503-html": Kind(known.HTML_503, "HTTP 503"),
    "503-external": Kind(error(503, "ExternalError.DirListingFailed.ConnectFailed"), "HTTP 503"),
    "504-html": Kind(Answer(504, "<html><body>Gateway time-out</body></html>"), "HTTP 504"),
    "409-paused": Kind(error(409, "OperationPaused"), "ask the administrator of the collection|HTTP 409"),
    "400": Kind(error(400, "ClientError.BadRequest"), "HTTP 400"),
    "404-endpoint": Kind(known.FOREIGN_404, "check the ids of the two collections|HTTP 404"),
    "404-html": Kind(known.HTML_404, "HTTP 404"),
    "404-task": Kind(known.TASK_NOT_FOUND, "only the Globus client that submitted a task", _TASK_CALLS),
    "409-conflict": Kind(known.CONFLICT, "still busy with another transfer", frozenset({_OP.TRANSFER})),
    "200-html": Kind(known.HTML_200, _NONSENSE),
    "200-empty": Kind(known.EMPTY_OBJECT, _NONSENSE),
    "200-list": Kind(Answer(200, []), _NONSENSE),
    "200-null": Kind(Answer(200, None), _NONSENSE),
    "cut-short": Kind(Truncate(), _CUT_OFF),
    "reply-lost": Kind(LoseReply(), _CUT_OFF),
    "silence": Kind(Hang(), _CUT_OFF, overrides=_SILENCE),
    "of-something-else": Kind(
        Overlay({"task_id": OTHER_ID, "id": OTHER_ID, "submission_id": OTHER_ID}),
        "instead of",
        frozenset({_OP.TASK, _OP.ENDPOINT, _OP.TRANSFER}),
    ),
    "status-unknown": Kind(
        Overlay({"status": "PONDERING"}), "PONDERING", frozenset({_OP.TASK}), doubted=True, quiet=True
    ),
    "status-absent": Kind(Overlay(without=("status",)), _NONSENSE, frozenset({_OP.TASK})),
    "duplicate": Kind(Overlay({"code": "Duplicate"}), "", frozenset({_OP.TRANSFER}), harmless=True),
}

TASK_KINDS: dict[str, Kind] = {
    "faulting": Kind(Hold("FAULTING"), "ENDPOINT_ERROR", quiet=True),
    "stuck": Kind(Hold("STUCK"), "Uploading: 0 B of", quiet=True),
    "paused": Kind(Hold("PAUSED"), "[Pp]aused", quiet=True),
    "inactive": Kind(Hold("INACTIVE"), "renew the collection's consent"),
    "past-its-deadline": Kind(Hold("STUCK"), "EXPIRED", overrides={"UPLOAD_TASK_DEADLINE_HOURS": "0.0002"}),
    "too-slow": Kind(Hold("STUCK"), "cancelled after", overrides={"UPLOAD_TASK_TIMEOUT_HOURS": "0.0001"}),
    "expired": Kind(Fail("EXPIRED", "deadline expired"), "EXPIRED"),
    "quota": Kind(Fail("QUOTA_EXCEEDED", "quota exceeded"), "QUOTA_EXCEEDED"),
    "external-checksum": Kind(Fail("EXTERNAL_CHECKSUM_MISMATCH", "mismatch"), "EXTERNAL_CHECKSUM_MISMATCH"),
    "credentials": Kind(Fail("INVALID_SERVICE_CREDENTIAL", "credentials"), "INVALID_SERVICE_CREDENTIAL"),
    "canceled-by-admin": Kind(CancelByAdmin(), "CANCELED"),
    "missing": Kind(Outcome("MISSING"), "remote file"),
    "truncated": Kind(Outcome("TRUNCATED"), "remote size"),
    "flipped-bit": Kind(Outcome("FLIPPED_BIT"), "verification"),
    "corrupt-in-flight": Kind(Outcome("CORRUPT_IN_FLIGHT"), "", harmless=True),
    "skipped": Kind(Outcome("SKIPPED"), "files_skipped"),
    "skipped-errors": Kind(Outcome("SKIPPED_ERRORS"), "subtasks_skipped_errors"),
    "history-deleted": Kind(Outcome("HISTORY_DELETED"), "files Globus lists"),
    "verify-off": Kind(Outcome("VERIFY_OFF"), "verify_checksum"),
}


@dataclass(frozen=True)
class Point:
    """A use the product makes of a call: the one after `skip` others that `match`; below 0 it counts from the last.

    `before` are faults that bring the product there, struck before this one; with `gate` this one is added only once
    that operation struck. `held`: they are let go when this one struck. `optional`: the product may make no such
    call, or need none. `source_gone`: the source has been deleted by then. `tells`: a pattern that will do for what
    the job says at work, since this call only serves to tell more.
    """

    operation: Operation
    skip: int = 0
    match: str = ""
    before: tuple[tuple[Operation, Effect, int | None, int], ...] = ()
    gate: Operation | None = None
    held: bool = False
    cancels: bool = False
    optional: bool = False
    source_gone: bool = False
    tells: str = ""


_STUCK = (_OP.RUN, Hold("STUCK"), 1, 0)

POINTS: dict[str, Point] = {
    "token-0": Point(_OP.TOKEN),
    "token-1": Point(_OP.TOKEN, 1, optional=True),
    "source-collection-admitting": Point(_OP.ENDPOINT, 0, SOURCE),
    "source-collection-verifying": Point(_OP.ENDPOINT, 1, SOURCE),
    "destination-collection-admitting": Point(_OP.ENDPOINT, 0, DESTINATION),
    "destination-collection-verifying": Point(_OP.ENDPOINT, 1, DESTINATION),
    "stat-probe": Point(_OP.STAT, 0, PROBE),
    "stat-asked-for": Point(_OP.STAT, 0, ALPHA),
    "stat-admitting": Point(_OP.STAT, 1, ALPHA),
    "stat-uploading-free": Point(_OP.STAT, 2, ALPHA),
    "stat-uploaded": Point(_OP.STAT, 3, ALPHA),
    "stat-verifying": Point(_OP.STAT, -3, ALPHA),
    "stat-before-deleting": Point(_OP.STAT, -2, ALPHA),
    "stat-after-deleting": Point(_OP.STAT, -1, ALPHA, source_gone=True),
    "stat-left-behind": Point(_OP.STAT, 4, ALPHA, before=((_OP.RUN, Outcome("TRUNCATED"), 1, 0),), optional=True),
    "submission-id": Point(_OP.SUBMISSION_ID),
    "submit": Point(_OP.TRANSFER),
    "task-poll-0": Point(_OP.TASK, 0, before=(_STUCK,), held=True),
    "task-poll-1": Point(_OP.TASK, 1, before=(_STUCK,), held=True),
    "task-poll-2": Point(_OP.TASK, 2, before=(_STUCK,), held=True),
    "task-verifying": Point(
        _OP.TASK,
        before=((_OP.SUCCESSFUL_TRANSFERS, known.LOGIN_FAILED, 1, 0),),
        gate=_OP.SUCCESSFUL_TRANSFERS,
    ),
    "task-conflict": Point(_OP.TASK_LIST, before=((_OP.TRANSFER, known.CONFLICT, FEW, 0),)),
    "events": Point(
        _OP.EVENT_LIST,
        before=((_OP.RUN, Hold("FAULTING"), 1, 0),),
        held=True,
        tells="ENDPOINT_ERROR|reading the events",
    ),
    "successful-transfers": Point(_OP.SUCCESSFUL_TRANSFERS),
    "cancel": Point(_OP.CANCEL, before=(_STUCK,), cancels=True),
    "task-cancelling": Point(
        _OP.TASK,
        before=(_STUCK, (_OP.RUN, SlowCancel(), 1, 0), (_OP.CANCEL, known.LOGIN_FAILED, 1, 0)),
        gate=_OP.CANCEL,
        held=True,
        cancels=True,
    ),
    "second-look-submission-id": Point(_OP.SUBMISSION_ID, 1),
    "second-look-submit": Point(_OP.TRANSFER, 1),
    "second-look-task": Point(_OP.TASK, before=((_OP.RUN, Hold("STUCK"), 1, 1),), gate=_OP.RUN, held=True),
}
