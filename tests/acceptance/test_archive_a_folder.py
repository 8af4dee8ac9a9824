"""The main story: a person signs in, picks folders, and each ends up proven at Globus with only a marker left."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cs_archiver.demo.compare import compare, extract
from tests.support.service import Service, history_of, keep_copy, query, running_service
from tests.support.trees import plant_awkward_tree

ALL_STATES = [
    "queued",
    "copying",
    "compressing",
    "verifying",
    "awaiting_upload",
    "uploading",
    "upload_verifying",
    "deleting_source",
    "completed",
]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path) as running:
        yield running


async def test_a_folder_is_archived_and_can_be_restored_as_it_was(service: Service, tmp_path: Path) -> None:
    folder = service.place.folder("Project Älpha")
    plant_awkward_tree(folder)
    original = keep_copy(folder, tmp_path / "originals")

    job = await service.archive(folder)

    assert job["status"] == "completed", job
    assert job["progress_percent"] == 100
    assert job["globus_destination_path"] == "/Production/2024/Project Älpha.tar.7z"
    assert os.listdir(folder) == ["Project Älpha-ARCHIVED-TO-GLOBUS.txt"]
    extract(service.place.archive_of(folder), tmp_path / "restored")
    assert compare(original, tmp_path / "restored" / folder.name) == []


async def test_the_marker_begins_with_the_lines_of_the_requirements(service: Service) -> None:
    folder = service.place.folder()
    (folder / "file1.mp4").write_bytes(b"video")

    job = await service.archive(folder)

    lines = (folder / "Project_Alpha-ARCHIVED-TO-GLOBUS.txt").read_text().splitlines()
    assert lines[0].startswith("Archived on: 20")
    assert lines[0].endswith(" UTC")
    assert lines[1:5] == [
        "Archive name: Project_Alpha.tar.7z",
        "Globus path: /Production/2024/Project_Alpha.tar.7z",
        f"Job ID: {job['job_id']}",
        "User: admin",
    ]
    assert lines[-1] == "Source deletion: is complete"


async def test_nothing_of_a_finished_job_stays_on_the_local_disk(service: Service) -> None:
    folder = service.place.folder()
    (folder / "file1.mp4").write_bytes(b"video")

    await service.archive(folder)

    left = [path for path in service.place.storage.rglob("*") if path.is_file()]
    assert sorted(path.name for path in left) == [".cs-archiver.lock", ".cs-archiver.sent"]
    assert os.listdir(service.place.storage / "archives") == []
    assert os.listdir(service.place.storage / "temp") == []


async def test_the_log_tells_every_step_and_the_history_every_state(service: Service) -> None:
    folder = service.place.folder()
    (folder / "file1.mp4").write_bytes(b"video")

    job = await service.archive(folder)

    log = "\n".join(await service.log_of(job["job_id"]))
    for step in (
        "Job created by admin",
        "Job started",
        "Copying from the NAS: 1 file, 5 B, by shutil",
        "Copy complete (5 B)",
        "Starting compression",
        "Compression complete",
        "Archive integrity verified",
        "Starting Globus upload",
        "Upload complete",
        "Verification 1/3",
        "Verification 2/3",
        "Verification 3/3",
        "deletion authorised",
        "Source deleted: 1 file, 5 B (5 bytes)",
        "Local archive deleted",
        "Job completed",
    ):
        assert step in log, step
    assert "ERROR" not in log
    assert history_of(service, job["job_id"]) == ALL_STATES


async def test_folders_of_one_name_under_different_parents_stay_apart(service: Service, tmp_path: Path) -> None:
    folders = [service.place.folder("Take 01", "Events", level2) for level2 in ("Spring", "Autumn")]
    for folder in folders:
        (folder / "same.jpg").write_bytes(os.fsencode(folder))
    await service.discover()

    jobs = [await service.submit(folder) for folder in folders]

    for folder, job_id in zip(folders, jobs, strict=True):
        assert (await service.until(job_id))["status"] == "completed"
        extract(service.place.archive_of(folder), tmp_path / folder.parent.name)
        assert (tmp_path / folder.parent.name / "Take 01" / "same.jpg").read_bytes() == os.fsencode(folder)


async def test_an_archived_folder_is_no_longer_offered(service: Service) -> None:
    folder = service.place.folder()
    (folder / "file1.mp4").write_bytes(b"video")

    await service.archive(folder)

    assert (await service.call("GET", "/api/folders"))[1] == []
    assert await service.discover() == []


async def test_the_catalogue_keeps_the_archive_and_every_file(service: Service) -> None:
    folder = service.place.folder()
    (folder / "file1.mp4").write_bytes(b"video")
    os.utime(folder / "file1.mp4", ns=(1, 1_500_000_000_123_456_789))

    job = await service.archive(folder)

    rows = query(
        service,
        "SELECT a.globus_path, a.created_by, a.source_deleted_at IS NOT NULL, CAST(e.path AS TEXT), e.size,"
        " e.mtime_ns, hex(e.sha256) FROM archives a JOIN manifest_entries e"
        " ON e.manifest_id = a.manifest_id WHERE a.job_id = ?",
        job["job_id"],
    )
    assert len(rows) == 1
    *row, digest = rows[0]
    path = "/Production/2024/Project_Alpha.tar.7z"
    assert row == [path, "admin", 1, "file1.mp4", 5, 1_500_000_000_123_456_789]
    assert digest == hashlib.sha256(b"video").hexdigest().upper()
