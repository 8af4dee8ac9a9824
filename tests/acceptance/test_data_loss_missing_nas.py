"""Decisions, data loss 5: a NAS or a folder that is not there, or not the one it was, is never taken for done."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest

from cs_archiver.sandbox import Sandbox
from cs_archiver.tools import disk
from tests.faults.mounts import Boundary
from tests.support.service import (
    Place,
    Service,
    keep_copy,
    running_service,
    sandbox_settings,
    service_in,
)
from tests.support.tampering import (
    OF_ROOT_ALONE,
    Kept,
    files_in,
    held_at_globus,
    held_in_the_queue,
    mounted_over,
    plant,
    until_half_deleted,
    until_told,
)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path, MAX_COMPRESSION_RETRIES="1") as running:
        yield running


async def test_a_source_emptied_before_its_turn_is_an_error(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    async with held_in_the_queue(service, folder) as job_id:
        for entry in list(folder.iterdir()):
            entry.rename(tmp_path / entry.name)

    job = await service.until(job_id)

    assert job["status"] == "failed"
    assert "holds no file: is the NAS mounted?" in job["error_message"]
    assert os.listdir(folder) == []
    assert files_in(service.place.remote) == []


async def test_a_source_that_vanished_before_its_turn_is_an_error(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    async with held_in_the_queue(service, folder) as job_id:
        folder.rename(tmp_path / "away")
        job = await service.until(job_id)

    assert job["status"] == "failed"
    assert "was renamed or removed by hand" in job["error_message"]
    assert not folder.exists()


async def test_a_queued_job_waits_for_the_nas(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    base = service.place.nas
    async with held_in_the_queue(service, folder) as job_id:
        away = base.rename(tmp_path / "away")
        await until_told(service, job_id, "is not there: check the NAS mount; nothing is deleted")
    assert (await service.job(job_id))["status"] == "queued"
    assert not base.exists()

    away.rename(base)
    assert (await service.until(job_id))["status"] == "completed"
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


async def test_a_verified_job_waits_for_the_nas_before_it_deletes(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    base = service.place.nas
    async with held_at_globus(service, folder) as job_id:
        away = base.rename(tmp_path / "away")

    await until_told(service, job_id, "is not there: check the NAS mount; nothing is deleted")
    assert (await service.job(job_id))["status"] == "upload_verifying"
    assert not base.exists()
    kept.folder = away / folder.relative_to(base)
    assert kept.losses() == []

    away.rename(base)
    assert (await service.until(job_id))["status"] == "completed"
    assert files_in(folder) == ["Project_Alpha-ARCHIVED-TO-GLOBUS.txt"]


@OF_ROOT_ALONE
@pytest.mark.parametrize("is_queued", [True, False])
async def test_a_job_waits_for_a_nas_under_whose_mount_the_same_folders_lie(tmp_path: Path, is_queued: bool) -> None:
    place = Place(tmp_path).make()
    (tmp_path / "disk").mkdir()
    plant(place.folder("Another project"))  # on the local disk
    with ExitStack() as mounted:
        mounted.enter_context(mounted_over(place.nas, bind=tmp_path / "disk"))
        folder = plant(place.folder())
        kept = Kept(folder, tmp_path / "copies")
        async with running_service(tmp_path) as service:
            async with (held_in_the_queue if is_queued else held_at_globus)(service, folder) as job_id:
                mounted.close()
                assert place.folder("Another project").exists()
                service.sandbox.faults.release()
                await until_told(service, job_id, f"nothing is mounted at '{place.nas}'")
            with mounted_over(place.nas, bind=tmp_path / "disk"):
                assert (await service.until(job_id))["status"] == "completed"
                assert kept.losses_in(place.archive_of(folder), tmp_path / "scratch") == []
                assert files_in(folder) == ["Project_Alpha-ARCHIVED-TO-GLOBUS.txt"]


@OF_ROOT_ALONE
async def test_a_job_waits_for_a_nas_that_fstab_mounts_where_the_service_was_started_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path).make()
    (tmp_path / "disk").mkdir()
    plant(place.folder("Another project"))  # on the local disk
    monkeypatch.setattr(disk, "FSTAB", tmp_path / "fstab")
    in_fstab = str(place.nas).replace(" ", r"\040")
    disk.FSTAB.write_text(f"# the NAS\nUUID=0-0 / ext4\n\nnas:/team {in_fstab}/ nfs hard 0 0\nnone none swap sw\n")
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with AsyncExitStack() as until_it_ended:
            until_it_ended.enter_context(mounted_over(place.nas, bind=tmp_path / "disk"))
            folder = plant(place.folder())
            kept = Kept(folder, tmp_path / "copies")
            async with service_in(place, sandbox) as service:
                job_id = await until_it_ended.enter_async_context(held_in_the_queue(service, folder))
        async with service_in(place, sandbox) as service:
            await until_told(service, job_id, f"nothing is mounted at '{place.nas}'")
            with mounted_over(place.nas, bind=tmp_path / "disk"):
                assert (await service.until(job_id))["status"] == "completed"
                assert kept.losses_in(place.archive_of(folder), tmp_path / "scratch") == []


@OF_ROOT_ALONE
async def test_a_file_system_mounted_over_a_queued_folder_is_not_archived(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    async with held_in_the_queue(service, folder) as job_id:
        with mounted_over(folder):
            plant(folder, "of another share.mov", "and one more.mov")
            await until_told(service, job_id, "another file system is mounted over it")
            assert files_in(folder) == ["and one more.mov", "of another share.mov"]
        assert kept.losses() == []

    assert (await service.until(job_id))["status"] == "completed"
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


@OF_ROOT_ALONE
async def test_an_empty_file_system_mounted_over_the_base_of_a_queued_job_is_not_done(
    service: Service, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    async with held_in_the_queue(service, folder) as job_id:
        with mounted_over(service.place.nas):
            await until_told(service, job_id, "is not there: check the NAS mount; nothing is deleted")
            assert os.listdir(service.place.nas) == []
        assert kept.losses() == []

    assert (await service.until(job_id))["status"] == "completed"
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


MOUNTS = {
    "the folder": ("Production/2024/Project_Alpha", "another file system is mounted over it"),
    "a folder in it": ("Production/2024/Project_Alpha/sub", "another file system or folder is mounted here"),
}


@OF_ROOT_ALONE
@pytest.mark.parametrize("where", MOUNTS)
async def test_nothing_is_deleted_when_after_the_copy_a_file_system_is_mounted_over(
    where: str, service: Service, tmp_path: Path
) -> None:
    relative, told = MOUNTS[where]
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    async with held_at_globus(service, folder) as job_id:
        with mounted_over(service.place.nas / relative):
            service.sandbox.faults.release()
            await until_told(service, job_id, told)
            assert os.listdir(service.place.nas / relative) == []
            await service.call("DELETE", f"/api/jobs/{job_id}")  # one of the two is held, and would go on
            assert (await service.until(job_id))["status"] in ("cancelled", "failed")
    assert kept.losses() == []


def plant_another(service: Service, tmp_path: Path) -> Kept:
    return Kept(plant(service.place.nas / "Production" / "2024" / "Another", "of another.mov"), tmp_path / "others")


@OF_ROOT_ALONE
@pytest.mark.parametrize("inside", ["", "sub"])
async def test_another_folder_of_the_nas_mounted_in_a_queued_one_is_neither_archived_nor_deleted(
    inside: str, service: Service, tmp_path: Path
) -> None:
    folder, other = plant(service.place.folder()), plant_another(service, tmp_path)
    kept = Kept(folder, tmp_path / "copies")
    async with held_in_the_queue(service, folder) as job_id:
        with mounted_over(folder / inside, bind=other.folder):
            assert (folder / inside).stat().st_dev == folder.parent.stat().st_dev
            service.sandbox.faults.clear()
            job = await service.until(job_id)

    assert job["status"] == "failed"
    assert f"'{inside or '.'}': another file system or folder is mounted here: unmount it" in job["error_message"]
    assert files_in(service.place.remote) == []
    assert [*kept.losses(), *other.losses()] == []


@OF_ROOT_ALONE
async def test_another_folder_of_the_nas_mounted_in_a_verified_one_keeps_both(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    twin = keep_copy(folder / "sub", tmp_path / "twins")  # so that only the mount tells
    other = Kept(twin, tmp_path / "others")
    kept = Kept(folder, tmp_path / "copies")
    async with held_at_globus(service, folder) as job_id:
        with mounted_over(folder / "sub", bind=twin):
            service.sandbox.faults.release()
            job = await service.until(job_id)
            assert other.losses() == []

    assert job["status"] == "failed"
    assert "'sub': another file system or folder is mounted here: unmount it" in job["error_message"]
    assert kept.losses() == []


@OF_ROOT_ALONE
async def test_a_verified_job_waits_while_a_file_system_is_mounted_over_the_base(
    service: Service, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    async with held_at_globus(service, folder) as job_id:
        with mounted_over(service.place.nas):
            service.sandbox.faults.release()
            await until_told(service, job_id, "is not there: check the NAS mount; nothing is deleted")
            assert os.listdir(service.place.nas) == []

    assert (await service.until(job_id))["status"] == "completed"
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []
    assert files_in(folder) == ["Project_Alpha-ARCHIVED-TO-GLOBUS.txt"]


@OF_ROOT_ALONE
async def test_a_deletion_does_not_go_on_in_another_file_system_where_the_inode_is_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "nas").mkdir()
    (tmp_path / "other").mkdir()
    with mounted_over(tmp_path / "nas"), mounted_over(tmp_path / "other"):
        place = Place(tmp_path).make()
        folder = plant(place.folder())
        twin = tmp_path / "other" / folder.relative_to(tmp_path / "nas")
        twin.mkdir(parents=True)
        assert twin.stat().st_ino == folder.stat().st_ino
        async with Sandbox(sandbox_settings(place)) as sandbox:
            with ExitStack() as closed:
                async with service_in(place, sandbox) as service:
                    job_id = await until_half_deleted(service, folder, closed)
            with mounted_over(folder, bind=twin):
                async with service_in(place, sandbox) as service:
                    await until_told(service, job_id, "another file system is mounted over it")
                    assert os.listdir(folder) == []
        assert files_in(folder / "sub") == ["three.mov", "two.mov"]


@OF_ROOT_ALONE
async def test_a_deletion_looks_again_when_the_nas_came_back_as_another_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a remount: the very same folder, by its inode and content, whose approval names the old device."""
    boundary = Boundary(monkeypatch, "deleting_source")
    (tmp_path / "nas").mkdir()
    (tmp_path / "again").mkdir()
    with mounted_over(tmp_path / "nas"), mounted_over(tmp_path / "again"):
        place = Place(tmp_path).make()
        folder = plant(place.folder())
        same = plant(tmp_path / "again" / folder.relative_to(tmp_path / "nas"))
        assert same.stat().st_ino == folder.stat().st_ino
        async with Sandbox(sandbox_settings(place)) as sandbox, service_in(place, sandbox) as service:
            await service.discover()
            job_id = await service.submit(folder)
            await boundary.reached()
            with mounted_over(tmp_path / "nas", bind=tmp_path / "again"):
                boundary.release()
                assert (await service.until(job_id))["status"] == "completed"
                log = await service.log_of(job_id)
        assert not [line for line in log if "Held" in line], log
        assert files_in(same) == ["Project_Alpha-ARCHIVED-TO-GLOBUS.txt"]
        assert files_in(folder) == ["one.mov", "sub/three.mov", "sub/two.mov"]
