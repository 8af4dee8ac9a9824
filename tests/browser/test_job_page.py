"""One job in a browser: followed live, its log read and filtered, tried again, printed; names are never markup."""

import os
from pathlib import Path

from playwright.async_api import expect

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.faults import Fail, Hold
from tests.browser.test_queue_page import HOSTILE
from tests.support.browser import Desk
from tests.support.service import Service, query


async def _submitted(service: Service, name: str = HOSTILE, files: tuple[str, ...] = (HOSTILE,)) -> str:
    folder = service.place.folder(name)
    for file in files:
        (folder / file).write_bytes(os.urandom(1000))
    await service.discover()
    return await service.submit(folder)


async def _archived(service: Service, *files: str) -> str:
    job_id = await _submitted(service, files=files or (HOSTILE,))
    assert (await service.until(job_id))["status"] == "completed"
    return job_id


async def test_a_job_is_followed_to_the_receipt_of_its_deletion(desk: Desk) -> None:
    service = desk.service
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    job_id = await _submitted(service)
    page = await desk.page(f"/jobs/{job_id}")
    await page.evaluate("window.stayed = true")
    await expect(page.locator("h1")).to_have_text(HOSTILE)
    await expect(page.locator("#timeline [aria-current] .state")).to_have_text("Uploading")
    await expect(page.locator("#transfers a")).to_have_count(1)
    await expect(page.get_by_role("link", name="Cancel", exact=True)).to_be_visible()
    service.sandbox.faults.clear()
    await expect(page.get_by_role("region", name="Receipt of the deletion")).to_contain_text("1 file, 1\u202f000 bytes")
    await expect(page.locator("#verification")).to_contain_text("Verified")
    await expect(page.locator("#marker pre")).to_contain_text("Source deletion: is complete")
    await expect(page.locator("#log .log-text").last).to_have_text("Job completed")
    await expect(page.get_by_role("link", name="Cancel", exact=True)).to_have_count(0)
    (task, digest) = query(service, "SELECT globus_task_id, archive_sha256 FROM jobs")[0]
    await expect(page.locator("#facts")).to_contain_text(digest)
    link = page.locator("#transfers a").first
    await expect(link).to_have_attribute("href", f"https://app.globus.org/activity/{task}")
    assert await page.evaluate("window.stayed"), "the page was loaded anew"


async def test_log_is_filtered_while_one_types(desk: Desk) -> None:
    service = desk.service
    service.sandbox.faults.add(Operation.RUN, Fail())
    page = await desk.page(f"/jobs/{await _archived(service)}")
    lines = page.locator("#log .log-text")
    await expect(lines.first).to_have_text("Job created by admin")
    await page.get_by_label("Level").select_option("Warnings and errors")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text("Retry 1/5")
    await expect(page.locator("#log-count")).to_contain_text("1 of ")
    await page.get_by_label("Level").select_option("All levels")
    await page.get_by_label("Search the log").fill("MARKER")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text("Marker written")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download").click()
    text = Path(await (await download.value).path()).read_text()
    assert "Job completed" in text
    assert "Job created by admin" in text


async def test_log_stops_following_when_one_scrolls_up(desk: Desk) -> None:
    service = desk.service
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    job_id = await _submitted(service)
    page = await desk.page(f"/jobs/{job_id}", size=(1280, 160))
    await expect(page.locator("#log")).to_contain_text("Globus accepted")
    button = page.locator("#log-follow")
    await expect(button).to_have_attribute("aria-pressed", "true")
    await page.locator("#log").evaluate("log => { log.scrollTop = 0; }")
    await expect(button).to_have_text("Follow")
    service.sandbox.faults.clear()
    await expect(button).to_contain_text("new)")
    assert await page.locator("#log").evaluate("log => log.scrollTop") == 0
    await expect(page.locator("#log .log-text").last).to_have_text("Job completed")
    await button.click()
    await page.locator("#log").scroll_into_view_if_needed()
    await expect(page.locator("#log .log-text").last).to_be_in_viewport()
    await expect(button).to_have_attribute("aria-pressed", "true")


async def test_without_scripts_the_log_is_read_and_the_job_tried_again(desk: Desk) -> None:
    service = desk.service
    service.sandbox.faults.add(Operation.RUN, Fail(), times=None)
    job_id = await _submitted(service)
    await service.until(job_id, "failed")
    service.sandbox.faults.clear()
    page = await desk.page(f"/jobs/{job_id}", scripts=False)
    await expect(page.get_by_role("alert")).to_contain_text("Failed. after 5 retries")
    await expect(page.locator("#log .log-text").first).to_have_text("Job created by admin")
    await page.get_by_label("Level").select_option("Errors")
    await page.get_by_label("Search the log").fill("job FAILED")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("#log .log-text")).to_contain_text(["Job failed: after 5 retries"])
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("status").filter(has_text="is in the queue again")).to_be_visible()
    assert (await service.until(job_id))["status"] == "completed"
    await page.get_by_role("link", name="Refresh").click()
    await expect(page.locator("#marker pre")).to_contain_text("Source deletion: is complete")


async def test_files_are_searched_while_one_types(desk: Desk) -> None:
    job_id = await _archived(desk.service, HOSTILE, "take one.mov", "take two.mov", "-sdel")
    page = await desk.page(f"/jobs/{job_id}")
    await page.get_by_role("link", name="Files", exact=True).click()
    names = page.locator("#files td.name")
    await expect(names).to_have_text(["-sdel", HOSTILE, "take one.mov", "take two.mov"])
    await page.get_by_label("Search paths").fill("TAKE")
    await expect(names).to_have_text(["take one.mov", "take two.mov"])
    await expect(page).to_have_url(f"{desk.service.address}/jobs/{job_id}/files?q=TAKE")


async def test_what_is_printed_has_the_whole_evidence_and_no_buttons(desk: Desk) -> None:
    page = await desk.page(f"/jobs/{await _archived(desk.service)}", scheme="dark")
    await page.evaluate("dispatchEvent(new Event('beforeprint'))")
    await page.emulate_media(media="print")
    await expect(page.get_by_text("local archive SHA-256")).to_be_visible()
    await expect(page.get_by_role("button", name="Print")).to_be_hidden()
    await expect(page.locator("#log")).to_be_hidden()
    await expect(page.locator("#facts dd").first).to_have_css("color", "rgb(0, 0, 0)")


async def test_paper_is_white_and_has_the_checks_without_scripts(desk: Desk) -> None:
    job_id = await _archived(desk.service)
    page = await desk.page(f"/jobs/{job_id}", scripts=False, cookies={"csa_theme": "dark"})
    await expect(page.get_by_text("local archive SHA-256")).to_be_hidden()
    await page.emulate_media(media="print")
    await expect(page.get_by_text("local archive SHA-256")).to_be_visible()
    await expect(page.locator(".sandbox-banner")).to_have_css("background-color", "rgb(255, 255, 255)")


async def test_anybody_can_use_it_at_any_size(desk: Desk) -> None:
    service = desk.service
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    job_id = await _submitted(service)
    page = await desk.page(f"/jobs/{job_id}", bypass_csp=True)
    await expect(page.locator("#timeline [aria-current] .state")).to_have_text("Uploading")
    assert await desk.objections(page) == []
    service.sandbox.faults.clear()
    await expect(page.locator("#marker pre")).to_contain_text("complete")
    await page.locator("#newest-1 summary").click()
    assert await desk.objections(page) == []
    for path in ("/files", "/cancel"):
        await page.goto(f"/jobs/{job_id}{path}")
        assert await desk.objections(page) == []
