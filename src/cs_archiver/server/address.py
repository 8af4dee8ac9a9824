"""Where a request comes from."""

from aiohttp import web


def address_of(request: web.Request) -> str:
    """The address of the client, as text; empty where it has none."""
    return request.remote or ""
