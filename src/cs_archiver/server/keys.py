"""What handlers reach through the application and the request."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from aiohttp import web

from cs_archiver.db.accounts import User
from cs_archiver.server.files import File, LateFile, Tree
from cs_archiver.server.live_hub import Live
from cs_archiver.server.pages.flash import Flashes
from cs_archiver.services.accounts import AccountService, Caller
from cs_archiver.services.audit import AuditService
from cs_archiver.services.ended_jobs import EndedJobs
from cs_archiver.services.folders import FolderService
from cs_archiver.services.job_records import JobRecords
from cs_archiver.services.job_waits import JobWaits
from cs_archiver.services.jobs import JobService
from cs_archiver.services.made_once import MadeOnce
from cs_archiver.services.markers import Markers
from cs_archiver.services.metrics import Metrics
from cs_archiver.services.notify.notifications import Notifications
from cs_archiver.services.preview import Previews
from cs_archiver.services.readiness import Readiness
from cs_archiver.services.second_factor import SecondFactorService
from cs_archiver.services.status import StatusService
from cs_archiver.services.submissions import Submissions
from cs_archiver.services.switches import SwitchService
from cs_archiver.services.tokens import TokenService
from cs_archiver.services.users import UserService

ACCOUNTS = web.AppKey("accounts", AccountService)
USERS = web.AppKey("users", UserService)
SECOND_FACTORS = web.AppKey("second_factors", SecondFactorService)
TOKENS = web.AppKey("tokens", TokenService)
AUDIT = web.AppKey("audit", AuditService)
FOLDERS = web.AppKey("folders", FolderService)
FOLDER_LISTS = web.AppKey("folder_lists", MadeOnce[tuple[File, int]])  # as JSON, and how many are in it
SUBMISSIONS = web.AppKey("submissions", Submissions)
JOBS = web.AppKey("jobs", JobService)
JOB_RECORDS = web.AppKey("job_records", JobRecords)
ENDED_JOBS = web.AppKey("ended_jobs", EndedJobs)
JOB_WAITS = web.AppKey("job_waits", JobWaits)
MARKERS = web.AppKey("markers", Markers)
PREVIEWS = web.AppKey("previews", Previews)
STATUS = web.AppKey("status", StatusService)
SWITCHES = web.AppKey("switches", SwitchService)
READINESS = web.AppKey("readiness", Readiness)
METRICS = web.AppKey("metrics", Metrics)
LIVE = web.AppKey("live", Live)
NOTIFICATIONS = web.AppKey("notifications", Notifications)
PUBLIC_URL = web.AppKey("public_url", str)
MONITORS = web.AppKey("monitors", tuple[IPv4Network | IPv6Network, ...])
IS_GLOBUS_SANDBOX = web.AppKey("is_globus_sandbox", bool)
OPENAPI = web.AppKey("openapi", LateFile)
DOCS_PAGE = web.AppKey("docs_page", LateFile)
STATIC_FILES = web.AppKey("static_files", Tree)
FLASHES = web.AppKey("flashes", Flashes)

USER = web.RequestKey("user", User)
CALLER = web.RequestKey("caller", Caller)
IS_BY_COOKIE = web.RequestKey("is_by_cookie", bool)
TOKEN = web.RequestKey("token", str)
REQUEST_ID = web.RequestKey("request_id", str)
ACTION = web.RequestKey("action", str)  # of what stands in the audit trail
TARGET = web.RequestKey("target", str)
OUTCOMES = web.RequestKey("outcomes", Sequence[tuple[str, str]])  # of several targets: each, and its result
PROBLEM = web.RequestKey("problem", str)
IS_FORWARDED = web.RequestKey("is_forwarded", bool)  # by a proxy that is trusted
IS_FORWARDED_HTTPS = web.RequestKey("is_forwarded_https", bool)
