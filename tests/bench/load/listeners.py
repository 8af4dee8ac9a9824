"""Clients of the live updates, in a process of their own: when each line of a log reached each of them."""

import asyncio
import json
import os
import sys
import time
from datetime import datetime
from functools import partial
from typing import Any

from tests.support.live import UPGRADE

_PING, _TEXT, _CLOSE = 9, 1, 8
_STAMP = b'"timestamp":"'
_LONG = 126


class _Listener(asyncio.Protocol):
    """Knows just enough of RFC 6455 to tell messages apart, and to answer a ping."""

    def __init__(self, request: bytes, arrivals: list[tuple[bytes, float]]) -> None:
        self._request = request
        self._arrivals = arrivals
        self._heard = bytearray()
        self._upgraded = False
        self.is_lost = False
        self.joined = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if not self.joined.done():
            self.joined.set_exception(ConnectionError(f"refused: {bytes(self._heard[:200])!r}"))

    def data_received(self, data: bytes) -> None:
        at = time.time()
        self._heard += data
        if not self._upgraded:
            end = self._heard.find(b"\r\n\r\n")
            if end < 0 or not self._heard.startswith(b"HTTP/1.1 101"):
                return
            del self._heard[: end + 4]
            self._upgraded = True
        while self._take_frame(at):
            pass

    def _take_frame(self, at: float) -> bool:
        heard = self._heard
        if len(heard) < 2:
            return False
        kind, length, start = heard[0] & 15, heard[1] & 127, 2
        if length >= _LONG:
            start = 4 if length == _LONG else 10
            length = int.from_bytes(heard[2:start], "big")
        if len(heard) < start + length or start > len(heard):
            return False
        body = bytes(heard[start : start + length])
        del heard[: start + length]
        self._take(kind, body, at)
        return True

    def _take(self, kind: int, body: bytes, at: float) -> None:
        if kind == _PING:
            self._transport.write(bytes((0x8A, 0x80 | len(body), 0, 0, 0, 0)) + body)
        elif kind == _TEXT and body.startswith(b'{"type":"log"'):
            start = body.index(_STAMP) + len(_STAMP)
            self._arrivals.append((body[start : body.index(b'"', start)], at))
        elif kind == _TEXT and not self.joined.done():
            self.joined.set_result(None)
        elif kind == _CLOSE:
            self.is_lost = True


def _request(port: int, token: str) -> bytes:
    headers = {"Host": f"127.0.0.1:{port}", "Authorization": f"Bearer {token}", **UPGRADE}
    return "\r\n".join(["GET /ws/jobs HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]).encode()


async def _listen(port: int, tokens: list[str], silent: int) -> None:
    loop = asyncio.get_running_loop()
    arrivals: list[tuple[bytes, float]] = []
    held = []
    listeners = []
    for number, token in enumerate(tokens):
        request = _request(port, token)
        if number < silent:
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=64)
            writer.write(request)
            held.append(writer)
        else:
            _, listener = await loop.create_connection(partial(_Listener, request, arrivals), "127.0.0.1", port)
            await listener.joined
            listeners.append(listener)
    print("all here", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    lost = sum(listener.is_lost for listener in listeners)
    told = len({stamp for stamp, _ in arrivals})
    result: dict[str, Any] = {"lost": lost, "lines": told, "delays": _delays(arrivals)}
    print(json.dumps(result), flush=True)
    os._exit(0)


def _delays(arrivals: list[tuple[bytes, float]]) -> list[tuple[float, float]]:
    """When each line was stamped, just before its commit, and the milliseconds from then on."""
    stamps = {stamp: datetime.fromisoformat(stamp.decode()).timestamp() for stamp, _ in arrivals}
    return [(stamps[stamp], (at - stamps[stamp]) * 1000) for stamp, at in arrivals]


def main() -> None:
    order = json.loads(sys.stdin.readline())
    asyncio.run(_listen(order["port"], order["tokens"], order["silent"]))


if __name__ == "__main__":
    main()
