"""Downloads whose readers leave: that is nothing to report as a failure of the service."""

import logging
from collections.abc import AsyncGenerator

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer

from cs_archiver.server.keys import REQUEST_ID
from cs_archiver.server.streaming import stream_text


async def test_who_leaves_before_the_first_byte_is_noted_and_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    async def download(request: web.Request) -> web.StreamResponse:
        request[REQUEST_ID] = "7"

        async def pieces() -> AsyncGenerator[bytes, None]:
            assert request.transport is not None
            request.transport.abort()
            yield b"a line\n"

        return await stream_text(request, pieces(), file_name="log.txt", headers={})

    app = web.Application()
    app.router.add_get("/", download)
    with caplog.at_level(logging.INFO):
        async with TestClient(TestServer(app)) as client:
            with pytest.raises(ClientError):
                await client.get("/")
    assert "the client left" in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
