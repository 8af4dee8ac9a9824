"""What every page has around it: the connection, failures in the header, the theme, and the words of scripts."""

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

import cs_archiver
from cs_archiver.clock import to_text
from cs_archiver.domain.sizes import human_size
from cs_archiver.sandbox import Sandbox
from cs_archiver.server.pages import words
from cs_archiver.server.pages.preferences import Preferences, Theme, Units, Zone
from tests.support.browser import Desk
from tests.support.service import PASSWORD, Place, free_port, sandbox_settings, service_in

SIZES = (0, 999, 1000, 1024, 9_994, 9_996, 99_960, 999_994, 999_996, 1_048_575, 1_234_567_890, 2**50, 10**19)
SECONDS = (-5, 0.4, 59.4, 60, 61, 3599, 3600, 3661, 172_799, 172_800, 180_000)
AGES = (-600, -30, 44, 46, 3540, 3660, 169_200, 176_400, 5_000_000, 90_000_000)


async def test_scripts_write_the_same_words_as_the_server(desk: Desk) -> None:
    page = await desk.page("/login", signed_in=False, cookies={"csa_browser_zone": "Europe/Berlin"})
    now = datetime(2026, 7, 1, 22, 30, 15, tzinfo=UTC)
    ages = [to_text(now - timedelta(seconds=age)) for age in AGES]
    script = """async ([address, sizes, seconds, ages, now]) => {
        const format = await import(address);
        return [
            sizes.map((size) => [format.size(size, 1000), format.size(size, 1024)]),
            seconds.map(format.duration),
            ages.map((age) => format.ago(age, Date.parse(now))),
            format.moment(now), format.exact(now), format.count(1234567),
        ];
    }"""
    style = await page.locator("link[rel=stylesheet]").last.get_attribute("href")
    assert style is not None
    address = style.replace("app.css", "format.js")
    told = await page.evaluate(script, [address, list(SIZES), list(SECONDS), ages, to_text(now)])
    here = Preferences(Theme.SYSTEM, Units.DECIMAL, Zone.BROWSER, "Europe/Berlin")
    assert told[0] == [[human_size(size, unit) for unit in (1000, 1024)] for size in SIZES]
    assert told[1] == [words.duration_text(seconds) for seconds in SECONDS]
    assert told[2] == [words.ago_text(age, now) for age in ages]
    assert told[3] == words.moment_text(to_text(now), here)
    assert told[4].rpartition(" ")[0] == words.exact_text(to_text(now), here).rpartition(" ")[0]
    assert told[5] == words.count_text(1234567)


async def test_failure_is_seen_on_every_page_at_once(desk: Desk) -> None:
    place = desk.service.place
    for name in ("Alpha", "Beta"):
        (place.folder(name) / "clip.mov").write_bytes(b"frame " * 100_000)
    await desk.service.discover()
    page = await desk.page("/folders/left-out")
    await expect(page.locator("#failures")).to_be_hidden()
    paths = [str(place.folder(name)) for name in ("Alpha", "Beta")]
    status, outcomes = await desk.service.call("POST", "/api/jobs/bulk", json={"folder_paths": paths})
    assert status == 200
    await asyncio.to_thread(shutil.rmtree, paths[1])
    await desk.service.until(outcomes[1]["job"]["job_id"], "failed")
    await expect(page.locator("#failures")).to_have_text("1 failed")
    await expect(page).to_have_title("(1 failed) Left out - CS Archiver")
    assert "favicon-failed" in str(await page.locator("link[rel=icon]").get_attribute("href"))
    await page.reload()
    await expect(page.locator("#failures")).to_have_text("1 failed")


async def test_lost_connection_is_told_and_heals_by_itself(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path).make()
    port = str(free_port())
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox, PORT=port) as service:
            (place.folder("Alpha") / "clip.mov").write_bytes(b"frame")
            await service.discover()
            desk = Desk(browser, service)
            page = await desk.page("/folders")
            banner = page.locator("#connection-lost")
            await expect(page.get_by_role("link", name="Archive Alpha")).to_be_visible()
        await expect(banner).to_be_visible()
        await expect(page.locator("main")).to_have_class("page is-stale")
        await expect(page.locator("#new-build")).to_be_hidden()
        monkeypatch.setattr(cs_archiver, "__version__", "99.0")
        async with service_in(place, sandbox, PORT=port) as service:
            (place.folder("Beta") / "clip.mov").write_bytes(b"frame")
            await service.discover()
            await expect(banner).to_be_hidden(timeout=40_000)
            await expect(page.get_by_role("link", name="Archive Beta")).to_be_visible()
            await page.get_by_role("button", name="Load this page anew").click()
            await expect(page.get_by_text("CS Archiver 99.0")).to_be_visible()
            await expect(page.locator("#new-build")).to_be_hidden()
            await desk.close()
    assert [said for said in desk.complaints if "ERR_CONNECTION_REFUSED" not in said] == []


async def test_ended_session_leads_to_the_sign_in_and_back(desk: Desk) -> None:
    page = await desk.page("/folders?sort=-size")
    sessions = (await desk.service.call("GET", "/api/auth/sessions"))[1]
    (other,) = [session["id"] for session in sessions if not session["current"]]
    await desk.service.call("DELETE", f"/api/auth/sessions/{other}")
    await expect(page.get_by_text("Your session has ended")).to_be_visible()
    await expect(page).to_have_url(f"{desk.service.address}/login?next=%2Ffolders%3Fsort%3D-size&ended=1")
    # Chromium tells of a WebSocket that was only about to be opened when the session ended.
    desk.complaints[:] = [said for said in desk.complaints if "HTTP Authentication failed" not in said]


async def test_dashboard_below_a_path_lives_there_altogether(browser: Browser, tmp_path: Path) -> None:
    place, port = Place(tmp_path).make(), str(free_port())
    address = f"http://127.0.0.1:{port}/media/archiver"
    settings = sandbox_settings(place, rate_bytes_per_second=40)
    async with (
        Sandbox(settings) as sandbox,
        service_in(place, sandbox, PORT=port, PUBLIC_URL=address) as service,
    ):
        (place.folder("Alpha") / "clip.mov").write_bytes(b"frame")
        await service.discover()
        desk = Desk(browser, service)
        page = await desk.page("/", signed_in=False)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url.replace("ws://", "http://")))
        await page.get_by_label("User name").fill("admin")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page).to_have_url(f"{address}/folders")
        job_id = await service.submit(place.folder("Alpha"))
        await expect(page.get_by_role("link", name="Job of Alpha")).to_have_text("Uploading")
        await service.until(job_id)
        await expect(page.get_by_text("Nothing to archive")).to_be_visible()
        await page.get_by_role("link", name="Left out (1)").click()
        await expect(page.get_by_text("already archived")).to_be_visible()
        assert [url for url in asked if not url.startswith(f"{address}/")] == []
        assert f"{address}/ws/jobs" in asked
        await desk.close()
        assert desk.complaints == []


async def test_theme_follows_the_system_unless_one_was_chosen(desk: Desk) -> None:
    for scheme, chosen, shown in (("dark", "", "dark"), ("light", "", "light"), ("light", "dark", "dark")):
        cookies = {"csa_theme": chosen} if chosen else {}
        page = await desk.page("/login", signed_in=False, scheme=scheme, cookies=cookies)
        await expect(page.locator("html")).to_have_attribute("data-bs-theme", shown)
