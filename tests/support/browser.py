"""A Chromium that looks at the dashboard, and complains of whatever a page should not do."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright, expect

from tests.support.service import PASSWORD, Service

WIDE = (1280, 800)
PHONE = (390, 844)
LOOKS = (("light", WIDE), ("light", PHONE), ("dark", PHONE), ("dark", WIDE))
_AXE = Path(__file__).parents[1] / "browser" / "vendor" / "axe-core" / "axe.min.js"
_STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_OBJECTIONS = """async (rules) => {
    const { violations } = await axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
}"""  # a report in full is megabytes
_REFUSED_ON_PURPOSE = "Failed to load resource: the server responded with a status of 4"

expect.set_options(timeout=20_000)  # on a busy machine, a page may need that long


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's, which every machine that runs the tests has: without a window, it costs a third less to run."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or shutil.which("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


async def look(page: Page, scheme: Any, size: tuple[int, int]) -> None:
    """The same page in another theme and at another size."""
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    await expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)


async def _said(page: Page, rules: list[str]) -> set[str]:
    said = set(await page.evaluate(_OBJECTIONS, rules))
    if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        said.add("wider than the screen")
    return said


@dataclass
class Desk:
    """Where somebody sits before a browser: every page opened here is watched."""

    browser: Browser
    service: Service
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    async def page(
        self,
        path: str | None = "/",
        *,
        signed_in: bool = True,
        scripts: bool = True,
        scheme: Any = "light",
        size: tuple[int, int] = WIDE,
        bypass_csp: bool = False,
        cookies: dict[str, str] | None = None,
    ) -> Page:
        """A page of a browser of its own, at this path, or at none; `bypass_csp` lets tests put scripts into it."""
        context = await self.browser.new_context(
            base_url=self.service.address,
            java_script_enabled=scripts,
            color_scheme=scheme,
            viewport={"width": size[0], "height": size[1]},
            bypass_csp=bypass_csp,
            reduced_motion="reduce",
        )
        context.set_default_timeout(15_000)
        self.contexts.append(context)
        if signed_in:
            await self._sign_in(context)
        for name, value in (cookies or {}).items():
            await context.add_cookies([{"name": name, "value": value, "url": self.service.address}])
        page = await context.new_page()
        self._watch(page)
        if path is not None:
            await page.goto(self.service.address + path)
        return page

    async def objections(self, page: Page) -> list[str]:
        """What axe-core objects to in any look, and looks wider than the screen.

        The page must have been opened with `bypass_csp`, and is in the last look afterwards.
        """
        await page.evaluate(f"window.axe || (() => {{ {_AXE.read_text()} }})()")
        found: list[str] = []
        for scheme, size in LOOKS:
            await look(page, scheme, size)
            # What is no matter of colour is the same in the dark.
            rules = _STANDARDS if scheme == "light" else ["color-contrast"]
            said = await _said(page, rules)
            if said:  # once more: while a job goes on parts of a page are replaced, and are half there for a moment
                said &= await _said(page, rules)
            found += sorted(f"{scheme} {size[0]}: {text}" for text in said)
        return found

    async def close(self) -> None:
        for context in self.contexts:
            await context.close()

    async def _sign_in(self, context: BrowserContext) -> None:
        body = {"username": "admin", "password": PASSWORD, "cookie": True}
        answer = await context.request.post(f"{self.service.address}/api/auth/login", data=body)
        assert answer.ok, await answer.text()

    def _watch(self, page: Page) -> None:
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.complaints.append(f"script error: {error}"))
        page.on("request", self._note_request)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_REFUSED_ON_PURPOSE):
            self.complaints.append(f"console {message.type}: {message.text}")

    def _note_request(self, request: Request) -> None:
        asked, own = urlsplit(request.url), urlsplit(self.service.address)
        if asked.scheme != "data" and asked.netloc != own.netloc:
            self.complaints.append(f"request to another host: {request.url}")
