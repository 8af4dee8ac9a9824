"""The server itself: what aiohttp refuses before or around our handlers is answered in the same form as all else."""

import asyncio
import logging
from typing import Any

from aiohttp import web

from cs_archiver.errors import InvalidRequest
from cs_archiver.logs.context import about
from cs_archiver.server.address import address_of
from cs_archiver.server.headers import add_headers
from cs_archiver.server.keys import PUBLIC_URL, REQUEST_ID
from cs_archiver.server.middleware import new_request_id
from cs_archiver.server.problems import MEDIA_TYPE, NotUnderstood, OurFault, Problem, Refused, title_of

_OPTIONS: dict[str, Any] = {"access_log": None}  # aiohttp's own would show the tokens of queries

_log = logging.getLogger(__name__)


class Runner(web.AppRunner):
    """Runs the application; sites take the connections from `server`."""

    @property
    def server(self) -> web.Server | None:
        made = super().server
        return None if made is None else _Server(self.app, made)


class _Server(web.Server):
    def __init__(self, app: web.Application, made: web.Server) -> None:
        super().__init__(made.request_handler, request_factory=made.request_factory)
        self._app = app
        self._made = made

    def __call__(self) -> web.RequestHandler:
        return _Connection(self._app, self._made)


class _Connection(web.RequestHandler):
    def __init__(self, app: web.Application, manager: web.Server) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), **_OPTIONS)
        self._public_url = app[PUBLIC_URL]

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What cannot be parsed, and what went wrong around the handlers."""
        if status >= 500:
            super().handle_error(request, status, exc, message)  # logs it, and raises where an answer has begun
            detail = "The server failed at this; its log says more."
            return self._refusal(request, OurFault("internal-error", detail), instance=request.rel_url.raw_path)
        detail = "This is no valid HTTP/1.1, or longer than it may be: the request line, a header, or a chunk."
        response = self._refusal(request, NotUnderstood("malformed-request", detail), instance="")
        # Nothing of its text: a header that is not valid may be one that holds a token.
        with about(request=request[REQUEST_ID]):
            _log.info("no valid HTTP: %s from=%s", type(exc).__name__, address_of(request))
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """All that handlers raise is a problem already: what comes here as an exception was raised around them."""
        if isinstance(resp, web.HTTPException):
            error = Refused(resp.status, f"{resp.reason}.")
            resp = self._refusal(request, error, instance=request.rel_url.raw_path)
        return await super().finish_response(request, resp, start_time)

    def _refusal(self, request: web.BaseRequest, error: InvalidRequest, *, instance: str) -> web.Response:
        if REQUEST_ID not in request:
            request[REQUEST_ID] = new_request_id()
        document = Problem(
            type=f"/problems/{error.problem}",
            title=title_of(error.problem),
            status=error.status,
            detail=error.detail,
            instance=instance,
            request_id=request[REQUEST_ID],
        )
        text = document.model_dump_json(exclude_unset=True)
        response = web.Response(text=text, status=error.status, content_type=MEDIA_TYPE)
        is_encrypted = self._public_url.startswith("https://") or request.secure
        add_headers(request, response, is_encrypted=is_encrypted)
        response.force_close()
        return response
