"""What the installed rsync and dd really do with odd trees, full disks and signals."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cs_archiver.errors import DiskFull, JobError, Permanent, Temporary
from cs_archiver.tools.dd import Dd
from cs_archiver.tools.process import Processes
from cs_archiver.tools.rsync import Rsync

needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")

NAMES = [
    b"-e", b"--delete", b"host:x", b"a*b", b"@list", b"line\nbreak", b"\xff\xfe", b"back\\slash", b" ", b"~",
    b"trailing.", b".hidden", b"@eaDir", b".~tmp~", b"\\#012", b"n" * 255, b"\xe2\x80\xaeabc", b"\x01\x1b[31m",
    b"*", b"'",
]  # fmt: skip


def ignore(_figure: int) -> None:
    pass


@pytest.fixture
def rsync() -> Rsync:
    return Rsync(Processes())


@pytest.fixture
def dd() -> Dd:
    return Dd(Processes())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "nas" / "My Folder"
    (source / "sub" / "empty dir").mkdir(parents=True)
    (source / "sub" / "a.bin").write_bytes(random.Random(1).randbytes(3_000_000))
    (source / "sub" / "a.bin").chmod(0o640)
    (source / "sub" / "z.bin").write_bytes(b"last")
    (source / "script").write_text("#!/bin/sh\n")
    (source / "script").chmod(0o755)
    (source / "link").symlink_to("sub/a.bin")
    (source / "dangling").symlink_to("/nowhere")
    (source / "up").symlink_to("..")
    for name in NAMES:
        Path(os.fsdecode(os.path.join(os.fsencode(source), name))).write_bytes(name)
    os.utime(source / "sub" / "a.bin", ns=(1, 1_234_567_890_123_456_789))
    os.utime(source / "script", ns=(1, -86_400_000_000_000))
    os.utime(source / "link", ns=(1, 987_654_321_987_654_321), follow_symlinks=False)
    (source / "sub").chmod(0o555)
    os.utime(source / "sub" / "empty dir", ns=(1, 1_111_111_111_111_111_111))
    os.utime(source / "sub", ns=(1, 1_222_222_222_222_222_222))
    return source


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    destination = tmp_path / "temp" / "My Folder"
    destination.mkdir(parents=True)
    return destination


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    disk = tmp_path / "small"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=40", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no mounts")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def slow_rsync(tmp_path: Path) -> Rsync:
    """The real rsync, throttled so that it can be met at work."""
    script = tmp_path / "rsync"
    script.write_text(f'#!/bin/sh\nexec {shutil.which("rsync")} --bwlimit=2000 "$@"\n')
    script.chmod(0o755)
    return Rsync(Processes(), executable=str(script))


Facts = tuple[int, int, bytes | None, int]


def facts_of(root: Path) -> dict[bytes, Facts]:
    """Mode, mtime in ns, content or link target, and size of everything below the root."""
    facts: dict[bytes, Facts] = {}
    for parent, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            path = os.path.join(parent, name)
            found = os.lstat(path)
            content = None
            if stat.S_ISLNK(found.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(found.st_mode):
                content = Path(os.fsdecode(path)).read_bytes()
            size = found.st_size if content is not None else 0
            facts[os.path.relpath(path, os.fsencode(root))] = (found.st_mode, found.st_mtime_ns, content, size)
    return facts


def running(path: Path) -> list[int]:
    """Living processes that have the path in their command line; a zombie's is empty."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.fsencode(path) in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


