"""Decisions, data loss 11: names that look like options or wildcards are names, and nothing else is touched."""

import os
from pathlib import Path

import pytest

from tests.support.service import Service, running_service
from tests.support.tampering import Kept, files_in, plant

FOLDERS = ["-sdel", "--", "a*b", "host:x", "-oelsewhere", "$(touch hit)`touch hit`", "[a]?'\" &"]
FILES = ["-sdel", "--", "@list", "a*b", "aXb", "host:x", "-mx0", "-", "if=x", "*", "a?b", "!exclude", "~", " "]
STRATEGIES = {
    "shutil": {},
    "rsync": {"COPY_SMALL_BELOW_GB": "0"},
    "dd": {"COPY_SMALL_BELOW_GB": "0", "COPY_MEDIUM_BELOW_GB": "0"},
}


async def archived_whole(service: Service, folder: Path, scratch: Path) -> Path:
    """The marker of a folder whose archive gives back all it held."""
    kept = Kept(folder, scratch / "copies")
    job = await service.archive(folder)
    assert job["status"] == "completed", (folder, job)
    assert kept.losses_in(service.place.archive_of(folder), scratch / "extracted") == []
    return folder / f"{folder.name}-ARCHIVED-TO-GLOBUS.txt"


async def test_folders_with_odd_names_go_through_and_their_neighbours_stay(tmp_path: Path) -> None:
    async with running_service(tmp_path, **STRATEGIES["rsync"]) as service:
        neighbours = [
            Kept(plant(service.place.folder(name)), tmp_path / "copies") for name in ("aXb", "list", "x", "sdel")
        ]
        leftover = service.place.storage / "archives" / "-r" / "*" / "aXb.tar.7z.partial"
        leftover.parent.mkdir(parents=True)
        leftover.write_text("of another job")
        for number, name in enumerate(FOLDERS):
            folder = plant(service.place.folder(name, "-r", "*"), "one.mov", "aXb/two.mov", "a*b/two.mov")
            marker = await archived_whole(service, folder, tmp_path / "scratch" / str(number))
            assert files_in(folder) == [marker.name]

        assert [kept.losses() for kept in neighbours] == [[]] * len(neighbours)
        assert sorted(os.listdir(service.place.remote / "-r" / "*")) == sorted(f"{name}.tar.7z" for name in FOLDERS)
        assert leftover.read_text() == "of another job"
        assert list(Path.cwd().glob("*hit*")) == []


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_files_with_odd_names_go_through(strategy: str, tmp_path: Path) -> None:
    async with running_service(tmp_path, **STRATEGIES[strategy]) as service:
        folder = plant(service.place.folder(), *FILES, *(f"a*b of folders/{name}/{name}" for name in FILES))
        for name in ("-sdel", "@list", "a*b", "host:x", "if=x"):
            (folder / f"{name} large").write_bytes(os.urandom(1_100_000))
        neighbour = Kept(plant(service.place.folder("Project_Beta")), tmp_path / "copies")

        marker = await archived_whole(service, folder, tmp_path / "scratch")

        assert files_in(folder) == [marker.name]
        assert neighbour.losses() == []
