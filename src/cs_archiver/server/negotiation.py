"""Whether a client wants text rather than JSON (RFC 9110, section 12.5.1)."""

import re

from aiohttp import hdrs, web

TEXT = "text/plain"
_JSON = "application/json"


def prefers_text(request: web.Request) -> bool:
    """JSON, unless the Accept header weighs text/plain higher. A header that makes no sense counts for nothing."""
    weights = dict(map(_weight, ",".join(request.headers.getall(hdrs.ACCEPT, [])).lower().split(",")))
    return _weight_of(TEXT, weights) > _weight_of(_JSON, weights)


def _weight(media_range: str) -> tuple[str, float]:
    kind, _, parameters = media_range.partition(";")
    found = re.search(r"(?:^|;)\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)", parameters, re.ASCII)
    return kind.strip(), float(found[1]) if found else 1.0


def _weight_of(media: str, weights: dict[str, float]) -> float:
    """That of the most specific range that holds it."""
    ranges = (media, media.partition("/")[0] + "/*", "*/*")
    return next((weights[known] for known in ranges if known in weights), 0.0)
