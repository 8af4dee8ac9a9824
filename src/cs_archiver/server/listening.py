"""The server itself: what aiohttp refuses before or around our handlers is answered in the same form as all else."""

import asyncio
import logging
from functools import partial
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from cs_archiver.errors import InvalidRequest
from cs_archiver.logs.context import about
from cs_archiver.server.address import address_of
from cs_archiver.server.headers import add_headers
from cs_archiver.server.heads import BoundedHeads
from cs_archiver.server.keys import PUBLIC_URL, REQUEST_ID
from cs_archiver.server.middleware import new_request_id
from cs_archiver.server.problems import MEDIA_TYPE, NotUnderstood, OurFault, Problem, Refused, title_of
from cs_archiver.server.seats import Seat, Seats

_OPTIONS: dict[str, Any] = {"access_log": None}  # aiohttp's own would show the tokens of queries
_HEAD_SECONDS = 75.0  # proxies keep a connection for 60 s: who uses it last must not be us

_log = logging.getLogger(__name__)


class Runner(web.AppRunner):
    """Runs the application; sites take the connections from `server`.

    A connection is hung up on when `head_seconds` after it began, or after the last answer, the head of a request
    has not come whole.
    """

    def __init__(self, app: web.Application, *, head_seconds: float = _HEAD_SECONDS, **options: Any) -> None:
        super().__init__(app, **options)
        self.seats = Seats()
        self._head_seconds = head_seconds

    async def setup(self) -> None:
        await super().setup()
        made = cast("web.Server", super().server)
        made.request_handler = partial(_seen_to_work, made.request_handler)

    @property
    def server(self) -> "Server | None":
        made = super().server
        return None if made is None else Server(self.app, made, self.seats, self._head_seconds)


async def _seen_to_work(handler: Handler, request: web.BaseRequest) -> web.StreamResponse:
    cast("_Connection", request.protocol).begins(request)
    if not request.headers.get(hdrs.EXPECT, "").isascii():  # aiohttp would repeat it, which is no text
        raise web.HTTPExpectationFailed
    return await handler(request)  # type: ignore[arg-type]  # whatever the server was made with


class Server(web.Server):
    def __init__(self, app: web.Application, made: web.Server, seats: Seats, head_seconds: float) -> None:
        super().__init__(made.request_handler, request_factory=made.request_factory)
        self._app = app
        self._made = made
        self._seats = seats
        self._head_seconds = head_seconds

    def __call__(self, seat: Seat | None = None) -> web.RequestHandler:
        """The protocol of a new connection, which may have had its seat before."""
        return _Connection(self._app, self._made, self._seats, seat, self._head_seconds)


class _Connection(web.RequestHandler):
    def __init__(
        self, app: web.Application, manager: web.Server, seats: Seats, seat: Seat | None, head_seconds: float
    ) -> None:
        # It counts from the beginning of the connection as well, and half a head is none.
        super().__init__(manager, loop=asyncio.get_running_loop(), keepalive_timeout=head_seconds, **_OPTIONS)
        self._parser: Any = BoundedHeads(self._parser)
        self._public_url = app[PUBLIC_URL]
        self._seats = seats
        self._seat = seat or seats.take(self.force_close)
        self._answered: web.BaseRequest | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._seat.hang_up = cast("asyncio.Transport", transport).abort
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        error = getattr(self._messages[-1][0], "exc", None) if self._messages else None
        if error is not None:
            error.__traceback__ = None  # it would keep this connection, and all that was received

    def connection_lost(self, exc: BaseException | None) -> None:
        self._seats.leave(self._seat)
        super().connection_lost(exc)

    def begins(self, request: web.BaseRequest) -> None:
        """From when its body is whole until `finish_response` this request is being answered; until then it waits."""
        self._answered = request
        self._seats.waits(self._seat)
        request.content.on_eof(partial(self._is_whole, request))

    def _is_whole(self, request: web.BaseRequest) -> None:
        if self._answered is request:  # some bodies end after the answer, which did not wait for them
            self._seats.works(self._seat)

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

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Of a body that nobody asked for and that is not what it says, there is nothing to tell but that."""
        error = kwargs.get("exc_info")
        if isinstance(error, web.RequestPayloadError):
            _log.info("a body that cannot be read: from=%s", (self.peername or ("",))[0])
        else:
            super().log_exception(*args, **kwargs)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """All that handlers raise is a problem already: what comes here as an exception was raised around them."""
        if isinstance(resp, web.HTTPException):
            error = Refused(resp.status, f"{resp.reason}.")
            resp = self._refusal(request, error, instance=request.rel_url.raw_path)
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._answered = None
            self._seats.waits(self._seat)

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
