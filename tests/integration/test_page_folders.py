"""The folders as pages: what is listed and in which order, what archiving would do, and asking for it."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db import tables
from cs_archiver.domain.states import JobStatus
from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.discovery import Discovery
from tests.integration.test_queue import proven
from tests.support.api import Api, running_api
from tests.support.pages import Parsed, parsed, send, show

ODD = "Æther #1 <b>"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _names(api: Api, query: str = "", path: str = "/folders") -> list[str]:
    """The folders on the page, in order: each stands with its path in the tooltip."""
    page = await parsed(api, path + query)
    paths = [held.get("title") or "" for tag, held in page.tags if tag == "span"]
    return [path.rpartition("/")[2] for path in paths if "/nas/" in path]


def _grow(api: Api) -> None:
    (Path(api.folder("Gamma")) / "more.bin").write_bytes(b"x" * 5000)
    other = api.nas / "Events" / "Harbour" / "alpha"
    other.mkdir(parents=True)
    (other / "a.bin").write_bytes(b"x")


async def _scan(api: Api) -> None:
    await api.get("/api/folders?refresh=true")


async def test_folders_are_listed_by_place_and_name_whatever_their_case(api: Api) -> None:
    await asyncio.to_thread(_grow, api)
    await _scan(api)
    assert await _names(api) == ["alpha", "Alpha", "Beta", "Gamma", ODD]
    assert await _names(api, "?sort=-level1") == ["Alpha", "Beta", "Gamma", ODD, "alpha"]
    assert await _names(api, "?sort=-name") == [ODD, "Gamma", "Beta", "alpha", "Alpha"]
    assert await _names(api, "?sort=size") == ["alpha", "Alpha", "Beta", ODD, "Gamma"]
    assert (await _names(api, "?sort=-files"))[0] == "Gamma"
    assert (await _names(api, "?sort=-modified"))[0] in {"alpha", "Gamma"}


async def test_folders_are_found_by_words_and_levels_and_shown_a_page_at_a_time(api: Api) -> None:
    await asyncio.to_thread(_grow, api)
    await _scan(api)
    assert await _names(api, "?q=ALPHA") == ["alpha", "Alpha"]
    assert await _names(api, "?q=harb") == ["alpha"]
    assert await _names(api, "?q=%25") == []
    assert await _names(api, "?level1=Production&level2=2024&q=a") == ["Alpha", "Beta", "Gamma"]
    assert await _names(api, "?q=&level1=&level2=") == await _names(api)
    page = await parsed(api, "/folders?q=alpha")
    assert "2 folders found" in " ".join(page.text.split())
    assert await _names(api, "?per=10&page=2") == []
    assert "There is no page 2" in (await parsed(api, "/folders?per=10&page=2")).text


async def test_names_are_text_wherever_they_stand(api: Api) -> None:
    text = await (await show(api, "/folders")).text()
    assert "Æther #1 &lt;b&gt;" in text
    assert "<b>" not in text
    assert ODD in Parsed(text).text
    plan = await (await show(api, "/folders/archive", params={"path": api.folder(ODD)})).text()
    assert "<b>" not in plan
    assert f"Archive {ODD}?" in Parsed(plan).text


async def test_folder_that_is_being_archived_shows_the_state_of_its_job(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    await api.queue.move(await api.queue.get(job_id), JobStatus.COPYING)
    page = await parsed(api, "/folders")
    assert f"/jobs/{job_id}" in page.addresses()
    assert any(held.get("data-job-state") == job_id and "state-copying" in str(held["class"]) for _, held in page.tags)
    boxes = [held["value"] for tag, held in page.tags if tag == "input" and held.get("name") == "path"]
    assert api.folder("Alpha") not in boxes
    assert api.folder("Beta") in boxes


async def test_left_out_folders_are_shown_with_the_reason(api: Api) -> None:
    page = await parsed(api, "/folders/left-out")
    for reason in ("already archived", "it holds no file", "a symbolic link"):
        assert reason in page.text
    assert await _names(api, "?q=symbolic", "/folders/left-out") == ["linked"]
    assert await _names(api, "?sort=-name", "/folders/left-out") == ["Old", "linked", "Empty"]
    assert "Nothing matches" in (await parsed(api, "/folders/left-out?q=zzz")).text


async def test_empty_list_says_what_to_do(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async with api.database.write() as connection:
        await connection.execute(tables.folders.delete())
    assert "Folders appear here once they lie three levels below" in (await parsed(api, "/folders")).text
    async with api.database.write() as connection:
        await connection.execute(tables.scans.delete())
    held = HeldDiscovery(monkeypatch)
    assert "looked through for the first time" in (await parsed(api, "/folders")).text
    held.may_go_on.set()
    await _until_scanned(api)
    assert await _names(api) == ["Alpha", "Beta", "Gamma", ODD]


async def test_plan_says_what_would_happen_and_does_nothing(api: Api) -> None:
    text = " ".join((await parsed(api, "/folders/archive", params={"path": api.folder("Alpha")})).text.split())
    for said in ("2 files in 1 sub-folder,", "1.50 KiB", "/Archive/Production/2024/Alpha.tar.7z", "only after"):
        assert said in text
    assert "Alpha-ARCHIVED-TO-GLOBUS.txt" in text
    assert "nothing was archived before" in text
    assert (await api.get("/api/queue"))["queued_jobs"] == []


async def test_plan_goes_by_the_time_the_last_jobs_took(api: Api) -> None:
    job = await api.queue.move(await proven(api.database, api.queue), JobStatus.DELETING_SOURCE)
    await api.queue.move(job, JobStatus.COMPLETED)
    history = tables.job_history
    async with api.database.write() as connection:
        await connection.exec_driver_sql("DROP TRIGGER job_history_is_append_only_u")
        await connection.execute(tables.archives.update().values(source_deleted_at="2026-01-01T00:10:00.000Z"))
        await connection.execute(tables.manifests.update().values(bytes=1536))
        for state, at in (("copying", "2026-01-01T00:00:00.000Z"), ("completed", "2026-01-01T00:10:00.000Z")):
            await connection.execute(history.update().where(history.c.to_status == state).values(at=at))
        await connection.execute(tables.jobs.delete())
    text = " ".join((await parsed(api, "/folders/archive", params={"path": api.folder("Alpha")})).text.split())
    assert "about 10 min once it begins" in text


async def test_plan_of_what_cannot_be_archived_says_why(api: Api) -> None:
    for name, status, said in (("gone", 404, "did not find it"), ("Alpha/..", 404, "has '..' in it")):
        response = await show(api, "/folders/archive", params={"path": api.folder(name)})
        assert response.status == status
        assert said in Parsed(await response.text()).text
    old = str(api.nas / "Production" / "2023" / "Old")
    response = await show(api, "/folders/archive", params={"path": old})
    assert (response.status, "already archived" in await response.text()) == (409, True)


async def test_folder_that_is_taken_at_the_destination_needs_a_decision(api: Api) -> None:
    api.destination.taken["/Archive/Production/2024/Alpha.tar.7z"] = "There is an archive of this name"
    page = await parsed(api, "/folders/archive", params={"path": api.folder("Alpha")})
    assert "as Alpha.v2.tar.7z" in " ".join(page.text.split())
    (box,) = [held for tag, held in page.tags if tag == "input" and held.get("name") == "on_existing"]
    assert "required" in box
    refused = await send(api, "/folders/archive", {"path": api.folder("Alpha")})
    assert (refused.status, "There is an archive" in await refused.text()) == (409, True)
    accepted = await send(api, "/folders/archive", {"path": api.folder("Alpha"), "on_existing": "new_version"})
    assert accepted.status == 303


async def test_several_are_asked_for_together_each_once(api: Api) -> None:
    paths = [("path", api.folder(name)) for name in ("Alpha", "Gamma", "Alpha", "gone")]
    response = await send(api, "/folders/plan", paths)
    page = Parsed(await response.text())
    assert "Archive 3 folders?" in page.text
    assert "Will not be archived" in page.text
    hidden = [held["value"] for tag, held in page.tags if tag == "input" and held.get("name") == "path"]
    assert hidden == [api.folder("Alpha"), api.folder("Gamma")]
    response = await send(api, "/folders/archive", paths)
    assert response.status == 303
    assert response.headers["Location"].startswith("/queue?flash=")
    queued = (await api.get("/api/queue"))["queued_jobs"]
    assert [job["folder_name"] for job in queued] == ["Alpha", "Gamma"]
    trail = await api.get("/api/audit?action=job_wishes_bulk", username="root")
    assert [(line["target"], line["result"]) for line in reversed(trail)] == [
        (api.folder("Alpha"), "ok"),
        (api.folder("Gamma"), "ok"),
        (api.folder("gone"), "folder-not-found"),
    ]


async def test_those_that_are_all_refused_are_in_the_trail_each_with_the_reason(api: Api) -> None:
    paths = [("path", path) for path in (api.folder("gone"), str(api.nas / "Production" / "2023" / "Old"))]
    assert (await send(api, "/folders/archive", paths)).status == 404
    trail = await api.get("/api/audit?action=job_wishes_bulk", username="root")
    assert [(line["target"], line["result"]) for line in reversed(trail)] == [
        (api.folder("gone"), "folder-not-found"),
        (str(api.nas / "Production" / "2023" / "Old"), "already-archived"),
    ]


async def test_many_are_shown_as_the_last_scan_found_them(api: Api) -> None:
    def plant() -> None:
        for number in range(12):
            folder = api.nas / "Many" / "2025" / f"Folder {number:02}"
            folder.mkdir(parents=True)
            (folder / "file.bin").write_bytes(b"x" * 1000)

    await asyncio.to_thread(plant)
    await _scan(api)
    paths = [("path", str(api.nas / "Many" / "2025" / f"Folder {number:02}")) for number in range(12)]
    text = " ".join(Parsed(await (await send(api, "/folders/plan", paths)).text()).text.split())
    assert "12 folders, 12 files, 11.7 KiB" in text
    assert "Numbers are of the last scan" in text
    assert "To /Archive/Many/2025/Folder 11.tar.7z" in text
    assert "needed for the largest" in text
    assert "not known yet: nothing was archived before" in text
    assert "as new versions; otherwise they are left out" in text
    assert api.destination.asked == []


async def test_nothing_selected_is_said(api: Api) -> None:
    response = await send(api, "/folders/plan", {"csrf": ""})
    assert response.status == 303
    assert response.headers["Location"].startswith("/folders?flash=")


async def test_refused_as_a_whole_shows_the_question_again(api: Api) -> None:
    await api.submit("Alpha")
    response = await send(api, "/folders/archive", {"path": api.folder("Alpha")})
    assert (response.status, response.content_type) == (409, "text/html")


class HeldDiscovery:
    """Stands in for the walk over the NAS: it looks at 7 folders, and then waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go_on = threading.Event()
        self.fails = False
        self._run = Discovery.run
        monkeypatch.setattr(Discovery, "run", lambda *given, **options: self.run(*given, **options))

    def run(self, discovery: Discovery, on_progress: Any, **options: Any) -> Any:
        on_progress(7)
        assert self.may_go_on.wait(30)
        if self.fails:
            raise NeedsOperator("the NAS is gone", problem="source-unavailable")
        return self._run(discovery, on_progress, **options)


