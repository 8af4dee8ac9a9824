"""The folders as people use them: finding, selecting, archiving, scanning; with scripts and without."""

import asyncio
from pathlib import Path

from playwright.async_api import Browser, Page, expect

from cs_archiver.sandbox import Sandbox
from tests.support.browser import Desk
from tests.support.service import Place, sandbox_settings, service_in

HOSTILE = "<img src=x onerror=alert(1)>"


def _plant(place: Place, *names: str, level2: str = "2024") -> None:
    for number, name in enumerate(names):
        (place.folder(name, level2=level2) / "clip.mov").write_bytes(b"frame " * 1000 * (number + 1))


async def _names(page: Page) -> list[str]:
    return await page.locator("#folder-table tbody td.name > span:first-child").all_text_contents()


async def test_folders_are_found_and_sorted_without_leaving_the_page(desk: Desk) -> None:
    await asyncio.to_thread(_plant, desk.service.place, "Alpha", "Beta", "Gamma")
    await asyncio.to_thread(_plant, desk.service.place, "Delta", level2="2023")
    await desk.service.discover()
    page = await desk.page("/folders")
    await page.evaluate("window.stays = true")
    await page.keyboard.press("/")
    await page.keyboard.type("a")
    await expect(page).to_have_url(f"{desk.service.address}/folders?q=a")
    await page.keyboard.type("l")
    await expect(page.locator("#folder-table tbody tr")).to_have_count(1)
    await expect(page.get_by_label("Search folders")).to_be_focused()
    await page.get_by_role("link", name="Show all").click()
    await page.get_by_role("columnheader", name="Size").get_by_role("link").click()
    await expect(page.get_by_role("columnheader", name="Size")).to_have_attribute("aria-sort", "ascending")
    await page.get_by_role("columnheader", name="Size").get_by_role("link").click()
    await expect(page).to_have_url(f"{desk.service.address}/folders?sort=-size")
    await expect(page.locator("#folder-table tbody tr").first).to_contain_text("Gamma")
    await page.get_by_label("Subcategory, level 2").select_option("2023")
    await expect(page.locator("#folder-table tbody tr")).to_have_count(1)
    await page.go_back()
    await expect(page.locator("#folder-table tbody tr")).to_have_count(4)
    await page.reload()
    assert (await _names(page))[0] == "Gamma"


async def test_search_under_way_is_not_given_up_for_news(desk: Desk) -> None:
    await asyncio.to_thread(_plant, desk.service.place, "Alpha", "Beta")
    await desk.service.discover()
    page = await desk.page("/folders")
    address = await page.locator("link[href*='app.css']").get_attribute("href")
    assert address is not None
    # What comes of news while the answer to a search is still awaited.
    script = "async (at) => { const list = await import(at); list.go('/folders?q=bet'); await list.refresh(); }"
    await page.evaluate(script, address.replace("app.css", "listing.js"))
    assert await _names(page) == ["Beta"]
    await expect(page).to_have_url(f"{desk.service.address}/folders?q=bet")


async def test_several_are_selected_by_a_range_and_archived_together(desk: Desk) -> None:
    await asyncio.to_thread(_plant, desk.service.place, "Alpha", "Beta", "Gamma", "Delta")
    await desk.service.discover()
    page = await desk.page("/folders")
    button = page.get_by_role("button", name="Archive selected")
    await expect(button).to_be_disabled()
    await page.get_by_label("Select Alpha").click()
    await page.get_by_label("Select Delta").click(modifiers=["Shift"])
    await expect(button).to_have_text("Archive selected (3)")
    await page.get_by_label("Search folders").fill("gamma")
    await expect(page.locator("#folder-table tbody tr")).to_have_count(1)
    await page.get_by_label("Select Gamma").click()
    await button.click()
    question = page.get_by_role("dialog", name="Archive 4 folders?")
    await expect(question).to_contain_text("4 folders, 4 files, 58.6 KiB")
    await page.keyboard.press("Escape")
    await expect(question).to_be_hidden()
    await button.click()
    await page.get_by_role("button", name="Archive 4 folders").click()
    await page.wait_for_url("**/queue*")
    jobs = (await desk.service.call("GET", "/api/jobs"))[1]
    assert {job["folder_name"] for job in jobs} == {"Alpha", "Beta", "Gamma", "Delta"}


async def test_without_scripts_a_folder_is_found_and_archived(desk: Desk) -> None:
    await asyncio.to_thread(_plant, desk.service.place, "Alpha", "Beta")
    await desk.service.discover()
    page = await desk.page("/folders", scripts=False)
    await page.get_by_label("Search folders").fill("bet")
    await page.get_by_role("button", name="Search").click()
    assert await _names(page) == ["Beta"]
    await page.get_by_role("link", name="Archive Beta").click()
    await expect(page.get_by_role("heading", name="Archive Beta?")).to_be_visible()
    await expect(page.locator("main")).to_contain_text("/Production/2024/Beta.tar.7z")
    await page.get_by_role("button", name="Archive it").click()
    await page.wait_for_url("**/queue*")
    (job,) = (await desk.service.call("GET", "/api/jobs"))[1]
    assert (job["folder_name"], job["created_by"]) == ("Beta", "admin")


