"""A second factor as people switch it on and use it, in every look, with and without scripts."""

import sqlite3
import time
from contextlib import closing

import pyotp
import pytest
from playwright.async_api import Page, expect

from tests.support.browser import Desk
from tests.support.service import PASSWORD


def _code(secret: str) -> str:
    return pyotp.TOTP(secret).at(int(time.time()))


def _let_time_pass(desk: Desk) -> None:
    """As far as codes that were accepted are concerned: nobody waits for the next one here."""
    with closing(sqlite3.connect(desk.service.place.database)) as connection, connection:
        connection.execute("UPDATE users SET totp_last_step = totp_last_step - 2")


async def _switch_on(page: Page) -> tuple[str, list[str]]:
    await page.goto("/settings")
    await page.get_by_role("link", name="Switch it on").click()
    await page.get_by_role("button", name="Begin").click()
    await expect(page.get_by_role("img", name="QR code")).to_be_visible()
    secret = (await page.locator(".steps .font-monospace").inner_text()).replace(" ", "")
    await page.get_by_label("Type the code").fill(_code(secret))
    await page.get_by_role("button", name="Switch it on").click()
    await expect(page.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    return secret, await page.locator(".recovery-codes li").all_inner_texts()


async def _type_password(page: Page) -> None:
    await page.get_by_label("User name").fill("admin")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Your code")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_it_is_switched_on_asked_for_and_switched_off(desk: Desk, scripts: bool) -> None:
    page = await desk.page("/settings", scripts=scripts)
    secret, codes = await _switch_on(page)
    await page.get_by_role("link", name="I have kept them").click()
    await expect(page.get_by_text("10 recovery codes left")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()

    await _type_password(page)
    await page.get_by_label("Code of your").fill("000000")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("This code is wrong")
    _let_time_pass(desk)
    await page.get_by_label("Code of your").fill(_code(secret))
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Folders", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()

    await _type_password(page)
    await page.get_by_label("Code of your").fill(codes[0])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Folders", exact=True)).to_be_visible()
    await page.goto("/settings")
    await page.get_by_role("link", name="Change it").click()
    await expect(page.get_by_text("9 recovery codes left")).to_be_visible()
    await page.get_by_role("link", name="Switch it off").click()
    await page.get_by_role("button", name="Switch it off").click()
    await expect(page.locator("#flash")).to_contain_text("is switched off")


async def test_pages_that_switch_it_on_are_for_everybody(desk: Desk) -> None:
    page = await desk.page("/second-factor", bypass_csp=True)
    assert await desk.objections(page) == [], "before it is begun"
    await page.get_by_role("button", name="Begin").click()
    await expect(page.get_by_role("img", name="QR code")).to_be_visible()
    assert await desk.objections(page) == [], "while it is switched on"


@pytest.mark.timeout(120)
async def test_pages_of_who_has_it_are_for_everybody(desk: Desk) -> None:
    page = await desk.page("/settings", bypass_csp=True)
    await _switch_on(page)
    assert await desk.objections(page) == [], "with its codes"
    for path in ("/second-factor", "/second-factor/off", "/reauthenticate", "/settings"):
        await page.goto(path)
        assert await desk.objections(page) == [], path
    page = await desk.page("/login", signed_in=False, bypass_csp=True)
    await _type_password(page)
    assert await desk.objections(page) == [], "where the code is asked for"


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_page_that_was_left_open_asks_for_the_password_once_more(desk: Desk, scripts: bool) -> None:
    page = await desk.page("/admin/users", scripts=scripts)
    with closing(sqlite3.connect(desk.service.place.database)) as connection, connection:
        connection.execute("UPDATE sessions SET created_at = '2026-01-01T00:00:00.000Z'")
    await page.get_by_role("link", name="Add a user").click()
    await expect(page.get_by_role("heading", name="Your password once more")).to_be_visible()
    await page.get_by_label("Password of admin").fill("a guess")
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_role("alert").filter(has_text="not your present password")).to_be_visible()
    await page.get_by_label("Password of admin").fill(PASSWORD)
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_label("First password")).to_be_visible()
    await page.goto("/settings")
    await page.get_by_role("button", name="End all others").click()
    await expect(page.locator("#flash")).to_contain_text("has ended")
