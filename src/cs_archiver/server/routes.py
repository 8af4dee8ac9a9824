"""The whole URL table: what there is, who answers, who may ask, what goes in and comes out; the pages are imported."""

from typing import Any

from aiohttp import hdrs, web

from cs_archiver.domain.access import Scope
from cs_archiver.server import live
from cs_archiver.server.api import (
    audit,
    auth,
    folders,
    job_records,
    job_wishes,
    jobs,
    monitoring,
    notifications,
    second_factor,
    switches,
    system,
    tokens,
    users,
)
from cs_archiver.server.contract.audit import AuditEntry, AuditQuery
from cs_archiver.server.contract.auth import (
    Account,
    Credentials,
    FormToken,
    OwnSession,
    PasswordChange,
    Session,
)
from cs_archiver.server.contract.folders import Folder, FoldersQuery, LeftOutFolder, Scan
from cs_archiver.server.contract.job_bulk import ClearedJobs, FolderOutcome, NewJobs
from cs_archiver.server.contract.job_files import FilesQuery, ManifestEntry
from cs_archiver.server.contract.job_logs import LogLine, LogsQuery
from cs_archiver.server.contract.job_preview import Plan
from cs_archiver.server.contract.job_search import JobsQuery, WaitQuery
from cs_archiver.server.contract.jobs import (
    HistoryLine,
    JobInFull,
    JobLine,
    NewJob,
    Queue,
    RetriedJob,
    SubmittedJob,
)
from cs_archiver.server.contract.live import LiveQuery
from cs_archiver.server.contract.monitoring import Ready
from cs_archiver.server.contract.notifications import NotificationTested
from cs_archiver.server.contract.second_factor import Confirmation, Enrolment, RecoveryCodes, SecondFactor
from cs_archiver.server.contract.switches import SwitchShown, SwitchWish
from cs_archiver.server.contract.system import CheckResult, Health, SystemStatus, Version
from cs_archiver.server.contract.tokens import TokenCreated, TokenShown, TokenWish
from cs_archiver.server.contract.users import NewUser, PasswordReset, UserLine
from cs_archiver.server.handling import handler_of
from cs_archiver.server.links import base_path
from cs_archiver.server.pages.table import PAGES
from cs_archiver.server.problem_names import CANCEL, LOGIN, PREVIEW, RETRY, SCAN, SUBMIT
from cs_archiver.server.route import JSON, Route, Who

_NO_JOB = ("job-not-found",)
_NO_USER = ("user-not-found", "own-account")
_HTML = ("text/html",)
_NONE = None  # a personal API token may not call this

