"""Puts the web application together: services, routes, middleware, templates."""

import json
from dataclasses import dataclass

import aiohttp_jinja2
import jinja2
from aiohttp import web

from cs_archiver.resources import resource
from cs_archiver.server import docs, keys, middleware, openapi, routes
from cs_archiver.server.access_log import access_log
from cs_archiver.server.files import file_of, static_files
from cs_archiver.server.headers import headers_for
from cs_archiver.server.route import JSON
from cs_archiver.services.accounts import AccountService
from cs_archiver.services.folders import FolderService
from cs_archiver.services.jobs import JobService
from cs_archiver.services.status import StatusService

_BODY_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Services:
    accounts: AccountService
    folders: FolderService
    jobs: JobService
    status: StatusService


def build(services: Services, *, public_url: str, is_globus_sandbox: bool) -> web.Application:
    """The application, ready to run. `public_url` is its address for people; empty: as they called it."""
    app = web.Application(
        middlewares=[middleware.request_ids, access_log, middleware.problems],
        client_max_size=_BODY_LIMIT_BYTES,
    )
    app[keys.ACCOUNTS] = services.accounts
    app[keys.FOLDERS] = services.folders
    app[keys.JOBS] = services.jobs
    app[keys.STATUS] = services.status
    app[keys.PUBLIC_URL] = public_url
    app[keys.IS_GLOBUS_SANDBOX] = is_globus_sandbox
    app[keys.STATIC_FILES] = static_files(resource("web/static"))
    app.on_response_prepare.append(headers_for(public_url))
    templates = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(resource("web/templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    document = openapi.document(routes.ROUTES)
    app[keys.OPENAPI] = file_of(json.dumps(document).encode(), JSON)
    app[keys.DOCS_PAGE] = file_of(docs.page(document, templates).encode(), "text/html")
    routes.install(app)
    return app
