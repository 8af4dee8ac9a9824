"""Personal API tokens: shown once, kept as a hash, and gone when they should be."""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from cs_archiver.clock import from_text
from cs_archiver.db import tables, tokens
from cs_archiver.domain.access import Scope, always
from cs_archiver.domain.events import SessionEnded
from tests.support.api import PASSWORD, Api, refusal_of, running_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _create(api: Api, username: str = "ann", **wish: Any) -> ClientResponse:
    body = {"name": "nightly report", "scope": "read", **wish}
    return await api.call("POST", "/api/auth/tokens", username=username, json=body)


async def test_token_is_shown_once_and_kept_as_a_hash(api: Api) -> None:
    response = await _create(api)
    document = await response.json()
    assert response.status == 201
    assert set(document) == {"token", "details"}
    token = document["token"]
    assert token.startswith("csa_")
    assert len(token) == 4 + 43
    assert response.headers["Location"] == f"/api/auth/tokens/{document['details']['id']}"
    listed = await api.call("GET", "/api/auth/tokens")
    assert await listed.json() == [document["details"]]
    assert token not in await listed.text()
    async with api.database.read() as connection:
        (row,) = (await connection.execute(tables.api_tokens.select())).all()
    assert row.sha256 == hashlib.sha256(token.encode()).digest()
    assert token.encode() not in (api.nas.parent / "archiver.db-wal").read_bytes()


async def test_token_stands_for_its_user(api: Api) -> None:
    token = (await (await _create(api)).json())["token"]
    document = await api.get("/api/auth/me", token=token)
    assert document["username"] == "ann"


@pytest.mark.parametrize(("wish", "days"), [({}, 90), ({"expires_in_days": 1}, 1), ({"expires_in_days": 366}, 366)])
async def test_token_ends_after_its_days(api: Api, wish: dict[str, Any], days: int) -> None:
    details = (await (await _create(api, **wish)).json())["details"]
    left = from_text(details["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=days, minutes=-5) < left <= timedelta(days=days)


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({"name": ""}, "#/name"),
        ({"name": "   "}, "#/name"),
        ({"name": "a\nb"}, "#/name"),
        ({"name": "x" * 101}, "#/name"),
        ({"scope": "all"}, "#/scope"),
        ({"scope": None}, "#/scope"),
        ({"expires_in_days": 0}, "#/expires_in_days"),
        ({"expires_in_days": 367}, "#/expires_in_days"),
        ({"expires_in_days": None}, "#/expires_in_days"),
        ({"expires_in_days": "90"}, "#/expires_in_days"),
        ({"never": True}, "#/never"),
    ],
)
async def test_wrong_wishes_are_refused_by_name(api: Api, wish: dict[str, Any], pointer: str) -> None:
    document = await refusal_of(await _create(api, **wish), 422, "invalid-value")
    assert [error["pointer"] for error in document["errors"]] == [pointer]
    assert await api.get("/api/auth/tokens") == []


async def test_only_administrators_make_tokens_that_administer(api: Api) -> None:
    await refusal_of(await _create(api, scope="admin"), 403, "admins-only")
    assert (await _create(api, "root", scope="admin")).status == 201


async def test_revoking_counts_at_once_and_is_told(api: Api) -> None:
    created = await (await _create(api)).json()
    other = (await (await _create(api)).json())["token"]
    path = f"/api/auth/tokens/{created['details']['id']}"
    with api.bus.subscribe() as events:
        assert (await api.call("DELETE", path)).status == 204
        assert events.get_nowait() == SessionEnded(f"token-{created['details']['id']}")
    await refusal_of(await api.call("GET", "/api/auth/me", token=created["token"]), 401, "not-authenticated")
    assert (await api.call("GET", "/api/auth/me", token=other)).status == 200
    await refusal_of(await api.call("DELETE", path), 404, "token-not-found")


async def test_tokens_of_others_are_not_there(api: Api) -> None:
    created = await (await _create(api)).json()
    path = f"/api/auth/tokens/{created['details']['id']}"
    await refusal_of(await api.call("DELETE", path, username="root"), 404, "token-not-found")
    assert await api.get("/api/auth/tokens", username="root") == []
    assert (await api.call("GET", "/api/auth/me", token=created["token"])).status == 200


async def test_last_use_is_noted_once_a_minute(api: Api) -> None:
    token = (await (await _create(api)).json())["token"]
    assert (await api.get("/api/auth/tokens"))[0]["last_used_at"] is None
    await api.get("/api/queue", token=token)
    used = (await api.get("/api/auth/tokens"))[0]["last_used_at"]
    await api.get("/api/queue", token=token)
    assert (await api.get("/api/auth/tokens"))[0]["last_used_at"] == used
    long_ago = "2026-01-01T00:00:00.000Z"
    async with api.database.write() as connection:
        await connection.execute(tables.api_tokens.update().values(last_used_at=long_ago))
    await api.get("/api/queue", token=token)
    assert (await api.get("/api/auth/tokens"))[0]["last_used_at"] >= used


async def test_tokens_outlive_sessions_and_a_change_of_the_own_password(api: Api) -> None:
    session = await api.token_of("ann")
    created = await api.call("POST", "/api/auth/tokens", token=session, json={"name": "report", "scope": "read"})
    token = (await created.json())["token"]
    body = {"current_password": PASSWORD, "new_password": "seven lamps in the harbour"}
    assert (await api.call("POST", "/api/auth/password", token=session, json=body)).status == 200
    assert (await api.call("GET", "/api/auth/me", token=token)).status == 200


async def test_there_are_only_so_many(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_TOKENS", 2)
    for _ in range(2):
        assert (await _create(api)).status == 201
    await refusal_of(await _create(api), 409, "too-many-tokens")
    assert (await _create(api, "root")).status == 201


@pytest.mark.parametrize("change", ["csa_", "CSA_{}", "csa_{}x", "csa_{}é", "xcsa_{}"])
async def test_token_that_differs_by_anything_does_not_count(api: Api, change: str) -> None:
    token = await api.personal_token_of("ann", Scope.READ)
    other = change.format(token.removeprefix("csa_"))
    await refusal_of(await api.call("GET", "/api/auth/me", token=other), 401, "not-authenticated")


async def test_request_under_way_makes_no_token_for_a_password_that_was_changed(api: Api) -> None:
    as_read = (await api.accounts.authenticate(await api.token_of("ann"))).user
    await api.user_service.reset_password(as_read, "seven lamps in the harbour", always, by=None)
    with pytest.raises(Exception, match="no longer counts"):
        await api.personal_tokens.create(as_read, name="late", scope=Scope.READ, lifetime=timedelta(days=1))
