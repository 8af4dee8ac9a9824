"""The cookie by which a browser is signed in."""

from http.cookies import SimpleCookie

from aiohttp import hdrs, web

from cs_archiver.server.address import is_https
from cs_archiver.services.accounts import Session


def token_in_cookie(request: web.Request) -> str:
    """Empty if there is none."""
    return request.cookies.get(_name(request), "")


def begin(request: web.Request, session: Session) -> dict[str, str]:
    """The header that makes the browser show this session with each request from now on."""
    return _header(request, session.token, max_age=int(session.lifetime.total_seconds()))


def end(request: web.Request) -> dict[str, str]:
    """The header that makes the browser forget its session."""
    return _header(request, "", max_age=0)


def _header(request: web.Request, token: str, *, max_age: int) -> dict[str, str]:
    name = _name(request)
    cookie: SimpleCookie = SimpleCookie({name: token})
    values = {"path": "/", "max-age": max_age, "samesite": "Lax", "httponly": True, "secure": is_https(request)}
    for key, value in values.items():
        cookie[name][key] = value
    return {hdrs.SET_COOKIE: cookie[name].OutputString()}


def _name(request: web.Request) -> str:
    return "__Host-csa" if is_https(request) else "csa"
