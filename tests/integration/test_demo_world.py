"""A demo directory is built once, whole or not at all, and its proofs notice whatever is not as it must be."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cs_archiver.demo.client import Job
from cs_archiver.demo.compare import ExtractionFailed, compare, extract
from cs_archiver.demo.proof import faults_of_archived, faults_of_emptied, faults_of_the_rest
from cs_archiver.demo.tree import ARCHIVABLE, LEFT_OUT
from cs_archiver.demo.world import World, environment, prepare
from cs_archiver.settings import SECTIONS, variable_of

FOLDER = "Events/Open Day/Take 01"
MARKER = "Take 01-ARCHIVED-TO-GLOBUS.txt"


def pack(folder: Path, archive: Path) -> None:
    command = ["7z", "a", "-t7z", "-mx1", "-snl", "-spd", str(archive), "--", str(folder)]
    subprocess.run(command, env=os.environ | {"LC_ALL": "C.UTF-8"}, check=True, capture_output=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("demo"))
    assert prepare(world)
    return world


def test_the_originals_are_an_equal_copy_that_shares_nothing(built: World) -> None:
    assert compare(built.nas, built.originals) == []
    for path in ARCHIVABLE:
        inodes = {
            (status.st_dev, status.st_ino) for base in (built.nas, built.originals) for status in [(base / path).stat()]
        }
        assert len(inodes) == 2
    master = "Studio B/Rehearsals/Links and Odd Files/master.wav"
    assert (built.nas / master).stat().st_ino != (built.originals / master).stat().st_ino


def test_a_second_start_finds_what_the_first_left(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.nas.mkdir(parents=True)

    assert not prepare(world)
    assert os.listdir(world.nas) == []
    assert sorted(os.listdir(tmp_path)) == ["globus-remote", "nas", "storage"]


def test_a_lost_share_is_built_anew_and_its_originals_are_kept(tmp_path: Path) -> None:
    world = World(tmp_path)
    (world.originals / "kept").mkdir(parents=True)

    assert prepare(world)
    assert (world.nas / FOLDER).is_dir()
    assert os.listdir(world.originals) == ["kept"]


def test_a_build_that_is_broken_off_leaves_no_share(tmp_path: Path) -> None:
    program = """if True:
        import pathlib, resource, signal, sys
        from cs_archiver.demo.world import World, prepare
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        prepare(World(pathlib.Path(sys.argv[1])))
    """
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True)

    assert "File too large" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["globus-remote", "nas", "storage"]
    assert os.listdir(tmp_path / "nas") == []


def test_the_environment_names_settings_that_exist(built: World) -> None:
    known = {variable_of(section, key) for section, model in SECTIONS.items() for key in model.model_fields}
    values = environment(built, "http://127.0.0.1:9000/", 8123)

    assert set(values) <= known
    assert (values["HOST"], values["PORT"]) == ("127.0.0.1", "8123")
    assert values["QNAP_BASE_PATH"] == f"{built.directory}/nas/CitySpace Tech Team"
    assert values["DATABASE_URL"] == f"sqlite:///{built.directory}/cs_archiver.db"
    assert values["GLOBUS_SDK_SERVICE_URL_TRANSFER"] == "http://127.0.0.1:9000/"
    assert values["GLOBUS_SOURCE_ENDPOINT"] != values["GLOBUS_DESTINATION_ENDPOINT"]


@pytest.fixture
def archived(tmp_path: Path) -> tuple[World, Job]:
    """One folder as the product leaves it: archived at the remote, its source holding the marker alone."""
    world = World(tmp_path)
    folder = world.nas / FOLDER
    original = world.original(folder)
    (original / "stills").mkdir(parents=True)
    (original / "take.avi").write_bytes(b"picture" * 1000)
    (original / "latest").symlink_to("take.avi")
    archive = world.remote_archive(f"/{FOLDER}.tar.7z")
    archive.parent.mkdir(parents=True)
    pack(original, archive)
    folder.mkdir(parents=True)
    (folder / MARKER).write_text(f"Archived on: now\nGlobus path: /{FOLDER}.tar.7z\nJob ID: 12-34\nUser: admin\n")
    return world, Job("12-34", "completed", str(folder), f"/{FOLDER}.tar.7z", 7000, 500, 1.0, None)


def test_a_folder_archived_as_it_should_be_has_no_faults(archived: tuple[World, Job]) -> None:
    world, job = archived

    assert faults_of_archived(world, job) == []
    assert sorted(os.listdir(world.directory)) == ["globus-remote", "nas", "originals"]


def spoil(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[40] ^= 1
    archive.write_bytes(content)


def pack_something_else(archive: Path, original: Path) -> None:
    archive.unlink()
    (original / "late.txt").write_bytes(b"")
    pack(original, archive)
    (original / "late.txt").unlink()


Change = Callable[[Path, Path, Path], object]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda source, _archive, _original: (source / "left.avi").touch(),
            "left.avi: still in the source folder",
        ),
        (lambda source, _archive, _original: (source / MARKER).unlink(), "the marker is missing"),
        (
            lambda source, _archive, _original: (source / MARKER).write_bytes(b"Job ID: 12-34\n"),
            "lacks Globus path",
        ),
        (lambda source, _archive, _original: shutil.rmtree(source), "No such file"),
        (lambda _source, archive, _original: archive.unlink(), "7-Zip gave exit code"),
        (lambda _source, archive, _original: spoil(archive), "7-Zip gave exit code 2"),
        (
            lambda _source, archive, original: pack_something_else(archive, original),
            "late.txt: not in the original",
        ),
        (lambda _source, archive, original: pack(original.parent, archive), "Open Day: in the archive beside"),
        (lambda _source, _archive, original: (original / "latest").unlink(), "latest: not in the original"),
    ],
)
def test_each_fault_of_an_archived_folder_is_found(archived: tuple[World, Job], change: Change, fault: str) -> None:
    world, job = archived
    folder = Path(job.source_path)

    change(folder, world.remote_archive(job.globus_path), world.original(folder))

    assert any(fault in found for found in faults_of_archived(world, job))


def test_a_change_to_what_must_be_left_alone_is_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    for path in LEFT_OUT:
        (world.nas / path).mkdir(parents=True)
    shutil.copytree(world.nas, world.originals)
    assert faults_of_the_rest(world) == []

    (world.nas / "Production/2024/Notes Only/more.txt").touch()

    assert "Production/2024/Notes Only: more.txt: not in the original" in faults_of_the_rest(world)


def test_content_left_in_a_folder_that_counts_as_archived_is_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    for path in ARCHIVABLE:
        folder = world.nas / path
        folder.mkdir(parents=True)
        (folder / f"{folder.name}-ARCHIVED-TO-GLOBUS.txt").touch()
    assert faults_of_emptied(world) == []

    (world.nas / FOLDER / "take.avi").touch()

    assert faults_of_emptied(world) == [f"{FOLDER}: take.avi: still in the source folder"]


def test_an_archive_whose_name_is_a_pattern_is_the_only_one_unpacked(tmp_path: Path) -> None:
    for name in ("aXb", "a*b"):
        (tmp_path / name).mkdir()
        pack(tmp_path / name, tmp_path / f"{name}.tar.7z")

    extract(tmp_path / "a*b.tar.7z", tmp_path / "out")

    assert os.listdir(tmp_path / "out") == ["a*b"]


def test_extraction_of_what_is_no_archive_fails_with_7zips_own_words(tmp_path: Path) -> None:
    (tmp_path / "x.7z").write_bytes(b"no archive")

    with pytest.raises(ExtractionFailed, match=r"(?s)exit code 2 for .*Cannot open the file as"):
        extract(tmp_path / "x.7z", tmp_path / "out")
