"""What the installed 7-Zip really does with hostile names, full disks, damage and signals."""

import asyncio
import contextlib
import gc
import os
import random
import shutil
import signal
import subprocess
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cs_archiver.errors import DiskFull, NeedsOperator, Permanent, Temporary
from cs_archiver.tools.process import Processes
from cs_archiver.tools.sevenzip import OLDEST_VERSION, Listed, SevenZip, shown_name
from cs_archiver.tools.sevenzip_commands import Compression

pytestmark = pytest.mark.skipif(shutil.which("7z") is None, reason="7z is not installed")

FAST, STORE = Compression.FAST, Compression.STORE


def ignore(_figure: int) -> None:
    pass


@pytest.fixture
def sevenzip() -> SevenZip:
    return SevenZip(Processes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in" / "My Folder"
    (folder / "empty dir").mkdir(parents=True)
    (folder / "a.bin").write_bytes(random.Random(1).randbytes(300_000))
    (folder / "b.txt").write_text("hello\n")
    (folder / "b.txt").chmod(0o444)
    (folder / "empty").touch()
    (folder / "link").symlink_to("b.txt")
    (folder / "dangling").symlink_to("/nowhere/at all")
    (folder / "up").symlink_to("..")
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "My Folder.tar.7z.partial"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    disk = tmp_path / "small"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no mounts")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def running(archive: Path) -> list[int]:
    """Living processes that have the archive in their command line; a zombie's is empty."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.fsencode(archive) in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


async def until(fact: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(0.005)


async def pack(sevenzip: SevenZip, folder: Path, archive: Path, compression: Compression = FAST) -> None:
    await sevenzip.pack(os.fsencode(folder), os.fsencode(archive), compression=compression, on_percent=ignore)


async def check(sevenzip: SevenZip, archive: Path) -> None:
    await sevenzip.test(os.fsencode(archive), on_percent=ignore)


def expected_of(folder: Path) -> list[tuple[bytes, str, int, int | None]]:
    """The listing that a folder must give, from the disk itself."""
    root = os.fsencode(folder)
    expected: list[tuple[bytes, str, int, int | None]] = [(shown_name(os.path.basename(root)), "dir", 0, None)]
    for parent, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(parent, name)
            shown = shown_name(os.path.relpath(path, os.path.dirname(root)))
            if os.path.islink(path):
                target = os.readlink(path)
                expected.append((shown, "link", len(target), zlib.crc32(target)))
            elif os.path.isdir(path):
                expected.append((shown, "dir", 0, None))
            else:
                content = Path(os.fsdecode(path)).read_bytes()
                expected.append((shown, "file", len(content), zlib.crc32(content) if content else None))
    return sorted(expected, key=repr)


async def entries_of(sevenzip: SevenZip, archive: Path) -> list[Listed]:
    found: list[Listed] = []
    await sevenzip.list(os.fsencode(archive), on_entries=found.extend)
    return found


async def listed(sevenzip: SevenZip, archive: Path) -> list[tuple[bytes, str, int, int | None]]:
    return sorted(map(tuple, await entries_of(sevenzip, archive)), key=repr)  # type: ignore[arg-type]


async def test_the_installed_version_is_new_enough(sevenzip: SevenZip) -> None:
    assert await sevenzip.version() >= OLDEST_VERSION


@pytest.mark.parametrize("line", ["7-Zip [64] 16.02 : Copyright", "p7zip Version 16.02", ""])
async def test_an_old_or_unknown_7z_calls_the_operator(line: str, tmp_path: Path) -> None:
    old = tmp_path / "7z"
    old.write_text(f"#!/bin/sh\necho; echo '{line}'\n")
    old.chmod(0o755)

    with pytest.raises(NeedsOperator, match="install the package 7zip"):
        await SevenZip(Processes(), executable=str(old)).version()


@pytest.mark.parametrize("compression", [FAST, STORE])
async def test_an_archive_lists_exactly_what_the_folder_holds(
    sevenzip: SevenZip, folder: Path, archive: Path, compression: Compression
) -> None:
    await pack(sevenzip, folder, archive, compression)

    await check(sevenzip, archive)
    assert await listed(sevenzip, archive) == expected_of(folder)
    assert os.listdir(archive.parent) == [archive.name]


async def test_the_archive_has_exactly_the_name_asked_for(sevenzip: SevenZip, folder: Path, archive: Path) -> None:
    bare = archive.with_name("no-dot")

    await pack(sevenzip, folder, bare)

    assert os.listdir(archive.parent) == ["no-dot"]
    await check(sevenzip, bare)


async def test_a_folder_with_nothing_in_it_gives_a_sound_archive_of_one_entry(
    sevenzip: SevenZip, tmp_path: Path, archive: Path
) -> None:
    (tmp_path / "bare").mkdir()

    await pack(sevenzip, tmp_path / "bare", archive)

    await check(sevenzip, archive)
    assert await listed(sevenzip, archive) == [(b"bare", "dir", 0, None)]


HOSTILE = [
    *(b"c" + bytes([byte]) + b"z" for byte in range(1, 256) if byte != ord("/")),
    *(chr(code).encode() for code in (0xEF80, 0xEFFF, 0xEF7F, 0xF000, 0xE000, 0xF8FF, 0xD7FF, 0xFDD0, 0xFEFF)),
    *(chr(code).encode() for code in (0xFFFE, 0xFFFF, 0x80, 0x85, 0x9F, 0xAD, 0x2028, 0x202E, 0x200F, 0x2066)),
    *(chr(code).encode() for code in (0x1F600, 0x10FFFF, 0xE0001, 0xE9, 0x301, 0xFF0F, 0x2024)),
    b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x82",
    b"\xf8\x88\x80\x80\x80", b"\xff\xfe", b"\xef\xbe\x80" * 3, b"\xee\xbe", b"\xbe\x80", b"\xe9\n\xe9", b"\n",
    b"\n\n", b"x\nSize = 99\nCRC = DEADBEEF", b"x\n\nPath = forged", b"Path = x", b"-sdel", b"--", b"@list",
    b"a*b", b"aXb", b"a?b", b"host:x", b"C:", b"\\\\server\\share", b"..\\up", b"trailing.", b"trailing..",
    b"trailing ", b" leading", b"...", b". ", b"~", b"'\"", b"$(id)", b"%s", b"77% done", b"con", b"a_b", b"a\nb",
    b"\xd7\x90bc\xe2\x80\xae", b"n" * 255,
]  # fmt: skip


async def test_hostile_names_come_back_as_shown_name_says(sevenzip: SevenZip, tmp_path: Path, archive: Path) -> None:
    root = os.fsencode(tmp_path / "hostile")
    os.mkdir(root)
    assert len(set(HOSTILE)) == len(HOSTILE) > 300
    for number, name in enumerate(HOSTILE):
        path = os.path.join(root, name)
        if number % 5 == 3:
            os.mkdir(path)
        elif number % 5 == 4:
            os.symlink(name, path)
        else:
            Path(os.fsdecode(path)).write_bytes(b"%d" % number * (number % 5))

    await pack(sevenzip, tmp_path / "hostile", archive)

    listing = await entries_of(sevenzip, archive)
    assert sorted(entry.path for entry in listing) == sorted(
        [b"hostile", *(shown_name(b"hostile/" + name) for name in HOSTILE)]
    )
    assert await listed(sevenzip, archive) == expected_of(tmp_path / "hostile")
    await check(sevenzip, archive)


@pytest.mark.parametrize("name", ["-sdel", "@list", "a*b", "--", "-x!*", "a\nb", "x\udcff", "host:x", "…", "c\\d"])
async def test_a_folder_of_any_name_is_packed_alone_and_stays(
    name: str, sevenzip: SevenZip, tmp_path: Path, archive: Path
) -> None:
    for sibling in (name, "aXb", "list", "other"):
        (tmp_path / "in" / sibling).mkdir(parents=True)
        (tmp_path / "in" / sibling / "file").write_text(sibling, errors="surrogateescape")
    target = archive.with_name(f"{name}.7z.partial")

    await pack(sevenzip, tmp_path / "in" / name, target)

    assert await listed(sevenzip, target) == expected_of(tmp_path / "in" / name)
    await check(sevenzip, target)
    assert sorted(os.listdir(tmp_path / "in")) == sorted({name, "aXb", "list", "other"})
    assert (tmp_path / "in" / name / "file").exists()


async def test_testing_and_listing_take_only_the_archive_named(sevenzip: SevenZip, folder: Path, archive: Path) -> None:
    await pack(sevenzip, folder, archive.with_name("A*.7z"))
    archive.with_name("AX.7z").write_bytes(b"no archive")

    await check(sevenzip, archive.with_name("A*.7z"))
    assert await listed(sevenzip, archive.with_name("A*.7z")) == expected_of(folder)


async def test_nothing_is_packed_into_an_existing_archive(sevenzip: SevenZip, folder: Path, archive: Path) -> None:
    await pack(sevenzip, folder, archive)
    before = archive.read_bytes()
    (folder / "new").write_text("new")

    with pytest.raises(Permanent, match="exists already"):
        await pack(sevenzip, folder, archive)

    assert archive.read_bytes() == before


async def test_a_dangling_link_in_the_archives_place_is_not_followed(
    sevenzip: SevenZip, folder: Path, archive: Path
) -> None:
    archive.symlink_to(archive.with_name("elsewhere"))

    with pytest.raises(Permanent, match="exists already"):
        await pack(sevenzip, folder, archive)


async def test_the_archives_folder_is_not_made_up(sevenzip: SevenZip, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NeedsOperator, match="mounted"):
        await pack(sevenzip, folder, tmp_path / "unmounted" / "a.7z")

    assert not (tmp_path / "unmounted").exists()


@pytest.mark.parametrize("slash", [b"", b"/"])
async def test_a_link_to_a_folder_is_not_packed(slash: bytes, sevenzip: SevenZip, folder: Path, archive: Path) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)

    with pytest.raises(Permanent, match="no folder"):
        await sevenzip.pack(os.fsencode(link) + slash, os.fsencode(archive), compression=FAST, on_percent=ignore)


async def test_a_missing_folder_gives_no_archive(sevenzip: SevenZip, tmp_path: Path, archive: Path) -> None:
    with pytest.raises(Temporary, match="cannot be read"):
        await pack(sevenzip, tmp_path / "missing", archive)

    assert not archive.exists()


async def test_a_file_that_vanishes_while_packing_fails_the_attempt(
    sevenzip: SevenZip, folder: Path, archive: Path
) -> None:
    (folder / "0-big.bin").write_bytes(random.Random(2).randbytes(8_000_000))
    (folder / "z-last.bin").write_bytes(b"z" * 1_000)
    task = asyncio.create_task(pack(sevenzip, folder, archive))
    await until(lambda: archive.exists())
    (folder / "z-last.bin").rename(folder.parent / "gone")

    with pytest.raises(Temporary, match=r"lacks files.*z-last\.bin"):
        await task


async def test_progress_rises_to_a_hundred(sevenzip: SevenZip, folder: Path, archive: Path) -> None:
    (folder / "100% done + 100%.bin").write_bytes(random.Random(2).randbytes(10_000_000))
    packing: list[int] = []
    testing: list[int] = []

    await sevenzip.pack(os.fsencode(folder), os.fsencode(archive), compression=FAST, on_percent=packing.append)
    await sevenzip.test(os.fsencode(archive), on_percent=testing.append)

    assert packing == sorted(packing)
    assert len([percent for percent in packing if 0 < percent < 100]) > 1
    assert packing[-1] == testing[-1] == 100


async def test_cancelling_leaves_no_process_and_no_archive(sevenzip: SevenZip, folder: Path, archive: Path) -> None:
    (folder / "big.bin").write_bytes(random.Random(2).randbytes(40_000_000))
    started = asyncio.Event()

    def note(percent: int) -> None:
        if percent:
            started.set()

    task = asyncio.create_task(
        sevenzip.pack(os.fsencode(folder), os.fsencode(archive), compression=FAST, on_percent=note)
    )
    await started.wait()
    assert running(archive)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not running(archive)
    assert not archive.exists()


async def test_a_killed_7z_is_temporary_and_what_it_leaves_is_no_archive(
    sevenzip: SevenZip, folder: Path, archive: Path
) -> None:
    (folder / "big.bin").write_bytes(random.Random(2).randbytes(40_000_000))
    task = asyncio.create_task(pack(sevenzip, folder, archive))
    await until(lambda: archive.exists() and archive.stat().st_size)

    for pid in running(archive):
        os.kill(pid, signal.SIGKILL)

    with pytest.raises(Temporary, match="SIGKILL"):
        await task
    assert archive.exists()
    with pytest.raises(Temporary, match="damaged"):
        await check(sevenzip, archive)
    with pytest.raises(Temporary, match="damaged"):
        await entries_of(sevenzip, archive)


async def test_a_full_disk_is_told_apart(sevenzip: SevenZip, folder: Path, small_disk: Path) -> None:
    (folder / "big.bin").write_bytes(random.Random(2).randbytes(4_000_000))

    with pytest.raises(DiskFull, match="No space left on device"):
        await pack(sevenzip, folder, small_disk / "o.7z.partial")


def _flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a bit of the data": lambda good: _flip(good, 1_000),
    "a bit of the header": lambda good: _flip(good, len(good) - 5),
    "a bit of the start": lambda good: _flip(good, 12),
    "one byte missing": lambda good: good[:-1],
    "half of it": lambda good: good[: len(good) // 2],
    "nothing": lambda good: b"",
    "garbage appended": lambda good: good + b"junk",
    "a zero appended": lambda good: good + b"\0",
    "garbage before": lambda good: b"junk" + good,
    "twice": lambda good: good + good,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_a_damaged_archive_does_not_pass_the_test(
    damage: Callable[[bytes], bytes], sevenzip: SevenZip, folder: Path, archive: Path
) -> None:
    await pack(sevenzip, folder, archive)
    good = archive.read_bytes()
    archive.write_bytes(damage(good))

    with pytest.raises(Temporary, match="damaged") as failure:
        await check(sevenzip, archive)

    assert failure.value.problem == "archive-damaged"


async def test_an_archive_of_another_kind_does_not_pass_the_test(sevenzip: SevenZip, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as other:
        other.writestr("My Folder/file", "text")

    with pytest.raises(Temporary):
        await check(sevenzip, archive)
    with pytest.raises(Temporary):
        await entries_of(sevenzip, archive)


async def test_a_missing_archive_is_no_sound_archive(sevenzip: SevenZip, archive: Path) -> None:
    with pytest.raises(Temporary):
        await check(sevenzip, archive)
    with pytest.raises(Temporary):
        await entries_of(sevenzip, archive)


async def test_listing_many_entries_keeps_the_loop_free(sevenzip: SevenZip, tmp_path: Path, archive: Path) -> None:
    many = tmp_path / "many"
    for folder in range(20):
        (many / f"{folder}").mkdir(parents=True)
        for file in range(150):
            (many / f"{folder}" / f"a file with a name of common length {file}").touch()
    await pack(sevenzip, many, archive)
    longest_seconds = 0.0

    async def watch() -> None:
        nonlocal longest_seconds
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest_seconds = max(longest_seconds, time.thread_time() - before)

    # A full collection takes as long as the whole process has objects: no business of the listing.
    gc.disable()
    try:
        watcher = asyncio.create_task(watch())
        listing = await entries_of(sevenzip, archive)
        watcher.cancel()
    finally:
        gc.enable()

    assert len(listing) == 3_021
    # Time on the processor of one turn of the loop; other work on the machine does not count.
    assert longest_seconds < 0.02
