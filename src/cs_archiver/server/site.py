"""Takes connections from the network, and never more than there is room for: the work keeps its descriptors."""

import asyncio
import logging
import socket
import ssl
import time
from functools import partial
from typing import cast

from aiohttp import web
from yarl import URL

from cs_archiver.server.listening import Runner, Server
from cs_archiver.server.seats import Seat

_BACKLOG = 512
_TURN = 64
_HANDSHAKE_SECONDS = 10.0
_UNREAD_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
_TELL_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Site(web.BaseSite):
    """Where the runner's application is served.

    Above `most` connections, who has waited longest for a request is hung up on for whoever comes; where all are being
    answered, whoever comes is not let in. Who takes nothing of an answer for `unread_seconds` is hung up on as well.
    """

    def __init__(
        self,
        runner: Runner,
        host: str,
        port: int,
        *,
        most: int,
        ssl_context: ssl.SSLContext | None = None,
        unread_seconds: float = _UNREAD_SECONDS,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context)
        self._seats = runner.seats
        self._protocols = cast("Server", runner.server)
        self._host = host
        self._port = port
        self._most = most
        self._tls = ssl_context
        self._unread_milliseconds = int(unread_seconds * 1000)
        self._listening: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._beginning: set[asyncio.Task[object]] = set()
        self._next_telling = 0.0

    @property
    def name(self) -> str:
        """Its address; once it is started, with the port it has."""
        port = self._listening[0].getsockname()[1] if self._listening else self._port
        return str(URL.build(scheme="https" if self._tls else "http", host=self._host, port=port))

    async def start(self) -> None:
        """Raises OSError where the address is not free."""
        await super().start()
        loop = asyncio.get_running_loop()
        # asyncio knows what a host can stand for; it hands connections over only when all is done for them, though.
        bound = await loop.create_server(asyncio.Protocol, self._host, self._port, start_serving=False)
        self._listening = [place.dup() for place in bound.sockets]
        bound.close()
        for place in self._listening:
            place.setblocking(False)
            place.listen(_BACKLOG)
            self._accepting.append(asyncio.create_task(self._accept(place), name="take connections"))

    async def stop(self) -> None:
        tasks = [*self._accepting, *self._beginning]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for place in self._listening:
            place.close()
        await super().stop()

    async def _accept(self, place: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        taken = 0
        while True:
            try:
                accepted, _ = await loop.sock_accept(place)
            except ConnectionError:  # it left before it was taken
                await asyncio.sleep(0)
                continue
            except OSError as error:
                self._tell(f"no connection can be taken: {error.strerror}")
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._begin(accepted)
            taken += 1
            if taken % _TURN == 0:  # many at once must not hold up the others
                await asyncio.sleep(0)

    def _begin(self, accepted: socket.socket) -> None:
        if len(self._seats) >= self._most and not self._seats.free_one():
            self._tell(f"all of the {self._most} connections that there may be are in use: others are hung up on")
            accepted.close()
            return
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._unread_milliseconds)
        seat = self._seats.take(accepted.close)
        task = asyncio.create_task(self._connect(accepted, seat), name="begin a connection")
        seat.hang_up = task.cancel
        self._beginning.add(task)
        task.add_done_callback(partial(self._begun, accepted, seat))

    async def _connect(self, accepted: socket.socket, seat: Seat) -> object:
        return await asyncio.get_running_loop().connect_accepted_socket(
            partial(self._protocols, seat),
            accepted,
            ssl=self._tls,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._tls else None,
        )

    def _begun(self, accepted: socket.socket, seat: Seat, task: asyncio.Task[object]) -> None:
        self._beginning.discard(task)
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            self._seats.leave(seat)
            accepted.close()
        if error is not None and not isinstance(error, OSError):  # those are how handshakes fail
            _log.error("a connection could not begin", exc_info=error)

    def _tell(self, trouble: str) -> None:
        """Not with each connection."""
        now = time.monotonic()
        if now >= self._next_telling:
            self._next_telling = now + _TELL_SECONDS
            _log.warning("%s", trouble)
