"""Decisions, data loss 1: local archives of one name never meet, and none is written onto an existing file."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.service import Service, running_service
from tests.support.tampering import Kept, Wrapper, files_in, held_at_globus, plant


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path) as running:
        yield running


def local_archive(service: Service, folder: Path, suffix: str = "") -> Path:
    relative = folder.relative_to(service.place.nas)
    path = service.place.storage / "archives" / relative.parent / f"{relative.name}.tar.7z{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def pack_alien_into(archive: Path, scratch: Path) -> None:
    """An archive that 7z would add to."""
    alien = scratch / "alien.mov"
    alien.parent.mkdir()
    alien.write_text("of another production\n")
    subprocess.run(["7z", "a", "-t7z", "-sae", "-bso0", "--", archive, alien], check=True)


async def test_archives_of_folders_of_one_name_lie_side_by_side(service: Service, tmp_path: Path) -> None:
    spring, autumn = (service.place.folder("Take 01", "Events", level2) for level2 in ("Spring", "Autumn"))
    plant(spring, "clip.mov", "only in spring.mov")
    plant(autumn, "clip.mov", "only in autumn.mov")
    kept = {folder: Kept(folder, tmp_path / "copies" / folder.parent.name) for folder in (spring, autumn)}

    async with held_at_globus(service, spring) as first:
        second = await service.submit(autumn)
        await service.until(second, "awaiting_upload")
        assert local_archive(service, spring).is_file()
        assert local_archive(service, autumn).is_file()

    for job_id, folder in ((first, spring), (second, autumn)):
        assert (await service.until(job_id))["status"] == "completed"
        scratch = tmp_path / "scratch" / folder.parent.name
        assert kept[folder].losses_in(service.place.archive_of(folder), scratch) == []


async def test_a_leftover_partial_archive_is_not_added_to(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    pack_alien_into(local_archive(service, folder, ".partial"), tmp_path / "alien")

    job = await service.archive(folder)

    assert job["status"] == "completed"
    assert "WARNING" not in "\n".join(await service.log_of(job["job_id"]))
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


async def test_a_leftover_archive_of_the_final_name_is_set_aside_whole(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    leftover = local_archive(service, folder)
    pack_alien_into(leftover, tmp_path / "alien")
    content = leftover.read_bytes()

    job = await service.archive(folder)

    assert job["status"] == "completed"
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []
    [aside] = files_in(service.place.storage / "failed")
    assert aside.startswith(job["job_id"])
    assert (service.place.storage / "failed" / aside).read_bytes() == content


async def test_an_archive_of_the_final_name_that_appears_meanwhile_is_not_overwritten(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    lines = 'once appeared && printf foreign > "${first%.partial}"'
    Wrapper(monkeypatch, tmp_path / "bin", "7z", verb="a").set(after=lines)

    job = await service.archive(folder)

    assert job["status"] == "completed", job
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []
    [aside] = files_in(service.place.storage / "failed")
    assert (service.place.storage / "failed" / aside).read_text() == "foreign"
