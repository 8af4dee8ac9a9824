"""Puts the web application together: services, routes, middleware, templates."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network

import aiohttp_jinja2
import jinja2
from aiohttp import web

from cs_archiver.resources import resource
from cs_archiver.server import docs, keys, middleware, openapi, routes
from cs_archiver.server.access_log import access_log
from cs_archiver.server.address import forwarded_by
from cs_archiver.server.auditing import auditing
from cs_archiver.server.files import LateFile, file_of, static_files
from cs_archiver.server.headers import protect
from cs_archiver.server.links import base_path
from cs_archiver.server.live_hub import Live
from cs_archiver.server.pages import look
from cs_archiver.server.pages.flash import Flashes
from cs_archiver.server.route import JSON
from cs_archiver.services.accounts import AccountService
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

_BODY_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Services:
    accounts: AccountService
    users: UserService
    second_factors: SecondFactorService
    tokens: TokenService
    audit: AuditService
    folders: FolderService
    submissions: Submissions
    jobs: JobService
    job_records: JobRecords
    ended_jobs: EndedJobs
    job_waits: JobWaits
    markers: Markers
    previews: Previews
    status: StatusService
    switches: SwitchService
    readiness: Readiness
    metrics: Metrics
    live: Live
    notifications: Notifications


def build(
    services: Services,
    *,
    public_url: str,
    trusted_proxies: Sequence[str],
    monitors: Sequence[str],
    is_globus_sandbox: bool,
) -> web.Application:
    """The application, ready to run.

    `public_url` is its address for people; empty: as they called it. `trusted_proxies` are addresses and networks,
    as are `monitors`, which may read the figures without signing in.
    """
    forwarded = forwarded_by(trusted_proxies)
    app = web.Application(
        middlewares=[middleware.request_ids, forwarded, access_log, auditing, middleware.problems],
        client_max_size=_BODY_LIMIT_BYTES,
    )
    _provide(app, services)
    app[keys.MONITORS] = tuple(map(ip_network, monitors))
    app[keys.PUBLIC_URL] = public_url
    app[keys.IS_GLOBUS_SANDBOX] = is_globus_sandbox
    app[keys.STATIC_FILES] = static_files(resource("web/static"))
    app[keys.FLASHES] = Flashes()
    app[keys.FOLDER_LISTS] = MadeOnce(2)
    app.on_response_prepare.append(protect)
    templates = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(resource("web/templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    look.install(app, templates)
    document = partial(openapi.document, routes.ROUTES, server=base_path(app) or "/")
    app[keys.OPENAPI] = LateFile(lambda: file_of(json.dumps(document()).encode(), JSON))
    app[keys.DOCS_PAGE] = LateFile(
        lambda: file_of(docs.page(document(), templates, address=public_url).encode(), "text/html")
    )
    routes.install(app)
    _end_in_order(app, services)
    return app


def _end_in_order(app: web.Application, services: Services) -> None:
    app.on_shutdown.append(_end_waits)
    app.cleanup_ctx.append(services.live.running)
    app.cleanup_ctx.append(services.metrics.running)
    app.on_shutdown.append(services.live.stop)


async def _end_waits(app: web.Application) -> None:
    app[keys.JOB_WAITS].end()


def _provide(app: web.Application, services: Services) -> None:
    app[keys.ACCOUNTS] = services.accounts
    app[keys.USERS] = services.users
    app[keys.SECOND_FACTORS] = services.second_factors
    app[keys.TOKENS] = services.tokens
    app[keys.AUDIT] = services.audit
    app[keys.FOLDERS] = services.folders
    app[keys.SUBMISSIONS] = services.submissions
    app[keys.JOBS] = services.jobs
    app[keys.JOB_RECORDS] = services.job_records
    app[keys.ENDED_JOBS] = services.ended_jobs
    app[keys.JOB_WAITS] = services.job_waits
    app[keys.MARKERS] = services.markers
    app[keys.PREVIEWS] = services.previews
    app[keys.STATUS] = services.status
    app[keys.SWITCHES] = services.switches
    app[keys.READINESS] = services.readiness
    app[keys.METRICS] = services.metrics
    app[keys.LIVE] = services.live
    app[keys.NOTIFICATIONS] = services.notifications
