"""A browser signed in by its cookie: who may use it, and that other sites may not."""

from collections.abc import AsyncIterator
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from tests.support.api import LIFETIME, PASSWORD, Api, refusal_of, running_api

NEW_PASSWORD = "seven lamps in the harbour"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _login(api: Api, *, cookie: bool = True, headers: dict[str, str] | None = None) -> ClientResponse:
    body = {"username": "ann", "password": PASSWORD, "cookie": cookie}
    return await api.call("POST", "/api/auth/login", token="", json=body, headers=headers or {})


def _morsel(response: ClientResponse) -> "Morsel[str]":
    (line,) = response.headers.getall("Set-Cookie")
    (morsel,) = SimpleCookie(line).values()
    return morsel


def _own_origin(api: Api) -> str:
    return str(api.client.make_url("/")).rstrip("/")


async def _by_cookie(api: Api, method: str, path: str, cookie: str, **options: Any) -> ClientResponse:
    headers = {"Cookie": cookie, **options.pop("headers", {})}
    return await api.call(method, path, token="", headers=headers, **options)


async def test_cookie_is_set_only_on_wish_and_says_what_it_must(api: Api) -> None:
    assert "Set-Cookie" not in (await _login(api, cookie=False)).headers
    response = await _login(api)
    morsel = _morsel(response)
    assert morsel.key == "csa"
    assert morsel.value == (await response.json())["access_token"]
    assert morsel["httponly"]
    assert not morsel["secure"]
    assert (morsel["path"], morsel["samesite"], morsel["domain"]) == ("/", "Lax", "")
    assert int(morsel["max-age"]) == LIFETIME.total_seconds()


async def test_cookie_of_https_cannot_be_set_or_read_by_others(tmp_path: Path) -> None:
    async with running_api(tmp_path, public_url="https://archiver.test") as api:
        morsel = _morsel(await _login(api))
        assert morsel.key == "__Host-csa"
        assert morsel["secure"]
        assert (morsel["path"], morsel["domain"]) == ("/", "")
        cookie = f"__Host-csa={morsel.value}"
        assert (await _by_cookie(api, "GET", "/api/auth/me", cookie)).status == 200
        planted = await _by_cookie(api, "GET", "/api/auth/me", f"csa={morsel.value}")
        await refusal_of(planted, 401, "not-authenticated")


async def test_a_header_counts_before_the_cookie(api: Api) -> None:
    cookie = f"csa={await api.token_of('ann')}"
    headers = {"Cookie": cookie, "Authorization": f"Bearer {await api.token_of('root')}"}
    response = await api.call("GET", "/api/auth/me", token="", headers=headers)
    assert (await response.json())["username"] == "root"
    for header in ("", "Bearer", "Bearer garbage", "Basic YW5uOmFubg=="):
        headers = {"Cookie": cookie, "Authorization": header}
        await refusal_of(await api.call("GET", "/api/auth/me", token="", headers=headers), 401, "not-authenticated")


async def test_own_pages_may_change_something(api: Api) -> None:
    cookie = f"csa={await api.token_of('ann')}"
    for headers in (
        {"Origin": _own_origin(api)},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://behind-a-proxy.test"},
    ):
        body = {"name": "report", "scope": "read"}
        response = await _by_cookie(api, "POST", "/api/auth/tokens", cookie, json=body, headers=headers)
        assert response.status == 201, headers


async def test_pages_at_the_public_address_are_own_ones(tmp_path: Path) -> None:
    async with running_api(tmp_path, public_url="https://archiver.test:443") as api:
        cookie = f"__Host-csa={await api.token_of('ann')}"
        body = {"name": "report", "scope": "read"}
        for origin, status in (
            (_own_origin(api), 403),
            ("https://archiver.test", 201),
            ("https://ARCHIVER.test", 201),
            ("http://archiver.test", 403),
            ("https://archiver.test:8443", 403),
            ("https://archiver.test.elsewhere.test", 403),
            ("https://elsewhere.test", 403),
        ):
            headers = {"Origin": origin}
            response = await _by_cookie(api, "POST", "/api/auth/tokens", cookie, json=body, headers=headers)
            assert response.status == status, origin


async def test_browser_that_does_not_say_where_from_shows_the_form_token(api: Api) -> None:
    response = await _login(api)
    cookie, form_token = f"csa={_morsel(response).value}", response.headers["X-CSRF-Token"]
    given = await _by_cookie(api, "GET", "/api/auth/csrf", cookie)
    assert await given.json() == {"csrf_token": form_token}
    body = {"name": "report", "scope": "read"}
    for token, status in ((form_token, 201), (form_token[:-1], 403), ("", 403), ("\u00e9", 403)):
        headers = {"X-CSRF-Token": token}
        answer = await _by_cookie(api, "POST", "/api/auth/tokens", cookie, json=body, headers=headers)
        assert answer.status == status, token
    headers = {"X-CSRF-Token": form_token, "Origin": "https://elsewhere.test"}
    answer = await _by_cookie(api, "POST", "/api/auth/tokens", cookie, json=body, headers=headers)
    await refusal_of(answer, 403, "cross-site-request")


