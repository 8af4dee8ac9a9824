"""Signing in, signing out, the first password, and tokens that must not count."""

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from argon2 import Parameters, extract_parameters

from cs_archiver.clock import to_text
from cs_archiver.db import tables
from cs_archiver.db.accounts import Accounts, Begun
from cs_archiver.services.accounts import AccountService, Origin
from cs_archiver.services.passwords import HashCost, Passwords, matches
from cs_archiver.services.signing import Signer
from tests.support.api import LIFETIME, PASSWORD, SECRET, Api, refusal_of, running_api

NEW_PASSWORD = "seven lamps in the harbour"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _login(api: Api, username: str, password: str) -> Any:
    return await api.call("POST", "/api/auth/login", token="", json={"username": username, "password": password})


async def test_login_answers_with_exactly_these_keys(api: Api) -> None:
    response = await _login(api, "root", PASSWORD)
    document = await response.json()
    assert response.status == 200
    assert isinstance(document.pop("access_token"), str)
    user_id = document["user"].pop("id")
    assert isinstance(user_id, int)
    assert document == {"token_type": "bearer", "user": {"username": "root", "is_admin": True}}


async def test_user_names_ignore_case_and_passwords_do_not(api: Api) -> None:
    assert (await _login(api, "ANN", PASSWORD)).status == 200
    assert (await _login(api, "ann", PASSWORD.upper())).status == 401


async def test_unknown_name_and_wrong_password_get_the_same_answer(api: Api) -> None:
    documents = []
    for name in ("ann", "nobody"):
        response = await _login(api, name, "not the password")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        document = await refusal_of(response, 401, "login-failed")
        documents.append({key: value for key, value in document.items() if key != "request_id"})
    assert documents[0] == documents[1]


async def test_unknown_name_costs_a_whole_hash(api: Api) -> None:
    """Counted, not timed: the hash that is verified for nobody has the cost of everybody's."""
    passwords = Passwords(HashCost(3, 65536, 4))
    assert passwords._hasher.check_needs_rehash(passwords._nobodys_hash) is False
    assert await passwords.fits(None, "") is False
    passwords.close()


async def test_a_hash_of_one_cost_is_compared_for_names_there_are_and_names_there_are_not(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Parameters] = []

    def noted(password_hash: str, password: str) -> bool:
        compared.append(extract_parameters(password_hash))
        return matches(password_hash, password)

    monkeypatch.setattr("cs_archiver.services.passwords.matches", noted)
    for name in ("ann", "nobody"):
        await refusal_of(await _login(api, name, "not the password"), 401, "login-failed")
    assert len(compared) == 2
    assert compared[0] == compared[1]


