"""What archiving a folder would do, told without any effect."""

import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.bus import Bus
from cs_archiver.db.database import Database
from cs_archiver.db.folders import Folders
from cs_archiver.domain.folders import Patterns
from cs_archiver.domain.job import OnExisting
from cs_archiver.domain.states import JobStatus
from cs_archiver.services.folders import FolderService
from cs_archiver.services.preview import Previews, PreviewSettings
from cs_archiver.tools.discovery import Discovery
from tests.support.api import BASE_PATH, Api, Destination, refusal_of, running_api
from tests.support.nobody import as_nobody
from tests.support.service import running_service
from tests.support.tampering import plant

GIB_PART = int(0.01 * 1024**3)  # the least that is kept free in these tests
DESTINATION = f"{BASE_PATH}/Production/2024/Alpha"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _plan(api: Api, name: str = "Alpha", **more: str) -> dict[str, Any]:
    response = await api.call("POST", "/api/jobs/preview", json={"folder_path": api.folder(name), **more})
    assert response.status == 200, await response.text()
    plan: dict[str, Any] = await response.json()
    return plan


async def _rescan(api: Api) -> None:
    await api.get("/api/folders", params={"refresh": "true"})


async def test_plan_of_a_sound_folder_has_exactly_these_keys(api: Api, tmp_path: Path) -> None:
    folder = api.nas / "Production" / "2024" / "Alpha"
    (folder / "inside").symlink_to("two.bin")
    (folder / "media" / "outside").symlink_to("/etc/passwd")
    (folder / "media" / "sideways").symlink_to("../../Beta/two.bin")
    plan = await _plan(api)
    free = plan.pop("space_free_bytes")
    now = os.statvfs(tmp_path)
    assert abs(free - now.f_bavail * now.f_frsize) < 2**30
    assert plan == {
        "folder_path": str(folder),
        "folder_name": "Alpha",
        "can_be_archived": True,
        "obstacles": [],
        "files": 2,
        "folders": 1,
        "links": 3,
        "size_bytes": 1536,
        "links_leading_out": {
            "count": 2,
            "examples": ["'media/outside' -> '/etc/passwd'", "'media/sideways' -> '../../Beta/two.bin'"],
        },
        "unsupported": {"count": 0, "examples": []},
        "unreadable": {"count": 0, "examples": []},
        "space_needed_bytes": 1536 + GIB_PART,
        "waits_for_space": free < 1536 + GIB_PART,
        "destination": f"{DESTINATION}.tar.7z",
        "destination_exists": False,
        "new_version_destination": f"{DESTINATION}.tar.7z",
        "expected_seconds": None,
        "will_delete": {
            "files": 2,
            "folders": 1,
            "links": 3,
            "size_bytes": 1536,
            "marker_path": f"{folder}/Alpha-ARCHIVED-TO-GLOBUS.txt",
        },
    }


async def test_what_cannot_be_archived_is_named_and_the_job_would_be_refused(api: Api) -> None:
    folder = api.nas / "Production" / "2024" / "Alpha"
    os.mkfifo(folder / "media" / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(folder)  # the whole path would be too long for a socket
        listener.bind("socket")
        os.chdir(here)
        await _rescan(api)
        plan = await _plan(api)
    assert plan["unsupported"] == {"count": 2, "examples": ["'media/pipe'", "'socket'"]}
    assert plan["can_be_archived"] is False
    (obstacle,) = plan["obstacles"]
    refused = await api.call("POST", "/api/jobs", json={"folder_path": api.folder("Alpha")})
    document = await refusal_of(refused, 409, obstacle["problem"])
    assert document["detail"] == obstacle["detail"]


@asynccontextmanager
async def _previews_of(nas: Path) -> AsyncIterator[tuple[Previews, FolderService]]:
    """The service alone, over a folder that nobody, too, can enter."""
    database = await Database.open(nas.parent / "archiver.db", read_connections=2)
    for path in nas.parent.glob("archiver.db*"):  # they are made for their owner alone
        path.chmod(0o666)
    folders = FolderService(Discovery(bytes(nas), Patterns((), ()), threads=2), Folders(database), Bus())
    settings = PreviewSettings(nas.parent, "/", min_free_gb=0.01, size_estimate_ratio=0.7, threads=2)
    try:
        yield Previews(database, folders, settings, why_taken=Destination().is_taken), folders
    finally:
        await folders.close()
        await database.close()


@pytest.fixture
def open_nas() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="preview-", dir="/tmp"))
    place.chmod(0o755)
    yield place / "nas"
    shutil.rmtree(place)