# fmt: off
API = (
    Route("POST", "/api/auth/login", auth.login, Who.ANYONE, _NONE, "Sign in",
          body=Credentials, answer=Session, problems=LOGIN),
    Route("POST", "/api/auth/logout", auth.logout, Who.NEWCOMER, _NONE, "End this session", status=204),
    Route("GET", "/api/auth/me", auth.me, Who.NEWCOMER, Scope.READ, "Who the token stands for", answer=Account),
    Route("POST", "/api/auth/password", auth.change_password, Who.NEWCOMER, _NONE,
          "Change the password: every older session ends, and a new one begins",
          body=PasswordChange, answer=Session,
          problems=("wrong-password", "weak-password", "password-expired", "too-many-attempts")),
    Route("GET", "/api/auth/csrf", auth.csrf_token, Who.NEWCOMER, _NONE, "The form token of this session, for pages",
          answer=FormToken),
    Route("GET", "/api/auth/sessions", auth.sessions, Who.USER, _NONE, "Where you are signed in",
          answer=list[OwnSession]),
    Route("DELETE", "/api/auth/sessions/{session_id}", auth.end_session, Who.USER, _NONE, "End one of your sessions",
          status=204, problems=("session-not-found",), is_sensitive=True),
    Route("GET", "/api/auth/tokens", tokens.own, Who.USER, _NONE, "Your personal API tokens", answer=list[TokenShown]),
    Route("POST", "/api/auth/tokens", tokens.create, Who.USER, _NONE, "Make a personal API token; it is shown once",
          body=TokenWish, answer=TokenCreated, status=201, problems=("admins-only", "too-many-tokens"),
          is_sensitive=True),
    Route("DELETE", "/api/auth/tokens/{token_id}", tokens.revoke, Who.USER, _NONE, "Revoke one of your tokens",
          status=204, problems=("token-not-found",)),

    Route("GET", "/api/auth/second-factor", second_factor.show, Who.ENROLLING, _NONE,
          "Whether you have a second factor", answer=SecondFactor),
    Route("POST", "/api/auth/second-factor", second_factor.begin, Who.ENROLLING, _NONE,
          "Begin to switch on a second factor: give the address to an authenticator app, and confirm it in 10 minutes",
          answer=Enrolment, problems=("second-factor-on",), is_sensitive=True),
    Route("POST", "/api/auth/second-factor/confirm", second_factor.confirm, Who.ENROLLING, _NONE,
          "Switch it on with a first code: each sign-in needs one from now on, and your other sessions end",
          body=Confirmation, answer=RecoveryCodes, problems=("second-factor-on", "second-factor-not-begun"),
          is_sensitive=True),
    Route("POST", "/api/auth/second-factor/recovery-codes", second_factor.new_codes, Who.USER, _NONE,
          "New recovery codes in place of those that are left; they are shown once",
          answer=RecoveryCodes, problems=("second-factor-off",), is_sensitive=True),
    Route("DELETE", "/api/auth/second-factor", second_factor.switch_off, Who.USER, _NONE,
          "Switch off your second factor: your other sessions end", status=204,
          problems=("second-factor-off", "second-factor-kept"), is_sensitive=True),

    Route("GET", "/api/users", users.listed, Who.ADMIN, Scope.ADMIN, "The users",
          answer=list[UserLine], is_for_all=True),
    Route("POST", "/api/users", users.add, Who.ADMIN, Scope.ADMIN, "Add a user",
          body=NewUser, answer=Account, status=201, problems=("username-taken", "weak-password"), is_sensitive=True),
    Route("DELETE", "/api/users/{user_id}", users.remove, Who.ADMIN, Scope.ADMIN,
          "Delete a user: sessions and tokens end at once", status=204, problems=(*_NO_USER, "last-admin"),
          is_sensitive=True),
    Route("POST", "/api/users/{user_id}/password", users.reset_password, Who.ADMIN, Scope.ADMIN,
          "Give a user a new password, to be changed at the next sign-in: sessions and tokens end at once",
          body=PasswordReset, status=204, problems=(*_NO_USER, "weak-password", "changed-meanwhile"),
          is_sensitive=True),
    Route("DELETE", "/api/users/{user_id}/second-factor", users.remove_second_factor, Who.ADMIN, Scope.ADMIN,
          "Switch off the second factor of a user who lost it: sessions end at once. Make sure who asks for it",
          status=204, problems=(*_NO_USER, "second-factor-off"), is_sensitive=True),
    Route("GET", "/api/audit", audit.page, Who.ADMIN, Scope.ADMIN, "Who did what, the newest first",
          query=AuditQuery, answer=list[AuditEntry], is_for_all=True),
    Route("POST", "/api/notifications/test", notifications.test, Who.ADMIN, Scope.ADMIN,
          "Send a test to every place that notifications go to, and say what came of each",
          answer=list[NotificationTested], problems=("notifications-off",)),

    Route("GET", "/api/folders", folders.listed, Who.USER, Scope.READ, "The folders that can be archived",
          query=FoldersQuery, answer=list[Folder], problems=(*SCAN, "cross-site-request")),
    Route("GET", "/api/folders/scan", folders.scan, Who.USER, Scope.READ, "How far the scan of the NAS is",
          answer=Scan, is_for_all=True),
    Route("DELETE", "/api/folders/scan", folders.stop_scan, Who.USER, Scope.OPERATE,
          "Stop the scan of the NAS that runs, if one does; what it has found so far is kept", status=204),
    Route("GET", "/api/folders/left-out", folders.left_out, Who.USER, Scope.READ,
          "The folders that cannot be archived, each with the reason", answer=list[LeftOutFolder]),

    Route("POST", "/api/jobs", jobs.submit, Who.USER, Scope.OPERATE, "Ask for a folder to be archived",
          body=NewJob, answer=SubmittedJob, status=201, problems=SUBMIT),
    Route("GET", "/api/jobs", jobs.page, Who.USER, Scope.READ, "The jobs, the newest first",
          query=JobsQuery, answer=list[JobLine], is_for_all=True),
    Route("POST", "/api/jobs/bulk", job_wishes.bulk, Who.USER, Scope.OPERATE,
          "Ask for several folders to be archived; each is answered for itself",
          body=NewJobs, answer=list[FolderOutcome]),
    Route("POST", "/api/jobs/preview", job_wishes.preview, Who.USER, Scope.OPERATE,
          "What archiving a folder would do; none of it is done", body=NewJob, answer=Plan, problems=PREVIEW),
    Route("DELETE", "/api/jobs/completed", jobs.clear_completed, Who.USER, Scope.OPERATE,
          "Take all completed jobs out of the list; what they archived stays on record", answer=ClearedJobs),
    Route("GET", "/api/jobs/{job_id}", jobs.one, Who.USER, Scope.READ, "One job, at once or when it leaves its state",
          query=WaitQuery, answer=JobInFull, problems=(*_NO_JOB, "too-many-waits")),
    Route("DELETE", "/api/jobs/{job_id}", jobs.cancel, Who.USER, Scope.OPERATE,
          "Cancel a job; its source is untouched", status=204, problems=CANCEL),
    Route("POST", "/api/jobs/{job_id}/retry", jobs.retry, Who.USER, Scope.OPERATE,
          "Put a failed job at the end of the queue", answer=RetriedJob, problems=RETRY),
    Route("GET", "/api/jobs/{job_id}/history", jobs.history, Who.USER, Scope.READ,
          "Every state the job was in, in order", answer=list[HistoryLine], problems=_NO_JOB, is_for_all=True),
    Route("GET", "/api/jobs/{job_id}/logs", job_records.logs, Who.USER, Scope.READ,
          "The newest lines of the job's log, in order; all of them with `Accept: text/plain`",
          query=LogsQuery, answer=list[LogLine], media=(JSON, "text/plain"), problems=_NO_JOB, is_for_all=True),
    Route("GET", "/api/jobs/{job_id}/files", job_records.files, Who.USER, Scope.READ,
          "What the folder held when it was copied, entry by entry", query=FilesQuery, answer=list[ManifestEntry],
          problems=_NO_JOB, is_for_all=True),
    Route("GET", "/api/queue", jobs.queue, Who.USER, Scope.READ, "What is in hand, and what stands in line",
          answer=Queue, is_for_all=True),

    Route("GET", "/ws/jobs", live.jobs, Who.USER, Scope.READ, "Live updates, over a WebSocket",
          query=LiveQuery, status=101, problems=("upgrade-required", "too-many-connections")),

    Route("GET", "/api/system/status", system.status, Who.USER, Scope.READ,
          "Disk space, workers, counts, and what a person should look at", answer=SystemStatus, is_for_all=True),
    Route("POST", "/api/system/checks", system.check, Who.USER, Scope.OPERATE,
          "Check tools, folders, database and Globus now; answered when all is checked", answer=list[CheckResult]),
    Route("GET", "/api/system/switches", switches.listed, Who.USER, Scope.READ, "What is paused, by whom, since when",
          answer=list[SwitchShown], is_for_all=True),
    Route("PUT", "/api/system/switches/{switch}", switches.change, Who.USER, Scope.OPERATE,
          "Pause or resume a worker, or all deletions; only administrators may resume deletions",
          body=SwitchWish, answer=SwitchShown, problems=("switch-not-found", "admins-only")),
    Route("GET", "/api/health", system.health, Who.ANYONE, _NONE, "Whether the service answers", answer=Health),
    Route("GET", "/api/ready", monitoring.ready, Who.ANYONE, _NONE, "Whether the service can do its work",
          answer=Ready, problems=("not-ready",)),
    Route("GET", "/metrics", monitoring.metrics, Who.USER, Scope.READ, "Figures in the formats of Prometheus",
          answer=str, media=("text/plain", "application/openmetrics-text"), is_for_monitors=True),
    Route("GET", "/api/version", system.version, Who.USER, Scope.READ, "The version of the service", answer=Version),
    Route("GET", "/api/openapi.json", system.openapi, Who.ANYONE, _NONE, "This description", answer=dict[str, Any]),
    Route("GET", "/api/docs", system.docs, Who.ANYONE, _NONE, "This description as a page", answer=str, media=_HTML),
)
# fmt: on

ROUTES = (*PAGES, *API)


def install(app: web.Application) -> None:
    # A proxy that serves this below a path of its own may pass that path on, or strip it.
    for base in {"", base_path(app)}:
        for route in ROUTES:
            if route.method == hdrs.METH_GET:
                app.router.add_get(base + route.path, handler_of(route))  # answers HEAD too
            else:
                app.router.add_route(route.method, base + route.path, handler_of(route))
            if base and route.path == "/":
                app.router.add_get(base, handler_of(route))  # as the address is configured, and typed