async def test_names_are_shown_as_they_are_and_never_run(desk: Desk) -> None:
    await asyncio.to_thread(_plant, desk.service.place, HOSTILE, '"><script>alert(1)</script>'.replace("/", "_"))
    await desk.service.discover()
    page = await desk.page("/folders")
    assert set(await _names(page)) >= {HOSTILE}
    await page.get_by_label("Search folders").fill("<img")
    await expect(page.locator("#folder-table tbody tr")).to_have_count(1)
    await page.get_by_role("link", name="Archive").last.click()
    await expect(page.get_by_role("dialog", name=f"Archive {HOSTILE}?")).to_be_visible()
    assert await page.locator("img[onerror]").count() == 0


async def test_new_folders_appear_after_a_scan_that_can_be_watched(desk: Desk) -> None:
    await asyncio.to_thread(_plant, desk.service.place, "Alpha")
    await desk.service.discover()
    page = await desk.page("/folders?sort=-name")
    await asyncio.to_thread(_plant, desk.service.place, "Omega")
    await page.keyboard.press("r")
    await expect(page.locator("#folder-table tbody tr").first).to_contain_text("Omega")
    await expect(page).to_have_url(f"{desk.service.address}/folders?sort=-name")
    await page.get_by_role("link", name="Left out").click()
    await expect(page.get_by_role("heading", name="Left out")).to_be_visible()
    await expect(page.locator("main")).to_contain_text("Nothing was left out")


async def test_what_a_scan_of_somebody_else_found_appears_by_itself(desk: Desk) -> None:
    await asyncio.to_thread(_plant, desk.service.place, "Alpha")
    await desk.service.discover()
    page = await desk.page("/folders")
    await expect(page.get_by_role("link", name="Archive Alpha")).to_be_visible()
    await asyncio.to_thread(_plant, desk.service.place, "Beta")
    await desk.service.discover()
    await expect(page.get_by_role("link", name="Archive Beta")).to_be_visible()


async def test_state_of_a_job_is_followed_in_the_list(browser: Browser, tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    settings = sandbox_settings(place, rate_bytes_per_second=40)
    async with Sandbox(settings) as sandbox, service_in(place, sandbox) as service:
        desk = Desk(browser, service)
        await asyncio.to_thread(_plant, place, "Alpha", "Beta")
        await service.discover()
        page = await desk.page("/folders")
        job_id = await service.submit(place.folder("Alpha"))
        await expect(page.get_by_role("link", name="Job of Alpha")).to_have_text("Uploading")
        await expect(page.get_by_label("Select Alpha")).to_be_hidden()
        await service.until(job_id)
        await expect(page.get_by_role("link", name="Job of Alpha")).to_be_hidden()
        assert await _names(page) == ["Beta"]
        await desk.close()
        assert desk.complaints == []


async def test_nothing_is_wider_than_the_screen_and_nobody_is_shut_out(desk: Desk) -> None:
    await asyncio.to_thread(_plant, desk.service.place, HOSTILE, "A long name " * 18, "Beta")
    await asyncio.to_thread(lambda: desk.service.place.folder("Empty"))
    await desk.service.discover()
    page = await desk.page("/login", bypass_csp=True, signed_in=False)
    assert await desk.objections(page) == []
    page = await desk.page("/password", bypass_csp=True)
    archive = f"/folders/archive?path={desk.service.place.folder('Beta')}"
    for path in ("/password", "/folders", "/folders?q=zzz", "/folders/left-out", archive, "/nothing"):
        await page.goto(desk.service.address + path)
        assert await desk.objections(page) == [], path


async def test_dialog_and_menus_can_be_used_by_all(desk: Desk) -> None:
    await asyncio.to_thread(_plant, desk.service.place, "Alpha")
    await desk.service.discover()
    page = await desk.page("/folders", bypass_csp=True)
    await page.get_by_role("link", name="Archive Alpha").click()
    await expect(page.get_by_role("button", name="Archive it")).to_be_visible()
    assert await desk.objections(page) == []
    await page.get_by_role("button", name="Close").click()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Archive the selected folders")
    await page.keyboard.press("Escape")
    menu = page.locator(".topbar-end summary")
    await menu.press("Enter")
    await expect(page.get_by_role("button", name="Keys")).to_be_visible()
    assert await desk.objections(page) == []
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Keys")).to_be_hidden()
    await expect(menu).to_be_focused()
