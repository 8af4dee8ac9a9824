"""What is sent as it is, from memory: the files under web/static, the API's description, its page."""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from aiohttp import hdrs, web

MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)  # but not where it weighs nothing
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class File:
    """`etag` names the content: two files of one tag are equal."""

    content: bytes
    media_type: str
    etag: str

    @cached_property
    def packed(self) -> bytes | None:
        """The content by gzip, where that is smaller; made for the first who takes it, not at every start."""
        packed = gzip.compress(self.content, mtime=0)
        return packed if len(packed) < len(self.content) else None


class Tree(NamedTuple):
    """Files by their path; `version` names all of their contents together."""

    files: Mapping[str, File]
    version: str


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


def static_files(folder: Path) -> Tree:
    """Every file below `folder` that browsers are given, by its path from there; nothing else is ever served."""
    files = {
        path.relative_to(folder).as_posix(): file_of(path.read_bytes(), MEDIA_TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.suffix in MEDIA_TYPES
    }
    names = "\n".join(f"{name} {file.etag}" for name, file in files.items())
    return Tree(files, hashlib.sha256(names.encode()).hexdigest()[:12])


def sent_unless_known(request: web.Request, file: File, headers: Mapping[str, str]) -> web.Response:
    """The file as it is, or 304 when the client shows its tag; nobody is told to keep it."""
    response = web.Response(status=304) if _is_known(request, file.etag) else _whole(file, is_packed=False)
    response.headers.update(headers)
    response.etag = file.etag
    return response


def sent(request: web.Request, file: File, *, is_lasting: bool = False) -> web.Response:
    """The file, or 304 when the client has it; kept by browsers, but asked for each time unless `is_lasting`."""
    is_packed = _GZIP.search(request.headers.get(hdrs.ACCEPT_ENCODING, "")) is not None and file.packed is not None
    etag = f"{file.etag}-gzip" if is_packed else file.etag
    response = web.Response(status=304) if _is_known(request, etag) else _whole(file, is_packed=is_packed)
    response.headers[hdrs.CACHE_CONTROL] = _FOR_EVER if is_lasting else "no-cache"
    response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
    response.etag = etag
    return response


def _is_known(request: web.Request, etag: str) -> bool:
    return any(tag.value in {etag, "*"} for tag in request.if_none_match or ())


def _whole(file: File, *, is_packed: bool) -> web.Response:
    if not is_packed:
        return web.Response(body=file.content, content_type=file.media_type, charset="utf-8")
    response = web.Response(body=file.packed, content_type=file.media_type, charset="utf-8")
    response.headers[hdrs.CONTENT_ENCODING] = "gzip"
    return response