async def test_form_token_of_another_session_does_not_count(api: Api) -> None:
    other = (await _login(api)).headers["X-CSRF-Token"]
    cookie = f"csa={await api.token_of('ann')}"
    response = await _by_cookie(api, "POST", "/api/auth/logout", cookie, headers={"X-CSRF-Token": other})
    await refusal_of(response, 403, "cross-site-request")


async def test_other_sites_cannot_sign_a_browser_in(api: Api) -> None:
    for name, value in (("Origin", "https://elsewhere.test"), ("Sec-Fetch-Site", "cross-site")):
        response = await _login(api, headers={name: value})
        await refusal_of(response, 403, "cross-site-request")
        assert "Set-Cookie" not in response.headers
    assert (await _login(api, headers={"Origin": _own_origin(api)})).status == 200


async def test_a_link_on_another_site_begins_no_scan(api: Api) -> None:
    cookie = f"csa={await api.token_of('ann')}"
    before = await api.get("/api/folders/scan")
    # By plain http a browser does not say where a link was.
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Referer": "http://a.test"}):
        for wish in ("true", "full"):
            response = await _by_cookie(api, "GET", f"/api/folders?refresh={wish}", cookie, headers=headers)
            await refusal_of(response, 403, "cross-site-request")
        assert (await _by_cookie(api, "GET", "/api/folders", cookie, headers=headers)).status == 200
    assert await api.get("/api/folders/scan") == before
    form_token = await (await _by_cookie(api, "GET", "/api/auth/csrf", cookie)).json()
    for own in ({"Sec-Fetch-Site": "same-origin"}, {"X-CSRF-Token": form_token["csrf_token"]}):
        assert (await _by_cookie(api, "GET", "/api/folders?refresh=true", cookie, headers=own)).status == 200
    assert await api.get("/api/folders/scan") != before


async def test_signing_out_makes_the_browser_forget(api: Api) -> None:
    cookie = f"csa={await api.token_of('ann')}"
    own = {"Origin": _own_origin(api)}
    response = await _by_cookie(api, "POST", "/api/auth/logout", cookie, headers=own)
    assert response.status == 204
    morsel = _morsel(response)
    assert (morsel.key, morsel.value, morsel["max-age"], morsel["path"]) == ("csa", "", "0", "/")
    assert response.headers["Clear-Site-Data"] == '"cache", "storage"'
    await refusal_of(await _by_cookie(api, "GET", "/api/auth/me", cookie), 401, "not-authenticated")


async def test_ending_this_session_makes_the_browser_forget_and_another_does_not(api: Api) -> None:
    own = {"Origin": _own_origin(api)}
    await api.token_of("ann")
    cookie = f"csa={await api.token_of('ann')}"
    sessions = await (await _by_cookie(api, "GET", "/api/auth/sessions", cookie)).json()
    for session in sorted(sessions, key=lambda session: session["current"]):
        path = f"/api/auth/sessions/{session['id']}"
        response = await _by_cookie(api, "DELETE", path, cookie, headers=own)
        assert response.status == 204
        assert ("Set-Cookie" in response.headers) is session["current"]
        assert ("Clear-Site-Data" in response.headers) is session["current"]


async def test_browser_goes_on_after_changing_the_password(api: Api) -> None:
    cookie = f"csa={await api.token_of('new')}"
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    own = {"Origin": _own_origin(api)}
    response = await _by_cookie(api, "POST", "/api/auth/password", cookie, json=body, headers=own)
    assert response.status == 200
    fresh = f"csa={_morsel(response).value}"
    assert (await _by_cookie(api, "GET", "/api/queue", fresh)).status == 200
    assert (await _by_cookie(api, "GET", "/api/queue", cookie)).status == 401
    headers = {"X-CSRF-Token": response.headers["X-CSRF-Token"]}
    assert (await _by_cookie(api, "POST", "/api/auth/logout", fresh, headers=headers)).status == 204


@pytest.mark.parametrize("cookie", ["csa", "csa=", "csa=; csa=x", 'csa="', "csa=a b", "=", "csa=\u00e9", "other=1"])
async def test_nonsense_in_the_cookie_is_no_token(api: Api, cookie: str) -> None:
    await refusal_of(await _by_cookie(api, "GET", "/api/auth/me", cookie), 401, "not-authenticated")
