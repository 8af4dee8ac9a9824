"""Writes pictures of every page into docs/screenshots: light, dark and on a phone; idle, busy, failed and empty."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page

from cs_archiver.demo import tree
from cs_archiver.sandbox import Sandbox
from tests.support.browser import PHONE, WIDE, Desk, chromium
from tests.support.service import Place, Service, sandbox_settings, service_in

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
LOOKS = {"light": ("light", WIDE), "dark": ("dark", WIDE), "phone": ("light", PHONE)}
RATE = 400_000  # bytes a second: slow enough to be seen at work

DONE = "Events/Open Day/Take 01"
FAILS = "Graphics & Idents/Station Look/aXb"
BUSY = (
    "Production/2024/Evening News Rushes", "Production/2023/Election Night", "Production/2024/Morning Show Podcast",
    "Studio B/Rehearsals/Odd Names",
)  # fmt: skip

SECOND_PASSWORD = "quiet lantern under seven bridges"
EMPTY = {"folders-empty": "/folders", "queue-empty": "/queue", "history-empty": "/history"}
IDLE = {
    "folders": "/folders",
    "folders-none-found": "/folders?q=nothing+like+it",
    "left-out": "/folders/left-out",
    "archive": "/folders/archive?path={nas}/Production/2024/Evening News Rushes",
    "settings": "/settings",
    "users": "/admin/users",
    "user-new": "/admin/users/new",
    "checks": "/checks",
    "notifications": "/admin/notifications",
    "not-found": "/nothing",
    "password": "/password",
    "reauthenticate": "/reauthenticate",
    "second-factor": "/second-factor",
}
AT_WORK = {
    "folders-busy": "/folders",
    "queue-busy": "/queue",
    "job-busy": "/jobs/{busy}",
    "job-done": "/jobs/{done}",
    "job-files": "/jobs/{done}/files",
    "job-failed": "/jobs/{failed}",
    "job-cancel": "/jobs/{busy}/cancel",
    "history": "/history",
    "history-clear": "/history/clear",
    "audit": "/admin/audit",
}


async def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as scratch:
        place = Place(Path(scratch)).make()
        settings = sandbox_settings(place, rate_bytes_per_second=RATE)
        told = {"NOTIFY_URLS": "json://127.0.0.1:9/"}  # to nobody: nothing is sent by looking at the page
        async with Sandbox(settings) as sandbox, service_in(place, sandbox, **told) as service, chromium() as browser:
            await service.call("GET", "/api/folders?refresh=true")
            await service.call("POST", "/api/users", json={"username": "ann", "password": SECOND_PASSWORD})
            await _picture_each(browser, service, EMPTY)
            await asyncio.to_thread(tree.build, place.nas)
            await service.discover()
            await service.call("POST", "/api/system/checks")
            await _picture_sign_in(browser, service)
            await _picture_each(browser, service, {name: path.format(nas=place.nas) for name, path in IDLE.items()})
            await _picture_dialog(browser, service)
            jobs = await _put_to_work(service)
            await _picture_each(browser, service, {name: path.format(**jobs) for name, path in AT_WORK.items()})


async def _put_to_work(service: Service) -> dict[str, str]:
    """One job done, one failed, one on its way; the others wait behind it."""
    nas = service.place.nas
    done = await service.submit(nas / DONE)
    await service.until(done, "completed", seconds=120)
    first = await service.submit(nas / BUSY[0])
    failed = await service.submit(nas / FAILS)
    await asyncio.to_thread(shutil.rmtree, nas / FAILS)
    for name in BUSY[1:]:
        await service.submit(nas / name)
    await service.until(failed, "failed", seconds=120)
    await service.until(first, "uploading", seconds=120)
    return {"done": done, "failed": failed, "busy": first}


async def _picture_each(browser: Browser, service: Service, pages: dict[str, str]) -> None:
    for look, (scheme, size) in LOOKS.items():
        desk = Desk(browser, service)
        page = await desk.page("/password", scheme=scheme, size=size)
        for name, path in pages.items():
            await page.goto(service.address + path)
            await _picture(page, f"{name}-{look}")
        await desk.close()


async def _picture_sign_in(browser: Browser, service: Service) -> None:
    for look, (scheme, size) in LOOKS.items():
        desk = Desk(browser, service)
        await _picture(await desk.page("/login", scheme=scheme, size=size, signed_in=False), f"login-{look}")
        await desk.close()


async def _picture_dialog(browser: Browser, service: Service) -> None:
    for look, (scheme, size) in LOOKS.items():
        desk = Desk(browser, service)
        page = await desk.page("/folders", scheme=scheme, size=size)
        boxes = page.locator("#folder-table input[name=path]")
        await boxes.nth(1).click()
        await boxes.nth(4).click(modifiers=["Shift"])
        await page.locator("#archive-selected").click()
        await page.get_by_role("button", name="Archive 4 folders").wait_for()
        await _picture(page, f"archive-several-{look}")
        await desk.close()


async def _picture(page: Page, name: str) -> None:
    await page.wait_for_load_state("load")
    await page.evaluate("document.fonts.ready")
    await page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main())
