"""The queue in a browser: numbers that move, places in the line, retries; and cancelling without scripts."""

import os
import re
from pathlib import Path

from playwright.async_api import Page, expect

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.faults import Fail, Hold
from tests.support.browser import Desk
from tests.support.service import Service, running_service

LONG = "CitySpace_2024_Spring_Gala_Interview_MultiCam_ProRes4444_Final_v3"
HOSTILE = "<img src=x onerror=alert(1)>"


def _fill(folder: Path, size: int = 200_000) -> Path:
    (folder / "clip.mov").write_bytes(os.urandom(size))
    return folder


async def _submitted(service: Service, *names: str) -> list[str]:
    folders = [_fill(service.place.folder(name)) for name in names]
    await service.discover()
    return [await service.submit(folder) for folder in folders]


async def test_numbers_move_without_a_new_page(desk: Desk) -> None:
    service = desk.service
    page = await desk.page("/queue")
    (folder := service.place.folder()).joinpath("clip.mov").write_bytes(os.urandom(40_000_000))
    await service.discover()
    await service.submit(folder)
    lane = page.get_by_role("region", name="Archiving")
    await expect(lane.locator("[data-step]")).to_have_text("Step 2/3: Compressing")
    await expect(lane.locator("[data-bytes]")).to_contain_text("of 38.1 MiB")
    await expect(lane.locator("[data-rate]")).to_contain_text("B/s")
    await expect(lane.locator("progress")).not_to_have_js_property("value", 0)
    await expect(lane.get_by_role("img", name="Throughput")).to_be_visible()


async def test_places_in_the_line_change_as_jobs_leave_it(desk: Desk) -> None:
    service = desk.service
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"), times=None)
    page = await desk.page("/queue")
    jobs = await _submitted(service, "First", "Second", "Third")
    awaiting = page.locator("#awaiting td.name a")
    await expect(awaiting).to_have_text(["Second", "Third"])
    await page.get_by_role("row", name="Second").get_by_role("link", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("heading")).to_have_text("Cancel Second?")
    await dialog.get_by_role("link", name="Keep it").click()
    await expect(dialog).to_be_hidden()
    await page.get_by_role("row", name="Second").get_by_role("link", name="Cancel").click()
    await dialog.get_by_role("button", name="Cancel the job").click()
    await expect(page.locator("#flash")).to_contain_text("Second is cancelled")
    await expect(awaiting).to_have_text(["Third"])
    assert (await service.job(jobs[1]))["status"] == "cancelled"
    service.sandbox.faults.clear()


async def test_without_scripts_a_job_is_watched_and_cancelled(desk: Desk) -> None:
    service = desk.service
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    (job_id,) = await _submitted(service, HOSTILE)
    await service.until(job_id, "uploading")
    page = await desk.page("/queue", scripts=False)
    await expect(page.get_by_role("link", name=HOSTILE, exact=True)).to_be_visible()
    await expect(page.locator("[data-step]")).to_have_text("Step 1/3: Uploading")
    await page.get_by_role("link", name="Cancel").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Cancel {HOSTILE}?")
    await page.get_by_role("button", name="Cancel the job").click()
    await expect(page.locator("#flash")).to_contain_text(f"{HOSTILE} is being cancelled")
    await service.until(job_id, "cancelled")
    await page.get_by_role("link", name="Refresh").click()
    await expect(page.locator("#ended li")).to_contain_text(["Cancelled"])
    assert os.listdir(service.place.folder(HOSTILE)) == ["clip.mov"]


async def test_a_long_name_without_a_blank_fits_a_phone(desk: Desk) -> None:
    service = desk.service
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"), times=None)
    folder = _fill(service.place.folder(LONG))
    await service.discover()
    page = await desk.page("/folders", size=(360, 740))
    await page.get_by_role("link", name=f"Archive {LONG}").click()
    await _fits(page, "dialog to archive")
    await page.get_by_role("button", name="Archive it").click()
    await expect(page.locator("#flash")).to_contain_text(LONG)
    await _fits(page, "what was done")
    await expect(page.locator("[data-step]")).to_have_text("Step 1/3: Uploading")
    await _fits(page, "lane")
    await page.get_by_role("link", name=LONG, exact=True).click()
    for path in ("", "/files", "/cancel"):
        await page.goto(f"{page.url.rpartition('/jobs/')[0]}/jobs/{(await _jobs(service))[0]}{path}")
        await _fits(page, f"job{path}")
    await page.get_by_role("button", name="Cancel the job").click()
    await expect(page.locator("#flash")).to_contain_text(LONG)
    await _fits(page, "cancelled")
    await service.until((await _jobs(service))[0], "cancelled")
    for path in ("/queue", "/history", "/admin/audit", "/folders"):
        await page.goto(path)
        await expect(page.locator("main")).to_contain_text(LONG)
        await _fits(page, path)
    service.sandbox.faults.clear()
    assert os.listdir(folder) == ["clip.mov"]


async def _jobs(service: Service) -> list[str]:
    return [job["job_id"] for job in (await service.call("GET", "/api/jobs"))[1]]


async def _fits(page: Page, where: str) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360, where


async def test_a_retry_counts_down(desk: Desk, tmp_path: Path) -> None:
    async with running_service(tmp_path / "slow", RETRY_DELAY_SECONDS="120") as service:
        slow = Desk(desk.browser, service, desk.complaints)
        service.sandbox.faults.add(Operation.RUN, Fail(), times=None)
        page = await slow.page("/queue")
        await _submitted(service, "Alpha")
        transfer = page.get_by_role("region", name="Transfer")
        await expect(transfer.locator(".doing")).to_have_text("Waiting")
        await expect(transfer.locator("[data-until]")).to_have_text(re.compile(r"^1 min ([0-4]?\d|5[0-8]) s$"))
        await expect(transfer.locator("[data-operation]")).to_contain_text("Retry 1/5")
        await slow.close()


async def test_anybody_can_use_it_at_any_size(desk: Desk) -> None:
    service = desk.service
    page = await desk.page("/queue", bypass_csp=True)
    assert await desk.objections(page) == []
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"), times=None)
    await _submitted(service, "First", HOSTILE)
    await expect(page.locator("#awaiting td.name a")).to_have_text([HOSTILE])
    await expect(page.locator("#lanes [data-since]")).to_have_count(1)
    assert await desk.objections(page) == []
    service.sandbox.faults.clear()
