"""A server of our own that takes apprise's json:// messages, or treats them badly."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

_ENDLESS = b"x" * 1024 * 1024


@dataclass
class Inbox:
    """`mood` is what it does with a message: "takes", "refuses", "hangs" or "floods"."""

    port: int = 0
    mood: str = "takes"
    messages: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    flooded_bytes: int = 0

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/secret-path"

    @property
    def subjects(self) -> list[str]:
        return [message["title"] for message in self.messages]

    async def until(self, count: int, *, seconds: float = 30) -> list[dict[str, Any]]:
        """Its messages once there are so many."""
        async with asyncio.timeout(seconds):
            while len(self.messages) < count:
                await asyncio.sleep(0.05)
        return self.messages

    async def until_asked(self, count: int, *, seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while self.asked < count:
                await asyncio.sleep(0.05)

    async def take(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        self.asked += 1
        if self.mood == "refuses":
            return web.Response(status=500, text="no")
        if self.mood == "hangs":
            await asyncio.sleep(3600)
        if self.mood == "floods":
            response = web.StreamResponse()
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                while True:
                    await response.write(_ENDLESS)
                    self.flooded_bytes += len(_ENDLESS)
            return response
        self.messages.append(json.loads(content))
        return web.Response(text="ok")


@asynccontextmanager
async def running_inbox() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    app = web.Application()
    app.router.add_post("/{path:.*}", inbox.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    inbox.port = int(runner.addresses[0][1])
    try:
        yield inbox
    finally:
        await runner.cleanup()
