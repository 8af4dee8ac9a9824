"""The whole URL table: what there is, who answers, and who may ask."""

from typing import NamedTuple

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from cs_archiver.server import pages
from cs_archiver.server.api import auth, folders, jobs, system
from cs_archiver.server.auth import Access, Who


class Route(NamedTuple):
    method: str
    path: str
    handler: Handler
    who: Who


ROUTES = (
    Route("GET", "/", pages.home, Who.ANYONE),
    Route("POST", "/api/auth/login", auth.login, Who.ANYONE),
    Route("POST", "/api/auth/logout", auth.logout, Who.NEWCOMER),
    Route("GET", "/api/auth/me", auth.me, Who.NEWCOMER),
    Route("POST", "/api/auth/password", auth.change_password, Who.NEWCOMER),
    Route("GET", "/api/folders", folders.listed, Who.USER),
    Route("GET", "/api/folders/left-out", folders.left_out, Who.USER),
    Route("POST", "/api/jobs", jobs.submit, Who.USER),
    Route("GET", "/api/jobs", jobs.page, Who.USER),
    Route("GET", "/api/jobs/{job_id}", jobs.one, Who.USER),
    Route("DELETE", "/api/jobs/{job_id}", jobs.cancel, Who.USER),
    Route("POST", "/api/jobs/{job_id}/retry", jobs.retry, Who.USER),
    Route("GET", "/api/jobs/{job_id}/history", jobs.history, Who.USER),
    Route("GET", "/api/jobs/{job_id}/logs", jobs.logs, Who.USER),
    Route("GET", "/api/queue", jobs.queue, Who.USER),
    Route("GET", "/api/system/status", system.status, Who.USER),
    Route("GET", "/api/health", system.health, Who.ANYONE),
    Route("GET", "/api/version", system.version, Who.USER),
)

ACCESS: Access = {(route.method, route.path): route.who for route in ROUTES}


def install(app: web.Application) -> None:
    for route in ROUTES:
        if route.method == hdrs.METH_GET:
            app.router.add_get(route.path, route.handler)  # answers HEAD too
        else:
            app.router.add_route(route.method, route.path, route.handler)
