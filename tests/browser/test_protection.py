"""What the pages do for the safety of whoever sits before them, and of whoever comes after."""

from typing import Any

import pytest
from playwright.async_api import Locator, Page, Response, Route, WebSocketRoute, expect

from cs_archiver.server.pages.table import PAGES
from cs_archiver.server.route import Who
from tests.support.browser import PHONE, WIDE, Desk
from tests.support.service import PASSWORD

SECRET = "two lamps & a <harbour>"
NEW_PASSWORD = "seven lamps in the harbour"
WITH_PASSWORDS = ["/login", "/password", "/settings", "/admin/users/new", "/admin/users/2/password"]
CLOSED = [
    route.path
    for route in PAGES
    if route.method == "GET" and route.media == ("text/html",) and "{" not in route.path and route.who is not Who.ANYONE
]
STORED = """async () => [
    ...Object.keys(localStorage), ...Object.keys(sessionStorage),
    ...(await indexedDB.databases()).map(({ name }) => name),
    ...(self.caches ? await caches.keys() : []), ...(await navigator.serviceWorker?.getRegistrations() ?? []),
]"""
MERGED = """(text) => {
    const merge = (to, from) => {
        for (const key in from) {
            if (typeof from[key] === "object") merge(to[key] ??= {}, from[key]);
            else to[key] = from[key];
        }
    };
    merge({}, JSON.parse(text));
    return ({}).polluted;
}"""  # as careless as code can be
PREFERENCES = {"csa_theme", "csa_units", "csa_zone", "csa_keys", "csa_browser_zone", "csa_seen"}


async def _with_kim(desk: Desk) -> None:
    user = {"username": "kim", "password": NEW_PASSWORD}
    status, answer = await desk.service.call("POST", "/api/users", json=user)
    assert status == 201, answer


def _kim(page: Page) -> Locator:
    return page.locator("#main td.name").filter(has_text="kim")


def _passwords(page: Page) -> Locator:
    return page.locator("main .input-group:has([data-reveal]) input")


@pytest.mark.parametrize("path", WITH_PASSWORDS)
async def test_password_is_masked_until_one_asks_to_see_it_and_before_it_is_sent(desk: Desk, path: str) -> None:
    await _with_kim(desk)
    page = await desk.page(path, signed_in=path != "/login")
    assert await page.locator("main input[type=password]").count() == await _passwords(page).count() > 0
    for field in await _passwords(page).all():
        button = field.locator("xpath=..").get_by_role("button", name="Show what is typed")
        await field.fill(SECRET)
        await expect(field).to_have_attribute("type", "password")
        await button.click()
        await expect(field).to_have_attribute("type", "text")
        await expect(button).to_have_attribute("aria-pressed", "true")
        await button.click()
        await expect(field).to_have_attribute("type", "password")
        await button.click()
    hidden = """form => {
        form.dispatchEvent(new SubmitEvent("submit", { bubbles: true, cancelable: true }));
        return [...form.querySelectorAll(".input-group input")].map(({ type }) => type);
    }"""
    shown = _passwords(page).first.locator("xpath=ancestor::form")
    assert set(await shown.evaluate(hidden)) == {"password"}


async def test_password_in_a_dialog_can_be_looked_at_too(desk: Desk) -> None:
    page = await desk.page("/admin/users")
    await page.get_by_role("link", name="Add a user").click()
    field = page.get_by_role("dialog").get_by_label("First password")
    await field.fill(SECRET)
    await page.get_by_role("dialog").get_by_role("button", name="Show what is typed").click()
    await expect(field).to_have_attribute("type", "text")


async def test_without_scripts_there_is_no_button_that_does_nothing(desk: Desk) -> None:
    page = await desk.page("/login", signed_in=False, scripts=False)
    await expect(page.get_by_label("Password", exact=True)).to_be_visible()
    await expect(page.locator("[data-reveal]")).to_be_hidden()


@pytest.mark.parametrize("path", WITH_PASSWORDS)
async def test_passwords_can_be_pasted_and_filled_in_by_a_password_manager(desk: Desk, path: str) -> None:
    await _with_kim(desk)
    page = await desk.page(path, signed_in=path != "/login", bypass_csp=True)
    await page.evaluate(
        "document.body.append(Object.assign(document.createElement('textarea'), { id: 'source' }))",
    )
    await page.locator("#source").fill(SECRET)
    await page.locator("#source").press("Control+A")
    await page.locator("#source").press("Control+C")
    fields = await _passwords(page).all()
    for field in fields:
        await field.press("Control+V")
        await expect(field).to_have_value(SECRET)
        assert await field.get_attribute("autocomplete") in {"current-password", "new-password"}
        assert await field.get_attribute("maxlength") is None
    form = fields[0].locator("xpath=ancestor::form")
    if "/admin/" not in path:  # there the password is somebody else's
        await expect(form.locator("input[autocomplete=username]")).to_have_count(1)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
async def test_signing_out_is_in_sight_on_every_page(desk: Desk, size: tuple[int, int]) -> None:
    page = await desk.page("/folders", size=size)
    button = page.get_by_role("button", name="Sign out")
    for path in CLOSED:
        await page.goto(desk.service.address + path)
        await expect(button).to_be_visible()
        await expect(button).to_be_in_viewport(ratio=1)
    await button.click()
    await expect(page).to_have_url(f"{desk.service.address}/login")


