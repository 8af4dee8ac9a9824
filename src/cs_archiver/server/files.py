"""What is sent as it is, from memory: the files under web/static, the API's description, its page."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from aiohttp import hdrs, web

MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class File(NamedTuple):
    """`etag` names the content: two files of one tag are equal."""

    content: bytes
    media_type: str
    etag: str


class LateFile:
    """A file that is made when somebody first asks for it, since that takes long and few ask."""

    def __init__(self, make: Callable[[], File]) -> None:
        self._make = make
        self._file: File | None = None

    async def get(self) -> File:
        if self._file is None:
            self._file = await asyncio.to_thread(self._make)
        return self._file


def file_of(content: bytes, media_type: str) -> File:
    return File(content, media_type, hashlib.sha256(content).hexdigest()[:32])


def static_files(folder: Path) -> dict[str, File]:
    """Every file below `folder` that browsers are given, by its path from there; nothing else is ever served."""
    return {
        path.relative_to(folder).as_posix(): file_of(path.read_bytes(), MEDIA_TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.suffix in MEDIA_TYPES
    }


def sent(request: web.Request, file: File) -> web.Response:
    """The file, or 304 when the client has it; kept by browsers, but asked for each time."""
    known = any(tag.value in {file.etag, "*"} for tag in request.if_none_match or ())
    response = web.Response(status=304) if known else _whole(file)
    response.headers[hdrs.CACHE_CONTROL] = "no-cache"
    response.etag = file.etag
    return response


def _whole(file: File) -> web.Response:
    return web.Response(body=file.content, content_type=file.media_type, charset="utf-8")
