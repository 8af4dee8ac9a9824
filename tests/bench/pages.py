"""What pages cost the one who looks at them: first paint of long lists, weight, layout shift, and the age of news."""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

from playwright.async_api import Browser, Page, expect

from cs_archiver.domain.events import JobUpdate, StepProgress
from cs_archiver.domain.states import JobStatus
from tests.bench.frame.benchmark import Benchmark, Claim, Findings, Order
from tests.bench.frame.document import table
from tests.bench.frame.rounds import percentiles
from tests.support.api import Api, running_api
from tests.support.browser import Desk, chromium
from tests.support.jobs import submit
from tests.support.service import Place, Service, running_service

_MOST_WEIGHT = 150_000
_SHIFTS = """
    window.shifts = [];
    new PerformanceObserver((list) => window.shifts.push(...list.getEntries().filter((entry) => !entry.hadRecentInput)))
        .observe({ type: "layout-shift", buffered: true });
"""
_MOVED = """window.shifts.filter(({ sources }) => !sources.some(({ node }) => node?.id === "toasts"))
    .reduce((sum, { value }) => sum + value, 0)"""  # notes in the corner make room for each other
_SEEN = """() => {
    window.seen = {};
    const look = () => requestAnimationFrame(() => {
        const text = document.querySelector("[data-operation]")?.textContent ?? "";
        window.seen[text] ??= performance.timeOrigin + performance.now();
    });
    new MutationObserver(look).observe(document.querySelector("main"),
        { subtree: true, childList: true, characterData: true });
}"""

_UPDATES_A_SECOND = 10


@dataclass(frozen=True, slots=True)
class _Scale:
    folders: int
    jobs: int
    updates: int


_QUICK = _Scale(1_000, 10_000, 100)
_FULL = _Scale(5_000, 100_000, 300)


class Row(NamedTuple):
    """One line of the table; `bound` as in a claim."""

    what: str
    measured: str
    wanted: str
    bound: str | None


async def first_paints(browser: Browser, service: Service, scale: _Scale, *, runs: int) -> list[Row]:
    await asyncio.to_thread(_plant_folders, service.place, scale.folders)
    await service.discover()
    await asyncio.to_thread(_plant_jobs, service.place, scale.jobs)
    rows = []
    for path, what in (("/folders", f"{scale.folders:,} folders"), ("/history", f"{scale.jobs:,} jobs")):
        paints = sorted([await _first_paint(browser, service, path) for _ in range(runs)])
        told = f"{median(paints):.0f} ms, at most {paints[-1]:.0f} ms in {runs} visits"
        bound = None if paints[-1] < 1000 else "the making of a page of rows, and the browser"
        rows.append(Row(f"first contentful paint of {path} with {what}", told, "< 1,000 ms", bound))
    return rows


async def _first_paint(browser: Browser, service: Service, path: str) -> float:
    desk = Desk(browser, service)
    page = await desk.page(path)
    script = """() => new Promise((resolve) => new PerformanceObserver((list) => resolve(list.getEntries().find(
        (entry) => entry.name === "first-contentful-paint").startTime)).observe({ type: "paint", buffered: true }))"""
    paint: float = await page.evaluate(script)
    await desk.close()
    return paint


def _plant_folders(place: Place, count: int) -> None:
    for number in range(count):
        folder = place.folder(f"Production {number:05d}", level2=str(2000 + number % 25))
        (folder / "clip.mov").write_bytes(b"frame " * (number % 100 + 1))


def _plant_jobs(place: Place, count: int) -> None:
    """Cancelled ones, told to the database alone."""
    names = [(f"{number:08x}-0000-4000-8000-000000000000", number, f"Gone {number:06d}") for number in range(count)]
    queued = (
        "INSERT INTO jobs (id, seq, folder_name, level1, level2, source_path, globus_destination_path, status,"
        " created_by, created_at, folder_size_bytes, archive_size_bytes) VALUES (?, ?, ?, 'Production', '2024', ?, ?,"
        " 'queued', 'admin', '2026-01-01T10:00:00.000Z', 5000000, 4000000)"
    )
    with closing(sqlite3.connect(place.database, timeout=60)) as database:
        for begin in range(0, count, 5000):
            some = names[begin : begin + 5000]
            rows = [(name, seq - count, folder, f"/nas/{folder}", f"/{folder}.tar.7z") for name, seq, folder in some]
            database.executemany(queued, rows)
            ended = [(f"2026-01-02T10:{seq // 60 % 60:02d}:{seq % 60:02d}.000Z", name) for name, seq, _ in some]
            database.executemany("UPDATE jobs SET status = 'cancelled', completed_at = ? WHERE id = ?", ended)
            database.commit()


async def weights(browser: Browser, service: Service) -> list[Row]:
    """Each page as somebody loads it who never was here before: all that comes over the wire, headers too."""
    job = await _archived(service, "Weighed")
    paths = [
        "/login", "/password", "/folders", "/folders/left-out", "/queue", "/history", "/history/clear",
        f"/jobs/{job}", f"/jobs/{job}/files", f"/jobs/{job}/cancel", "/settings", "/settings/tokens/new",
        "/admin/users", "/admin/users/new", "/admin/audit", "/nothing", "/api/docs",
    ]  # fmt: skip
    rows = []
    for path in paths:
        weight = await _weight(browser, service, path)
        shown = path.replace(job, "{id}")
        bound = None if weight < _MOST_WEIGHT else "its scripts and styles"
        rows.append(Row(f"weight of {shown}", f"{weight / 1000:.1f} kB", "< 150 kB", bound))
    return rows


