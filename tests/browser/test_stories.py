"""The stories of the requirements, by the pages alone: from the sign-in to the marker file, in every theme and size."""

import os
import re
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.faults import Fail, Hold
from tests.support.browser import LOOKS, Desk
from tests.support.service import PASSWORD, Service

FIRST_PASSWORD, OWN_PASSWORD = "the first one of many", "one that nobody else knows"
NAMES = ("Evening News", "Morning Show", "Weather", "Odd & <b>Ends")


@pytest.mark.parametrize(("scheme", "size"), LOOKS[::2], ids=[f"{scheme}-{size[0]}" for scheme, size in LOOKS[::2]])
async def test_everything_people_want_is_done_by_the_pages_alone(
    desk: Desk, scheme: str, size: tuple[int, int]
) -> None:
    folders = {name: _planted(desk.service, name) for name in NAMES}
    page = await desk.page(scheme=scheme, size=size, signed_in=False)
    await _sign_in(page, "admin", PASSWORD)
    await _archive_and_follow_to_the_marker(page, desk.service, folders["Evening News"])
    await _see_a_failure_and_try_again(page, desk.service, folders["Morning Show"])
    await _cancel(page, desk.service, folders["Weather"])
    await _find_in_the_history(page)
    await _add_a_user(page)
    await _sign_in(page, "kim", FIRST_PASSWORD)
    await _choose_an_own_password(page)
    await _archive(page, "Odd & <b>Ends")
    await expect(page.locator("#ended li").first).to_contain_text("Odd & <b>Ends Completed")
    assert "User: kim" in _marker_of(folders["Odd & <b>Ends"])


def _planted(service: Service, name: str) -> Path:
    folder = service.place.folder(name)
    (folder / "clip.mov").write_bytes(os.urandom(100_000))
    return folder


def _marker_of(folder: Path) -> str:
    """The text of the marker file, which must be all that is left."""
    (name,) = os.listdir(folder)
    assert name == f"{folder.name}-ARCHIVED-TO-GLOBUS.txt"
    return (folder / name).read_text()


async def _go(page: Page, name: str) -> None:
    await page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
    await _fits(page)


async def _fits(page: Page) -> None:
    await expect(page.locator("main h1")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


async def _stay(page: Page) -> None:
    await page.evaluate("window.stayed = true")


async def _stayed(page: Page) -> bool:
    """Whether the page was not loaded anew since."""
    return bool(await page.evaluate("window.stayed === true"))


async def _sign_in(page: Page, username: str, password: str) -> None:
    await page.get_by_label("User name").fill(username)
    await page.get_by_label("Password").fill(password)
    await _fits(page)
    await page.get_by_role("button", name="Sign in").click()


async def _archive(page: Page, name: str) -> None:
    await _go(page, "Folders")
    await page.get_by_label("Search folders").fill(name)
    await expect(page.locator("#folder-table tbody tr")).to_have_count(1)
    await page.get_by_role("link", name=f"Archive {name}").click()
    question = page.get_by_role("dialog", name=f"Archive {name}?")
    await expect(question).to_contain_text(f"/Production/2024/{name}.tar.7z")
    await expect(question).to_contain_text("1 file, 97.7 KiB")
    await _fits(page)
    await question.get_by_role("button", name="Archive it").click()
    await expect(page.get_by_role("heading", name="Queue", exact=True)).to_be_visible()


def _transfer(page: Page) -> Locator:
    return page.get_by_role("region", name="Transfer")


async def _archive_and_follow_to_the_marker(page: Page, service: Service, folder: Path) -> None:
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    await _archive(page, folder.name)
    await _stay(page)
    await expect(_transfer(page).locator("[data-step]")).to_have_text("Step 1/3: Uploading")
    await expect(_transfer(page).locator(".doing")).to_have_text("Working")
    await expect(_transfer(page).locator("[data-since]")).to_have_text(re.compile(r"^([2-9]|\d\d) s$"))
    await expect(page).to_have_title("75% Queue - CS Archiver")
    await _fits(page)
    service.sandbox.faults.clear()
    await expect(page.locator("#ended li")).to_contain_text([f"{folder.name} Completed"])
    await expect(page.locator("#toasts")).to_contain_text(f"{folder.name}: completed")
    await expect(page.locator("#lanes .doing")).to_have_text(["Idle", "Idle"])
    assert await _stayed(page)
    await page.get_by_role("link", name=folder.name).click()
    await expect(page.get_by_role("region", name="Receipt of the deletion")).to_contain_text("100\u202f000 bytes")
    await expect(page.locator("#log .log-text").last).to_have_text("Job completed")
    await _fits(page)
    assert "User: admin" in _marker_of(folder)
    assert service.place.archive_of(folder).stat().st_size > 0


async def _see_a_failure_and_try_again(page: Page, service: Service, folder: Path) -> None:
    service.sandbox.faults.add(Operation.RUN, Fail(), times=None)
    await _archive(page, folder.name)
    await expect(page.locator("#ended li").first).to_contain_text(f"{folder.name} Failed")
    await page.locator("#failures").click()
    await page.get_by_role("link", name=folder.name).click()
    await expect(page.get_by_role("alert").filter(has_text="Failed.")).to_contain_text("The source is untouched.")
    await _fits(page)
    assert os.listdir(folder) == ["clip.mov"]
    service.sandbox.faults.clear()
    await page.get_by_role("button", name="Retry").click()
    await _stay(page)
    await expect(page.locator("#job-head .state")).to_have_text("Completed")
    assert await _stayed(page)
    _marker_of(folder)


async def _cancel(page: Page, service: Service, folder: Path) -> None:
    service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    await _archive(page, folder.name)
    await expect(_transfer(page).get_by_role("link", name=folder.name, exact=True)).to_be_visible()
    await page.get_by_role("link", name=f"Cancel {folder.name}").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    await expect(page.locator("#flash")).to_contain_text("Its source is untouched.")
    await expect(page.locator("#ended li").first).to_contain_text(f"{folder.name} Cancelled")
    service.sandbox.faults.clear()
    assert os.listdir(folder) == ["clip.mov"]


async def _find_in_the_history(page: Page) -> None:
    await _go(page, "History")
    names = page.locator("#history-table td.name a")
    await expect(names).to_have_text(["Weather", "Morning Show", "Evening News"])
    await page.locator(".choices").get_by_role("link", name="Completed").click()
    await expect(names).to_have_text(["Morning Show", "Evening News"])
    await page.get_by_label("Search folders").fill("evening")
    await expect(names).to_have_text(["Evening News"])
    await _fits(page)


async def _add_a_user(page: Page) -> None:
    await page.get_by_role("navigation", name="Pages").locator("summary").click()
    await page.get_by_role("link", name="Users").click()
    await page.get_by_role("link", name="Add a user").click()
    await page.get_by_label("User name").fill("kim")
    await page.get_by_label("First password").fill(FIRST_PASSWORD)
    await page.get_by_role("button", name="Add the user").click()
    await expect(page.locator("#flash")).to_contain_text("kim can sign in now")
    await _fits(page)
    await page.locator(".topbar-end summary").click()
    await page.get_by_role("button", name="Sign out").click()


async def _choose_an_own_password(page: Page) -> None:
    await page.get_by_label("Present password").fill(FIRST_PASSWORD)
    await page.get_by_label("New password", exact=True).fill(OWN_PASSWORD)
    await page.get_by_label("New password, once more").fill(OWN_PASSWORD)
    await _fits(page)
    await page.get_by_role("button", name="Change the password").click()
