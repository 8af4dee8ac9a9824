"""A browser sends its cookie with whatever any site makes it send: here it is told who made it."""

import hmac

from aiohttp import hdrs, web
from yarl import URL

from cs_archiver.domain.text import printable
from cs_archiver.errors import Forbidden
from cs_archiver.server.keys import PUBLIC_URL

FORM_TOKEN = "X-CSRF-Token"  # noqa: S105  the name of a header
_FETCH_SITE = "Sec-Fetch-Site"


def require_own_page(request: web.Request, *, shown: str, expected: str) -> None:
    """Whether a page of this service made the browser send this. Raises Forbidden "cross-site-request".

    Browsers say where a request comes from, and pages cannot make them lie. Where nothing is said, the request must
    have `shown` the form token that is `expected`, which no other site can know.
    """
    if _says_where_from(request):
        refuse_other_sites(request)
    elif not hmac.compare_digest(shown.encode(errors="replace"), expected.encode()):
        raise Forbidden(
            "cross-site-request",
            f"With a cookie, Origin, Sec-Fetch-Site, or {FORM_TOKEN} with what GET /api/auth/csrf gives is needed.",
        )


def refuse_other_sites(request: web.Request) -> None:
    """Raises Forbidden "cross-site-request" where the browser says that a page of another site sent this."""
    site, origin = request.headers.get(_FETCH_SITE), request.headers.get(hdrs.ORIGIN)
    if site == "same-origin":
        return
    if site is not None:
        raise Forbidden("cross-site-request", f"Sec-Fetch-Site: expected same-origin, got {printable(site)}.")
    own = own_origins(request)
    if origin is not None and origin.lower() not in own:
        expected = " or ".join(sorted(own))
        got = printable(origin)
        detail = f"Origin: expected {expected}, got {got}: behind a proxy, PUBLIC_URL must be what browsers call."
        raise Forbidden("cross-site-request", detail)


def own_origins(request: web.Request) -> set[str]:
    """What a browser calls the origin of this service's pages."""
    called = f"{request.scheme}://{request.host}".lower()
    public_url = request.app[PUBLIC_URL]
    if not public_url:
        return {called}
    public = str(URL(public_url).origin()).lower()
    if public.startswith("https:") and not request.secure:
        return {public}  # what anybody on the way could have made a page say is none of them
    return {called, public}


def _says_where_from(request: web.Request) -> bool:
    return _FETCH_SITE in request.headers or hdrs.ORIGIN in request.headers