async def test_two_hashes_at_most_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes its memory, and the processors that the archive tools need."""
    running, most = threading.Semaphore(2), threading.Event()

    def noted(_password_hash: str, _password: str) -> bool:
        if not running.acquire(blocking=False):
            most.set()
            return True
        most.wait(0.1)  # a third would come meanwhile
        running.release()
        return True

    monkeypatch.setattr("cs_archiver.services.passwords.matches", noted)
    passwords = Passwords(HashCost(1, 8, 1))
    assert all(await asyncio.gather(*(passwords.fits("", "") for _ in range(6))))
    passwords.close()
    assert not most.is_set()


async def test_me_answers_with_exactly_these_keys(api: Api) -> None:
    document = await api.get("/api/auth/me")
    assert set(document) == {"id", "username", "is_admin"}
    assert (document["username"], document["is_admin"]) == ("ann", False)


async def test_logout_ends_this_session_and_no_other(api: Api) -> None:
    token, other = await api.token_of("ann"), await api.token_of("ann")
    response = await api.call("POST", "/api/auth/logout", token=token)
    assert response.status == 204
    assert await response.read() == b""
    await refusal_of(await api.call("GET", "/api/auth/me", token=token), 401, "not-authenticated")
    await refusal_of(await api.call("POST", "/api/auth/logout", token=token), 401, "not-authenticated")
    assert (await api.call("GET", "/api/auth/me", token=other)).status == 200


async def test_first_sign_in_must_choose_a_password_before_anything_else(api: Api) -> None:
    token = await api.token_of("newadmin")
    for path in ("/api/folders", "/api/jobs", "/api/queue", "/api/system/status", "/api/version"):
        await refusal_of(await api.call("GET", path, token=token), 403, "password-change-required")
    assert (await api.call("GET", "/api/auth/me", token=token)).status == 200
    response = await api.call(
        "POST",
        "/api/auth/password",
        token=token,
        json={"current_password": PASSWORD, "new_password": NEW_PASSWORD},
    )
    document = await response.json()
    assert response.status == 200
    assert set(document) == {"access_token", "token_type", "user"}
    assert (await api.call("GET", "/api/queue", token=document["access_token"])).status == 200
    assert (await _login(api, "newadmin", PASSWORD)).status == 401
    assert (await _login(api, "newadmin", NEW_PASSWORD)).status == 200


async def test_changing_the_password_ends_every_older_session(api: Api) -> None:
    older = [await api.token_of("ann") for _ in range(3)]
    bystander = await api.token_of("root")
    ann = (await api.accounts.authenticate(older[0])).user
    await api.accounts.change_password(ann, PASSWORD, NEW_PASSWORD, Origin())
    for token in older:
        await refusal_of(await api.call("GET", "/api/auth/me", token=token), 401, "not-authenticated")
    assert (await api.call("GET", "/api/auth/me", token=bystander)).status == 200


async def test_of_two_changes_at_once_one_wins_and_the_other_is_signed_out(api: Api) -> None:
    token = await api.token_of("ann")
    bodies = [{"current_password": PASSWORD, "new_password": f"{NEW_PASSWORD} {n}"} for n in range(2)]
    calls = [api.call("POST", "/api/auth/password", token=token, json=body) for body in bodies]
    responses = await asyncio.gather(*calls)
    assert sorted(response.status for response in responses) == [200, 401]
    winner = next(n for n, response in enumerate(responses) if response.status == 200)
    assert (await _login(api, "ann", bodies[winner]["new_password"])).status == 200


async def test_sign_in_with_a_password_that_is_changed_meanwhile_is_refused(api: Api) -> None:
    accounts = Accounts(api.database)
    as_read = await accounts.by_name("ann")
    assert as_read is not None
    assert await accounts.change_password(as_read, "another hash", Begun("1", "9999"))
    assert await accounts.begin_session(as_read, Begun("2", "9999")) is None
    assert await accounts.by_session("2") is None


@pytest.mark.parametrize(
    ("current", "new", "problem", "pointer"),
    [
        ("wrong password", NEW_PASSWORD, "wrong-password", "#/current_password"),
        (PASSWORD, "short", "weak-password", "#/new_password"),
        (PASSWORD, PASSWORD, "weak-password", "#/new_password"),
        (PASSWORD, "x" * 1025, "weak-password", "#/new_password"),
        (PASSWORD, "Changeme-2024!", "weak-password", "#/new_password"),
    ],
)
async def test_refused_password_changes_change_nothing(
    api: Api, current: str, new: str, problem: str, pointer: str
) -> None:
    token = await api.token_of("new")
    body = {"current_password": current, "new_password": new}
    response = await api.call("POST", "/api/auth/password", token=token, json=body)
    document = await refusal_of(response, 422, problem)
    assert [error["pointer"] for error in document["errors"]] == [pointer]
    assert (await _login(api, "new", PASSWORD)).status == 200
    await refusal_of(await api.call("GET", "/api/queue", token=token), 403, "password-change-required")


def _claims(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    claims = {
        "iss": "cs-archiver",
        "aud": "cs-archiver",
        "sub": "1",
        "jti": "known",
        "iat": now,
        "exp": now + timedelta(hours=1),
    }
    changed = {key: now + value if isinstance(value, timedelta) else value for key, value in changes.items()}
    return {key: value for key, value in {**claims, **changed}.items() if value is not None}


async def _begin_known_session(api: Api, *, expires: timedelta = timedelta(hours=1)) -> None:
    ann = await Accounts(api.database).by_name("ann")
    assert ann is not None
    assert ann.id == 1
    expires_at = to_text(datetime.now(UTC) + expires)
    assert await Accounts(api.database).begin_session(ann, Begun("known", expires_at)) == []


async def test_token_with_every_claim_right_counts(api: Api) -> None:
    """The yardstick of the refusals below: they fail for their one difference, not for the forging."""
    await _begin_known_session(api)
    token = jwt.encode(_claims(), SECRET, algorithm="HS256")
    assert (await api.call("GET", "/api/auth/me", token=token)).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": timedelta(minutes=-5)},
        {"exp": None},
        {"iat": None},
        {"iat": timedelta(hours=1)},
        {"jti": None},
        {"jti": "unknown"},
        {"jti": 7},
        {"iss": None},
        {"iss": "somebody-else"},
        {"aud": None},
        {"aud": "somebody-else"},
        {"sub": None},
        {"sub": "2"},
    ],
    ids=str,
)
async def test_token_with_one_claim_wrong_does_not_count(api: Api, changes: dict[str, Any]) -> None:
    await _begin_known_session(api)
    token = jwt.encode(_claims(**changes), SECRET, algorithm="HS256") if changes != {"jti": 7} else _forged(7)
    response = await api.call("GET", "/api/auth/me", token=token)
    await refusal_of(response, 401, "not-authenticated")


def _forged(jti: object) -> str:
    claims = {**_claims(), "jti": jti}
    claims.update({key: int(claims[key].timestamp()) for key in ("iat", "exp")})
    return jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, algorithm="HS256")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [("another signing key of thirty-two bytes", "HS256"), (SECRET * 2, "HS512"), ("", "none")],
)
async def test_token_signed_otherwise_does_not_count(api: Api, key: str, algorithm: str) -> None:
    await _begin_known_session(api)
    token = jwt.encode(_claims(), key, algorithm=algorithm)
    await refusal_of(await api.call("GET", "/api/auth/me", token=token), 401, "not-authenticated")


async def test_token_tampered_with_does_not_count(api: Api) -> None:
    header, payload, signature = (await api.token_of("ann")).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["sub"] = "2"
    other = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    for token in (
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature[::-1]}",
    ):
        await refusal_of(await api.call("GET", "/api/auth/me", token=token), 401, "not-authenticated")


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YW5uOmFubg==",
        "Bearer a.b.c",
        "Bearer \u00e9\u00e9",
        f"Bearer {base64.urlsafe_b64encode(b'[' * 5000).decode()}.e30.e30",
        f"Bearer {base64.urlsafe_b64encode(b'[]').decode()}.e30.e30",
        "token",
    ],
    ids=lambda text: text[:16],
)
async def test_anything_else_in_the_header_is_no_token(api: Api, authorization: str) -> None:
    response = await api.call("GET", "/api/auth/me", token="", headers={"Authorization": authorization})
    await refusal_of(response, 401, "not-authenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_scheme_of_the_header_ignores_case(api: Api) -> None:
    headers = {"Authorization": f"bearer  {await api.token_of('ann')}"}
    assert (await api.call("GET", "/api/auth/me", token="", headers=headers)).status == 200


async def test_session_row_that_expired_ends_a_token_that_has_not(api: Api) -> None:
    await _begin_known_session(api, expires=timedelta(seconds=-1))
    token = jwt.encode(_claims(), SECRET, algorithm="HS256")
    await refusal_of(await api.call("GET", "/api/auth/me", token=token), 401, "not-authenticated")


async def test_expired_sessions_are_cleared_at_the_next_sign_in(api: Api) -> None:
    await _begin_known_session(api, expires=timedelta(seconds=-1))
    await api.token_of("ann")
    async with api.database.read() as connection:
        rows = (await connection.execute(tables.sessions.select())).all()
    assert [row.jti for row in rows if row.jti == "known"] == []
    assert len(rows) == 1


async def test_tokens_last_as_long_as_configured_and_say_so(api: Api) -> None:
    token = await api.token_of("ann")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == LIFETIME.total_seconds()
    assert set(claims) == {"iss", "aud", "sub", "jti", "iat", "exp"}


async def test_last_login_is_noted(api: Api) -> None:
    await api.token_of("ann")
    ann = await Accounts(api.database).by_name("ann")
    assert ann is not None
    assert ann.last_login is not None
    assert ann.last_login.endswith("Z")


async def test_hash_of_an_older_cost_is_replaced_at_sign_in(api: Api) -> None:
    dearer = Passwords(HashCost(2, 16, 1))
    await _service(api, dearer).login("ann", PASSWORD, Origin())
    ann = await Accounts(api.database).by_name("ann")
    assert ann is not None
    assert "m=16,t=2,p=1" in ann.password_hash
    assert (await _login(api, "ann", PASSWORD)).status == 200
    dearer.close()


def _service(api: Api, passwords: Passwords) -> AccountService:
    return AccountService(Accounts(api.database), api.bus, passwords, Signer(SECRET, LIFETIME))


class TestFirstAdmin:
    async def _fresh(self, api: Api, initial_password: str) -> AccountService:
        async with api.database.write() as connection:
            await connection.execute(tables.users.delete())
        await api.accounts.ensure_first_admin(initial_password)
        return api.accounts

    async def test_gets_the_known_password_and_must_change_it(self, api: Api) -> None:
        service = await self._fresh(api, "")
        session = await service.login("admin", "changeme", Origin())
        assert session.user.is_admin
        assert session.user.must_change_password

    async def test_gets_the_configured_password_and_keeps_it(self, api: Api) -> None:
        service = await self._fresh(api, "from the environment")
        session = await service.login("admin", "from the environment", Origin())
        assert session.user.is_admin
        assert not session.user.must_change_password

    async def test_is_made_only_once(self, api: Api) -> None:
        service = await self._fresh(api, "from the environment")
        await service.ensure_first_admin("another one entirely")
        assert (await _login(api, "admin", "from the environment")).status == 200
        assert (await _login(api, "admin", "another one entirely")).status == 401
