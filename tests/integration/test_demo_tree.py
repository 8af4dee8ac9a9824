"""The example NAS holds what it promises, is always the same, and survives 7-Zip unharmed."""

import os
import stat
import subprocess
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from cs_archiver.demo import oddities
from cs_archiver.demo.compare import compare, extract
from cs_archiver.demo.tree import ARCHIVABLE, LEFT_OUT, build

LITTER = {b".@__thumb", b"@eaDir", b".DS_Store", b"Thumbs.db", b"._Camera A.avi"}


@pytest.fixture(scope="module")
def nas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("nas")
    build(base)
    return base


def walk(folder: Path) -> Iterator[bytes]:
    for directory, folders, files in os.walk(os.fsencode(folder)):
        yield from (os.path.join(directory, name) for name in (*folders, *files))


def pack(folder: Path, archive: Path) -> None:
    """The product's compression command (PRD 2.2 with its safety switches)."""
    command = ["7z", "a", "-t7z", "-mx1", "-mmt=on", "-snl", "-spd", "-mf=off", str(archive), "--", str(folder)]
    subprocess.run(command, env=os.environ | {"LC_ALL": "C.UTF-8"}, check=True, capture_output=True)


@pytest.mark.timeout(300)
def test_every_archivable_folder_comes_back_from_7zip_exactly_as_it_was(nas: Path, tmp_path: Path) -> None:
    for number, path in enumerate(ARCHIVABLE):
        archive, into = tmp_path / f"{number}.tar.7z", tmp_path / str(number)
        pack(nas / path, archive)
        extract(archive, into)

        name = Path(path).name
        assert os.listdir(into) == [name]
        assert compare(nas / path, into / name) == [], path


def test_the_tree_is_the_same_every_time_and_quickly_built(nas: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    build(tmp_path)

    assert time.monotonic() - started < 20
    assert compare(nas, tmp_path) == []


def test_the_size_is_about_150_mb(nas: Path) -> None:
    size_bytes = sum(os.lstat(path).st_size for path in walk(nas))

    assert 130_000_000 < size_bytes < 170_000_000


def test_nothing_is_there_but_the_folders_and_files_listed(nas: Path) -> None:
    listed = {os.fsencode(nas / path) for path in (*ARCHIVABLE, *LEFT_OUT)}
    parents = {os.path.dirname(path) for path in listed} | {os.path.dirname(os.path.dirname(path)) for path in listed}

    assert all(os.path.lexists(path) for path in listed)
    for path in walk(nas):
        assert path in listed | parents or any(path.startswith(above + b"/") for above in listed), path


def test_names_of_the_first_three_levels_are_plain_text_and_still_awkward() -> None:
    names = {part for path in ARCHIVABLE for part in path.split("/")}

    assert all(char.isprintable() for name in names for char in name)
    for awkward in ("a*b", "aXb", "-ident package"):
        assert awkward in names
    for character in " '\"$&:–":
        assert any(character in name for name in names), character
    assert any(unicodedata.east_asian_width(char) == "W" for name in names for char in name)
    assert [path.split("/")[2] for path in ARCHIVABLE].count("Take 01") == 2


def test_what_discovery_leaves_out_is_there_for_the_reason_it_is_left_out(nas: Path) -> None:
    year = nas / "Production/2024"

    assert any(name.endswith("-ARCHIVED-TO-GLOBUS.txt") for name in os.listdir(nas / "Production/2023/Harvest Report"))
    assert ".archived" in os.listdir(nas / "Production/2023/Weather Loops")
    assert os.listdir(year / "Notes Only") == ["notes.txt"]
    assert not any(os.path.isfile(path) for path in walk(year / "Empty Rooms"))
    assert os.listdir(year / "To Be Filled") == []
    assert set(os.listdir(os.fsencode(year / "Litter Only"))) == LITTER
    texts = [path for path in walk(year / "Notes Below Litter") if path.lower().endswith(b".txt")]
    assert len(texts) == 1
    assert set(os.listdir(os.fsencode(year / "Notes Below Litter"))) == {*LITTER, b"Paper"}
    assert (year / "Shortcut to Election Night").is_symlink()
    assert (year / "Shortcut to Election Night").is_dir()
    assert (nas / "@Recycle/2024/Deleted Take/take.avi").is_file()


def test_the_odd_names_are_on_the_disk_byte_for_byte(nas: Path) -> None:
    names = os.listdir(os.fsencode(nas / "Studio B/Rehearsals/Odd Names"))

    assert set(oddities.NASTY_NAMES) < set(names)
    assert {len(name) for name in names if len(name) > 200} == {255}


def test_the_odd_kinds_are_of_their_kind(nas: Path) -> None:
    folder = nas / "Studio B/Rehearsals/Links and Odd Files"
    status = {path.name: path.lstat() for path in folder.iterdir()}

    assert status["sparse capture.raw"].st_size == 6_000_000
    assert status["sparse capture.raw"].st_blocks * 512 < 1_000_000
    assert status["master.wav"].st_ino == status["master (same file).wav"].st_ino
    modes = {name: stat.S_IMODE(status[name].st_mode) for name in ("read only.txt", "render.sh", "private.txt")}
    assert modes == {"read only.txt": 0o444, "render.sh": 0o755, "private.txt": 0o600}
    assert status["empty.txt"].st_size == 0
    years = {time.gmtime(entry.st_mtime).tm_year for entry in status.values()}
    assert {1999, 2030} < years
    assert os.listdir(folder / "empty folder/and one inside") == []
    assert (folder / "latest.wav").is_file()
    assert (folder / "cues").is_dir()
    assert not (folder / "moved away.mov").exists()


def test_links_stay_below_their_own_folder(nas: Path) -> None:
    for path in ARCHIVABLE:
        for entry in walk(nas / path):
            if os.path.islink(entry):
                assert not {b"", b".."} & set(os.readlink(entry).split(b"/"))


def test_every_entry_has_a_time_with_a_fraction_of_a_second(nas: Path) -> None:
    times_ns = [os.lstat(path).st_mtime_ns for path in walk(nas)]

    assert all(time_ns % 1_000_000_000 for time_ns in times_ns)


def test_folders_nest_deeply_and_litter_lies_beside_real_files(nas: Path) -> None:
    assert max(path.count(b"/") for path in walk(nas)) - os.fsencode(nas).count(b"/") > 40
    assert set(os.listdir(os.fsencode(nas / ARCHIVABLE[0]))) > LITTER
