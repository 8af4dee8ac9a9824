"""The checks in a browser: made on demand, with real tools and a real sandbox, and told on every page."""

from pathlib import Path

from playwright.async_api import Browser, expect

from tests.support.browser import Desk
from tests.support.service import running_service


async def test_checks_are_made_without_scripts_too(desk: Desk) -> None:
    desk.service.place.folder()
    page = await desk.page("/checks", scripts=False)
    await expect(page.get_by_role("heading", name="Checks")).to_be_visible()
    await expect(page.locator("#checks")).to_contain_text("Nothing is checked yet")
    await page.get_by_role("button", name="Check again").click()
    await expect(page.locator("#flash")).to_contain_text("All checks passed.")
    row = page.get_by_role("row", name="Path mapping")
    await expect(row).to_contain_text("Fine")
    await expect(page.locator("#check-troubles aside")).to_have_count(0)


async def test_a_wrong_path_mapping_is_told_on_every_page_until_it_is_right(browser: Browser, tmp_path: Path) -> None:
    async with running_service(tmp_path, GLOBUS_SOURCE_BASE_PATH="/elsewhere") as service:
        service.place.folder()
        desk = Desk(browser, service)
        page = await desk.page("/checks", bypass_csp=True)
        await page.get_by_role("button", name="Check again").click()
        await expect(page.get_by_role("row", name="Path mapping")).to_contain_text("is not seen in /elsewhere/archives")
        assert await desk.objections(page) == []
        await page.goto("/queue")
        banner = page.get_by_role("complementary", name="Checks")
        await expect(banner).to_contain_text("Path mapping")
        assert await desk.objections(page) == []
        (service.place.storage / "elsewhere").mkdir()
        (service.place.storage / "elsewhere" / "archives").symlink_to("../archives")
        status, _ = await service.call("POST", "/api/system/checks")
        assert status == 200
        await banner.get_by_role("link", name="What to do").click()
        await expect(page.get_by_role("heading", name="Checks")).to_be_visible()
        await expect(page.get_by_role("row", name="Path mapping")).to_contain_text("Fine")
        await expect(banner).to_have_count(0)
        await desk.close()
        assert desk.complaints == []
