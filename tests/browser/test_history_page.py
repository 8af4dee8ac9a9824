"""The history in a browser, with and without scripts: looked at, searched, kept up to date, cleared."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest_asyncio
from playwright.async_api import Page, expect

from tests.support.browser import Desk

EVIL = "<img src=x onerror=alert(1)>"


@pytest_asyncio.fixture(loop_scope="session")
async def desk(desk: Desk) -> Desk:
    """With a job that failed and one that was cancelled, both of folders with hostile names."""
    for name in (EVIL, "Project_Alpha"):
        (desk.service.place.folder(name) / "one.mov").write_bytes(b"x" * 3_000)
    folders = {folder["name"]: folder["path"] for folder in await desk.service.discover()}
    # The database is told of them, since no tool fails at these by itself.
    with closing(sqlite3.connect(desk.service.place.database)) as database:
        for number, (name, state, error) in enumerate([(EVIL, "failed", f"7z: {EVIL}"), ("Other", "cancelled", None)]):
            job = f"00000000-0000-4000-8000-00000000000{number}"
            path = folders.get(name, f"/nas/Production/2024/{name}")
            database.execute(
                "INSERT INTO jobs (id, seq, folder_name, level1, level2, source_path, globus_destination_path, status,"
                " created_by, created_at) VALUES (?, ?, ?, 'Production', '2024', ?, ?, 'queued', 'ann', ?)",
                (job, number + 1, name, path, f"/to/{name}", "2026-01-01T10:00:00.000Z"),
            )
            database.execute(
                "UPDATE jobs SET status = ?, error_message = ?, completed_at = '2026-01-02T10:00:00.000Z',"
                " folder_size_bytes = 5000 WHERE id = ?",
                (state, error, job),
            )
        database.commit()
    return desk


def names(page: Page) -> Any:
    return page.locator("#history-table td.name a")


async def test_pages_are_for_everybody(desk: Desk) -> None:
    page = await desk.page("/history", bypass_csp=True)
    for path in ("/history", "/history?q=nothing", "/history/clear"):
        await page.goto(path)
        assert await desk.objections(page) == [], path


async def test_list_is_narrowed_while_one_looks_and_the_address_says_how(desk: Desk) -> None:
    page = await desk.page("/history")
    await expect(names(page)).to_have_text(["Other", EVIL])
    await expect(page.locator(".why")).to_have_text(f"7z: {EVIL}")
    await page.get_by_label("Search folders").fill("IMG src")
    await expect(names(page)).to_have_text([EVIL])
    await page.get_by_label("Search folders").fill("")
    await expect(names(page)).to_have_count(2)
    await page.locator(".choices").get_by_role("link", name="Cancelled").click()
    await expect(names(page)).to_have_text(["Other"])
    await page.get_by_label("From", exact=True).fill("2026-01-03")
    await expect(page.get_by_text("No job matches").first).to_be_visible()
    await expect(page).to_have_url(
        f"{desk.service.address}/history?since=2026-01-03&sort=-completed_at&status=cancelled"
    )
    await page.go_back()
    await expect(names(page)).to_have_text(["Other"])
    await expect(page.get_by_label("From", exact=True)).to_have_value("")
    await page.get_by_role("link", name="Show all").click()
    await page.get_by_role("link", name="Folder", exact=True).click()
    await expect(names(page)).to_have_text([EVIL, "Other"])


async def test_job_that_ends_appears_by_itself_and_is_cleared_after_a_question(desk: Desk) -> None:
    page = await desk.page("/history")
    await expect(names(page)).to_have_count(2)
    await desk.service.submit(desk.service.place.folder("Project_Alpha"))
    await expect(names(page)).to_have_text(["Project_Alpha", "Other", EVIL], timeout=40_000)
    await expect(page.locator("#figures dd").first).to_have_text("1")
    await page.get_by_role("link", name="Clear completed").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("heading")).to_have_text("Clear 1 completed job?")
    await dialog.get_by_role("link", name="Keep it").click()
    await expect(dialog).to_be_hidden()
    await expect(names(page)).to_have_count(3)
    await page.get_by_role("link", name="Clear completed").click()
    await dialog.get_by_role("button", name="Clear 1 completed job").click()
    await expect(page.locator("#flash")).to_contain_text("Cleared 1 completed job from the list.")
    await expect(names(page)).to_have_text(["Other", EVIL])
    await expect(page.locator("#figures dd").first).to_have_text("1")  # stays on record


async def test_row_leads_to_its_job(desk: Desk) -> None:
    page = await desk.page("/history")
    await page.locator("#history-table tbody tr").first.locator("td").nth(2).click()
    await expect(page).to_have_url(f"{desk.service.address}/jobs/00000000-0000-4000-8000-000000000001")


async def test_table_is_downloaded_with_the_filters(desk: Desk) -> None:
    page = await desk.page("/history?status=failed")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Export CSV").click()
    content = (await (await download.value).path()).read_bytes().decode("utf-8-sig")
    assert content.count("\r\n") == 2
    assert f'"{EVIL}"' in content


async def test_failures_are_seen_once_they_were_looked_at(desk: Desk) -> None:
    page = await desk.page("/folders")
    await page.locator("#failures").click()
    await expect(names(page)).to_have_text([EVIL])
    await page.goto("/folders")
    await expect(page.locator("#failures")).to_be_hidden()


async def test_without_scripts_it_is_searched_and_cleared(desk: Desk) -> None:
    await desk.service.archive(desk.service.place.folder("Project_Alpha"))
    page = await desk.page("/history", scripts=False)
    await expect(names(page)).to_have_text(["Project_Alpha", "Other", EVIL])
    await page.get_by_label("Search folders").fill("project_")
    await page.get_by_label("From", exact=True).fill("2026-01-03")
    await page.get_by_role("button", name="Search").click()
    await expect(names(page)).to_have_text(["Project_Alpha"])
    await page.locator(".choices").get_by_role("link", name="Failed").click()
    await expect(page.get_by_text("No job matches").first).to_be_visible()
    await page.get_by_role("link", name="Clear completed").click()
    await page.get_by_role("button", name="Clear 1 completed job").click()
    await expect(page.locator("#flash")).to_contain_text("Cleared 1 completed job from the list.")
    await expect(names(page)).to_have_text(["Other", EVIL])
