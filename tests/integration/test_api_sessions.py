"""Where one is signed in, ending that, and being slowed down when guessing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db import accounts
from cs_archiver.domain.events import SessionEnded, UserEnded
from cs_archiver.errors import InvalidRequest
from cs_archiver.services.accounts import Origin
from cs_archiver.services.throttle import TooManyAttempts
from tests.support.api import PASSWORD, Api, refusal_of, running_api

NEW_PASSWORD = "seven lamps in the harbour"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _login(api: Api, username: str, password: str) -> Any:
    body = {"username": username, "password": password}
    return await api.call("POST", "/api/auth/login", token="", json=body, headers={"User-Agent": "a browser" * 100})


async def test_own_sessions_are_listed_with_this_one_marked(api: Api) -> None:
    other = await api.token_of("ann")
    token = (await (await _login(api, "ann", PASSWORD)).json())["access_token"]
    sessions = await api.get("/api/auth/sessions", token=token)
    assert [session["current"] for session in sessions] == [True, False]
    assert set(sessions[0]) == {"id", "created_at", "expires_at", "last_used_at", "address", "user_agent", "current"}
    assert sessions[0]["address"] == "127.0.0.1"
    assert sessions[0]["user_agent"] == ("a browser" * 100)[:200]
    assert [session["current"] for session in await api.get("/api/auth/sessions", token=other)] == [False, True]


async def test_ending_a_session_counts_at_once_and_is_told(api: Api) -> None:
    ended, kept = await api.token_of("ann"), await api.token_of("ann")
    session = next(line for line in await api.get("/api/auth/sessions", token=ended) if line["current"])
    with api.bus.subscribe() as events:
        assert (await api.call("DELETE", f"/api/auth/sessions/{session['id']}", token=kept)).status == 204
        assert events.get_nowait() == SessionEnded(session["id"])
    await refusal_of(await api.call("GET", "/api/auth/me", token=ended), 401, "not-authenticated")
    response = await api.call("DELETE", f"/api/auth/sessions/{session['id']}", token=kept)
    await refusal_of(response, 404, "session-not-found")


async def test_sessions_of_others_are_not_there(api: Api) -> None:
    (session,) = await api.get("/api/auth/sessions", username="ann")
    response = await api.call("DELETE", f"/api/auth/sessions/{session['id']}", username="root")
    await refusal_of(response, 404, "session-not-found")
    assert await api.get("/api/auth/me", username="ann")


async def test_signing_out_and_changing_the_password_are_told(api: Api) -> None:
    token = await api.token_of("ann")
    caller = await api.accounts.authenticate(token)
    with api.bus.subscribe() as events:
        await api.call("POST", "/api/auth/logout", token=token)
        assert events.get_nowait() == SessionEnded(caller.credential)
        await api.accounts.change_password(caller.user, PASSWORD, NEW_PASSWORD, Origin())
        assert events.get_nowait() == UserEnded(caller.user.id)


async def test_the_oldest_sessions_end_when_there_are_too_many(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "MOST_SESSIONS", 3)
    bystander = await api.token_of("root")
    tokens = [await api.token_of("ann") for _ in range(3)]
    oldest = (await api.accounts.authenticate(tokens[0])).credential
    with api.bus.subscribe() as events:
        tokens.append(await api.token_of("ann"))
        assert events.get_nowait() == SessionEnded(oldest)
    statuses = [(await api.call("GET", "/api/auth/me", token=token)).status for token in (*tokens, bystander)]
    assert statuses == [401, 200, 200, 200, 200]


@pytest.mark.parametrize("name", ["ann", "nobody", "x" * 1000])
async def test_guessing_is_slowed_down_the_same_for_names_there_are_and_names_there_are_not(
    api: Api, name: str
) -> None:
    for _ in range(5):
        await refusal_of(await _login(api, name, "a guess"), 401, "login-failed")
    response = await _login(api, name, PASSWORD)
    document = await refusal_of(response, 429, "too-many-attempts")
    assert document["retry_after"] == int(response.headers["Retry-After"]) == 1
    assert (await _login(api, "root", PASSWORD)).status == 200


async def test_the_right_password_from_elsewhere_is_not_held_up(api: Api) -> None:
    for _ in range(5):
        await _login(api, "ann", "a guess")
    await refusal_of(await _login(api, "ann", PASSWORD), 429, "too-many-attempts")
    assert (await api.accounts.login("ann", PASSWORD, Origin("192.0.2.7"))).user.username == "ann"


async def test_the_present_password_cannot_be_guessed_with_a_stolen_session(api: Api) -> None:
    token = await api.token_of("ann")
    body = {"current_password": "a guess", "new_password": NEW_PASSWORD}
    for _ in range(5):
        response = await api.call("POST", "/api/auth/password", token=token, json=body)
        await refusal_of(response, 422, "wrong-password")
    body["current_password"] = PASSWORD
    response = await api.call("POST", "/api/auth/password", token=token, json=body)
    await refusal_of(response, 429, "too-many-attempts")


async def test_a_flood_of_sign_ins_costs_few_hashes(api: Api) -> None:
    refused = 0
    for n in range(60):
        with pytest.raises(InvalidRequest) as error:
            await api.accounts.login(f"user{n}", "a guess", Origin("192.0.2.7"))
        refused += isinstance(error.value, TooManyAttempts)
    assert refused >= 35
