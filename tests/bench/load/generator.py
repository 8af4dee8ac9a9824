"""A client of many keep-alive connections, in a process of its own so that its cost is not counted to the service."""

import asyncio
import base64
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

_PATIENCE_SECONDS = 60.0
_END_OF_CHUNKS = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Order:
    """For each connection, the requests it sends in turn and the status that each is to be answered with.

    per_second: so often each connection asks, whether or not answers are late, beginning at moments that are spread
    over the time between two of its requests; 0: it asks again as soon as it is answered.
    """

    port: int
    requests: list[list[str]]
    statuses: list[list[int]]
    seconds: float
    per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`took`: the connection, the number of the request within its list, and milliseconds until the last byte."""

    took: list[tuple[int, int, float]]
    seconds: float
    length: int

    @property
    def per_second(self) -> float:
        return len(self.took) / self.seconds


class Generator:
    """Starts the process, and hands it one order after the other."""

    async def __aenter__(self) -> "Generator":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 28
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        await self._process.wait()

    async def run(self, port: int, requests: list[list[bytes]], statuses: list[list[int]], **more: float) -> Outcome:
        """Raises RuntimeError when an answer has another status than it should have, or does not come."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        packed = [[base64.b64encode(request).decode() for request in of_one] for of_one in requests]
        order = Order(port, packed, statuses, **more)
        self._process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        answer = json.loads(await self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return Outcome([tuple(one) for one in answer["took"]], answer["seconds"], answer["length"])


class _Connection(asyncio.Protocol):
    """Sends one request at a time; knows just enough of HTTP/1.1 to see where an answer ends."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._heard = bytearray()
        self._head = 0
        self._length: int | None = None
        self._answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.longest = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(ConnectionError(f"the service closed the connection: {exc}"))

    async def ask(self, request: bytes) -> int:
        """The status of the answer."""
        self._heard, self._head, self._length = bytearray(), 0, None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if not self._head:
            self._find_head()
        if not self._head:
            return
        body = len(self._heard) - self._head
        if body == self._length or (self._length is None and self._heard.endswith(_END_OF_CHUNKS, self._head)):
            self.longest = max(self.longest, body)
            self._answer.set_result(int(self._heard[9:12]))

    def _find_head(self) -> None:
        end = self._heard.find(b"\r\n\r\n")
        if end < 0:
            return
        self._head = end + 4
        _, found, rest = bytes(self._heard[:end]).lower().partition(b"\r\ncontent-length: ")
        if found:
            self._length = int(rest.partition(b"\r\n")[0])
        elif b"\r\ntransfer-encoding: chunked" not in self._heard[:end].lower():
            self._length = 0

    def close(self) -> None:
        self._answer.cancel()
        self._transport.abort()


async def _carry_out(order: Order) -> Outcome:
    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(_Connection, "127.0.0.1", order.port))[1] for _ in order.requests]
    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_of_one(order, number, connection, begun))
            for number, connection in enumerate(connections)
        ]
    for connection in connections:
        connection.close()
    took = [one for task in tasks for one in task.result()]
    return Outcome(took, time.monotonic() - begun, max(connection.longest for connection in connections))


async def _of_one(order: Order, number: int, connection: _Connection, begun: float) -> list[tuple[int, int, float]]:
    took: list[tuple[int, int, float]] = []
    requests = [base64.b64decode(request) for request in order.requests[number]]
    pause = 1 / order.per_second if order.per_second else 0.0
    due = begun + number / len(order.requests) * pause
    while due < begun + order.seconds:
        which = len(took) % len(requests)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        async with asyncio.timeout(_PATIENCE_SECONDS):
            status = await connection.ask(requests[which])
        now = time.monotonic()
        took.append((number, which, (now - due) * 1000))
        if status != order.statuses[number][which]:
            raise AssertionError(f"answered with {status}: {requests[which].splitlines()[0]!r}")
        due = due + pause if pause else now
    return took


def main() -> None:
    for line in sys.stdin:
        order = Order(**json.loads(line))
        answer: dict[str, Any]
        try:
            answer = asdict(asyncio.run(_carry_out(order)))
        except* (AssertionError, OSError, TimeoutError) as errors:
            answer = {"error": "; ".join(dict.fromkeys(map(repr, errors.exceptions)))}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
