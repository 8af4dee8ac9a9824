"""The whole URL table: what there is, who answers, who may ask, what goes in and comes out."""

from typing import Any

from aiohttp import hdrs, web

from cs_archiver.server import pages
from cs_archiver.server.api import auth, folders, jobs, system
from cs_archiver.server.contract.auth import Account, Credentials, PasswordChange, Session
from cs_archiver.server.contract.folders import Folder, FoldersQuery, LeftOutFolder
from cs_archiver.server.contract.jobs import (
    HistoryLine,
    JobInFull,
    JobLine,
    JobsQuery,
    LogLine,
    LogsQuery,
    NewJob,
    Queue,
    RetriedJob,
    SubmittedJob,
)
from cs_archiver.server.contract.system import Health, SystemStatus, Version
from cs_archiver.server.files import MEDIA_TYPES
from cs_archiver.server.handling import handler_of
from cs_archiver.server.route import Route, Scope, Who

_SCAN = ("source-unavailable", "discovery-stopped")
_ASK = (
    "folder-not-found", "already-archived", "nothing-to-archive", "folder-not-archivable", "already-queued",
    "destination-exists", "job-not-accepted", *_SCAN,
)  # fmt: skip
_NO_JOB = ("job-not-found",)
_CANCEL = (*_NO_JOB, "already-ended", "deletion-has-begun", "storage-error", "storage-unusable")
_RETRY = (*_NO_JOB, "not-failed", "deletion-has-begun", "already-queued")
_HTML = ("text/html",)
_NONE = None  # a personal API token may not call this

# fmt: off
ROUTES = (
    Route("GET", "/", pages.home, Who.ANYONE, _NONE, "How to begin", query=None, answer=str, media=_HTML),
    Route("GET", "/static/{name:.+}", pages.static, Who.ANYONE, _NONE, "What the pages need",
          query=None, answer=str, media=tuple(MEDIA_TYPES.values()), problems=("not-found",)),

    Route("POST", "/api/auth/login", auth.login, Who.ANYONE, _NONE, "Sign in",
          body=Credentials, answer=Session, problems=("login-failed", "database-unhealthy")),
    Route("POST", "/api/auth/logout", auth.logout, Who.NEWCOMER, _NONE, "End this session", status=204),
    Route("GET", "/api/auth/me", auth.me, Who.NEWCOMER, Scope.READ, "Who the token stands for", answer=Account),
    Route("POST", "/api/auth/password", auth.change_password, Who.NEWCOMER, _NONE,
          "Change the password: every older session ends, and a new one begins",
          body=PasswordChange, answer=Session, problems=("wrong-password", "weak-password")),

    Route("GET", "/api/folders", folders.listed, Who.USER, Scope.READ, "The folders that can be archived",
          query=FoldersQuery, answer=list[Folder], problems=_SCAN),
    Route("GET", "/api/folders/left-out", folders.left_out, Who.USER, Scope.READ,
          "The folders that cannot be archived, each with the reason", answer=list[LeftOutFolder]),

    Route("POST", "/api/jobs", jobs.submit, Who.USER, Scope.OPERATE, "Ask for a folder to be archived",
          body=NewJob, answer=SubmittedJob, status=201, problems=_ASK),
    Route("GET", "/api/jobs", jobs.page, Who.USER, Scope.READ, "The jobs, the newest first",
          query=JobsQuery, answer=list[JobLine]),
    Route("GET", "/api/jobs/{job_id}", jobs.one, Who.USER, Scope.READ, "One job",
          answer=JobInFull, problems=_NO_JOB),
    Route("DELETE", "/api/jobs/{job_id}", jobs.cancel, Who.USER, Scope.OPERATE,
          "Cancel a job; its source is untouched", status=204, problems=_CANCEL),
    Route("POST", "/api/jobs/{job_id}/retry", jobs.retry, Who.USER, Scope.OPERATE,
          "Put a failed job at the end of the queue", answer=RetriedJob, problems=_RETRY),
    Route("GET", "/api/jobs/{job_id}/history", jobs.history, Who.USER, Scope.READ,
          "Every state the job was in, in order", answer=list[HistoryLine], problems=_NO_JOB),
    Route("GET", "/api/jobs/{job_id}/logs", jobs.logs, Who.USER, Scope.READ,
          "The newest lines of the job's log, in order", query=LogsQuery, answer=list[LogLine], problems=_NO_JOB),
    Route("GET", "/api/queue", jobs.queue, Who.USER, Scope.READ, "What is in hand, and what stands in line",
          answer=Queue),

    Route("GET", "/api/system/status", system.status, Who.USER, Scope.READ,
          "Disk space, workers, counts, and what a person should look at", answer=SystemStatus),
    Route("GET", "/api/health", system.health, Who.ANYONE, _NONE, "Whether the service answers", answer=Health),
    Route("GET", "/api/version", system.version, Who.USER, Scope.READ, "The version of the service", answer=Version),
    Route("GET", "/api/openapi.json", system.openapi, Who.ANYONE, _NONE, "This description", answer=dict[str, Any]),
    Route("GET", "/api/docs", system.docs, Who.ANYONE, _NONE, "This description as a page", answer=str, media=_HTML),
)
# fmt: on


def install(app: web.Application) -> None:
    for route in ROUTES:
        if route.method == hdrs.METH_GET:
            app.router.add_get(route.path, handler_of(route))  # answers HEAD too
        else:
            app.router.add_route(route.method, route.path, handler_of(route))
