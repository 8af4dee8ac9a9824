"""Decisions, data loss 10: links are archived as links, and sockets, FIFOs and devices stop the job."""

import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.service import Service, running_service
from tests.support.tampering import OF_ROOT_ALONE, Kept, files_in, held_in_the_queue, plant

STRATEGIES = {
    "shutil": {},
    "rsync": {"COPY_SMALL_BELOW_GB": "0"},
    "dd": {"COPY_SMALL_BELOW_GB": "0", "COPY_MEDIUM_BELOW_GB": "0"},
    "parallel threads": {"COPY_SMALL_BELOW_GB": "0", "COPY_MEDIUM_BELOW_GB": "0", "COPY_LARGE_BELOW_GB": "0"},
}


def content_of(archive: Path, name: str) -> str:
    """What stock 7-Zip has for one entry; of a link, its target."""
    done = subprocess.run(["7z", "x", "-so", "-spd", "--", archive, name], capture_output=True, check=True)
    return done.stdout.decode()


def listing_of(archive: Path) -> str:
    return subprocess.run(["7z", "l", "-ba", "--", archive], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_links_are_archived_as_links_and_never_followed(strategy: str, tmp_path: Path) -> None:
    outside = plant(tmp_path / "outside", "secret.mov", "below/deep.mov")
    kept = Kept(outside, tmp_path / "copies")
    targets = {
        "to a file outside": str(outside / "secret.mov"),
        "to a folder outside": str(outside),
        "climbing out": "../../../../../outside/below",
        "to nothing": "nowhere",
        "to itself": "to itself",
        "sub/to its parent": "..",
    }
    async with running_service(tmp_path, **STRATEGIES[strategy]) as service:
        folder = plant(service.place.folder())
        for name, target in targets.items():
            os.symlink(target, folder / name)

        job = await service.archive(folder)

        assert job["status"] == "completed", job
        assert f"by {strategy}" in "\n".join(await service.log_of(job["job_id"]))
        assert files_in(folder) == ["Project_Alpha-ARCHIVED-TO-GLOBUS.txt"]
        assert kept.losses() == []
        archive = service.place.archive_of(folder)
        for name, target in targets.items():
            assert content_of(archive, f"Project_Alpha/{name}") == target
        listed = listing_of(archive)
        assert "secret.mov" not in listed
        assert "deep.mov" not in listed


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # the whole path is too long for a socket
        finally:
            os.close(folder)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_device(path: Path) -> None:
    os.mknod(path, 0o020600, os.makedev(1, 3))


SPECIAL = [make_socket, make_fifo, pytest.param(make_device, marks=OF_ROOT_ALONE)]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path) as running:
        yield running


@pytest.mark.parametrize("make", SPECIAL)
async def test_a_special_file_stops_the_job_before_it_copies(make: Callable[[Path], None], service: Service) -> None:
    folder = plant(service.place.folder())
    async with held_in_the_queue(service, folder) as job_id:
        make(folder / "sub" / "special one")
        before = files_in(folder)

    job = await service.until(job_id)

    assert job["status"] == "failed"
    assert "'sub/special one'" in job["error_message"]
    assert "Copying from the NAS" not in "\n".join(await service.log_of(job_id))
    assert files_in(folder) == before
    assert files_in(service.place.remote) == []


@pytest.mark.parametrize("make", SPECIAL)
async def test_a_folder_with_a_special_file_is_not_taken(make: Callable[[Path], None], service: Service) -> None:
    folder = plant(service.place.folder())
    await service.discover()
    make(folder / "sub" / "special one")

    status, body = await service.call("POST", "/api/jobs", json={"folder_path": str(folder)})

    assert (status, body["type"]) == (409, "/problems/folder-not-archivable")
    assert "special one" in body["detail"]
