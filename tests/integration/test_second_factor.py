"""A second factor: switched on with a first code, asked for at each sign-in, each code accepted once."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest
from aiohttp import ClientResponse

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.domain.access import Scope
from cs_archiver.errors import NotAuthenticated
from cs_archiver.services.accounts import CodeNeeded, Origin
from cs_archiver.services.passwords import Passwords
from tests.integration.test_live_sessions import SESSION_ENDED
from tests.support.api import PASSWORD, Api, refusal_of, running_api
from tests.support.live import listening

STEP = 30


@dataclass
class Clock:
    """Stands still but where a test moves it on: codes depend on it alone."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def next_code_of(self, secret: str) -> str:
        self.now += STEP
        return pyotp.TOTP(secret).at(self.now)


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time() // STEP * STEP)


@pytest.fixture
async def api(tmp_path: Path, clock: Clock) -> AsyncIterator[Api]:
    async with running_api(tmp_path, clock=clock) as running:
        yield running


async def login(api: Api, username: str = "ann", **more: Any) -> ClientResponse:
    body = {"username": username, "password": PASSWORD, **more}
    return await api.call("POST", "/api/auth/login", token="", json=body)


async def token_in(response: ClientResponse) -> str:
    document = await response.json()
    assert response.status == 200, document
    return str(document["access_token"])


async def enrolled(api: Api, clock: Clock, token: str) -> tuple[str, list[str]]:
    """The secret and the recovery codes."""
    begun = await (await api.call("POST", "/api/auth/second-factor", token=token)).json()
    code = clock.next_code_of(begun["secret"])
    confirmed = await api.call("POST", "/api/auth/second-factor/confirm", token=token, json={"code": code})
    document = await confirmed.json()
    assert confirmed.status == 200, document
    return begun["secret"], document["recovery_codes"]


async def test_account_without_one_signs_in_as_ever(api: Api) -> None:
    for more in ({}, {"code": None}, {"code": "123456"}):
        assert set(await (await login(api, **more)).json()) == {"access_token", "token_type", "user"}
    assert await api.get("/api/auth/second-factor") == {"enabled": False, "recovery_codes_left": 0}


async def test_what_is_begun_can_be_scanned_and_counts_only_once_it_is_confirmed(api: Api, clock: Clock) -> None:
    token = await api.token_of("ann")
    begun = await (await api.call("POST", "/api/auth/second-factor", token=token)).json()
    assert await (await api.call("POST", "/api/auth/second-factor", token=token)).json() == begun, "loaded once more"
    read = pyotp.parse_uri(begun["uri"])
    assert (read.secret, read.name, read.issuer) == (begun["secret"], "ann", "CS Archiver")
    assert len(begun["secret"]) == 32
    assert (await login(api)).status == 200
    for code in ("000000", "", "\u0661\u0662\u0663\u0664\u0665\u0666", "\u0082"):
        wrong = await api.call("POST", "/api/auth/second-factor/confirm", token=token, json={"code": code})
        document = await refusal_of(wrong, 422, "invalid-value")
        assert [error["pointer"] for error in document["errors"]] == ["#/code"]
    code = pyotp.TOTP(begun["secret"]).at(clock.now)
    spaced = {"code": f"{code[:3]} {code[3:]}"}  # as apps show it
    confirmed = await api.call("POST", "/api/auth/second-factor/confirm", token=token, json=spaced)
    assert len((await confirmed.json())["recovery_codes"]) == 10
    assert await api.get("/api/auth/second-factor", token=token) == {"enabled": True, "recovery_codes_left": 10}
    await refusal_of(await login(api), 401, "second-factor-required")


async def test_two_secrets_differ(api: Api) -> None:
    secrets = set()
    for username in ("ann", "root"):
        begun = await api.call("POST", "/api/auth/second-factor", username=username)
        secrets.add((await begun.json())["secret"])
    assert len(secrets) == 2


async def test_sign_in_takes_password_and_code(api: Api, clock: Clock) -> None:
    secret, _ = await enrolled(api, clock, await api.token_of("ann"))
    missing = await refusal_of(await login(api), 401, "second-factor-required")
    assert "`code`" in missing["detail"]
    await refusal_of(await login(api, code="000000"), 401, "wrong-code")
    code = clock.next_code_of(secret)
    await refusal_of(await login(api, password="a guess", code=code), 401, "login-failed")
    token = await token_in(await login(api, code=code))
    assert (await api.call("GET", "/api/queue", token=token)).status == 200


