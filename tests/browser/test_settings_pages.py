"""Settings, users and the audit trail in a browser: at every size and in both themes, with and without scripts."""

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.support.browser import Desk
from tests.support.service import PASSWORD

EVIL = "<img src=x onerror=alert(1)>"
NEW_PASSWORD = "seven lamps in the harbour"
PAGES = [
    "/settings", "/settings/tokens/new", "/settings/tokens/1/revoke", "/admin/users", "/admin/users/new",
    "/admin/users/2/delete", "/admin/users/2/password", "/admin/audit", "/admin/audit?q=nothing",
    "/admin/notifications",
]  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session")
async def desk(desk: Desk) -> Desk:
    """With a second user, a token and a second session."""
    user = {"username": "kim", "password": NEW_PASSWORD}
    for path, body in (("/api/users", user), ("/api/auth/tokens", {"name": EVIL, "scope": "read"})):
        status, answer = await desk.service.call("POST", path, json=body)
        assert status == 201, answer
    return desk


@pytest.mark.timeout(180)
async def test_pages_are_for_everybody(desk: Desk) -> None:
    page = await desk.page("/settings", bypass_csp=True)
    for path in PAGES:
        await page.goto(path)
        assert await desk.objections(page) == [], path


async def test_theme_is_shown_at_once_and_kept(desk: Desk) -> None:
    page = await desk.page("/settings")
    await page.get_by_label("Dark").check()
    await expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    await page.get_by_label("Thousands").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_contain_text("Kept for this browser.")
    await page.goto("/folders")
    await expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    await expect(page.locator("html")).to_have_attribute("data-units", "1000")


async def test_single_keys_do_nothing_once_they_are_switched_off(desk: Desk) -> None:
    page = await desk.page("/settings")
    await page.keyboard.press("?")
    await page.get_by_role("dialog").get_by_role("link").click()
    await page.get_by_role("group", name="Keyboard shortcuts").get_by_label("Off").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_contain_text("Kept for this browser.")
    for key in ("?", "1"):
        await page.keyboard.press(key)
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await page.locator(".topbar-end summary").click()
    await page.get_by_role("button", name="Keys").click()
    await expect(page.get_by_role("dialog")).to_contain_text("They are switched off")
    await expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_attached()


async def _make_token(page: Page, name: str) -> str:
    await page.get_by_role("link", name="New token").click()
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_label("operate").check()
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.get_by_text("This is the only time it is shown.")).to_be_visible()
    return await page.get_by_role("textbox", name="Token").input_value()


async def _allows(desk: Desk, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    status, _ = await desk.service.call("GET", "/api/queue", headers=headers)
    return status == 200


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_token_is_made_shown_once_and_revoked(desk: Desk, scripts: bool) -> None:
    page = await desk.page("/settings", scripts=scripts)
    token = await _make_token(page, "nightly report")
    assert await _allows(desk, token)
    if scripts:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.get_by_role("button", name="Copy").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == token
    await page.reload()
    await expect(page.locator("#flash")).to_contain_text("shown once only")
    await expect(page.get_by_role("cell", name=EVIL).first).to_be_visible()
    await page.get_by_role("link", name="Revoke nightly report").click()
    await expect(page.get_by_role("heading", name="Revoke the token nightly report?")).to_be_visible()
    await page.get_by_role("button", name="Revoke it").click()
    await expect(page.locator("#flash")).to_contain_text("The token is revoked")
    assert not await _allows(desk, token)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_password_is_changed(desk: Desk, scripts: bool) -> None:
    page = await desk.page("/settings", scripts=scripts)
    for present, said in (("wrong", "not your present password"), (PASSWORD, "Your password is changed.")):
        await page.get_by_label("Present password").fill(present)
        await page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
        await page.get_by_label("New password, once more").fill(NEW_PASSWORD)
        await page.get_by_role("button", name="Change the password").click()
        await expect(page.locator(".alert")).to_contain_text(said)
    await expect(page.locator(".own")).to_have_count(1)
    await expect(page.get_by_role("button", name="End all others")).to_have_count(0)
    await page.goto("/folders")
    await expect(page.get_by_role("heading", name="Folders", exact=True)).to_be_visible()


async def test_other_session_is_led_to_the_sign_in_once_it_is_ended(desk: Desk) -> None:
    other = await desk.page("/folders")
    page = await desk.page("/settings")
    await page.get_by_role("button", name="End all others").click()
    await expect(page.locator("#flash")).to_contain_text("have ended")
    await expect(other.get_by_text("Your session has ended.")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_user_is_added_given_a_password_and_deleted(desk: Desk, scripts: bool) -> None:
    page = await desk.page("/admin/users", scripts=scripts)
    for username, said in (("KIM", "a user of the name KIM already"), ("lee", "lee can sign in now")):
        await page.goto("/admin/users")
        await page.get_by_role("link", name="Add a user").click()
        await page.get_by_label("User name").fill(username)
        await page.get_by_label("First password").fill(NEW_PASSWORD)
        await page.get_by_role("button", name="Add the user").click()
        await expect(page.locator(".alert")).to_contain_text(said)
    row = page.get_by_role("row", name="lee")
    await row.get_by_role("link", name="Reset password of lee").click()
    await page.get_by_role("textbox", name="New password").fill("another lamp in the harbour")
    await page.get_by_role("button", name="Reset the password").click()
    await expect(page.locator("#flash")).to_contain_text("lee has a new password")
    await row.get_by_role("link", name="Delete lee").click()
    await page.get_by_role("button", name="Delete lee").click()
    await expect(page.locator("#flash")).to_contain_text("The account lee is deleted")
    await expect(row).to_have_count(0)
    await page.goto("/admin/audit?q=lee")
    whats = page.locator("#audit tbody td:nth-child(3)")
    await expect(whats).to_have_text(["Delete a userlee", "Reset a passwordlee", "Add a userlee"])


async def test_trail_is_narrowed_while_one_looks(desk: Desk) -> None:
    page = await desk.page("/admin/audit")
    rows = page.locator("#audit tbody tr")
    await page.get_by_label("Action").select_option("Make an API token")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text(EVIL)
    await page.get_by_label("Search what").fill("nothing")
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    await page.get_by_label("From", exact=True).fill("2999-01-01")
    await expect(page).to_have_url(f"{desk.service.address}/admin/audit?q=nothing&what=tokens_create&since=2999-01-01")