async def until(fact: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(0.005)


async def copy_tree(rsync: Rsync, source: Path, destination: Path, on_bytes: Callable[[int], None] = ignore) -> None:
    await rsync.copy_tree(os.fsencode(source), os.fsencode(destination), on_bytes=on_bytes)


async def copy_file(dd: Dd, source: Path, destination: Path, on_bytes: Callable[[int], None] = ignore) -> None:
    await dd.copy_file(os.fsencode(source), os.fsencode(destination), on_bytes=on_bytes)


@needs_rsync
async def test_the_installed_rsync_tells_its_version(rsync: Rsync) -> None:
    assert await rsync.version() >= (3, 1)


@needs_rsync
async def test_rsync_keeps_contents_names_links_modes_times_and_empty_folders(
    rsync: Rsync, source: Path, destination: Path
) -> None:
    await copy_tree(rsync, source, destination)

    assert facts_of(destination) == facts_of(source)
    assert len(facts_of(source)) == len(NAMES) + 8


@needs_rsync
@pytest.mark.parametrize("name", ["-e", "host:x", "a*b", "--delete", "a\nb", "x\udcff"])
async def test_rsync_copies_folders_of_any_name(name: str, rsync: Rsync, source: Path, destination: Path) -> None:
    odd = source.rename(source.with_name(name))
    target = destination.rename(destination.with_name(name))
    (source.parent / "aXb").mkdir()

    await copy_tree(rsync, odd, target)

    assert facts_of(target) == facts_of(odd)


@needs_rsync
async def test_the_bytes_rsync_reports_rise_to_the_size_of_all_files(
    rsync: Rsync, source: Path, destination: Path
) -> None:
    reported: list[int] = []

    await copy_tree(rsync, source, destination, reported.append)

    files = [f for f in facts_of(source).values() if stat.S_ISREG(f[0])]
    assert reported == sorted(set(reported))
    assert reported[-1] == sum(size for _, _, _, size in files)


@needs_rsync
async def test_rsync_leaves_out_special_files_but_copies_the_rest(
    rsync: Rsync, source: Path, destination: Path
) -> None:
    os.mkfifo(source / "fifo")

    await copy_tree(rsync, source, destination)

    assert facts_of(source).keys() - facts_of(destination).keys() == {b"fifo"}


@needs_rsync
async def test_rsync_copies_into_empty_folders_only(rsync: Rsync, source: Path, destination: Path) -> None:
    (destination / "stale").write_text("stale")

    with pytest.raises(Permanent, match="not empty"):
        await copy_tree(rsync, source, destination)

    assert os.listdir(destination) == ["stale"]


@needs_rsync
@pytest.mark.parametrize("slash", [b"", b"/"])
async def test_rsync_follows_no_link_in_place_of_a_folder(
    slash: bytes, rsync: Rsync, source: Path, destination: Path
) -> None:
    link = source.with_name("link")
    link.symlink_to(source)

    with pytest.raises(Permanent, match="no folder"):
        await rsync.copy_tree(os.fsencode(link) + slash, os.fsencode(destination), on_bytes=ignore)


@needs_rsync
async def test_a_missing_source_or_destination_is_temporary_and_nothing_is_made(
    rsync: Rsync, source: Path, destination: Path
) -> None:
    with pytest.raises(Temporary, match="cannot be reached"):
        await copy_tree(rsync, source.with_name("missing"), destination)
    with pytest.raises(Temporary, match="cannot be reached"):
        await copy_tree(rsync, source, destination.with_name("missing"))

    assert not destination.with_name("missing").exists()


@needs_rsync
async def test_a_file_that_vanishes_under_rsync_fails_the_attempt(
    slow_rsync: Rsync, source: Path, destination: Path
) -> None:
    task = asyncio.create_task(copy_tree(slow_rsync, source, destination))
    await until(lambda: list(destination.rglob(".a.bin.*")))
    (source / "sub" / "z.bin").unlink()

    with pytest.raises(Temporary, match=r"exit code 24.*vanished"):
        await task


@needs_rsync
async def test_cancelling_rsync_leaves_none_of_its_processes(
    slow_rsync: Rsync, source: Path, destination: Path
) -> None:
    task = asyncio.create_task(copy_tree(slow_rsync, source, destination))
    await until(lambda: len(running(destination)) >= 3 and list(destination.rglob(".a.bin.*")))

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not running(destination)


@needs_rsync
async def test_a_killed_rsync_is_temporary_and_leaves_none_of_its_processes(
    slow_rsync: Rsync, source: Path, destination: Path
) -> None:
    task = asyncio.create_task(copy_tree(slow_rsync, source, destination))
    await until(lambda: len(running(destination)) >= 3 and list(destination.rglob(".a.bin.*")))

    (leader,) = [pid for pid in running(destination) if os.getpgid(pid) == pid]
    os.kill(leader, signal.SIGKILL)

    with pytest.raises(Temporary, match="SIGKILL"):
        await task
    assert not running(destination)


@needs_rsync
async def test_a_disk_that_fills_up_under_rsync_is_told_apart(rsync: Rsync, source: Path, small_disk: Path) -> None:
    (small_disk / "copy").mkdir()

    with pytest.raises(DiskFull, match="No space left on device"):
        await copy_tree(rsync, source, small_disk / "copy")


@needs_rsync
async def test_a_disk_out_of_inodes_is_a_full_disk(rsync: Rsync, tmp_path: Path, small_disk: Path) -> None:
    for number in range(60):
        (tmp_path / "many" / str(number)).mkdir(parents=True)
    (small_disk / "copy").mkdir()

    with pytest.raises(DiskFull, match="No space left on device"):
        await copy_tree(rsync, tmp_path / "many", small_disk / "copy")


@pytest.mark.parametrize("size", [0, 1, 1_048_576, 5_000_001])
async def test_dd_copies_the_content_and_reports_its_size(size: int, dd: Dd, tmp_path: Path, destination: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(random.Random(size).randbytes(size))
    reported: list[int] = []

    await copy_file(dd, file, destination / "file", reported.append)

    assert (destination / "file").read_bytes() == file.read_bytes()
    assert reported == sorted(set(reported))
    assert reported[-1] == size


async def test_dd_copies_holes_as_zeros(dd: Dd, tmp_path: Path, destination: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.seek(4_000_000)
        file.write(b"middle")
        file.truncate(9_000_001)

    await copy_file(dd, sparse, destination / "sparse")

    assert (destination / "sparse").read_bytes() == sparse.read_bytes()


@pytest.mark.parametrize("name", NAMES)
async def test_dd_copies_files_of_any_name(name: bytes, dd: Dd, source: Path, destination: Path) -> None:
    odd, target = (os.path.join(os.fsencode(folder), name) for folder in (source, destination))

    await dd.copy_file(odd, target, on_bytes=ignore)

    assert facts_of(destination)[name][2] == name
    assert os.listdir(os.fsencode(destination)) == [name]


@pytest.mark.parametrize("kind", ["link", "folder", "fifo", "device"])
async def test_dd_opens_regular_files_only(kind: str, dd: Dd, tmp_path: Path, destination: Path) -> None:
    path = tmp_path / kind
    if kind == "link":
        path.symlink_to(tmp_path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path = Path("/dev/zero")

    with pytest.raises(Permanent, match="no regular file"):
        await copy_file(dd, path, destination / "copy")

    assert not os.listdir(destination)


async def test_dd_never_writes_onto_a_file_or_through_a_link(dd: Dd, source: Path, destination: Path) -> None:
    (destination / "there").write_text("there")
    (destination / "link").symlink_to("elsewhere")

    for name in ("there", "link"):
        with pytest.raises(Temporary, match="File exists"):
            await copy_file(dd, source / "script", destination / name)

    assert (destination / "there").read_text() == "there"
    assert not (destination / "elsewhere").exists()


@pytest.mark.parametrize(
    ("path", "reason"), [("/proc/self/mem", "Input/output error"), ("/nowhere/file", "cannot be reached")]
)
async def test_a_file_that_dd_cannot_read_is_temporary(path: str, reason: str, dd: Dd, destination: Path) -> None:
    with pytest.raises(Temporary, match=reason):
        await copy_file(dd, Path(path), destination / "copy")


async def test_a_disk_that_fills_up_under_dd_is_told_apart(dd: Dd, source: Path, small_disk: Path) -> None:
    with pytest.raises(DiskFull, match="No space left on device") as failure:
        await copy_file(dd, source / "sub" / "a.bin", small_disk / "a.bin")

    assert "records" not in str(failure.value)


@pytest.mark.parametrize(("number", "kind"), [(None, asyncio.CancelledError), (signal.SIGKILL, Temporary)])
async def test_an_interrupted_dd_is_gone(
    number: signal.Signals | None,
    kind: type[asyncio.CancelledError] | type[JobError],
    dd: Dd,
    tmp_path: Path,
    destination: Path,
) -> None:
    endless = tmp_path / "endless"
    endless.touch()
    os.truncate(endless, 1 << 42)
    copy = destination / "copy"
    task = asyncio.create_task(copy_file(dd, endless, copy))
    await until(lambda: copy.exists() and copy.stat().st_size)

    if number is None:
        task.cancel()
    else:
        for pid in running(copy):
            os.kill(pid, number)
    with pytest.raises(kind):
        await task

    assert not running(copy)
