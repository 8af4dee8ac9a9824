"""One archive out of two runs of the installed 7-Zip: some files compressed, the rest stored."""

import asyncio
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cs_archiver.demo.compare import compare, extract
from cs_archiver.domain.packing import is_listable
from cs_archiver.errors import Permanent, Temporary
from cs_archiver.tools.process import Processes
from cs_archiver.tools.sevenzip import SevenZip, shown_name
from tests.integration.test_sevenzip_real import check, expected_of, ignore, listed, running, until
from tests.support.trees import AWKWARD_NAMES, plant_awkward_tree

pytestmark = pytest.mark.skipif(shutil.which("7z") is None, reason="7z is not installed")

LISTABLE = [name for name in AWKWARD_NAMES if is_listable(name)]


@pytest.fixture
def sevenzip() -> SevenZip:
    return SevenZip(Processes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in" / "My Folder"
    folder.mkdir(parents=True)
    (folder / "text").write_text("hello\n")
    (folder / "empty").touch()
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "My Folder.tar.7z.partial"


async def pack(
    sevenzip: SevenZip, folder: Path, archive: Path, compressed: list[bytes], on_percent: Callable[[int], None] = ignore
) -> None:
    paths = (os.fsencode(folder), os.fsencode(archive))
    await sevenzip.pack_in_two(*paths, compressed=compressed, first_share=0.5, on_percent=on_percent)


def methods_of(archive: Path) -> set[tuple[bytes, bytes]]:
    """Names of files and links with content, two of which may look alike, and how stock 7-Zip says they are packed."""
    output = subprocess.run(["7z", "l", "-slt", "-ba", "--", archive], check=True, capture_output=True).stdout
    blocks = [re.search(rb"Path = (.*)\n(?:.*\n)*Method = (\w+)", block) for block in output.split(b"\n\n")]
    return {(block[1], block[2]) for block in blocks if block}


async def test_two_runs_give_one_archive_that_holds_every_name(
    sevenzip: SevenZip, folder: Path, archive: Path, tmp_path: Path
) -> None:
    plant_awkward_tree(folder)
    compressed = [*LISTABLE, b"text", b"sub/deeper/deepest/sparse", b"large.bin"]
    assert len(LISTABLE) > 15

    await pack(sevenzip, folder, archive, compressed)

    await check(sevenzip, archive)
    assert await listed(sevenzip, archive) == expected_of(folder)
    assert os.listdir(archive.parent) == [archive.name]
    extract(archive, tmp_path / "unpacked")
    assert compare(folder, tmp_path / "unpacked" / folder.name) == []


async def test_exactly_what_is_listed_is_compressed_by_a_method_that_all_extractors_know(
    sevenzip: SevenZip, folder: Path, archive: Path
) -> None:
    plant_awkward_tree(folder)

    await pack(sevenzip, folder, archive, LISTABLE)

    found = methods_of(archive)
    compressed = {(b"My Folder/" + name, b"LZMA2") for name in LISTABLE}
    assert {method for _, method in found} == {b"LZMA2", b"Copy"}
    assert {pair for pair in found if pair[1] == b"LZMA2"} == compressed
    unlisted = set(AWKWARD_NAMES) - set(LISTABLE)
    assert {(b"My Folder/" + shown_name(name), b"Copy") for name in unlisted} < found


async def test_sound_is_packed_without_a_filter(sevenzip: SevenZip, folder: Path, archive: Path) -> None:
    header = b"RIFF\x00\x10\x00\x00WAVEfmt \x10\0\0\0\1\0\2\0\x44\xac\0\0\x10\xb1\2\0\4\0\x10\0data\x00\x10\x00\x00"
    (folder / "a.wav").write_bytes(header + b"\0\1\2\3" * 200_000)
    (folder / "b.wav").write_bytes(header + b"\0\1\2\3" * 200_000)

    await pack(sevenzip, folder, archive, [b"a.wav"])

    assert methods_of(archive) == {
        (b"My Folder/a.wav", b"LZMA2"),
        (b"My Folder/b.wav", b"Copy"),
        (b"My Folder/text", b"Copy"),
    }


async def test_progress_rises_over_both_runs(sevenzip: SevenZip, folder: Path, archive: Path) -> None:
    (folder / "big.bin").write_bytes(random.Random(2).randbytes(8_000_000))
    percents: list[int] = []

    await pack(sevenzip, folder, archive, [b"big.bin"], percents.append)

    assert percents == sorted(percents)
    assert [percent for percent in percents if 0 < percent <= 50]
    assert percents[-1] == 100


async def test_a_listed_file_that_is_gone_fails_the_packing(sevenzip: SevenZip, folder: Path, archive: Path) -> None:
    with pytest.raises(Temporary, match=r"lacks files.*gone\.txt"):
        await pack(sevenzip, folder, archive, [b"text", b"gone.txt"])


async def test_nothing_is_added_to_an_archive_that_is_there(sevenzip: SevenZip, folder: Path, archive: Path) -> None:
    archive.write_bytes(b"somebody's")

    with pytest.raises(Permanent, match="exists already"):
        await pack(sevenzip, folder, archive, [b"text"])

    assert archive.read_bytes() == b"somebody's"


@pytest.mark.parametrize("command", ["a", "u"])
async def test_cancelling_either_run_leaves_no_process(
    sevenzip: SevenZip, folder: Path, archive: Path, command: str
) -> None:
    for name in ("one", "two"):
        (folder / name).write_bytes(random.Random(2).randbytes(30_000_000))
    task = asyncio.create_task(pack(sevenzip, folder, archive, [b"one" if command == "a" else b"text"]))
    await until(lambda: any(command in words_of(pid) for pid in running(archive)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not running(archive)


def words_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