async def test_what_cannot_be_read_is_named(open_nas: Path) -> None:
    folder = plant(open_nas / "Production" / "2024" / "Alpha", "one.mov", "closed.mov", "shut/two.mov", "three.mov")
    for path in (open_nas, *open_nas.rglob("*")):
        path.chmod(0o755)
    folder.chmod(0o777)
    (folder / "closed.mov").chmod(0)
    async with _previews_of(open_nas) as (previews, folders):
        with as_nobody():
            await folders.scan(refresh=True)
            plan = await previews.of(str(folder), OnExisting.FAIL)
            assert plan.contents.unreadable.examples == ["'closed.mov': Permission denied"]
            assert [obstacle.problem for obstacle in plan.obstacles] == ["folder-not-archivable"]
        (folder / "shut").chmod(0)
        with as_nobody():
            await folders.scan(refresh=True)
            plan = await previews.of(str(folder), OnExisting.FAIL)
        assert plan.contents.unreadable.examples == [
            "'closed.mov': Permission denied",
            "'shut': Permission denied",
        ]
        assert [obstacle.problem for obstacle in plan.obstacles] == ["folder-not-archivable"]


async def test_folder_that_could_not_be_emptied_in_the_end_is_an_obstacle(open_nas: Path) -> None:
    folder = plant(open_nas / "Production" / "2024" / "Alpha")
    for path in (open_nas, *open_nas.rglob("*")):
        path.chmod(0o755)
    async with _previews_of(open_nas) as (previews, folders):
        with as_nobody():
            await folders.scan(refresh=True)
            plan = await previews.of(str(folder), OnExisting.FAIL)
    assert [obstacle.problem for obstacle in plan.obstacles] == ["folder-not-archivable"]
    assert "write" in plan.obstacles[0].detail


async def test_archive_that_exists_is_an_obstacle_unless_a_new_version_is_wanted(api: Api) -> None:
    api.destination.taken[f"{DESTINATION}.tar.7z"] = "A verified archive is there"
    api.destination.taken[f"{DESTINATION}.v2.tar.7z"] = "Another one"
    plan = await _plan(api)
    assert plan["destination_exists"] is True
    assert plan["new_version_destination"] == f"{DESTINATION}.v3.tar.7z"
    assert [obstacle["problem"] for obstacle in plan["obstacles"]] == ["destination-exists"]
    plan = await _plan(api, on_existing="new_version")
    assert (plan["destination_exists"], plan["obstacles"]) == (True, [])


async def test_version_that_another_job_is_sending_is_passed_over(api: Api) -> None:
    api.destination.taken[f"{DESTINATION}.tar.7z"] = "A verified archive is there"
    other = await api.queue.get((await api.submit("Beta"))["job_id"])
    changes = {"globus_destination_path": f"{DESTINATION}.v2.tar.7z"}
    await api.queue.move(other, JobStatus.COPYING, changes)
    assert (await _plan(api))["new_version_destination"] == f"{DESTINATION}.v3.tar.7z"


async def test_active_job_is_an_obstacle(api: Api) -> None:
    await api.submit("Alpha")
    plan = await _plan(api)
    assert [obstacle["problem"] for obstacle in plan["obstacles"]] == ["already-queued"]
    assert plan["can_be_archived"] is False


async def test_what_globus_does_not_say_is_unknown(api: Api) -> None:
    api.destination.is_silent = True
    plan = await _plan(api)
    assert (plan["destination_exists"], plan["new_version_destination"]) == (None, None)
    assert plan["can_be_archived"] is True


