"""Handlers that do nothing: what aiohttp, this machine and the generator take for an answer of so many bytes.

And for news: what is posted to /tell goes, as it is, to every WebSocket that is connected to /ws.
"""

import asyncio
import sys

from aiohttp import WSMsgType, web

_LISTENERS = web.AppKey("listeners", set[web.WebSocketResponse])


async def _answer(request: web.Request) -> web.Response:
    return web.Response(body=b"x" * int(request.match_info["length"]), content_type="application/json")


async def _listen(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str('{"type":"snapshot"}')
    request.app[_LISTENERS].add(socket)
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            break
    request.app[_LISTENERS].discard(socket)
    return socket


async def _tell(request: web.Request) -> web.Response:
    text = await request.text()
    await asyncio.gather(*(socket.send_str(text) for socket in request.app[_LISTENERS]))
    return web.Response(status=204)


def main() -> None:
    app = web.Application()
    app[_LISTENERS] = set()
    app.router.add_get("/{length:[0-9]+}", _answer)
    app.router.add_get("/ws/jobs", _listen)
    app.router.add_post("/tell", _tell)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
