"""Long text, sent piece by piece: no turn of the event loop is long, and memory stays small."""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from aiohttp import hdrs, web

from cs_archiver.errors import Forbidden, JobError, NotAuthenticated
from cs_archiver.server.admitted_still import require_admitted_still
from cs_archiver.server.negotiation import TEXT
from cs_archiver.server.route import Who

_log = logging.getLogger(__name__)


async def stream_text(
    request: web.Request,
    pieces: AsyncGenerator[bytes, None],
    *,
    file_name: str,
    headers: Mapping[str, str],
    media: str = TEXT,
) -> web.StreamResponse:
    """Send the pieces as a download.

    What fails before the first piece is raised. Later the connection is cut, so that what came until then is not
    taken for the whole; also as soon as its sender is no longer admitted as a user.
    """
    response = web.StreamResponse(headers={**headers, hdrs.CONTENT_DISPOSITION: f'attachment; filename="{file_name}"'})
    response.content_type, response.charset = media, "utf-8"
    async with aclosing(pieces):
        first = await anext(pieces, b"")
        try:
            await response.prepare(request)
            if request.method == hdrs.METH_HEAD:
                return response
            await response.write(first)
            async for piece in pieces:
                await require_admitted_still(request, Who.USER)
                await response.write(piece)
        except (JobError, NotAuthenticated, Forbidden) as error:
            _log.warning("the download is cut short: %s", error)
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError as error:
            _log.info("the client left in the middle of a download: %s", error)
    return response
