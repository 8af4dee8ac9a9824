"""The headers of every answer, whoever made it: what browsers may do with it, and who it is for."""

from aiohttp import hdrs, web

from cs_archiver.server.address import is_https
from cs_archiver.server.keys import REQUEST_ID

REQUEST_ID_HEADER = "X-Request-Id"

_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # Bootstrap draws its check marks and arrows so
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


async def protect(request: web.Request, response: web.StreamResponse) -> None:
    """What to do to each answer before it is sent."""
    add_headers(request, response, is_encrypted=is_https(request))


def add_headers(request: web.BaseRequest, response: web.StreamResponse, *, is_encrypted: bool) -> None:
    response.headers.update(_HEADERS)
    if is_encrypted:
        response.headers["Strict-Transport-Security"] = _ONE_YEAR
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    if REQUEST_ID in request:
        response.headers[REQUEST_ID_HEADER] = request[REQUEST_ID]
