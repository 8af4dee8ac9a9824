"""Decisions, data loss 3: an archive counts only after exit code 0, and when it holds exactly what was copied."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.service import Service, running_service
from tests.support.tampering import Kept, Wrapper, files_in, plant

DELETE = '"$real" d -t7z -sae -bso0 -bsp0 -- "$first"'

TAMPERINGS = {
    "says that it left something out": {"after": "code=1"},
    "ends with a code that is not documented": {"after": "code=3"},
    "lacks a file": {"after": f"{DELETE} Project_Alpha/sub/two.mov"},
    "lacks an empty folder": {"after": f'{DELETE} "Project_Alpha/empty folder"'},
    "lacks a link": {"after": f"{DELETE} Project_Alpha/link"},
    "holds a file more": {"before": 'echo more > "$second/more.mov"'},
    "holds other content of the same size": {
        "before": 'touch -r "$second/one.mov" "$second.time"; '
        'printf X | dd of="$second/one.mov" conv=notrunc 2>/dev/null; touch -r "$second.time" "$second/one.mov"'
    },
    "holds a file under another name": {
        "after": '"$real" rn -t7z -sae -bso0 -- "$first" Project_Alpha/one.mov Project_Alpha/eno.mov'
    },
    "holds a file in place of a link": {
        "before": 'target=$(readlink "$second/link"); rm "$second/link"; printf %s "$target" > "$second/link"'
    },
    "has a damaged block": {"after": 'printf XXXX | dd of="$first" bs=1 seek=40 conv=notrunc 2>/dev/null'},
    "has something behind its end": {"after": 'echo more >> "$first"'},
}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path, MAX_COMPRESSION_RETRIES="1") as running:
        yield running


@pytest.fixture
def seven_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wrapper:
    return Wrapper(monkeypatch, tmp_path / "bin", "7z", verb="a")


@pytest.fixture
def folder(service: Service) -> Path:
    folder = plant(service.place.folder())
    (folder / "empty folder").mkdir()
    os.symlink("sub/two.mov", folder / "link")
    return folder


@pytest.mark.parametrize("tampering", TAMPERINGS)
async def test_an_archive_is_refused_that(
    tampering: str, service: Service, seven_zip: Wrapper, folder: Path, tmp_path: Path
) -> None:
    kept = Kept(folder, tmp_path / "copies")
    seven_zip.set(**TAMPERINGS[tampering])

    job = await service.archive(folder)

    log = "\n".join(await service.log_of(job["job_id"]))
    assert job["status"] == "failed", log
    assert log.count("Starting compression") == 2
    assert "Starting Globus upload" not in log
    assert kept.losses() == []
    assert (service.sandbox.tasks, files_in(service.place.remote)) == ({}, [])


async def test_an_archive_that_lacked_a_file_once_is_packed_again_whole(
    service: Service, seven_zip: Wrapper, folder: Path, tmp_path: Path
) -> None:
    kept = Kept(folder, tmp_path / "copies")
    seven_zip.set(after=f"once lacking && {DELETE} Project_Alpha/sub/two.mov")

    job = await service.archive(folder)

    assert job["status"] == "completed", job
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


async def test_what_is_left_of_a_refused_archive_is_kept_for_a_person_to_look_at(
    service: Service, seven_zip: Wrapper, folder: Path
) -> None:
    seven_zip.set(after='echo more >> "$first"')

    job = await service.archive(folder)

    failed = service.place.storage / "failed" / job["job_id"]
    assert files_in(failed) == ["Project_Alpha.tar.7z.partial", "error.log"]
    assert job["error_message"] in (failed / "error.log").read_text()
    assert files_in(service.place.storage / "temp") == []
