"""The Globus Auth half: client credentials become tokens, requested scopes become consents."""

import base64
import binascii
import hmac
import re
import secrets
import time
import uuid
from collections.abc import Callable, Mapping

from aiohttp import web

from cs_archiver.sandbox.replies import Json, Refusal, read_form

TOKEN_LIFE_SECONDS = 172_800
TRANSFER_SERVER = "transfer.api.globus.org"
AUTH_SERVER = "auth.globus.org"
TRANSFER_SCOPE = f"urn:globus:auth:scope:{TRANSFER_SERVER}:all"
_DATA_ACCESS = re.compile(r"\*?https://auth\.globus\.org/scopes/([0-9a-fA-F-]{36})/data_access")
_URN = re.compile(r"urn:globus:auth:scope:([^:\s]+):\S+")
_URL = re.compile(r"https://auth\.globus\.org/scopes/([^/\s]+)/\S+")


class Accounts:
    """Who may sign in, which tokens are good and which collections each client consented to."""

    def __init__(self, clients: Mapping[str, str], takes_data_access: Callable[[str], bool]) -> None:
        self._clients = dict(clients)
        self._takes_data_access = takes_data_access
        self._tokens: dict[str, tuple[str, str, float]] = {}
        self._consents: set[tuple[str, str]] = set()

    def expire_tokens(self) -> None:
        """Every token issued so far stops counting, as after a revocation."""
        self._tokens.clear()

    def forget_consents(self) -> None:
        self._consents.clear()

    def has_consent(self, client_id: str, collection_id: str) -> bool:
        return (client_id, collection_id) in self._consents

    def signed_in(self, request: web.Request, resource_server: str) -> str | None:
        """The client id behind the request's bearer token for that server, None without a good one."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        client_id, server, expires = self._tokens.get(token.strip(), ("", "", 0.0))
        good = scheme.lower() == "bearer" and server == resource_server and time.monotonic() < expires
        return client_id if good else None

    async def answer_token(self, request: web.Request) -> web.Response:
        client_id = self._basic_client(request)
        if client_id is None:
            return _auth_error(401, "invalid_client", "UNAUTHORIZED", "Client authentication failed")
        form = await read_form(request)
        if form.get("grant_type") != "client_credentials":
            return _auth_error(400, "unsupported_grant_type", "BAD_REQUEST", "Only client_credentials is served")
        dependents, scopes = _split_scopes(form.get("scope", ""))
        unknown = [text for text in scopes if _resource_server(text) is None]
        unknown += [text for text in dependents if not self._takes_data_access(text)]
        if unknown or not scopes:
            return _auth_error(400, "invalid_scope", "UNKNOWN_SCOPE_ERROR", f"Unknown Scope: {unknown}")
        self._consents |= {(client_id, collection_id) for collection_id in dependents}
        return web.json_response(self._issue(client_id, scopes))

    async def answer_userinfo(self, request: web.Request) -> web.Response:
        client_id = self.signed_in(request, AUTH_SERVER)
        if client_id is None:
            return _auth_error(401, "unauthorized", "UNAUTHORIZED", "Call must be authenticated")
        identity = {
            "sub": client_id,
            "name": "Sandbox client",
            "email": None,
            "organization": None,
            "identity_provider_display_name": "Globus Auth",
            "identity_type": "login",
        }
        username = f"{client_id}@clients.auth.globus.org"
        identity_set = [{**identity, "username": username}]
        return web.json_response({**identity, "preferred_username": username, "identity_set": identity_set})

    def _basic_client(self, request: web.Request) -> str | None:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        known = self._clients.get(client_id)
        if scheme.lower() != "basic" or known is None:
            return None
        return client_id if hmac.compare_digest(known.encode(), secret.encode()) else None

    def _issue(self, client_id: str, scopes: list[str]) -> Json:
        by_server: dict[str, list[str]] = {}
        for scope in scopes:
            by_server.setdefault(_resource_server(scope) or "", []).append(scope)
        tokens = [self._token(client_id, server, granted) for server, granted in by_server.items()]
        return {**tokens[0], "other_tokens": tokens[1:]}

    def _token(self, client_id: str, server: str, scopes: list[str]) -> Json:
        token = secrets.token_urlsafe(32)
        self._tokens[token] = (client_id, server, time.monotonic() + TOKEN_LIFE_SECONDS)
        return {
            "access_token": token,
            "scope": " ".join(scopes),
            "expires_in": TOKEN_LIFE_SECONDS,
            "token_type": "Bearer",
            "resource_server": server,
        }


def consent_required(collection_id: str) -> Refusal:
    wanted = f"{TRANSFER_SCOPE}[*https://auth.globus.org/scopes/{collection_id}/data_access]"
    return Refusal(403, "ConsentRequired", "Missing required data_access consent", required_scopes=[wanted])


def _split_scopes(text: str) -> tuple[list[str], list[str]]:
    """The collections whose data_access is asked for below the Transfer scope, and the scopes on top."""
    dependents: list[str] = []
    scopes: list[str] = []
    depth = 0
    for word in re.findall(r"[^\s\[\]]+|[\[\]]", text):
        depth += {"[": 1, "]": -1}.get(word, 0)
        if word in "[]":
            continue
        collection = _DATA_ACCESS.fullmatch(word)
        if depth == 0:
            scopes.append(word)
        elif collection and scopes[-1:] == [TRANSFER_SCOPE]:
            dependents.append(collection[1].lower())
    return dependents, scopes


def _resource_server(scope: str) -> str | None:
    if scope in {"openid", "profile", "email"}:
        return AUTH_SERVER
    known = _URN.fullmatch(scope) or _URL.fullmatch(scope)
    return known[1] if known else None


def _auth_error(status: int, error: str, code: str, detail: str) -> web.Response:
    row = {"status": str(status), "id": str(uuid.uuid4()), "code": code, "title": code.title(), "detail": detail}
    body = {"errors": [row], "error": error, "error_description": detail}
    return web.json_response(body, status=status)
