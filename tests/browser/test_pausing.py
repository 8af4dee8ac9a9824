"""Pausing in a browser: buttons that work without scripts, a banner on every page, and news of it live."""

import pytest
from playwright.async_api import expect

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.faults import Hold
from tests.support.browser import Desk
from tests.support.tampering import plant


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_deletions_are_paused_and_resumed(desk: Desk, scripts: bool) -> None:
    page = await desk.page("/queue", scripts=scripts)
    await page.get_by_role("button", name="Pause all deletions").click()
    await expect(page.locator("#flash")).to_contain_text("All deletions are paused")
    await expect(page.get_by_role("complementary", name="Pause")).to_contain_text("All deletions are paused by admin")
    assert (await desk.service.call("GET", "/api/system/switches"))[1][2]["paused"] is True
    await page.goto("/folders")
    await page.get_by_role("complementary", name="Pause").get_by_role("link").click()
    await page.get_by_role("button", name="Resume all deletions").click()
    await expect(page.locator("#flash")).to_contain_text("Deletions go on.")
    await expect(page.get_by_role("complementary", name="Pause")).to_have_count(0)


async def test_a_pause_elsewhere_is_seen_without_a_new_page(desk: Desk) -> None:
    service = desk.service
    page = await desk.page("/queue")
    await expect(page.get_by_role("button", name="Pause archiving")).to_be_visible()
    await service.call("PUT", "/api/system/switches/copy_compress", json={"paused": True})
    await expect(page.get_by_role("button", name="Resume archiving")).to_be_visible()
    await expect(page.get_by_role("complementary", name="Pause")).to_be_visible()
    folder = plant(service.place.folder())
    await service.discover()
    await service.submit(folder)
    lane = page.get_by_role("region", name="Archiving")
    await expect(lane.locator(".doing")).to_have_text("Paused")
    await expect(lane).to_contain_text("Copying and packing is paused by admin")


async def test_anybody_can_use_it_at_any_size(desk: Desk) -> None:
    service = desk.service
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    folder = plant(service.place.folder())
    await service.discover()
    await service.until(await service.submit(folder), "uploading")
    for name in ("copy_compress", "upload", "deletions"):
        await service.call("PUT", f"/api/system/switches/{name}", json={"paused": True})
    page = await desk.page("/queue", bypass_csp=True)
    await expect(page.get_by_role("button", name="Resume")).to_have_count(3)
    await expect(page.get_by_role("region", name="Transfer")).to_contain_text("goes on to its end")
    assert await desk.objections(page) == []
    service.sandbox.faults.clear()
