"""The live updates: a WebSocket that first tells the state of all active jobs, and then what changes."""

import asyncio
import logging
from contextlib import suppress

from aiohttp import WSMsgType, hdrs, web

from cs_archiver.clock import elapsed, now_text
from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.server.admitted_still import require_admitted_still
from cs_archiver.server.contract.live import LiveQuery
from cs_archiver.server.keys import LIVE
from cs_archiver.server.live_client import DEFECT, LEFT, NOT_UNDERSTOOD, TRY_AGAIN, Client, Closing
from cs_archiver.server.live_hub import Live
from cs_archiver.server.problems import problem
from cs_archiver.server.route import Call

_PING_SECONDS = 20.0
_CLOSE_SECONDS = 3.0
_LOOK_SECONDS = 60.0  # news that a session ended may be lost: ask this often in any case
_SOON_SECONDS = 0.05
_LONGEST_MESSAGE_BYTES = 1024
_SESSION_ENDED = 4401
_CLIENT_LEFT = 499

_log = logging.getLogger(__name__)

LiveCall = Call[LiveQuery, None]


class UpgradeRequired(InvalidRequest):
    """Only the WebSocket protocol is spoken here."""

    status = 426


async def jobs(call: LiveCall) -> web.StreamResponse:
    request = call.request
    if not _asks_for_websocket(request):
        detail = "This path speaks the WebSocket protocol, version 13, without subprotocols."
        headers: dict[str, str] = {hdrs.UPGRADE: "websocket", hdrs.SEC_WEBSOCKET_VERSION: "13"}
        return problem(request, UpgradeRequired("upgrade-required", detail), headers=headers)
    with call.service(LIVE).seat(call.user.id, call.caller.credential) as client:
        await require_admitted_still(call.request, call.who)  # it may have ended before there was a seat
        return await _serve(call, client)


def _asks_for_websocket(request: web.Request) -> bool:
    if hdrs.SEC_WEBSOCKET_PROTOCOL in request.headers:
        return False  # it may be somebody's way to send a token: aiohttp would write it to the log
    try:
        return web.WebSocketResponse().can_prepare(request).ok
    except UnicodeEncodeError:  # a header is no text, and aiohttp repeats it when it says what is wrong
        return False


async def _serve(call: LiveCall, client: Client) -> web.StreamResponse:
    request = call.request
    socket = web.WebSocketResponse(
        timeout=_CLOSE_SECONDS, heartbeat=_PING_SECONDS, compress=False, max_msg_size=_LONGEST_MESSAGE_BYTES
    )
    try:
        await socket.prepare(request)
    except ConnectionError:
        return web.Response(status=_CLIENT_LEFT)  # to nobody
    tasks = [
        asyncio.create_task(work)
        for work in (client.ended(), _send(call.service(LIVE), client, socket), _hear(socket), _watch(call, client))
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        closing = next(task for task in tasks if task in done).result()
    except Exception:  # noqa: BLE001  the upgrade is done: there is no answer any more that could tell of it
        _log.exception("live updates end")
        closing = DEFECT
    finally:
        await _end(tasks)
    client.end(closing)
    if closing is not LEFT:
        _log.info("live updates end: %s", closing.reason)
    await _close(request, socket, closing)
    return socket


async def _send(live: Live, client: Client, socket: web.WebSocketResponse) -> Closing:
    try:
        await live.join(client)
        while True:
            await socket.send_frame(await client.next(), WSMsgType.TEXT)
    except JobError:
        return TRY_AGAIN
    except ConnectionError:
        return LEFT


async def _hear(socket: web.WebSocketResponse) -> Closing:
    try:
        message = await socket.receive()  # answers pings, and what breaks the protocol or is too long
    except ConnectionError:  # in the middle of an answer
        return LEFT
    return NOT_UNDERSTOOD if message.type in {WSMsgType.TEXT, WSMsgType.BINARY} else LEFT


async def _watch(call: LiveCall, client: Client) -> Closing:
    """Until the session counts no longer."""
    try:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_seconds_to_look(call.caller.expires_at)):
                    await client.doubted.wait()
            client.doubted.clear()
            await require_admitted_still(call.request, call.who)
    except InvalidRequest as error:
        return Closing(_SESSION_ENDED, error.problem)
    except JobError:
        return TRY_AGAIN


def _seconds_to_look(expires_at: str) -> float:
    left = elapsed(now_text(), expires_at).total_seconds()
    return min(max(left, _SOON_SECONDS), _LOOK_SECONDS)


async def _close(request: web.Request, socket: web.WebSocketResponse, closing: Closing) -> None:
    """Say why, give the client a moment to hear it, and let go of it in any case."""
    transport = request.transport
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await socket.close(code=closing.code, message=closing.reason.encode(), drain=False)
    if transport is not None:
        transport.abort()  # closing alone would wait until everything is sent to who does not read


async def _end(tasks: list[asyncio.Task[Closing]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