async def test_nothing_of_what_was_shown_comes_back_after_signing_out(desk: Desk) -> None:
    await _with_kim(desk)
    page = await desk.page("/admin/users")
    await expect(_kim(page)).to_be_visible()
    async with page.expect_response(lambda answer: answer.url.endswith("/logout")) as left:
        await page.get_by_role("button", name="Sign out").click()
    headers = await (await left.value).all_headers()
    assert headers["clear-site-data"] == '"cache", "storage"'
    await expect(page).to_have_url(f"{desk.service.address}/login")
    await page.go_back()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "kim" not in await page.content()
    assert [cookie["name"] for cookie in await page.context.cookies()] == ["csa_browser_zone"]


@pytest.mark.parametrize("reachable", [True, False], ids=["reachable", "out of reach"])
async def test_what_a_page_shows_goes_with_its_session(desk: Desk, reachable: bool) -> None:
    await _with_kim(desk)
    page = await desk.page(None)
    await page.clock.install()
    await page.goto("/admin/users")
    await expect(_kim(page)).to_be_visible()
    await page.clock.fast_forward("23:50:00")
    await expect(_kim(page)).to_be_visible()
    status, _ = await desk.service.call("POST", "/api/auth/password", json={
        "current_password": PASSWORD, "new_password": NEW_PASSWORD,
    }) if reachable else (200, None)  # fmt: skip
    assert status == 200
    await page.context.set_offline(not reachable)
    await page.clock.fast_forward("00:10:01")
    await expect(_kim(page)).to_have_count(0)
    if reachable:
        await expect(page.get_by_text("Your session has ended.")).to_be_visible()
    desk.complaints.clear()  # of the network that was taken away


async def test_browsers_keep_nothing_but_how_things_are_shown(desk: Desk) -> None:
    await desk.service.discover()
    page = await desk.page("/settings")
    await page.get_by_label("Powers of two").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_contain_text("Kept for this browser.")
    for path in CLOSED:
        await page.goto(desk.service.address + path)
        await page.wait_for_load_state("load")
        assert await page.evaluate(STORED) == [], path
        readable = await page.evaluate("document.cookie.split('; ').map((cookie) => cookie.split('=')[0])")
        assert set(readable) <= PREFERENCES, path
    cookies = {cookie["name"]: cookie for cookie in await page.context.cookies()}
    assert set(cookies) <= {*PREFERENCES, "csa"}
    assert cookies["csa"]["httpOnly"] is True


async def test_no_message_gives_all_objects_a_property(desk: Desk) -> None:
    poison = '"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}'
    page = await desk.page(None)

    def poisoned(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        server.on_message(lambda message: route.send(message[:-1] + f", {poison}}}"))  # type: ignore[operator]

    await page.route_web_socket("**/ws/jobs", poisoned)
    await page.goto("/queue?__proto__[polluted]=1&constructor[prototype][polluted]=1#__proto__[polluted]=1")
    folder = desk.service.place.folder("__proto__")
    (folder / "one.bin").write_bytes(b"x")
    job_id = await _archived(desk, folder)
    await expect(page.get_by_text("Nothing is being copied, packed or tested.")).to_be_visible()
    for path in ("/queue", f"/jobs/{job_id}", "/history", "/folders"):
        await page.goto(desk.service.address + path)
        await expect(page.get_by_role("heading").first).to_be_visible()
        assert await page.evaluate("({}).polluted") is None
        assert await page.evaluate("Object.isFrozen(Object.prototype)") is True
        assert await page.evaluate(MERGED, f"{{{poison}}}") is None


async def _archived(desk: Desk, folder: Any) -> str:
    job = await desk.service.archive(folder)
    assert job["status"] == "completed", job
    return str(job["job_id"])


async def test_requests_that_a_page_makes_by_itself_say_so_and_those_of_people_do_not(desk: Desk) -> None:
    page = await desk.page(None)
    said: list[bool] = []
    await page.route("**/queue", lambda route: _noted(route, said))
    await page.clock.install()
    async with page.expect_response(_is_by_script):
        await page.goto("/queue")  # its first snapshot has it fetch the page anew
    for key, is_unattended in ((None, True), ("Tab", False), (None, True)):
        if key:
            await page.keyboard.press(key)
        said.clear()
        async with page.expect_response(_is_by_script):
            await page.clock.fast_forward("00:31")
        assert said == [is_unattended]


def _is_by_script(answer: Response) -> bool:
    return answer.url.endswith("/queue") and answer.request.resource_type == "xhr"


async def _noted(route: Route, said: list[bool]) -> None:
    if route.request.resource_type == "xhr":
        said.append("x-unattended" in await route.request.all_headers())
    await route.continue_()


async def test_page_that_is_cut_off_for_as_long_as_sessions_may_be_unused_goes(desk: Desk) -> None:
    await _with_kim(desk)
    page = await desk.page(None)
    sockets: list[WebSocketRoute] = []
    await page.route_web_socket("**/ws/jobs", lambda socket: sockets.append(socket))
    await page.clock.install()
    await page.goto("/admin/users")
    cell = _kim(page)
    await expect(cell).to_be_visible()
    await page.context.set_offline(True)
    await sockets[0].close()
    await page.clock.fast_forward("07:50:00")
    await expect(page.get_by_text("Connection lost")).to_be_visible()
    await expect(cell).to_be_visible()
    await page.clock.fast_forward("00:20:00")
    await expect(cell).to_have_count(0)
    desk.complaints.clear()  # of the network that was taken away