@pytest.mark.parametrize("typed", ["{}", " {} "])
async def test_code_may_be_typed_with_blanks(api: Api, clock: Clock, typed: str) -> None:
    secret, _ = await enrolled(api, clock, await api.token_of("ann"))
    code = clock.next_code_of(secret)
    spaced = f"{code[:3]} {code[3:]}"
    assert (await login(api, code=typed.format(spaced))).status == 200


async def test_code_counts_for_its_thirty_seconds_and_the_thirty_after_them(api: Api, clock: Clock) -> None:
    secret, _ = await enrolled(api, clock, await api.token_of("ann"))
    code = clock.next_code_of(secret)
    clock.now += 2 * STEP
    await refusal_of(await login(api, code=code), 401, "wrong-code")
    ahead = pyotp.TOTP(secret).at(clock.now + STEP)
    await refusal_of(await login(api, code=ahead), 401, "wrong-code")
    code = pyotp.TOTP(secret).at(clock.now)
    clock.now += 2 * STEP - 1
    assert (await login(api, code=code)).status == 200


async def test_code_counts_once_and_so_do_those_before_it(api: Api, clock: Clock) -> None:
    secret, _ = await enrolled(api, clock, await api.token_of("ann"))
    confirming = pyotp.TOTP(secret).at(clock.now)
    await refusal_of(await login(api, code=confirming), 401, "wrong-code")
    older = clock.next_code_of(secret)
    newer = clock.next_code_of(secret)
    assert (await login(api, code=newer)).status == 200
    for code in (newer, older):
        await refusal_of(await login(api, code=code), 401, "wrong-code")


async def test_of_two_sign_ins_with_one_code_at_once_one_wins(api: Api, clock: Clock) -> None:
    secret, codes = await enrolled(api, clock, await api.token_of("ann"))
    for code in (clock.next_code_of(secret), codes[0]):
        answers = await asyncio.gather(*(login(api, code=code) for _ in range(2)))
        assert sorted(answer.status for answer in answers) == [200, 401]


