"""The headers of every answer, whoever made it: what browsers may do with it, and who it is for."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from cs_archiver.server.keys import REQUEST_ID

REQUEST_ID_HEADER = "X-Request-Id"

_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    hdrs.SERVER: "cs-archiver",
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_ONE_YEAR = "max-age=31536000"  # of this host alone: what other hosts of the domain speak is not ours to say

AddHeaders = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def headers_for(public_url: str) -> AddHeaders:
    """What to do to each answer before it is sent. `public_url` is the service's address for people, or empty."""
    is_https = public_url.startswith("https://")
    always = _HEADERS | ({"Strict-Transport-Security": _ONE_YEAR} if is_https else {})

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(always)
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        if REQUEST_ID in request:
            response.headers[REQUEST_ID_HEADER] = request[REQUEST_ID]

    return add
