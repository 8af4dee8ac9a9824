"""Signing in and out, with and without scripts, and the password that must be changed first."""

from playwright.async_api import expect

from tests.support.browser import Desk
from tests.support.service import PASSWORD


async def test_sign_in_leads_to_the_page_that_was_asked_for(desk: Desk) -> None:
    page = await desk.page("/folders?sort=-size", signed_in=False)
    await expect(page).to_have_url(f"{desk.service.address}/login?next=%2Ffolders%3Fsort%3D-size")
    await page.get_by_label("User name").fill("admin")
    await page.get_by_label("Password").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("user name is unknown or the password is wrong")
    await expect(page.get_by_label("User name")).to_have_value("admin")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page).to_have_url(f"{desk.service.address}/folders?sort=-size")
    await page.locator(".topbar-end summary").click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(f"{desk.service.address}/login")
