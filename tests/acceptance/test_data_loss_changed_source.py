"""Decisions, data loss 4, second half: a source that changed since it was copied is kept, all of it."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.service import Service, running_service
from tests.support.tampering import (
    Kept,
    files_in,
    held_at_globus,
    plant,
    rewrite_in_place,
    until_told,
)

Change = Callable[[Path], object]


def add(folder: Path) -> None:
    (folder / "sub" / "added.mov").write_text("not in the archive\n")


def add_empty_folder(folder: Path) -> None:
    (folder / "sub" / "empty").mkdir()


def edit(folder: Path) -> None:
    with (folder / "one.mov").open("a") as file:
        file.write("more\n")


def edit_in_the_same_size(folder: Path) -> None:
    (folder / "one.mov").write_text("X" * (folder / "one.mov").stat().st_size)


def edit_unseen(folder: Path) -> None:
    rewrite_in_place(folder / "one.mov", b"X" * (folder / "one.mov").stat().st_size)


def remove(folder: Path) -> None:
    (folder / "one.mov").unlink()


def rename(folder: Path) -> None:
    (folder / "one.mov").rename(folder / "eno.mov")


def replace_file_by_link(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    os.symlink((folder / "one.mov").rename(elsewhere / "one.mov"), folder / "one.mov")


def replace_subfolder_by_link(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    os.symlink((folder / "sub").rename(elsewhere), folder / "sub")


def redirect_link(folder: Path) -> None:
    status = (folder / "link").lstat()
    (folder / "link").unlink()
    os.symlink("sub/eno.mov", folder / "link")
    os.utime(folder / "link", ns=(0, status.st_mtime_ns), follow_symlinks=False)


def replace_by_equal_folder(folder: Path) -> None:
    shutil.copytree(folder.rename(folder.with_name("the one copied")), folder, symlinks=True)


CHANGES: dict[str, tuple[Change, str]] = {
    "a file is added": (add, "'sub/added.mov' added"),
    "an empty folder is added": (add_empty_folder, "'sub/empty' added"),
    "a file grows": (edit, "'one.mov' size"),
    "a file is rewritten in the same size": (edit_in_the_same_size, "'one.mov' modification time changed"),
    "a file is rewritten in the same size and time": (edit_unseen, "'one.mov' content changed"),
    "a file is removed": (remove, "'one.mov' removed"),
    "a file is renamed": (rename, "'eno.mov' added; 'one.mov' removed"),
    "a file becomes a link": (replace_file_by_link, "'one.mov' was a file, now a link"),
    "a folder becomes a link": (replace_subfolder_by_link, "'sub' was a dir, now a link"),
    "a link leads elsewhere": (redirect_link, "'link' link target changed"),
    "another folder takes its place": (replace_by_equal_folder, "is not the one that was copied"),
}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path) as running:
        yield running


def plant_with_link(service: Service) -> Path:
    folder = plant(service.place.folder())
    os.symlink("sub/two.mov", folder / "link")
    return folder


@pytest.mark.parametrize("name", CHANGES)
async def test_nothing_is_deleted_when_after_the_copy(name: str, service: Service, tmp_path: Path) -> None:
    change, told = CHANGES[name]
    folder = plant_with_link(service)
    copied = Kept(folder, tmp_path / "copies")
    async with held_at_globus(service, folder) as job_id:
        change(folder)
        neighbours = Kept(folder.parent, tmp_path / "changed")

    job = await service.until(job_id)

    assert job["status"] == "failed"
    assert told in job["error_message"]
    assert f"is safe at {job['globus_destination_path']}" in job["error_message"]
    assert neighbours.losses() == []
    assert copied.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


async def test_other_permissions_are_no_change(service: Service) -> None:
    folder = plant(service.place.folder())
    async with held_at_globus(service, folder) as job_id:
        (folder / "one.mov").chmod(0o600)
        (folder / "sub").chmod(0o700)

    assert (await service.until(job_id))["status"] == "completed"
    assert files_in(folder) == ["Project_Alpha-ARCHIVED-TO-GLOBUS.txt"]


@pytest.mark.parametrize("name", ["a file is added", "a file is rewritten in the same size", "a file is removed"])
async def test_without_the_second_reading_nothing_is_deleted_either_when(name: str, tmp_path: Path) -> None:
    change, told = CHANGES[name]
    async with running_service(tmp_path, VERIFICATION_RECHECK="metadata") as service:
        folder = plant_with_link(service)
        async with held_at_globus(service, folder) as job_id:
            change(folder)
            kept = Kept(folder, tmp_path / "changed")

        job = await service.until(job_id)

        assert job["status"] == "failed"
        assert told in job["error_message"]
        assert kept.losses() == []


async def test_only_the_second_reading_is_skipped_when_it_is_switched_off(tmp_path: Path) -> None:
    async with running_service(tmp_path, VERIFICATION_RECHECK="metadata") as service:
        folder = plant(service.place.folder())
        async with held_at_globus(service, folder) as job_id:
            edit_unseen(folder)

        assert (await service.until(job_id))["status"] == "completed"


async def test_a_folder_that_is_a_link_now_is_waited_for_and_never_followed(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    elsewhere = folder.with_name("elsewhere")
    async with held_at_globus(service, folder) as job_id:
        folder.rename(elsewhere)
        folder.symlink_to(elsewhere)

    await until_told(service, job_id, "is not there: check the NAS mount; nothing is deleted")
    kept.folder = elsewhere
    assert kept.losses() == []

    folder.unlink()
    elsewhere.rename(folder)
    assert (await service.until(job_id))["status"] == "completed"
