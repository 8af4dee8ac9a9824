"""The second factor on the pages: switched on, asked for, renewed and switched off with links and forms alone."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import segno

from tests.integration.test_second_factor import Clock, enrolled
from tests.support.api import PASSWORD, Api, running_api
from tests.support.pages import Parsed, send
from tests.support.visitor import Visitor, cookies_of


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time() // 30 * 30)


@pytest.fixture
async def api(tmp_path: Path, clock: Clock) -> AsyncIterator[Api]:
    async with running_api(tmp_path, clock=clock) as running:
        yield running


async def _switch_on(ann: Visitor, clock: Clock) -> tuple[str, list[str]]:
    page = await ann.get("/second-factor")
    if not page.has(".qr-code"):
        page = await ann.submit(page, "/second-factor")
    secret = page.texts(".steps .font-monospace")[0].replace(" ", "")
    page = await ann.submit(page, "/second-factor/confirm", {"code": clock.next_code_of(secret)})
    return secret, page.texts(".recovery-codes li")


async def test_it_is_switched_on_step_by_step(ann: Visitor, clock: Clock) -> None:
    assert "Off: your password alone" in (await ann.get("/settings")).text
    page = await ann.get("/second-factor")
    assert not page.has(".qr-code")
    page = await ann.submit(page, "/second-factor")
    again = await ann.get("/second-factor")
    assert page.html.count("<path") == again.html.count("<path")
    assert page.texts(".steps .font-monospace") == again.texts(".steps .font-monospace"), (
        "loading it again begins nothing"
    )
    refused = await ann.submit(page, "/second-factor/confirm", {"code": "000000"}, status=422)
    assert "not the present code" in refused.texts(".alert")[0]
    secret, codes = await _switch_on(ann, clock)
    assert len(secret) == 32
    assert len(codes) == 10
    assert all(re.fullmatch(r"([A-Z2-7]{6}-){3}[A-Z2-7]{6}", code) for code in codes)
    assert "10 recovery codes left" in (await ann.get("/settings")).text


async def test_picture_is_svg_of_attributes_alone(ann: Visitor) -> None:
    page = await ann.submit(await ann.get("/second-factor"), "/second-factor")
    picture = page.html[page.html.index('<div class="qr-code"') : page.html.index("</svg>", page.html.index("qr-code"))]
    names = {name for _, held in Parsed(picture).tags for name in held}
    assert "style" not in names
    assert not [name for name in names if name.startswith("on")]
    assert "otpauth" not in page.html
    begun = await (await ann.api.call("POST", "/api/auth/second-factor", token=ann.token)).json()
    assert (
        segno.make(begun["uri"], error="m").svg_inline(
            scale=5, dark="#000", light="#fff", svgclass=None, lineclass=None
        )
        in page.html
    )


async def test_codes_are_shown_once(ann: Visitor, clock: Clock) -> None:
    await _switch_on(ann, clock)
    page = await ann.submit(await ann.get("/second-factor"), "/second-factor/recovery-codes")
    assert len(page.texts(".recovery-codes li")) == 10
    led = await ann.response("GET", "/second-factor/codes?shown=guessed")
    assert "shown once only" in (await ann.get(led.headers["Location"])).text


async def test_sign_in_asks_for_the_code_on_a_page_of_its_own(api: Api, ann: Visitor, clock: Clock) -> None:
    secret, codes = await _switch_on(ann, clock)
    form = {"username": "ann", "password": PASSWORD, "next": "/folders?q=x"}
    asked = await send(api, "/login", form, username="")
    text = await asked.text()
    assert asked.status == 401
    assert "Set-Cookie" not in asked.headers
    assert PASSWORD not in text
    assert "alert-danger" not in text
    ticket = Parsed(text).field("ticket")
    form = {"ticket": ticket, "code": "000000", "next": "/folders?q=x"}
    answer = await send(api, "/login/code", form, username="")
    assert answer.status == 401
    assert "This code is wrong" in await answer.text()
    answer = await send(api, "/login/code", {**form, "code": clock.next_code_of(secret)}, username="")
    assert answer.headers["Location"] == "/folders?q=x"
    fresh = Visitor(api, cookies_of(answer)["csa"])
    assert (await fresh.get("/settings")).has("#display")
    answer = await send(api, "/login/code", {"ticket": ticket, "code": codes[0]}, username="")
    assert answer.status == 401, "a ticket counts once"
    assert "took too long" in await answer.text()


async def test_ticket_ends_with_the_password(api: Api, ann: Visitor, clock: Clock) -> None:
    secret, _ = await _switch_on(ann, clock)
    asked = await send(api, "/login", {"username": "ann", "password": PASSWORD}, username="")
    ticket = Parsed(await asked.text()).field("ticket")
    change = {"current_password": PASSWORD, "new_password": "seven lamps in the harbour"}
    assert (await api.call("POST", "/api/auth/password", token=ann.token, json=change)).status == 200
    form = {"ticket": ticket, "code": clock.next_code_of(secret)}
    assert (await send(api, "/login/code", form, username="")).status == 401


async def test_other_sites_cannot_finish_a_sign_in(api: Api, ann: Visitor, clock: Clock) -> None:
    secret, _ = await _switch_on(ann, clock)
    asked = await send(api, "/login", {"username": "ann", "password": PASSWORD}, username="")
    form = {"ticket": Parsed(await asked.text()).field("ticket"), "code": clock.next_code_of(secret)}
    answer = await send(api, "/login/code", form, username="", headers={"Origin": "https://elsewhere.test"})
    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers


async def test_each_code_is_noted_with_the_account_it_was_for(api: Api, ann: Visitor, clock: Clock) -> None:
    secret, _ = await _switch_on(ann, clock)
    asked = await send(api, "/login", {"username": "ann", "password": PASSWORD}, username="")
    ticket = Parsed(await asked.text()).field("ticket")
    for code in ("000000", clock.next_code_of(secret)):
        await send(api, "/login/code", {"ticket": ticket, "code": code}, username="")
    lines = await api.get("/api/audit?action=auth_login&limit=2", username="root")
    assert [(line["target"], line["result"]) for line in lines] == [("ann", "ok"), ("ann", "wrong-code")]


async def test_password_once_more_takes_a_code_too(ann: Visitor, clock: Clock) -> None:
    assert not (await ann.get("/reauthenticate")).has("#code")
    _, codes = await _switch_on(ann, clock)
    page = await ann.get("/reauthenticate")
    assert page.has("#code")
    refused = await ann.submit(page, "/reauthenticate", {"password": PASSWORD, "code": "000000"}, status=401)
    assert "This code is wrong" in refused.texts(".alert")[0]
    await ann.post("/reauthenticate", {"password": PASSWORD}, status=401)
    await ann.submit(page, "/reauthenticate", {"password": PASSWORD, "code": codes[0]})


async def test_it_is_switched_off_after_a_question(ann: Visitor, clock: Clock) -> None:
    await _switch_on(ann, clock)
    page = await ann.submit(await ann.get("/second-factor/off"), "/second-factor/off")
    assert "is switched off" in page.texts("#flash")[0]
    await ann.post("/second-factor/off", {}, status=409)
    await ann.post("/second-factor/recovery-codes", {}, status=409)


async def test_administrator_removes_it_after_a_question(api: Api, clock: Clock) -> None:
    await enrolled(api, clock, await api.token_of("ann"))
    root = Visitor(api, await api.token_of("root"))
    page = await root.get("/admin/users")
    (address,) = [link for link in page.values("a", "href") if link.endswith("/second-factor") and "/users/" in link]
    page = await root.submit(await root.get(address), address)
    assert "ann signs in with the password alone now" in page.texts("#flash")[0]
    assert "has no second factor" in (await root.get(address)).text
    await root.post(address, {}, status=409)
    mine = next(user["id"] for user in await api.get("/api/users", username="root") if user["username"] == "root")
    assert "Change your own" in (await root.get(f"/admin/users/{mine}/second-factor")).text


async def test_administrator_who_needs_one_is_led_there_and_nowhere_else(tmp_path: Path, clock: Clock) -> None:
    async with running_api(tmp_path, clock=clock, admins_need_factor=True) as api:
        root = Visitor(api, await api.token_of("root"))
        led = await root.response("GET", "/folders?q=x")
        assert (led.status, led.headers["Location"]) == (303, "/second-factor?next=%2Ffolders%3Fq%3Dx")
        page = await root.get("/second-factor")
        assert "Administrators need a second factor here" in page.text
        assert not page.has(".topnav a"), "nothing leads elsewhere"
        assert "app.js" not in page.html, "and nothing calls what is closed"
        await _switch_on(root, clock)
        assert (await root.response("GET", "/folders")).status == 200
        await root.post("/second-factor/off", {}, status=409)
