"""Behind a proxy: what it says of a request counts where it is trusted, and what anybody else says never."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from aiohttp import ClientResponse, WSServerHandshakeError

from tests.support.api import PASSWORD, Api, refusal_of, running_api

CLIENT = "203.0.113.9"
PEER = "127.0.0.1"
TOLD = {
    "X-Forwarded-For": CLIENT,
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "archiver.test",
    "Forwarded": f"for={CLIENT};proto=https;host=archiver.test",
    "X-Real-IP": CLIENT,
    "X-Forwarded-Ssl": "on",
}
"""What a proxy may say, in every way it is said."""

NOT_TRUSTED = [(), ("192.0.2.0/24", "2001:db8::/32", "127.0.0.2")]
TRUSTED = [("127.0.0.1",), ("192.0.2.7", "127.0.0.0/8")]


@pytest.fixture(params=NOT_TRUSTED, ids=str)
async def open_api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Api]:
    """Reached by a peer that is no trusted proxy."""
    async with running_api(tmp_path, trusted_proxies=request.param) as running:
        yield running


@pytest.fixture(params=TRUSTED, ids=str)
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Api]:
    """Reached through a trusted proxy."""
    async with running_api(tmp_path, trusted_proxies=request.param) as running:
        yield running


async def _login(
    api: Api, headers: Mapping[str, str], *, username: str = "ann", password: str = PASSWORD, cookie: bool = False
) -> ClientResponse:
    body = {"username": username, "password": password, "cookie": cookie}
    return await api.call("POST", "/api/auth/login", token="", json=body, headers=headers)


async def _address_noted(api: Api, headers: Mapping[str, str], caplog: pytest.LogCaptureFixture) -> str:
    """Whence a sign-in came, as the session, the audit trail and the log of requests have it."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "cs_archiver.server.access_log"):
        token = (await (await _login(api, headers)).json())["access_token"]
    (line,) = [line for line in caplog.messages if " from=" in line]
    (session,) = [found for found in await api.get("/api/auth/sessions", token=token) if found["current"]]
    entry = (await api.get("/api/audit?action=auth_login&limit=1", username="root"))[0]
    logged = line.partition(" from=")[2].partition(" ")[0]
    assert session["address"] == entry["address"] == logged
    return logged


async def _failures_until_the_wait(api: Api, headers_of: Callable[[int], Mapping[str, str]]) -> int:
    for count in range(60):
        response = await _login(api, headers_of(count), username=f"nobody{count}", password="wrong")
        if response.status == 429:
            return count
    raise AssertionError("no number of failures makes an address wait")


async def test_nobody_can_claim_another_address(open_api: Api, caplog: pytest.LogCaptureFixture) -> None:
    assert await _address_noted(open_api, {}, caplog) == PEER
    assert await _address_noted(open_api, TOLD, caplog) == PEER


async def test_a_new_address_for_each_attempt_is_no_way_around_the_throttle(open_api: Api) -> None:
    attempts = await _failures_until_the_wait(
        open_api, lambda count: {**TOLD, "X-Forwarded-For": f"198.51.100.{count}"}
    )
    assert attempts < 30


async def test_nobody_can_claim_to_come_by_https(open_api: Api) -> None:
    response = await _login(open_api, TOLD, cookie=True)
    (morsel,) = SimpleCookie(response.headers["Set-Cookie"]).values()
    assert (morsel.key, morsel["secure"]) == ("csa", "")
    assert "Strict-Transport-Security" not in response.headers


async def test_nobody_can_claim_another_host(open_api: Api) -> None:
    for origin in ("https://archiver.test", "http://archiver.test"):
        headers = {"Cookie": f"csa={await open_api.token_of('ann')}", "Origin": origin, **TOLD}
        response = await open_api.call("POST", "/api/auth/logout", token="", headers=headers)
        await refusal_of(response, 403, "cross-site-request")
        assert "archiver.test" not in (await response.json(content_type=None))["detail"].partition(", got")[0]
        with pytest.raises(WSServerHandshakeError, match="403"):
            await open_api.client.ws_connect("/ws/jobs", headers=headers)
    assert "archiver.test" not in await (await open_api.call("GET", "/", headers=TOLD)).text()


