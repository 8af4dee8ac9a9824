"""Administrators manage the accounts, and can lock out neither themselves nor everybody."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cs_archiver.clock import from_text, to_text
from cs_archiver.db import tables
from cs_archiver.db.accounts import Accounts
from cs_archiver.domain.access import Scope, always
from cs_archiver.domain.events import UserEnded
from cs_archiver.services.passwords import Passwords
from tests.support.api import PASSWORD, Api, refusal_of, running_api

NEW_PASSWORD = "seven lamps in the harbour"
OWN_PASSWORD = "nine boats on the river"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _add(api: Api, **wish: Any) -> Any:
    body = {"username": "bob", "password": NEW_PASSWORD, **wish}
    return await api.call("POST", "/api/users", username="root", json=body)


async def _login(api: Api, username: str, password: str) -> Any:
    return await api.call("POST", "/api/auth/login", token="", json={"username": username, "password": password})


async def _id_of(api: Api, username: str) -> int:
    users = await api.get("/api/users", username="root")
    return next(int(user["id"]) for user in users if user["username"] == username)


async def test_users_are_listed_with_exactly_these_keys(api: Api) -> None:
    users = await api.get("/api/users", username="root")
    assert [user["username"] for user in users] == ["ann", "root", "new", "newadmin"]
    assert all(set(user) == {"id", "username", "is_admin", "created_at", "last_login"} for user in users)
    assert {user["username"]: user["last_login"] is not None for user in users}["root"]
    assert [user["is_admin"] for user in users] == [False, True, False, True]


async def test_user_that_is_added_can_sign_in_at_once_and_must_choose_another_password(api: Api) -> None:
    response = await _add(api, is_admin=True)
    document = await response.json()
    assert response.status == 201
    assert set(document) == {"id", "username", "is_admin"}
    assert (document["username"], document["is_admin"]) == ("bob", True)
    token = (await (await _login(api, "bob", NEW_PASSWORD)).json())["access_token"]
    await refusal_of(await api.call("GET", "/api/users", token=token), 403, "password-change-required")
    own = {"current_password": NEW_PASSWORD, "new_password": OWN_PASSWORD}
    token = (await (await api.call("POST", "/api/auth/password", token=token, json=own)).json())["access_token"]
    assert (await api.call("GET", "/api/users", token=token)).status == 200
    await _let_the_given_passwords_expire(api)
    assert (await _login(api, "bob", OWN_PASSWORD)).status == 200


@pytest.mark.parametrize("is_reset", [False, True], ids=["added", "reset"])
async def test_password_that_an_administrator_gave_counts_for_a_week(api: Api, is_reset: bool) -> None:
    await _add(api)
    if is_reset:
        path = f"/api/users/{await _id_of(api, 'bob')}/password"
        await api.call("POST", path, username="root", json={"new_password": NEW_PASSWORD})
    async with api.database.read() as connection:
        expires = await connection.scalar(select(tables.users.c.password_expires_at).where(_IS_BOB))
    assert timedelta(days=6, hours=23) < from_text(str(expires)) - datetime.now(UTC) <= timedelta(days=7)
    before = (await (await _login(api, "bob", NEW_PASSWORD)).json())["access_token"]
    await _let_the_given_passwords_expire(api)
    await refusal_of(await _login(api, "bob", NEW_PASSWORD), 401, "password-expired")
    await refusal_of(await _login(api, "bob", "a guess"), 401, "login-failed")
    own = {"current_password": NEW_PASSWORD, "new_password": OWN_PASSWORD}
    response = await api.call("POST", "/api/auth/password", token=before, json=own)
    await refusal_of(response, 401, "password-expired")


async def test_password_cannot_be_given_for_good(api: Api) -> None:
    document = await refusal_of(await _add(api, must_change_password=False), 422, "invalid-value")
    assert [error["pointer"] for error in document["errors"]] == ["#/must_change_password"]


_IS_BOB = tables.users.c.username == "bob"


async def _let_the_given_passwords_expire(api: Api) -> None:
    async with api.database.write() as connection:
        expires = tables.users.c.password_expires_at
        long_ago = tables.users.update().where(expires.is_not(None)).values(password_expires_at=to_text(_LONG_AGO))
        await connection.execute(long_ago)


_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["ann", "ANN"])
async def test_name_that_is_taken_is_refused(api: Api, name: str) -> None:
    await refusal_of(await _add(api, username=name), 409, "username-taken")


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "-a", ".a", "_a", "a\n", "Æ", "x" * 65, "a/b", "a\u0000", "<b>", "а"],
)
async def test_name_that_breaks_the_rules_is_refused(api: Api, name: str) -> None:
    document = await refusal_of(await _add(api, username=name), 422, "invalid-value")
    assert [error["pointer"] for error in document["errors"]] == ["#/username"]
    assert len(await api.get("/api/users", username="root")) == 4


@pytest.mark.parametrize("name", ["a", "7", "a.b-c_d@example.org", "x" * 64])
async def test_name_that_keeps_the_rules_is_taken(api: Api, name: str) -> None:
    assert (await _add(api, username=name)).status == 201
    assert (await _login(api, name, NEW_PASSWORD)).status == 200


@pytest.mark.parametrize("password", ["", "short", "x" * 1025, "bob-password-1", "Changeme-2024!"])
async def test_weak_passwords_are_refused_wherever_one_is_set(api: Api, password: str) -> None:
    document = await refusal_of(await _add(api, password=password), 422, "weak-password")
    assert [error["pointer"] for error in document["errors"]] == ["#/password"]
    await _add(api)
    path = f"/api/users/{await _id_of(api, 'bob')}/password"
    response = await api.call("POST", path, username="root", json={"new_password": password})
    await refusal_of(response, 422, "weak-password")
    assert (await _login(api, "bob", NEW_PASSWORD)).status == 200


async def test_deleting_a_user_ends_sessions_and_tokens_at_once_and_says_so(api: Api) -> None:
    session, token = await api.token_of("ann"), await api.personal_token_of("ann", Scope.OPERATE)
    ann = await _id_of(api, "ann")
    with api.bus.subscribe() as events:
        assert (await api.call("DELETE", f"/api/users/{ann}", username="root")).status == 204
        assert events.get_nowait() == UserEnded(ann)
    for shown in (session, token):
        await refusal_of(await api.call("GET", "/api/auth/me", token=shown), 401, "not-authenticated")
    assert (await _login(api, "ann", PASSWORD)).status == 401
    async with api.database.read() as connection:
        assert (await connection.execute(tables.api_tokens.select())).all() == []
    await refusal_of(await api.call("DELETE", f"/api/users/{ann}", username="root"), 404, "user-not-found")


async def test_user_of_the_same_name_later_is_another_one(api: Api) -> None:
    await _add(api)
    first = await _id_of(api, "bob")
    await api.call("DELETE", f"/api/users/{first}", username="root")
    await _add(api)
    assert await _id_of(api, "bob") > first


async def test_nobody_deletes_or_resets_the_account_they_use(api: Api) -> None:
    root = await _id_of(api, "root")
    await refusal_of(await api.call("DELETE", f"/api/users/{root}", username="root"), 409, "own-account")
    body = {"new_password": NEW_PASSWORD}
    response = await api.call("POST", f"/api/users/{root}/password", username="root", json=body)
    await refusal_of(response, 409, "own-account")
    assert (await _login(api, "root", PASSWORD)).status == 200


async def test_of_two_administrators_who_delete_each_other_one_stays(api: Api) -> None:
    await api.call("DELETE", f"/api/users/{await _id_of(api, 'newadmin')}", username="root")
    await api.add_user("second", is_admin=True)
    first_id, second_id = await _id_of(api, "root"), await _id_of(api, "second")
    first, second = await api.token_of("root"), await api.token_of("second")
    responses = await asyncio.gather(
        api.call("DELETE", f"/api/users/{second_id}", token=first),
        api.call("DELETE", f"/api/users/{first_id}", token=second),
    )
    assert sorted(response.status for response in responses) in ([204, 401], [204, 409])
    async with api.database.read() as connection:
        left = (await connection.execute(tables.users.select().where(tables.users.c.is_admin == 1))).all()
    assert len(left) == 1


async def test_the_last_administrator_stays(api: Api) -> None:
    """Over the service itself: over HTTP, who deletes an administrator is a second one."""
    users = api.user_service
    await api.call("DELETE", f"/api/users/{await _id_of(api, 'newadmin')}", username="root")
    with pytest.raises(Exception, match="last administrator"):
        await users.remove(await users.named("ROOT"), always, by=await users.named("ann"))
    assert (await _login(api, "root", PASSWORD)).status == 200


@pytest.mark.parametrize("what_comes_between", ["another reset", "a deletion"])
async def test_reset_that_was_overtaken_changes_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, what_comes_between: str
) -> None:
    ann = await Accounts(api.database).by_name("ann")
    root = await Accounts(api.database).by_name("root")
    assert ann is not None
    assert root is not None
    make = Passwords.hash

    async def is_overtaken(self: Passwords, password: str) -> str:
        made = await make(self, password)
        monkeypatch.setattr(Passwords, "hash", make)
        if what_comes_between == "a deletion":
            await api.user_service.remove(ann, always, by=root)
        else:
            await api.user_service.reset_password(ann, "two boats beside a bakery", always, by=root)
        return made

    monkeypatch.setattr(Passwords, "hash", is_overtaken)
    wish = {"new_password": "four owls above the quarry"}
    response = await api.call("POST", f"/api/users/{ann.id}/password", username="root", json=wish)
    await refusal_of(response, 409, "changed-meanwhile")
    assert (await _login(api, "ann", wish["new_password"])).status == 401


@pytest.mark.parametrize(
    ("path", "wish"),
    [
        ("/api/users", {"username": "eve", "password": "four owls above the quarry", "is_admin": True}),
        ("/api/users/{ann}/password", {"new_password": "four owls above the quarry"}),
    ],
)
@pytest.mark.parametrize("how", ["deleted", "signed out"])
async def test_who_is_ended_while_a_password_is_hashed_changes_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, wish: dict[str, Any], how: str
) -> None:
    await api.add_user("mallory", is_admin=True)
    token, mallory = await api.token_of("mallory"), await Accounts(api.database).by_name("mallory")
    root = await Accounts(api.database).by_name("root")
    assert mallory is not None
    assert root is not None
    make = Passwords.hash

    async def is_overtaken(self: Passwords, password: str) -> str:
        made = await make(self, password)
        if how == "deleted":
            await api.user_service.remove(mallory, always, by=root)
        else:
            await api.accounts.logout(await api.accounts.authenticate(token))
        return made

    address = path.format(ann=await _id_of(api, "ann"))
    monkeypatch.setattr(Passwords, "hash", is_overtaken)
    await refusal_of(await api.call("POST", address, token=token, json=wish), 401, "not-authenticated")
    monkeypatch.setattr(Passwords, "hash", make)
    assert "eve" not in {user["username"] for user in await api.get("/api/users", username="root")}
    assert (await _login(api, "ann", PASSWORD)).status == 200


async def test_reset_password_must_be_changed_and_ends_what_was_signed_in(api: Api) -> None:
    session, token = await api.token_of("ann"), await api.personal_token_of("ann", Scope.READ)
    ann = await _id_of(api, "ann")
    with api.bus.subscribe() as events:
        body = {"new_password": NEW_PASSWORD}
        response = await api.call("POST", f"/api/users/{ann}/password", username="root", json=body)
        assert (response.status, await response.read()) == (204, b"")
        assert events.get_nowait() == UserEnded(ann)
    for shown in (session, token):
        await refusal_of(await api.call("GET", "/api/auth/me", token=shown), 401, "not-authenticated")
    assert (await _login(api, "ann", PASSWORD)).status == 401
    fresh = (await (await _login(api, "ann", NEW_PASSWORD)).json())["access_token"]
    await refusal_of(await api.call("GET", "/api/queue", token=fresh), 403, "password-change-required")


@pytest.mark.parametrize("user_id", ["0", "999", "-1", "x", "1e3", "٣", "9" * 30, "1.0"])
async def test_id_that_no_user_has_is_not_found(api: Api, user_id: str) -> None:
    await refusal_of(await api.call("DELETE", f"/api/users/{user_id}", username="root"), 404, "user-not-found")
    body = {"new_password": NEW_PASSWORD}
    response = await api.call("POST", f"/api/users/{user_id}/password", username="root", json=body)
    await refusal_of(response, 404, "user-not-found")