async def test_sign_in_under_way_when_it_is_switched_on_does_not_do_without(
    api: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await api.token_of("ann")
    compare = Passwords.fits

    async def lasts_until_it_is_on(self: Passwords, password_hash: str | None, password: str) -> bool:
        fits = await compare(self, password_hash, password)
        await enrolled(api, clock, token)
        return fits

    with monkeypatch.context() as patch:
        patch.setattr(Passwords, "fits", lasts_until_it_is_on)
        await refusal_of(await login(api), 401, "login-failed")
    assert len(await api.get("/api/auth/sessions", token=token)) == 1


async def test_code_of_a_factor_that_was_replaced_finishes_no_sign_in(api: Api, clock: Clock) -> None:
    token = await api.token_of("ann")
    lost, _ = await enrolled(api, clock, token)
    with pytest.raises(CodeNeeded) as half_done:
        await api.accounts.login("ann", PASSWORD, Origin())
    assert (await api.call("DELETE", "/api/auth/second-factor", token=token)).status == 204
    await enrolled(api, clock, token)
    with pytest.raises(NotAuthenticated):
        await api.accounts.finish_login(half_done.value.ticket, clock.next_code_of(lost), Origin())


async def test_what_was_begun_in_one_session_is_not_shown_in_another(api: Api, clock: Clock) -> None:
    """Who was signed in with a password that was guessed has seen it, and must not know what its owner switches on."""
    thief, owner = await api.token_of("ann"), await api.token_of("ann")
    seen = (await (await api.call("POST", "/api/auth/second-factor", token=thief)).json())["secret"]
    secret, _ = await enrolled(api, clock, owner)
    assert secret != seen


async def test_codes_are_guessed_no_faster_than_passwords(api: Api, clock: Clock) -> None:
    secret, _ = await enrolled(api, clock, await api.token_of("ann"))
    for _ in range(5):
        await refusal_of(await login(api, code="000000"), 401, "wrong-code")
    await refusal_of(await login(api, code=clock.next_code_of(secret)), 429, "too-many-attempts")
    await refusal_of(await login(api), 429, "too-many-attempts")


async def test_leaving_out_the_code_is_no_way_around_the_throttle(api: Api, clock: Clock) -> None:
    await enrolled(api, clock, await api.token_of("ann"))
    for _ in range(4):
        await refusal_of(await login(api, code="000000"), 401, "wrong-code")
        await refusal_of(await login(api), 401, "second-factor-required")
    await refusal_of(await login(api, code="000000"), 401, "wrong-code")
    await refusal_of(await login(api, code="000000"), 429, "too-many-attempts")


async def test_recovery_codes_sign_in_once_each_and_are_kept_as_hashes(api: Api, clock: Clock) -> None:
    _, codes = await enrolled(api, clock, await api.token_of("ann"))
    assert len(set(codes)) == 10
    assert all(len(code.replace("-", "")) == 24 for code in codes), "120 bits"
    async with api.database.read() as connection:
        rows = (await connection.execute(tables.recovery_codes.select())).all()
    assert {row.sha256 for row in rows} == {hashlib.sha256(code.replace("-", "").encode()).digest() for code in codes}
    token = await token_in(await login(api, code=codes[3].lower().replace("-", " ")))
    assert (await api.get("/api/auth/second-factor", token=token))["recovery_codes_left"] == 9
    await refusal_of(await login(api, code=codes[3]), 401, "wrong-code")
    assert (await login(api, code=codes[4])).status == 200


async def test_recovery_codes_of_others_do_not_count(api: Api, clock: Clock) -> None:
    await enrolled(api, clock, await api.token_of("ann"))
    _, codes = await enrolled(api, clock, await api.token_of("root"))
    await refusal_of(await login(api, code=codes[0]), 401, "wrong-code")
    assert (await login(api, "root", code=codes[0])).status == 200


async def test_new_recovery_codes_take_the_place_of_the_old(api: Api, clock: Clock) -> None:
    token = await api.token_of("ann")
    _, old = await enrolled(api, clock, token)
    renewed = await (await api.call("POST", "/api/auth/second-factor/recovery-codes", token=token)).json()
    new = renewed["recovery_codes"]
    assert not set(new) & set(old)
    await refusal_of(await login(api, code=old[0]), 401, "wrong-code")
    assert (await login(api, code=new[0])).status == 200


@pytest.mark.parametrize("is_on", [True, False], ids=["switched on", "switched off"])
async def test_other_sessions_end_and_this_one_goes_on(api: Api, clock: Clock, is_on: bool) -> None:
    token = await api.token_of("ann")
    if not is_on:
        secret, _ = await enrolled(api, clock, token)
        other = await token_in(await login(api, code=clock.next_code_of(secret)))
    else:
        other = await api.token_of("ann")
    async with listening(api, token=other) as listener:
        if is_on:
            await enrolled(api, clock, token)
        else:
            assert (await api.call("DELETE", "/api/auth/second-factor", token=token)).status == 204
        assert await listener.end() == SESSION_ENDED
    assert (await api.call("GET", "/api/queue", token=other)).status == 401
    assert (await api.call("GET", "/api/queue", token=token)).status == 200
    assert (await login(api)).status == (401 if is_on else 200)


async def test_personal_tokens_go_on_by_themselves(api: Api, clock: Clock) -> None:
    token = await api.personal_token_of("ann", Scope.READ)
    await enrolled(api, clock, await api.token_of("ann"))
    assert (await api.call("GET", "/api/queue", token=token)).status == 200


async def test_what_cannot_be_done_is_refused_by_name(api: Api, clock: Clock) -> None:
    token = await api.token_of("ann")
    path = "/api/auth/second-factor"
    await refusal_of(await api.call("DELETE", path, token=token), 409, "second-factor-off")
    await refusal_of(await api.call("POST", f"{path}/recovery-codes", token=token), 409, "second-factor-off")
    confirm = await api.call("POST", f"{path}/confirm", token=token, json={"code": "123456"})
    await refusal_of(confirm, 409, "second-factor-not-begun")
    await enrolled(api, clock, token)
    await refusal_of(await api.call("POST", path, token=token), 409, "second-factor-on")
    confirm = await api.call("POST", f"{path}/confirm", token=token, json={"code": "123456"})
    await refusal_of(confirm, 409, "second-factor-on")
    for code in ("", "12345", "1234567", "x" * 64, "\u0661\u0662\u0663\u0664\u0665\u0666", "A" * 24):
        await refusal_of(await login(api, code=code), 401, "wrong-code")
        api.accounts._throttle._pairs.clear(("ann", "127.0.0.1"))  # this is not about guessing
    await refusal_of(await login(api, code="1" * 65), 422, "invalid-value")


async def test_nothing_is_switched_in_a_session_of_long_ago(api: Api) -> None:
    token = await api.token_of("ann")
    async with api.database.write() as connection:
        await connection.execute(tables.sessions.update().values(created_at=now_text(after=-timedelta(hours=1))))
    for method, path in (
        ("POST", "/api/auth/second-factor"),
        ("DELETE", "/api/auth/second-factor"),
        ("POST", "/api/auth/second-factor/recovery-codes"),
    ):
        await refusal_of(await api.call(method, path, token=token), 403, "reauthentication-required")


async def _id_of_ann(api: Api) -> int:
    return next(int(user["id"]) for user in await api.get("/api/users", username="root") if user["username"] == "ann")


async def test_administrator_removes_it_for_who_lost_it(api: Api, clock: Clock) -> None:
    token = await api.token_of("ann")
    await enrolled(api, clock, token)
    path = f"/api/users/{await _id_of_ann(api)}/second-factor"
    await refusal_of(await api.call("DELETE", path, username="ann", token=token), 403, "admins-only")
    async with listening(api, token=token) as listener:
        assert (await api.call("DELETE", path, username="root")).status == 204
        assert await listener.end() == SESSION_ENDED
    await refusal_of(await api.call("DELETE", path, username="root"), 409, "second-factor-off")
    assert (await login(api)).status == 200
    lines = await api.get("/api/audit", username="root")
    noted = [(line["user"], line["action"], line["target"], line["result"]) for line in lines]
    assert ("root", "users_remove_second_factor", "ann", "ok") in noted
    assert ("ann", "second_factor_confirm", None, "ok") in noted


async def test_nobody_removes_their_own_that_way(api: Api, clock: Clock) -> None:
    token = await api.token_of("root")
    await enrolled(api, clock, token)
    root = next(int(user["id"]) for user in await api.get("/api/users", token=token) if user["username"] == "root")
    await refusal_of(await api.call("DELETE", f"/api/users/{root}/second-factor", token=token), 409, "own-account")


async def test_secret_and_codes_are_in_no_log_and_no_line_of_the_trail(
    api: Api, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        secret, codes = await enrolled(api, clock, await api.token_of("ann"))
        code = clock.next_code_of(secret)
        assert (await login(api, code=code)).status == 200
        assert (await login(api, code=codes[0])).status == 200
    text = caplog.text + str(await api.get("/api/audit", username="root"))
    assert "a recovery code of ann is used" in text
    for hidden in (secret, f" {code} ", *codes, *(found.replace("-", "") for found in codes)):
        assert hidden not in text


class TestWhereAdministratorsNeedOne:
    @pytest.fixture
    async def api(self, tmp_path: Path, clock: Clock) -> AsyncIterator[Api]:
        async with running_api(tmp_path, clock=clock, admins_need_factor=True) as running:
            yield running

    async def test_administrator_can_do_nothing_before(self, api: Api, clock: Clock) -> None:
        token = await api.token_of("root")
        personal = await api.personal_token_of("root", Scope.ADMIN)
        for shown in (token, personal):
            for path in ("/api/queue", "/api/users", "/api/folders"):
                response = await api.call("GET", path, token=shown)
                document = await refusal_of(response, 403, "second-factor-needed")
                assert "POST /api/auth/second-factor" in document["detail"]
        assert (await api.call("GET", "/api/auth/me", token=token)).status == 200
        await refusal_of(
            await api.call("GET", "/ws/jobs", token=token, headers={"Upgrade": "x"}), 403, "second-factor-needed"
        )
        await enrolled(api, clock, token)
        for shown in (token, personal):
            assert (await api.call("GET", "/api/users", token=shown)).status == 200

    async def test_it_stays_switched_on(self, api: Api, clock: Clock) -> None:
        token = await api.token_of("root")
        await enrolled(api, clock, token)
        response = await api.call("DELETE", "/api/auth/second-factor", token=token)
        await refusal_of(response, 409, "second-factor-kept")

    async def test_others_need_none(self, api: Api) -> None:
        assert (await api.call("GET", "/api/queue", username="ann")).status == 200

    async def test_password_that_must_be_changed_comes_first(self, api: Api) -> None:
        response = await api.call("POST", "/api/auth/second-factor", username="newadmin")
        await refusal_of(response, 403, "password-change-required")