@pytest.mark.parametrize(
    "nonsense",
    [
        {"X-Forwarded-For": "nonsense"},
        {"X-Forwarded-For": "203.0.113.9:1234"},
        {"X-Forwarded-For": ","},
        {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "javascript"},
        {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": ""},
    ],
    ids=str,
)
async def test_nonsense_is_refused_from_a_trusted_proxy_and_not_read_from_others(
    nonsense: dict[str, str], tmp_path: Path
) -> None:
    async with running_api(tmp_path / "one") as api:
        assert (await api.call("GET", "/api/health", headers=nonsense)).status == 200
    async with running_api(tmp_path / "other", trusted_proxies=(PEER,)) as api:
        response = await api.call("GET", "/api/health", headers=nonsense)
        document = await refusal_of(response, 400, "malformed-request")
        assert "X-Forwarded-" in document["detail"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_header_said_twice_is_refused_from_a_trusted_proxy(api: Api) -> None:
    headers = [("X-Forwarded-For", CLIENT), ("X-Forwarded-For", "198.51.100.1")]
    response = await api.client.get("/api/health", headers=headers)
    await refusal_of(response, 400, "malformed-request")


async def test_a_trusted_proxy_says_where_a_request_comes_from(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    assert await _address_noted(api, {}, caplog) == PEER
    assert await _address_noted(api, TOLD, caplog) == CLIENT
    assert await _address_noted(api, {"X-Forwarded-For": "2001:db8::5"}, caplog) == "2001:db8::5"


async def test_only_the_address_that_the_proxy_itself_saw_counts(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """A proxy puts the address it saw behind what the client claimed."""
    assert await _address_noted(api, {"X-Forwarded-For": f"198.51.100.77, {CLIENT}"}, caplog) == CLIENT
    assert await _address_noted(api, {"X-Forwarded-For": f"198.51.100.77, {CLIENT}, {PEER}"}, caplog) == CLIENT


async def test_clients_behind_a_proxy_are_throttled_each_for_itself(api: Api) -> None:
    def claims(count: int) -> dict[str, str]:
        return {"X-Forwarded-For": f"198.51.100.{count}, {CLIENT}"}

    assert await _failures_until_the_wait(api, claims) < 30
    assert (await _login(api, {"X-Forwarded-For": "203.0.113.10"})).status == 200


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_behind_a_proxy_that_speaks_https_the_cookie_is_of_https(api: Api, scheme: str) -> None:
    told = {**TOLD, "X-Forwarded-Proto": scheme}
    response = await _login(api, told, cookie=True)
    (morsel,) = SimpleCookie(response.headers["Set-Cookie"]).values()
    assert (morsel.key, morsel["secure"]) == ("__Host-csa", True)
    assert response.headers["Strict-Transport-Security"].startswith("max-age=")
    own = {"Cookie": f"__Host-csa={morsel.value}", "Origin": "https://archiver.test"}
    async with api.client.ws_connect("/ws/jobs", headers={**told, **own}) as socket:
        assert (await socket.receive_json())["type"] == "snapshot"
    assert (await api.call("POST", "/api/auth/logout", token="", headers={**told, **own})).status == 204


async def test_behind_a_proxy_that_speaks_http_nothing_pretends_to_be_encrypted(api: Api) -> None:
    response = await _login(api, {**TOLD, "X-Forwarded-Proto": "http"}, cookie=True)
    (morsel,) = SimpleCookie(response.headers["Set-Cookie"]).values()
    assert (morsel.key, morsel["secure"]) == ("csa", "")
    assert "Strict-Transport-Security" not in response.headers


async def test_other_sites_are_still_refused_behind_a_proxy(api: Api) -> None:
    headers = {"Cookie": f"__Host-csa={await api.token_of('ann')}", "Origin": "https://elsewhere.test", **TOLD}
    document = await refusal_of(
        await api.call("POST", "/api/auth/logout", token="", headers=headers), 403, "cross-site-request"
    )
    assert "expected https://archiver.test, got https://elsewhere.test" in document["detail"]


async def test_a_request_id_is_kept_on_the_way_through(api: Api) -> None:
    response = await api.call("GET", "/api/nothing", headers={**TOLD, "X-Request-Id": "proxy-7"})
    await refusal_of(response, 404, "not-found")
    assert response.headers["X-Request-Id"] == "proxy-7"
