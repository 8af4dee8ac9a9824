"""The page of the notifications in a browser: what fails and what works is seen and heard by everybody."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import expect

from tests.support.browser import Desk
from tests.support.inbox import Inbox, running_inbox
from tests.support.service import Service, running_service
from tests.support.tampering import plant


@pytest_asyncio.fixture(loop_scope="session")
async def inbox() -> AsyncIterator[Inbox]:
    async with running_inbox() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def service(tmp_path: Path, inbox: Inbox) -> AsyncIterator[Service]:
    urls = f"{inbox.url} json://127.0.0.1:9/"
    async with running_service(tmp_path, NOTIFY_URLS=urls, NOTIFY_EVENTS='["completed"]') as running:
        yield running


async def test_test_is_sent_and_what_fails_is_told(desk: Desk, inbox: Inbox) -> None:
    await desk.service.archive(plant(desk.service.place.folder()))
    page = await desk.page("/admin/notifications", bypass_csp=True)
    await page.get_by_role("button", name="Send a test").click()
    await expect(page.locator("#flash")).to_contain_text(
        "The test did not arrive everywhere. 2 (json): ", timeout=20_000
    )
    assert inbox.subjects == ["CS Archiver: test"]
    await inbox.until(2, seconds=50)  # the job
    async with asyncio.timeout(20):
        while not await page.get_by_role("row", name="2 (json)").get_by_text("Fails since").count():
            await page.goto("/admin/notifications")
    await expect(page.get_by_role("row", name="1 (json)")).to_contain_text("Works")
    assert await desk.objections(page) == []
