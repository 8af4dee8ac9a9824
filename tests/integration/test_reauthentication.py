"""What concerns accounts needs a recent sign-in: programs sign in again, and people show their password on a page."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.domain.access import Scope
from cs_archiver.domain.events import SessionEnded
from tests.support.api import PASSWORD, Api, refusal_of
from tests.support.pages import HTML
from tests.support.visitor import Visitor, cookies_of

WISH = {"name": "report", "scope": "read"}


async def _grow_old(api: Api, by: timedelta) -> None:
    async with api.database.write() as connection:
        await connection.execute(tables.sessions.update().values(created_at=now_text(after=-by)))


async def _login(api: Api) -> str:
    body = {"username": "ann", "password": PASSWORD}
    return str((await (await api.call("POST", "/api/auth/login", token="", json=body)).json())["access_token"])


async def test_sign_in_is_recent_for_a_quarter_of_an_hour_and_another_one_mends_it(api: Api) -> None:
    token = await api.token_of("ann")
    await _grow_old(api, timedelta(minutes=14))
    assert (await api.call("POST", "/api/auth/tokens", token=token, json=WISH)).status == 201
    await _grow_old(api, timedelta(minutes=15))
    response = await api.call("POST", "/api/auth/tokens", token=token, json=WISH)
    document = await refusal_of(response, 403, "reauthentication-required")
    assert "POST /api/auth/login" in document["detail"]
    assert (await api.call("GET", "/api/queue", token=token)).status == 200
    assert (await api.call("POST", "/api/auth/tokens", token=await _login(api), json=WISH)).status == 201


async def test_personal_token_of_an_administrator_needs_no_password(api: Api) -> None:
    token = await api.personal_token_of("root", Scope.ADMIN)
    async with api.database.write() as connection:
        await connection.execute(tables.api_tokens.update().values(created_at="2026-01-01T00:00:00.000Z"))
    body = {"username": "bob", "password": "seven lamps in the harbour"}
    assert (await api.call("POST", "/api/users", token=token, json=body)).status == 201


@pytest.fixture
async def late(api: Api, ann: Visitor) -> Visitor:
    """Ann, in a session of an hour ago."""
    await _grow_old(api, timedelta(hours=1))
    return ann


async def test_question_leads_to_the_password_and_on_to_itself(api: Api, late: Visitor) -> None:
    led = await late.response("GET", "/settings/tokens/new")
    assert (led.status, led.headers["Location"]) == (303, "/reauthenticate?next=%2Fsettings%2Ftokens%2Fnew")
    page = await late.get(led.headers["Location"])
    assert "Nothing was done" not in page.text
    before = (await api.accounts.authenticate(late.token)).credential
    with api.bus.subscribe() as events:
        form = {"password": PASSWORD, "next": "/settings/tokens/new"}
        answer = await late.response("POST", "/reauthenticate", data=form)
        assert events.get_nowait() == SessionEnded(before)
    assert (answer.status, answer.headers["Location"]) == (303, "/settings/tokens/new")
    fresh = Visitor(api, cookies_of(answer)["csa"])
    assert fresh.token != late.token
    assert (await fresh.get("/settings/tokens/new")).has("#token-name")
    assert (await late.response("GET", "/folders")).status == 303, "the session before has ended"


async def test_form_that_was_refused_says_so_and_leads_back_to_its_page(api: Api, late: Visitor) -> None:
    referer = {"Referer": f"{str(api.client.make_url('/')).rstrip('/')}/settings"}
    led = await late.response("POST", "/settings/sessions/end-others", data={}, headers=referer)
    target = urlsplit(led.headers["Location"])
    assert (target.path, parse_qs(target.query)) == ("/reauthenticate", {"next": ["/settings"], "undone": ["1"]})
    page = await late.get(led.headers["Location"])
    assert "Nothing was done yet" in page.text
    after = await late.submit(page, "/reauthenticate", {"password": PASSWORD})
    assert "Do it once more now." in after.texts("#flash")[0]


async def test_wrong_password_is_told_counted_and_changes_nothing(api: Api, late: Visitor) -> None:
    form = {"password": "a guess", "next": "/settings"}
    for _ in range(5):
        page = await late.post("/reauthenticate", form, status=422)
        assert "not your present password" in page.texts(".alert")[0]
    await late.post("/reauthenticate", {**form, "password": PASSWORD}, status=429)
    assert (await late.response("GET", "/folders")).status == 200
    assert (await late.response("GET", "/settings/tokens/new")).status == 303
    lines = await api.get("/api/audit", username="root")
    assert [(line["action"], line["target"], line["result"]) for line in lines[:2]] == [
        ("auth_reauthenticate", "ann", "too-many-attempts"),
        ("auth_reauthenticate", "ann", "wrong-password"),
    ]


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", ""])
async def test_it_leads_to_pages_of_this_service_alone(late: Visitor, target: str) -> None:
    answer = await late.response("POST", "/reauthenticate", data={"password": PASSWORD, "next": target})
    assert (answer.status, answer.headers["Location"]) == (303, "/settings")


async def test_programs_are_told_in_json_on_pages_too(api: Api, late: Visitor) -> None:
    headers = {"Accept": "application/json"}
    response = await api.call("GET", "/settings/tokens/new", token=late.token, headers=headers)
    await refusal_of(response, 403, "reauthentication-required")
    assert (await api.call("GET", "/settings/tokens/new", token=late.token, headers=HTML)).status == 303
