"""Where a request comes from, and how it was sent: as the connection says or, behind a trusted proxy, that proxy."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from aiohttp_remotes import XForwardedFiltered

from cs_archiver.domain.text import printable
from cs_archiver.server.keys import IS_FORWARDED, IS_FORWARDED_HTTPS, MONITORS, PUBLIC_URL
from cs_archiver.services.accounts import Origin

_SAID_BY_PROXIES = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via")
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def address_of(request: web.BaseRequest) -> str:
    """The address of the client, as text; empty where it has none."""
    return request.remote or ""


def is_monitor(request: web.Request) -> bool:
    """Whether the client's own address is one of those that may read the figures without signing in.

    Not where a proxy that is not trusted passes it on: then everybody would have the address of that proxy.
    """
    monitors = request.app[MONITORS]
    is_passed_on = any(name in request.headers for name in _SAID_BY_PROXIES)
    return (IS_FORWARDED in request or not is_passed_on) and _is_from(monitors, request)


def is_https(request: web.Request) -> bool:
    """Whether the client's end of the way is encrypted."""
    return request.app[PUBLIC_URL].startswith("https://") or request.secure or IS_FORWARDED_HTTPS in request


def forwarded_by(proxies: Sequence[str]) -> Middleware:
    """Takes address, scheme and host from X-Forwarded-For, -Proto and -Host where one of `proxies` sends them.

    `proxies` are addresses and networks. What anybody else sends in these headers is not even looked at. What a proxy
    sends and nobody can understand raises HTTPBadRequest.
    """
    trusted = [ip_network(text) for text in proxies]
    as_told = XForwardedFiltered(trusted).middleware

    @web.middleware
    async def forwarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_from(trusted, request):
            return await handler(request)

        async def with_known_scheme(told: web.Request) -> web.StreamResponse:
            scheme = _SCHEMES.get(told.scheme)
            if scheme is None:
                raise web.HTTPBadRequest(reason=f"Invalid {hdrs.X_FORWARDED_PROTO} header")
            if scheme == "https":
                request[IS_FORWARDED_HTTPS] = True  # the headers of the answer are made for this request, not the copy
            return await handler(told.clone(scheme=scheme, host=told.host, remote=address_of(told)))

        request[IS_FORWARDED] = True  # goes over to the copy
        return await as_told(request, with_known_scheme)

    return forwarded


def _is_from(networks: Sequence[IPv4Network | IPv6Network], request: web.Request) -> bool:
    try:
        peer = ip_address(address_of(request))
    except ValueError:  # it has left already
        return False
    if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return any(peer in network for network in networks)


def origin_of(request: web.Request) -> Origin:
    """What a session that is begun by this request remembers of it."""
    return Origin(address_of(request), printable(request.headers.get(hdrs.USER_AGENT, "")))
