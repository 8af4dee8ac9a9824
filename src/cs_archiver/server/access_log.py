"""One line in the log for each request that is answered: who asked for what, what came of it, and how long it took."""

import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from cs_archiver.logs.context import about
from cs_archiver.server.address import address_of
from cs_archiver.server.keys import USER
from cs_archiver.server.masking import masked

_PROBES = ("/api/health", "/api/ready", "/metrics")

_log = logging.getLogger(__name__)


@web.middleware
async def access_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The query is left out of the line: the token of a WebSocket stands there. Nor is a token in the path shown."""
    begun = time.monotonic()
    response = await handler(request)
    user = request.get(USER)
    with about(user="" if user is None else user.username):
        _log.log(
            logging.DEBUG if _is_answer_to_probe(request, response) else logging.INFO,
            "%s %s %d %.0f ms from=%s",
            request.method,
            masked(request.rel_url.raw_path),
            response.status,
            (time.monotonic() - begun) * 1000,
            address_of(request),
        )
    return response


def _is_answer_to_probe(request: web.Request, response: web.StreamResponse) -> bool:
    """What monitors ask every few seconds would bury the rest, as long as all is well."""
    return response.status < 400 and request.path.endswith(_PROBES)
