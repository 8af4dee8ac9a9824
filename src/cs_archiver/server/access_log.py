"""One line in the log for each request that is answered: who asked for what, what came of it, and how long it took."""

import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from cs_archiver.server.address import address_of
from cs_archiver.server.keys import REQUEST_ID, USER

_log = logging.getLogger(__name__)


@web.middleware
async def access_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The query is left out of the line: the token of a WebSocket stands there."""
    begun = time.monotonic()
    response = await handler(request)
    user = request.get(USER)
    _log.info(
        "%s %s %d %.0f ms from=%s request=%s user=%s",
        request.method,
        request.rel_url.raw_path,
        response.status,
        (time.monotonic() - begun) * 1000,
        address_of(request),
        request[REQUEST_ID],
        "-" if user is None else user.username,
    )
    return response
