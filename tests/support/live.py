"""Clients of the live updates: each message they hear is held against what the description says of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from pydantic import Field, TypeAdapter

from cs_archiver.server.contract import live
from tests.support.api import Api

PATIENCE_SECONDS = 20.0

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
"""What asks for a WebSocket in a plain request, whose refusal can be read."""

_MESSAGE: TypeAdapter[live.Message] = TypeAdapter(
    Annotated[
        live.Snapshot | live.JobUpdate | live.QueueUpdate | live.FoldersUpdate | live.Log, Field(discriminator="type")
    ]
)

Message = dict[str, Any]


@dataclass
class Listener:
    """One connection; `heard` has every message it got so far, each without its number."""

    socket: ClientWebSocketResponse
    heard: list[Message] = field(default_factory=list)

    async def next(self) -> Message:
        async with asyncio.timeout(PATIENCE_SECONDS):
            frame = await self.socket.receive()
        assert frame.type is WSMsgType.TEXT, (frame, self.socket.close_code)
        message: Message = frame.json()
        self.heard.append(message)
        assert message.pop("seq") == len(self.heard)
        _MESSAGE.validate_python(message, strict=False)
        return message

    async def until(self, **members: Any) -> Message:
        """The next message with these members; what comes before it is heard as well."""
        while True:
            message = await self.next()
            if members.items() <= message.items():
                return message

    async def end(self) -> int | None:
        """The code of the close, after whatever is heard until then."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for _ in self.socket:
                pass
        return self.socket.close_code

    def of_type(self, kind: str, job_id: str | None = None) -> list[Message]:
        return [
            message
            for message in self.heard
            if message["type"] == kind and (job_id is None or message["job_id"] == job_id)
        ]


@asynccontextmanager
async def listening(
    api: Api, username: str = "ann", *, token: str | None = None, session: ClientSession | None = None
) -> AsyncIterator[Listener]:
    """A client that has its snapshot, signed in by `?token=`."""
    token = token or await api.token_of(username)
    session = session or api.client.session
    async with session.ws_connect(api.client.make_url("/ws/jobs"), params={"token": token}) as socket:
        listener = Listener(socket)
        assert (await listener.next())["type"] == "snapshot"
        api.answered.add("live_jobs")
        yield listener
