"""Health, version, status and the page for people."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

import cs_archiver
from cs_archiver.domain.states import JobStatus
from cs_archiver.services import status as status_module
from tests.support.api import Api, running_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def test_health_says_this_and_nothing_else_to_anyone(api: Api) -> None:
    document = await api.get("/api/health", token="")
    assert set(document) == {"status", "timestamp"}
    assert document["status"] == "healthy"
    assert document["timestamp"].endswith("Z")


async def test_version_is_that_of_the_package(api: Api) -> None:
    assert await api.get("/api/version") == {"version": cs_archiver.__version__}


async def test_status_has_exactly_these_keys(api: Api) -> None:
    document = await api.get("/api/system/status")
    idle = {"status": "idle", "current_job_id": None}
    keys = {"disk_space", "workers", "statistics", "switches", "warnings", "checks", "globus_sandbox"}
    assert set(document) == keys
    assert set(document["disk_space"]) == {"total_gb", "used_gb", "free_gb", "percent_used"}
    assert all(isinstance(value, float) for value in document["disk_space"].values())
    assert document["workers"] == {"copy_compress": idle, "upload": idle}
    assert document["statistics"] == {
        "total_jobs": 0,
        "completed_jobs": 0,
        "failed_jobs": 0,
        "queued_jobs": 0,
    }
    assert isinstance(document["warnings"], list)
    assert document["globus_sandbox"] is False


async def test_status_gives_the_space_under_the_storage_folder(api: Api, tmp_path: Path) -> None:
    disk = (await api.get("/api/system/status"))["disk_space"]
    assert disk["total_gb"] == round(psutil.disk_usage(str(tmp_path)).total / 1024**3, 2)


async def test_status_counts_jobs_and_names_the_one_in_hand(api: Api) -> None:
    ids = [(await api.submit(name))["job_id"] for name in ("Alpha", "Beta", "Gamma")]
    await api.queue.move(await api.queue.get(ids[0]), JobStatus.COPYING)
    await api.queue.move(await api.queue.get(ids[1]), JobStatus.FAILED)
    document = await api.get("/api/system/status")
    assert document["workers"]["copy_compress"] == {"status": "busy", "current_job_id": ids[0]}
    assert document["workers"]["upload"] == {"status": "idle", "current_job_id": None}
    assert document["statistics"] == {
        "total_jobs": 3,
        "completed_jobs": 0,
        "failed_jobs": 1,
        "queued_jobs": 1,
    }


async def test_nearly_full_disk_is_warned_of(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    full = status_module.DiskSpace(100, 81, 19, 81.0)
    monkeypatch.setattr(status_module, "_disk_space", lambda path: full)
    (warning,) = (await api.get("/api/system/status"))["warnings"]
    assert "19.0 %" in warning
    monkeypatch.setattr(status_module, "_disk_space", lambda path: status_module.DiskSpace(100, 80, 20, 80.0))
    assert (await api.get("/api/system/status"))["warnings"] == []


async def test_disk_that_is_not_there_is_said_and_the_rest_still_answered(tmp_path: Path) -> None:
    async with running_api(tmp_path, storage=tmp_path / "gone") as api:
        document = await api.get("/api/system/status")
        assert set(document["disk_space"].values()) == {None}
        assert len(document["warnings"]) == 1
        assert document["statistics"]["total_jobs"] == 0


async def test_disk_that_does_not_answer_holds_up_nobody(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answered, calls = threading.Event(), []

    def hang(path: str) -> status_module.DiskSpace:
        calls.append(path)
        answered.wait(30)
        return status_module.DiskSpace(100, 50, 50, 50.0)

    monkeypatch.setattr(status_module, "_DISK_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(status_module, "_disk_space", hang)
    try:
        for _ in range(3):
            document = await api.get("/api/system/status")
            assert set(document["disk_space"].values()) == {None}
            assert "does not answer" in document["warnings"][0]
        assert len(calls) == 1
    finally:
        answered.set()
    monkeypatch.setattr(status_module, "_DISK_PATIENCE_SECONDS", 30)
    assert (await api.get("/api/system/status"))["disk_space"]["percent_used"] == 50.0
    assert len(calls) <= 2  # those who gave up left nothing behind in line


async def test_description_shows_how_to_begin_with_curl_at_the_address_for_people(tmp_path: Path) -> None:
    async with running_api(tmp_path, public_url="https://archiver.test") as api:
        page = await (await api.call("GET", "/api/docs", token="")).text()
        assert "SERVER=https://archiver.test\n" in page
        assert "/api/auth/login" in page
        assert "<script" not in page


async def test_sandbox_is_named_on_every_page_and_in_the_status(tmp_path: Path) -> None:
    async with running_api(tmp_path, is_globus_sandbox=True) as api:
        assert "Sandbox" in await (await api.call("GET", "/login", token="")).text()
        assert (await api.get("/api/system/status"))["globus_sandbox"] is True
