"""Whether a client wants text or a page rather than JSON (RFC 9110, section 12.5.1)."""

import re

from aiohttp import hdrs, web

from cs_archiver.server.links import inner_path

TEXT = "text/plain"
HTML = "text/html"
_JSON = "application/json"
_FOR_PROGRAMS = ("/api/", "/ws/", "/static/")


def prefers_text(request: web.Request) -> bool:
    """JSON, unless the Accept header weighs text/plain higher. A header that makes no sense counts for nothing."""
    return _prefers(request, TEXT)


def prefers_page(request: web.Request) -> bool:
    """Whether a person with a browser asks; the paths for programs answer in JSON to all."""
    return not inner_path(request).startswith(_FOR_PROGRAMS) and _prefers(request, HTML)


def _prefers(request: web.Request, media: str) -> bool:
    weights = dict(map(_weight, ",".join(request.headers.getall(hdrs.ACCEPT, [])).lower().split(",")))
    return _weight_of(media, weights) > _weight_of(_JSON, weights)


def _weight(media_range: str) -> tuple[str, float]:
    kind, _, parameters = media_range.partition(";")
    found = re.search(r"(?:^|;)\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)", parameters, re.ASCII)
    return kind.strip(), float(found[1]) if found else 1.0


def _weight_of(media: str, weights: dict[str, float]) -> float:
    """That of the most specific range that holds it."""
    ranges = (media, media.partition("/")[0] + "/*", "*/*")
    return next((weights[known] for known in ranges if known in weights), 0.0)