async def test_scan_is_followed_while_it_runs(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldDiscovery(monkeypatch)
    last = (await api.get("/api/folders/scan"))["last"]
    assert (last["listed"], last["left_out"]) == (4, 3)
    response = await send(api, "/folders/refresh", {"next": "/folders?q=a"})
    assert (response.status, response.headers["Location"]) == (303, "/folders?q=a")
    try:
        async with asyncio.timeout(20):
            while (scan := await api.get("/api/folders/scan"))["looked_at"] != 7:
                await asyncio.sleep(0.01)
        assert scan["running"] is True
        text = " ".join((await parsed(api, "/folders")).text.split())
        assert "Looking through the NAS: 7 of about 7 folders" in text
        assert (await send(api, "/folders/refresh", {})).status == 303  # joins the one that runs
    finally:
        held.may_go_on.set()
    await _until_scanned(api)
    scan = await api.get("/api/folders/scan")
    assert (scan["looked_at"], scan["failure"]) == (None, None)
    assert scan["last"]["started_at"] > last["started_at"]


async def test_scan_can_be_stopped_on_the_page_and_does_not_begin_again_by_itself(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api.database.write() as connection:
        await connection.execute(tables.folders.delete())
        await connection.execute(tables.scans.delete())
    held = HeldDiscovery(monkeypatch)
    page = await parsed(api, "/folders")
    assert "Stop" in page.text
    assert "/folders/scan/stop" in [held["action"] for tag, held in page.tags if tag == "form"]
    response = await send(api, "/folders/scan/stop", {"next": "/folders?q=a"})
    assert (response.status, response.headers["Location"]) == (303, "/folders?q=a")
    held.may_go_on.set()
    await _until_scanned(api)
    assert "The scan of the NAS was stopped" in (await parsed(api, "/folders")).text
    assert (await api.get("/api/folders/scan"))["running"] is False
    await send(api, "/folders/refresh", {})
    await _until_scanned(api)
    assert await _names(api) == ["Alpha", "Beta", "Gamma", ODD]


async def test_sizes_that_were_taken_over_are_told_and_can_be_measured_again(api: Api) -> None:
    await asyncio.to_thread(_age, api.nas)
    await _scan(api)
    await _scan(api)
    (Path(api.folder("Gamma")) / "more.bin").write_bytes(b"x")
    text = " ".join((await parsed(api, "/folders")).text.split())
    assert "sizes of unchanged folders from" in text
    assert "Measure all again" in text
    await send(api, "/folders/refresh", {"full": "1"})
    await _until_scanned(api)
    scan = await api.get("/api/folders/scan")
    assert scan["last"]["measured_since"] == scan["last"]["started_at"]
    assert "Measure all again" not in (await parsed(api, "/folders")).text


def _age(base: Path) -> None:
    for path in [base, *base.rglob("*")]:
        os.utime(path, (1e9, 1e9), follow_symlinks=False)


async def test_scan_that_fails_says_so_and_keeps_the_list(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldDiscovery(monkeypatch)
    held.fails = True
    held.may_go_on.set()
    await send(api, "/folders/refresh", {})
    await _until_scanned(api)
    page = await parsed(api, "/folders")
    assert "could not be scanned: the NAS is gone" in " ".join(page.text.split())
    assert "Alpha" in page.text
    assert (await api.get("/api/folders/scan"))["failure"] == "the NAS is gone"
    held.fails = False
    await _scan(api)
    assert (await api.get("/api/folders/scan"))["failure"] is None


async def _until_scanned(api: Api) -> None:
    async with asyncio.timeout(20):
        while (await api.get("/api/folders/scan"))["running"]:
            await asyncio.sleep(0.01)
