"""Who may listen to the live updates, and that nobody does any longer than their sign-in counts."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from cs_archiver.db import tables
from cs_archiver.domain.access import Scope
from cs_archiver.domain.events import LogAdded, LogLevel, UserEnded
from cs_archiver.server import live
from cs_archiver.server.live_client import Client
from tests.support.api import PASSWORD, Api, refusal_of, running_api
from tests.support.live import UPGRADE, Listener, listening

SESSION_ENDED = 4401
NEW_PASSWORD = "several words that nobody else put together"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _ask(api: Api, **options: Any) -> ClientResponse:
    """Ask for the upgrade in a way that lets a refusal be read."""
    headers = {**UPGRADE, **options.pop("headers", {})}
    return await api.call("GET", "/ws/jobs", token="", headers=headers, **options)


async def _revoked(api: Api) -> str:
    token = await api.token_of("ann")
    await api.call("POST", "/api/auth/logout", token=token)
    return token


async def _garbage(_api: Api) -> str:
    return "garbage"


async def _unknown_personal(_api: Api) -> str:
    return "csa_" + "x" * 43


async def _empty(_api: Api) -> str:
    return ""


@pytest.mark.parametrize("token_for", [_revoked, _garbage, _unknown_personal, _empty])
async def test_a_bad_token_is_refused_before_the_upgrade(api: Api, token_for: Callable[[Api], Awaitable[str]]) -> None:
    token = await token_for(api)
    await refusal_of(await _ask(api, params={"token": token}), 401, "not-authenticated")
    await refusal_of(await _ask(api, headers={"Authorization": f"Bearer {token}"}), 401, "not-authenticated")
    await refusal_of(await _ask(api, headers={"Cookie": f"csa={token}"}), 401, "not-authenticated")
    assert api.live.count == 0


async def test_who_shows_nothing_is_refused(api: Api) -> None:
    await refusal_of(await _ask(api), 401, "not-authenticated")


async def test_a_password_that_must_be_changed_is_changed_first(api: Api) -> None:
    response = await _ask(api, params={"token": await api.token_of("new")})
    await refusal_of(response, 403, "password-change-required")


async def test_unknown_parameters_are_refused_by_name(api: Api) -> None:
    response = await _ask(api, params={"token": await api.token_of("ann"), "colour": "red"})
    document = await refusal_of(response, 422, "invalid-value")
    assert [error["pointer"] for error in document["errors"]] == ["?colour"]


async def test_the_header_admits_as_well_and_comes_before_the_query(api: Api) -> None:
    headers = {"Authorization": f"Bearer {await api.token_of('ann')}"}
    async with api.client.ws_connect("/ws/jobs?token=garbage", headers=headers) as socket:
        assert (await Listener(socket).next())["type"] == "snapshot"


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_personal_token_of_any_scope_admits(api: Api, scope: Scope) -> None:
    token = await api.personal_token_of("root", scope)
    async with listening(api, token=token) as listener:
        assert listener.heard


@asynccontextmanager
async def _by_cookie(api: Api, origin: str) -> AsyncIterator[Listener]:
    headers = {"Cookie": f"csa={await api.token_of('ann')}", "Origin": origin}
    async with api.client.ws_connect("/ws/jobs", headers=headers) as socket:
        listener = Listener(socket)
        assert (await listener.next())["type"] == "snapshot"
        yield listener


async def test_a_page_of_this_service_is_admitted_by_its_cookie(api: Api) -> None:
    async with _by_cookie(api, str(api.client.make_url("/")).rstrip("/")) as listener:
        await _end_it_from_elsewhere(api, "")
        assert await listener.end() == SESSION_ENDED


async def test_behind_a_proxy_the_public_address_is_the_origin(tmp_path: Path) -> None:
    async with running_api(tmp_path, public_url="http://archiver.test") as api, _by_cookie(api, "http://archiver.test"):
        pass


@pytest.mark.parametrize("origin", ["http://elsewhere.test", "null", "https://127.0.0.1", "http://127.0.0.1:1", ""])
async def test_a_page_of_another_site_is_not_admitted_by_the_cookie(api: Api, origin: str) -> None:
    headers = {"Cookie": f"csa={await api.token_of('ann')}", "Origin": origin}
    await refusal_of(await _ask(api, headers=headers), 403, "cross-site-request")
    del headers["Origin"]
    await refusal_of(await _ask(api, headers=headers), 403, "cross-site-request")


async def test_with_a_token_the_origin_says_nothing(api: Api) -> None:
    headers = {"Origin": "http://elsewhere.test"}
    async with api.client.ws_connect(f"/ws/jobs?token={await api.token_of('ann')}", headers=headers) as socket:
        assert (await Listener(socket).next())["type"] == "snapshot"


async def _log_out(api: Api, token: str) -> None:
    assert (await api.call("POST", "/api/auth/logout", token=token)).status == 204


async def _end_it_from_elsewhere(api: Api, _token: str) -> None:
    sessions = await api.get("/api/auth/sessions")
    for session in sessions:
        if not session["current"]:
            assert (await api.call("DELETE", f"/api/auth/sessions/{session['id']}")).status == 204


async def _change_the_password(api: Api, token: str) -> None:
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await api.call("POST", "/api/auth/password", token=token, json=change)).status == 200


async def _delete_the_user(api: Api, _token: str) -> None:
    assert (await api.call("DELETE", f"/api/users/{await _id_of_ann(api)}", username="root")).status == 204


async def _reset_the_password(api: Api, _token: str) -> None:
    path = f"/api/users/{await _id_of_ann(api)}/password"
    response = await api.call("POST", path, username="root", json={"new_password": NEW_PASSWORD})
    assert response.status == 204, await response.text()


async def _id_of_ann(api: Api) -> int:
    users = await api.get("/api/users", username="root")
    return next(int(user["id"]) for user in users if user["username"] == "ann")


WAYS_TO_END = [_log_out, _end_it_from_elsewhere, _change_the_password, _delete_the_user, _reset_the_password]


async def _submit_as_root(api: Api) -> None:
    response = await api.call("POST", "/api/jobs", username="root", json={"folder_path": api.folder("Alpha")})
    assert response.status == 201, await response.text()


@pytest.mark.parametrize("end", WAYS_TO_END)
async def test_the_connection_ends_with_its_session(api: Api, end: Callable[[Api, str], Awaitable[None]]) -> None:
    token = await api.token_of("ann")
    async with (
        listening(api, token=token) as first,
        listening(api, token=token) as second,
        listening(api, "root") as other,
    ):
        await end(api, token)
        assert await first.end() == SESSION_ENDED
        assert await second.end() == SESSION_ENDED
        await _submit_as_root(api)
        await other.until(type="queue_update")


async def test_other_sessions_of_the_same_user_go_on(api: Api) -> None:
    token = await api.token_of("ann")
    async with listening(api, token=token) as ended, listening(api) as other:
        await _log_out(api, token)
        assert await ended.end() == SESSION_ENDED
        await api.submit("Alpha")
        await other.until(type="queue_update")


async def test_a_connection_of_the_session_that_a_new_password_began_goes_on(api: Api) -> None:
    token = await api.token_of("ann")
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    async with listening(api, token=token) as ended:
        begun = await (await api.call("POST", "/api/auth/password", token=token, json=change)).json()
        async with listening(api, token=begun["access_token"]) as new:
            assert await ended.end() == SESSION_ENDED
            api.bus.publish(UserEnded(begun["user"]["id"]))  # news may come late
            await _submit_as_root(api)
            await new.until(type="queue_update")


async def test_the_connection_ends_when_its_personal_token_is_revoked(api: Api) -> None:
    token = await api.personal_token_of("ann", Scope.READ)
    async with listening(api, token=token) as listener, listening(api) as other:
        (line,) = await api.get("/api/auth/tokens")
        assert (await api.call("DELETE", f"/api/auth/tokens/{line['id']}")).status == 204
        assert await listener.end() == SESSION_ENDED
        await api.submit("Alpha")
        await other.until(type="queue_update")


async def test_the_connection_ends_when_its_session_expires(tmp_path: Path) -> None:
    async with running_api(tmp_path, lifetime=timedelta(seconds=3)) as api, listening(api) as listener:
        assert await listener.end() == SESSION_ENDED


async def test_what_ended_unheard_is_noticed_all_the_same(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LOOK_SECONDS", 0.2)
    async with listening(api) as listener:
        async with api.database.write() as connection:
            await connection.execute(tables.sessions.delete())
        assert await listener.end() == SESSION_ENDED


async def test_who_must_choose_a_password_meanwhile_is_noticed_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LOOK_SECONDS", 0.2)
    async with listening(api) as listener:
        async with api.database.write() as connection:
            await connection.execute(tables.users.update().values(must_change_password=1))
        assert await listener.end() == SESSION_ENDED


async def test_session_that_ends_before_there_is_a_seat_gets_none(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the gate and the seat, nobody could be told that it ended."""
    token, seat = await api.token_of("ann"), api.live.seat

    def seat_of_one_that_ended(user_id: int, credential: str) -> AbstractContextManager[Client]:
        with closing(sqlite3.connect(tmp_path / "archiver.db")) as connection, connection:
            connection.execute("DELETE FROM sessions WHERE jti = ?", (credential,))
        return seat(user_id, credential)

    monkeypatch.setattr(api.live, "seat", seat_of_one_that_ended)
    await refusal_of(await _ask(api, params={"token": token}), 401, "not-authenticated")
    assert api.live.count == 0


async def test_an_end_that_was_missed_on_the_bus_is_noticed_with_the_rest(api: Api) -> None:
    token = await api.token_of("ann")
    async with listening(api, token=token) as listener:
        async with api.database.write() as connection:
            await connection.execute(tables.sessions.delete())
        for _ in range(1500):
            api.bus.publish(LogAdded("one", "2026-01-15T14:32:01.250Z", LogLevel.INFO, "a line"))
        assert await listener.end() == SESSION_ENDED
