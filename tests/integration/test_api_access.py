"""Who may call what, and what every answer has: generated from the URL table, so that no route is forgotten."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cs_archiver.server.auth import Who
from cs_archiver.server.routes import ROUTES, Route
from tests.support.api import Api, refusal_of, running_api

API_ROUTES = [route for route in ROUTES if route.path.startswith("/api/")]
CLOSED_ROUTES = [route for route in ROUTES if route.who is not Who.ANYONE]

_ADMITTED = {
    Who.ANYONE: {"", "new", "newadmin", "ann", "root"},
    Who.NEWCOMER: {"new", "newadmin", "ann", "root"},
    Who.USER: {"ann", "root"},
    Who.ADMIN: {"root"},
}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def _address(route: Route) -> str:
    return route.path.replace("{job_id}", str(uuid.uuid4()))


@pytest.mark.parametrize("route", ROUTES, ids=_name)
async def test_each_route_admits_exactly_those_the_table_names(api: Api, route: Route) -> None:
    for username in _ADMITTED[Who.ANYONE]:
        token = await api.token_of(username) if username else ""
        response = await api.call(route.method, _address(route), token=token)
        if username in _ADMITTED[route.who]:
            assert response.status not in {401, 403}, username
        elif username:
            name = "password-change-required" if username.startswith("new") else "admins-only"
            await refusal_of(response, 403, name)
        else:
            await refusal_of(response, 401, "not-authenticated")
            assert response.headers["WWW-Authenticate"] == "Bearer"


def test_only_these_need_no_sign_in() -> None:
    """Written out, so that opening another one is a decision and not a slip."""
    open_routes = {_name(route) for route in ROUTES if route.who is Who.ANYONE}
    assert open_routes == {"GET /", "POST /api/auth/login", "GET /api/health"}


def test_a_newcomer_may_only_look_at_the_account_and_change_its_password() -> None:
    assert {_name(route) for route in ROUTES if route.who is Who.NEWCOMER} == {
        "POST /api/auth/logout",
        "GET /api/auth/me",
        "POST /api/auth/password",
    }


def test_no_route_is_there_twice() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize("route", CLOSED_ROUTES, ids=_name)
async def test_query_and_body_are_not_looked_at_before_the_token(api: Api, route: Route) -> None:
    response = await api.call(route.method, _address(route), token="", params={"no": "such"}, data=b"{")
    await refusal_of(response, 401, "not-authenticated")


@pytest.mark.parametrize("route", API_ROUTES, ids=_name)
async def test_unknown_query_parameter_is_refused_by_name(api: Api, route: Route) -> None:
    token = await api.token_of("root")
    response = await api.call(route.method, _address(route), token=token, params={"colour": "red"})
    document = await refusal_of(response, 422, "invalid-value")
    assert document["errors"] == [{"pointer": "?colour", "detail": "not known here"}]


@pytest.mark.parametrize("route", API_ROUTES, ids=_name)
async def test_other_methods_are_refused_with_those_that_are_understood(api: Api, route: Route) -> None:
    response = await api.call("PATCH", _address(route))
    await refusal_of(response, 405, "method-not-allowed")
    known = {other.method for other in ROUTES if other.path == route.path}
    assert known <= set(response.headers["Allow"].split(","))
    assert "PATCH" not in response.headers["Allow"]


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/nothing", "/api/jobs/", "/api/%00"])
async def test_paths_that_are_not_there_are_not_found(api: Api, path: str) -> None:
    await refusal_of(await api.call("GET", path, token=""), 404, "not-found")


@pytest.mark.parametrize("path", ["/", "/api/health", "/api/queue", "/api/nothing"])
async def test_every_answer_has_the_protective_headers(api: Api, path: str) -> None:
    response = await api.call("GET", path)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["Server"] == "cs-archiver"
    assert (response.headers.get("Cache-Control") == "no-store") is path.startswith("/api/")
    assert len(response.headers["X-Request-Id"]) == 32


async def test_request_id_of_a_proxy_is_kept_and_nonsense_is_not(api: Api) -> None:
    kept = await api.call("GET", "/api/health", headers={"X-Request-Id": "proxy-1.2_3"})
    assert kept.headers["X-Request-Id"] == "proxy-1.2_3"
    for nonsense in ("a b", "x" * 65, "<script>", ""):
        response = await api.call("GET", "/api/health", headers={"X-Request-Id": nonsense})
        assert response.headers["X-Request-Id"] != nonsense


async def test_head_is_answered_like_get_without_the_body(api: Api) -> None:
    assert (await api.call("HEAD", "/api/queue")).status == 200
    assert (await api.call("HEAD", "/api/queue", token="")).status == 401
    assert (await api.call("HEAD", "/api/nothing")).status == 404


async def test_other_kinds_of_error_are_problems_too(api: Api) -> None:
    document = await refusal_of(await api.call("GET", "/api/no/such?x=1"), 404, "not-found")
    assert document["title"] == "Not found"
    assert document["instance"] == "/api/no/such"