async def _weight(browser: Browser, service: Service, path: str) -> float:
    desk = Desk(browser, service)
    page = await desk.page(None, signed_in=path != "/login")
    sizes: list[float] = []
    session = await page.context.new_cdp_session(page)
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    await session.send("Network.enable")
    await page.goto(service.address + path, wait_until="networkidle")
    await desk.close()
    return sum(sizes)


async def shifts(browser: Browser, service: Service) -> list[Row]:
    """How much moves by itself while two jobs go from the folders to the history, and everybody looks on."""
    for name in ("Watched", "Second"):
        (service.place.folder(name) / "clip.mov").write_bytes(b"frame " * 5_000_000)
    await service.discover()
    desk = Desk(browser, service)
    pages = {path: await _shifting(desk, path) for path in ("/folders?q=ed", "/queue", "/history")}
    first = await service.submit(service.place.folder("Watched"))
    pages["/jobs/{id}"] = await _shifting(desk, f"/jobs/{first}")
    second = await service.submit(service.place.folder("Second"))
    for job in (first, second):
        await service.until(job, seconds=300)
    await expect(pages["/jobs/{id}"].locator("#marker pre")).to_contain_text("complete")
    rows = []
    for path, page in pages.items():
        moved: float = await page.evaluate(_MOVED)
        bound = None if moved < 0.0005 else "lines that come and go"
        rows.append(Row(f"layout shift of {path} while two jobs go by", f"{moved:.3f}", "0.000", bound))
    await desk.close()
    return rows


async def _shifting(desk: Desk, path: str) -> Page:
    page = await desk.page(None)
    await page.add_init_script(_SHIFTS)
    await page.goto(desk.service.address + path)
    return page


async def _archived(service: Service, name: str) -> str:
    (service.place.folder(name) / "clip.mov").write_bytes(b"frame " * 1000)
    return str((await service.archive(service.place.folder(name)))["job_id"])


async def ages(browser: Browser, root: Path, *, updates: int) -> list[Row]:
    """How old a job's news is when it stands in the queue's page, counted from its commit by the clock of the machine.

    Here the benchmark is the worker: it commits, and tells the bus, as workers do.
    """
    async with running_api(root) as api:
        job = await api.queue.move(await submit(api.database), JobStatus.COPYING)
        page = await _page_of(browser, api)
        await expect(page.locator("[data-of]")).to_be_visible()
        await expect(page.locator("#lanes .doing").first).to_have_text("Working")
        await page.evaluate(_SEEN)
        while not api.live.count:
            await asyncio.sleep(0.05)
        committed = {}
        for number in range(updates):
            text = f"Copying, file {number}"
            job = await api.queue.checkpoint(job, current_operation=text, progress_percent=number * 100 // updates)
            committed[text] = time.time() * 1000
            step = StepProgress(number * 100 / updates, number, updates, 1e6, 10.0)
            api.bus.publish(JobUpdate(job.id, job.status, job.progress_percent, text, step))
            await asyncio.sleep(1 / _UPDATES_A_SECOND)
        await asyncio.sleep(1)
        seen: dict[str, float] = await page.evaluate("window.seen")
        await page.context.close()
    delays = [seen[text] - at for text, at in committed.items() if text in seen]
    p50, p99, most = percentiles(delays, 0.5, 0.99, 1)
    told = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, at most {most:.0f} ms; {len(delays)} of {updates} shown"
    bound = None if p99 < 200 else "the way from the commit through the socket to the browser's next frame"
    return [Row("from a job update's commit to the frame that shows it", told, "p99 < 200 ms", bound)]


async def _page_of(browser: Browser, api: Api) -> Page:
    address = str(api.client.make_url("/"))
    context = await browser.new_context(base_url=address)
    await context.add_cookies([{"name": "csa", "value": await api.token_of("ann"), "url": address}])
    page = await context.new_page()
    await page.goto("/queue")
    return page


@asynccontextmanager
async def _fresh() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        yield Path(root)


async def _measure(order: Order) -> Findings:
    scale = _FULL if order.full else _QUICK
    rows: list[Row] = []
    async with chromium() as browser:
        async with _fresh() as root, running_service(root) as service:
            rows += await shifts(browser, service)
            rows += await weights(browser, service)
            rows += await first_paints(browser, service, scale, runs=order.rounds)
        async with _fresh() as root:
            rows += await ages(browser, root, updates=scale.updates)
        told = f"Chromium {browser.version}"
    return Findings(_claims(rows), _body(rows, told))


def _claims(rows: list[Row]) -> list[Claim]:
    """Of the weights, only the greatest."""
    weights = [row for row in rows if row.what.startswith("weight of ")]
    heaviest = max(weights, key=lambda row: float(row.measured.split()[0]))
    told = [row for row in rows if row not in weights or row is heaviest]
    return [Claim(row.what, row.wanted, row.measured, "", row.bound) for row in told]


def _body(rows: list[Row], told: str) -> str:
    lines = [(row.what, row.measured, row.wanted) for row in rows]
    return f"""{told}. All resources of a first visit, gzipped, count for the weights. Toasts, which lie above the
page, do not count as shifts. There is no baseline: the budgets are those of the dashboard.

{table(("What", "Measured", "Wanted"), lines)}"""


BENCHMARK = Benchmark("pages", "The dashboard", _measure, versions=("playwright",), by_default=False, in_rounds=False)
