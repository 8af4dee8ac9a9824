"""The cookie by which a browser is signed in."""

from http.cookies import SimpleCookie
from typing import TypedDict

from aiohttp import hdrs, web

from cs_archiver.server.address import is_https
from cs_archiver.server.links import base_path
from cs_archiver.services.accounts import Session

_CLEAR_SITE_DATA = "Clear-Site-Data"


class CookieScope(TypedDict):
    path: str
    samesite: str
    secure: bool


def token_in_cookie(request: web.Request) -> str:
    """Empty if there is none."""
    return request.cookies.get(_name(request), "")


def begin(request: web.Request, session: Session) -> dict[str, str]:
    """The header that makes the browser show this session with each request from now on."""
    return _header(request, session.token, max_age=int(session.lifetime.total_seconds()))


def end(request: web.Request) -> dict[str, str]:
    """The headers that make the browser forget its session, and whatever else it may have kept of this service.

    How people want things shown stays: those cookies say nothing of anybody.
    """
    return {**_header(request, "", max_age=0), _CLEAR_SITE_DATA: '"cache", "storage"'}


def _header(request: web.Request, token: str, *, max_age: int) -> dict[str, str]:
    name = _name(request)
    cookie: SimpleCookie = SimpleCookie({name: token})
    for key, value in {**scope_of(request), "max-age": max_age, "httponly": True}.items():
        cookie[name][key] = value
    return {hdrs.SET_COOKIE: cookie[name].OutputString()}


def scope_of(request: web.Request) -> CookieScope:
    """Where browsers send a cookie of this service: to nothing but the service itself."""
    return {"path": base_path(request.app) or "/", "samesite": "Lax", "secure": is_https(request)}


def _name(request: web.Request) -> str:
    if not is_https(request):
        return "csa"
    return "__Secure-csa" if base_path(request.app) else "__Host-csa"  # what is called __Host- must be of the path /