async def test_plan_has_no_effect(api: Api, tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, int, int]]:
        found = []
        for path in sorted(api.nas.rglob("*")):
            status = path.lstat()
            found.append((str(path), status.st_mode, status.st_mtime_ns, status.st_ctime_ns))
        return found

    before = state()
    with api.bus.subscribe() as events:
        await _plan(api)
        await _plan(api, on_existing="new_version")
        assert events.qsize() == 0
    assert state() == before
    assert await api.get("/api/jobs") == []
    there = {"nas", "storage", "archiver.db", "archiver.db-wal", "archiver.db-shm"}
    assert not {path.name for path in tmp_path.iterdir()} - there
    assert not list((tmp_path / "storage").iterdir())


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("Production/2024/Missing", 404, "folder-not-found"),
        ("Production/2024/linked", 404, "folder-not-found"),
        ("Production/2024/../2024/Alpha", 404, "folder-not-found"),
        ("Production/2024", 404, "folder-not-found"),
        ("Production/2023/Old", 409, "already-archived"),
        ("Production/2023/Empty", 409, "nothing-to-archive"),
        ("Production/2024/Alpha\0", 422, "invalid-value"),
    ],
)
async def test_folder_that_is_not_on_offer_has_no_plan(api: Api, path: str, status: int, problem: str) -> None:
    response = await api.call("POST", "/api/jobs/preview", json={"folder_path": f"{api.nas}/{path}"})
    await refusal_of(response, status, problem)


async def test_nas_out_of_reach_has_no_plan(api: Api) -> None:
    api.nas.rename(api.nas.with_name("gone"))
    response = await api.call("POST", "/api/jobs/preview", json={"folder_path": api.folder("Alpha")})
    await refusal_of(response, 503, "source-unavailable")


async def test_plan_that_takes_too_long_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cs_archiver.services.preview._LONGEST_SECONDS", 0.0)
    response = await api.call("POST", "/api/jobs/preview", json={"folder_path": api.folder("Alpha")})
    await refusal_of(response, 503, "preview-too-long")


async def test_what_is_told_is_what_the_job_then_does(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        folder = plant(service.place.folder("Alpha"))
        await service.discover()
        for destination in ("/Production/2024/Alpha.tar.7z", "/Production/2024/Alpha.v2.tar.7z"):
            body = {"folder_path": str(folder), "on_existing": "new_version"}
            status, plan = await service.call("POST", "/api/jobs/preview", json=body)
            assert (status, plan["can_be_archived"]) == (200, True)
            assert plan["new_version_destination"] == destination
            job = await service.until(await service.submit(folder, on_existing="new_version"))
            assert (job["status"], job["globus_destination_path"]) == ("completed", destination)
            assert job["folder_size_bytes"] == plan["will_delete"]["size_bytes"]
            marker = Path(plan["will_delete"]["marker_path"])
            assert list(folder.iterdir()) == [marker]
            status, _ = await service.call("POST", "/api/jobs/preview", json=body)
            assert status == 409
            marker.unlink()
            plant(folder)
            await service.discover()
        status, cleared = await service.call("DELETE", "/api/jobs/completed")
        assert (status, cleared) == (200, {"deleted_count": 2})
        status, plan = await service.call("POST", "/api/jobs/preview", json={"folder_path": str(folder)})
        assert (plan["destination_exists"], plan["can_be_archived"]) == (True, False)


async def test_a_folder_that_can_never_fit_on_the_storage_disk_is_told_before_it_is_asked_for(api: Api) -> None:
    large = api.nas / "Production" / "2024" / "Alpha" / "large.mov"
    large.touch()
    os.truncate(large, 12 * 1024**4)
    plan = await _plan(api)
    assert not plan["can_be_archived"]
    told = "it can never fit: 20.4 TiB of disk space needed, and the whole disk of [storage] base_path has"
    assert [told in str(obstacle) for obstacle in plan["obstacles"]] == [True]
