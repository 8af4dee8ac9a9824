"""Addresses as browsers call them: behind a proxy, everything may lie below a path that the service never sees."""

from urllib.parse import urlencode

from aiohttp import web
from yarl import URL

from cs_archiver.server.keys import PUBLIC_URL


def base_path(app: web.Application) -> str:
    """What stands before every path of the service: `/archiver`, or nothing."""
    return URL(app[PUBLIC_URL]).path.rstrip("/")


def link(app: web.Application, path: str, /, **query: object) -> str:
    """Where this path of the service is for browsers; what is None or empty stays out of the query."""
    given = [(name, value) for name, value in query.items() if value not in (None, "", ())]
    return base_path(app) + path + (f"?{urlencode(given, doseq=True)}" if given else "")


def called(request: web.Request) -> URL:
    """What was called, as the browser called it: a proxy may have stripped the base path, or left it."""
    base = base_path(request.app)
    url = request.rel_url
    if not base or url.raw_path == base or url.raw_path.startswith(base + "/"):
        return url
    return URL.build(path=base + url.raw_path, query_string=url.raw_query_string, encoded=True)


def inner_path(request: web.Request) -> str:
    """What was called, as it stands in the URL table."""
    return called(request).raw_path.removeprefix(base_path(request.app))


def is_own(app: web.Application, text: str) -> bool:
    """Whether this, as the target of a link, stays within the service."""
    # Browsers take \\ for /, leave out line breaks and tabs, and see the name of another host behind //.
    path, _, _ = text.partition("?")
    is_plain = text.isascii() and text.isprintable() and "\\" not in text and "//" not in path
    return is_plain and text.startswith(base_path(app) + "/") and ".." not in path.lower().replace("%2e", ".")
