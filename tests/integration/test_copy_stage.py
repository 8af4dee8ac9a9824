"""The stages on the local disk: whichever way it is copied, the copy is equal and the manifest tells the truth."""

import asyncio
import errno
import hashlib
import os
import re
import shutil
import subprocess
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.database import Database
from cs_archiver.demo.compare import compare, extract
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import Entry, EntryKind, Seen
from cs_archiver.domain.packing import Mode
from cs_archiver.domain.space import Room
from cs_archiver.domain.states import JobStatus
from cs_archiver.errors import DiskFull, JobError, NeedsOperator, Permanent, Temporary
from cs_archiver.stages.compress import Compress
from cs_archiver.stages.copy import Copy, CopySettings, _require_times_that_can_be_sealed
from cs_archiver.stages.nas import Nas
from cs_archiver.stages.places import Places
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.stages.source import Approvals, ComparedCopies
from cs_archiver.stages.stage import Advance
from cs_archiver.stages.strategies import Strategies, Strategy
from cs_archiver.stages.verify import Verify
from cs_archiver.tools import removal, tree
from cs_archiver.tools.dd import Dd
from cs_archiver.tools.deletion import ApprovedDeletion
from cs_archiver.tools.fixity import Digest, digest_of_file
from cs_archiver.tools.nas import NasProbe
from cs_archiver.tools.process import Processes
from cs_archiver.tools.rsync import Rsync
from cs_archiver.tools.sevenzip import SevenZip
from cs_archiver.tools.threads import Work
from tests.support.jobs import a_job
from tests.support.trees import plant_awkward_tree, write

HUGE = 2**60
# Below which sizes each strategy begins, so that a folder of a few megabytes is copied by the one that is wanted.
THRESHOLDS = {
    Strategy.SHUTIL: (HUGE, HUGE, HUGE),
    Strategy.RSYNC: (0, HUGE, HUGE),
    Strategy.DD: (0, 0, HUGE),
    Strategy.PARALLEL: (0, 0, 0),
}
STRATEGIES = [
    pytest.param(
        strategy,
        marks=pytest.mark.skipif(
            strategy is Strategy.RSYNC and shutil.which("rsync") is None, reason="rsync is not installed"
        ),
    )
    for strategy in Strategy
]


class Heard:
    """A report that remembers what it was told, and may do something when it hears a certain operation."""

    def __init__(self, **when: Callable[[], object]) -> None:
        self.lines: list[str] = []
        self.operations: list[str] = []
        self.bytes: list[tuple[int | None, int | None]] = []
        self.recorded: dict[str, object] = {}
        self._when = when

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        self.lines.append(f"{level.value} {message}")

    async def log_all(self, lines: Sequence[tuple[LogLevel, str]]) -> None:
        self.lines += [f"{level.value} {message}" for level, message in lines]

    async def record(self, **facts: object) -> None:
        self.recorded |= facts

    async def recovered(self) -> None:
        """No connection to lose here."""

    def operation(self, text: str) -> None:
        self.operations.append(text)
        for word in list(self._when):
            if word in text:
                self._when.pop(word)()

    def progress(
        self,
        *,
        bytes_done: int | None = None,
        bytes_total: int | None = None,
        percent: float | None = None,
        operation: str | None = None,
    ) -> None:
        self.bytes.append((bytes_done, bytes_total))


def nas_of(places: Places) -> Nas:
    return Nas(places, NasProbe(places.nas, timeout_seconds=10))


class World:
    """A NAS, a local disk, a database, and one job between them."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root = root
        self.source = root / "nas" / "Production" / "2024" / "Project Älpha"
        self.source.mkdir(parents=True)
        storage = root / "storage"
        for name in ("temp", "archives", "failed"):
            (storage / name).mkdir(parents=True)
        self.catalogue = Catalogue(database)
        self.places = Places(
            root / "nas", storage, storage / "temp", storage / "archives", storage / "failed", "/collection/"
        )

    def job(self, **values: Any) -> Job:
        row: dict[str, Any] = {
            "status": JobStatus.COPYING,
            "id": "6d6f0000-0000-4000-8000-000000000001",
            "folder_name": self.source.name,
            "source_path": str(self.source),
            "source_inode": self.source.lstat().st_ino,
            "archive_path": self.places.archive_for("Production", "2024", "Project Älpha.tar.7z"),
            "attempt": 1,
        }
        return a_job(**{**row, **values})

    def copier(
        self,
        strategy: Strategy = Strategy.SHUTIL,
        *,
        hash_source_at_once: bool = False,
        limit: float | None = None,
    ) -> Copy:
        small, medium, large = THRESHOLDS[strategy]
        settings = CopySettings(
            small,
            medium,
            large,
            threads=3,
            limit=limit,
            marker_patterns=("*.done",),
        )
        processes = Processes()
        strategies = Strategies(
            Rsync(processes, limit=limit),
            Dd(processes),
            threads=3,
            limit=limit,
            hash_source_at_once=hash_source_at_once,
        )
        return Copy(strategies, self.catalogue, self.places, nas_of(self.places), ComparedCopies(), settings)

    @property
    def copy(self) -> Path:
        return Path(os.fsdecode(self.places.copy(self.job())))

    async def manifest(self, advance: Advance) -> list[Entry]:
        return list(await self.catalogue.manifest(advance.changes["manifest_id"]))


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A file system of its own in memory; the test is skipped where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    mount = ["mount", "-t", "tmpfs", *options, "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no mounts")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def pack_by_hand(folder: Path, archive: Path) -> None:
    subprocess.run(["7z", "a", "-t7z", "-sae", archive, folder], check=True, capture_output=True)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = await Database.open(tmp_path / "cs.db", read_connections=2)
    yield World(tmp_path, database)
    await database.close()


def truth_about(source: Path) -> dict[bytes, tuple[object, ...]]:
    """The manifest as it must be, made of the source by pathlib and hashlib."""
    found: dict[bytes, tuple[object, ...]] = {}
    for path in source.rglob("*"):
        status, name = path.lstat(), os.fsencode(path.relative_to(source))
        fixity: tuple[object, ...]
        if path.is_symlink():
            target = os.readlink(os.fsencode(path))
            fixity = ("link", len(target), status.st_mtime_ns, target, zlib.crc32(target), None)
        elif path.is_dir():
            fixity = ("dir", 0, None, None, None, None)
        else:
            content = path.read_bytes()
            digest = hashlib.sha256(content).digest()
            fixity = ("file", len(content), status.st_mtime_ns, None, zlib.crc32(content), digest)
        found[name] = (*fixity, status.st_mode & 0o7777)
    return found


def as_told(manifest: list[Entry]) -> dict[bytes, tuple[object, ...]]:
    return {
        entry.path: (
            entry.kind.value,
            entry.size,
            None if entry.kind is EntryKind.DIR else entry.mtime_ns,
            entry.target,
            entry.crc32,
            entry.sha256,
            entry.mode,
        )
        for entry in manifest
    }


@pytest.mark.parametrize("hash_source_at_once", [False, True])
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_each_strategy_makes_an_equal_copy_and_a_true_manifest(
    world: World, strategy: Strategy, hash_source_at_once: bool
) -> None:
    plant_awkward_tree(world.source)
    (world.source / "sub").chmod(0o711)
    world.source.chmod(0o750)
    os.utime(world.source, ns=(0, 1_250_000_000_987_654_321))
    heard = Heard()
    copier = world.copier(strategy, hash_source_at_once=hash_source_at_once)

    advance = await copier.run(world.job(), heard)

    assert compare(world.source, world.copy) == []
    truth = truth_about(world.source)
    assert as_told(await world.manifest(advance)) == truth
    size = sum(path.lstat().st_size for path in world.source.rglob("*") if path.is_file() and not path.is_symlink())
    files = sum(1 for kind, *_ in truth.values() if kind != "dir")
    assert advance.to is JobStatus.COMPRESSING
    assert (advance.changes["folder_size_bytes"], advance.changes["folder_file_count"]) == (size, files)
    assert heard.lines[0].endswith(f"by {strategy.value}")
    assert advance.said[-1].startswith("Copy complete")
    assert heard.bytes[-1] == (size, size), "the last that is told is the whole"
    done = [count or 0 for count, _total in heard.bytes]
    begun_anew = [before for before, after in pairwise(done) if after < before]  # by the digests of a tool's copy
    assert set(begun_anew) <= {size}


async def test_links_that_7zip_alters_when_it_extracts_are_told(world: World) -> None:
    write(world.source, b"file", b"x")
    for name, target in (("a", "/etc/hosts"), ("b", "../file"), ("c", "sub//file"), ("d", "file"), ("e", "..file")):
        (world.source / name).symlink_to(target)
    heard = Heard()
    await world.copier().run(world.job(), heard)
    (warning,) = [line for line in heard.lines if line.startswith(LogLevel.WARNING)]
    assert "3 links (absolute, through '..' or with '//'), such as 'a': the archive holds them" in warning


async def test_with_a_limit_what_dd_would_copy_is_copied_by_threads_that_keep_it(world: World) -> None:
    write(world.source, b"large", b"x" * 3_000_000)
    heard = Heard()
    await world.copier(Strategy.DD, limit=2_000_000).run(world.job(), heard)
    assert heard.lines[0].endswith("by parallel threads, at most 1.91 MiB/s")
    assert compare(world.source, world.copy) == []


@pytest.mark.parametrize(
    ("size", "strategy"),
    [
        (99, Strategy.SHUTIL),
        (100, Strategy.RSYNC),
        (199, Strategy.RSYNC),
        (200, Strategy.DD),
        (299, Strategy.DD),
        (300, Strategy.PARALLEL),
    ],
)
async def test_the_size_of_the_folder_chooses_the_strategy(world: World, size: int, strategy: Strategy) -> None:
    write(world.source, b"file", b"x" * size)
    heard, processes = Heard(), Processes()
    settings = CopySettings(100, 200, 300, threads=2, limit=None, marker_patterns=())
    if strategy is Strategy.RSYNC and shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    strategies = Strategies(Rsync(processes), Dd(processes), threads=2)
    copy = Copy(strategies, world.catalogue, world.places, nas_of(world.places), ComparedCopies(), settings)
    await copy.run(world.job(), heard)
    assert heard.lines[0].endswith(f"by {strategy.value}")


async def test_a_folder_that_was_archived_meanwhile_is_not_copied(world: World) -> None:
    (world.source / "sub").mkdir()
    (world.source / "sub" / "inner.done").write_text("no marker: it is not at the top")
    (world.source / "a.mov").write_text("new")
    await world.copier().run(world.job(), Heard())
    (world.source / "Alpha.done").write_text("Job ID: of another job")
    with pytest.raises(Permanent, match=r"already archived: it holds the marker file 'Alpha\.done'"):
        await world.copier().run(world.job(), Heard())


async def test_a_folder_within_that_could_not_be_emptied_in_the_end_is_refused_before_anything_is_copied(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.source / "sub" / "deeper").mkdir(parents=True)
    write(world.source / "sub", b"b.mov", b"x")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **how: path[-4:] != b"/sub" and access(path, mode, **how))
    with pytest.raises(Permanent, match=r"may not write .* in the end: 'sub': give") as caught:
        await world.copier().run(world.job(), Heard())
    assert caught.value.problem == "source-not-writable"
    assert os.listdir(world.copy) == []


@pytest.mark.parametrize("within", [".", "sub"])
async def test_files_of_others_in_a_folder_of_which_only_their_owners_may_remove_them_are_not_copied(
    world: World, monkeypatch: pytest.MonkeyPatch, within: str
) -> None:
    folder = world.source / within
    folder.mkdir(exist_ok=True)
    write(folder, b"of somebody else.mov", b"x")
    folder.chmod(0o1777)
    await world.copier().run(world.job(), Heard())  # its owner may
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(Permanent, match="not remove what others own there") as caught:
        await world.copier().run(world.job(), Heard())
    assert caught.value.problem == "source-not-writable"
    assert os.listdir(world.copy) == []


@pytest.mark.parametrize("moment_ns", [2**63, -(2**63) - 1])
async def test_a_time_that_no_manifest_can_hold_is_refused_before_anything_is_copied(
    world: World, moment_ns: int
) -> None:
    write(world.source, b"film.mov", b"x")
    os.utime(world.source / "film.mov", ns=(0, moment_ns))
    if (world.source / "film.mov").stat().st_mtime_ns != moment_ns:
        pytest.skip("this file system holds no such time either")
    with pytest.raises(Permanent, match=r"'film\.mov' has a modification time outside") as caught:
        await world.copier().run(world.job(), Heard())
    assert caught.value.problem == "unsupported-entries"
    assert os.listdir(world.copy) == []


@pytest.mark.parametrize(("last_ns", "beyond_ns"), [(2**63 - 1, 2**63), (-(2**63), -(2**63) - 1)])
def test_times_count_as_far_as_the_database_has_digits(last_ns: int, beyond_ns: int) -> None:
    """Whatever this file system holds."""
    last, beyond = (Seen(b"film.mov", EntryKind.FILE, 1, at, 0, 1, 0o644, 1, None) for at in (last_ns, beyond_ns))
    _require_times_that_can_be_sealed([last])
    with pytest.raises(Permanent, match=r"'film\.mov' has a modification time outside"):
        _require_times_that_can_be_sealed([last, beyond])


async def test_a_copy_is_repeated_from_nothing(world: World) -> None:
    write(world.source, b"file", b"x")
    world.copy.mkdir(parents=True)
    write(world.copy, b"stale", b"of an earlier attempt", mode=0o000)
    world.copy.chmod(0o000)
    await world.copier().run(world.job(), Heard())
    assert os.listdir(world.copy) == ["file"]


async def test_a_source_without_any_file_is_an_error_and_never_done(world: World) -> None:
    (world.source / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(Permanent) as caught:
        await world.copier().run(world.job(), Heard())
    assert caught.value.problem == "source-empty"


async def test_a_source_that_vanished_is_an_error(world: World) -> None:
    write(world.source, b"file", b"x")
    job = world.job()
    world.source.rename(world.root / "moved")
    with pytest.raises(Permanent) as caught:
        await world.copier().run(job, Heard())
    assert caught.value.problem == "source-missing"


async def test_another_folder_at_the_path_sends_the_job_back_to_the_start(world: World) -> None:
    write(world.source, b"file", b"x")
    with pytest.raises(Temporary) as caught:
        await world.copier().run(world.job(source_inode=1), Heard())
    assert caught.value.start_over
    assert caught.value.problem == "source-changed"
    assert os.listdir(world.copy) == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_fifo_is_named_and_nothing_is_copied(world: World, strategy: Strategy) -> None:
    write(world.source, b"file", b"x")
    (world.source / "sub").mkdir()
    os.mkfifo(world.source / "sub" / "the fifo")
    with pytest.raises(Permanent) as caught:
        await world.copier(strategy).run(world.job(), Heard())
    assert caught.value.problem == "unsupported-entries"
    assert "'sub/the fifo'" in str(caught.value)
    assert os.listdir(world.copy) == []


async def test_a_part_that_cannot_be_looked_at_is_named_and_nothing_is_copied(world: World) -> None:
    write(world.source, b"file", b"x")
    (world.source / "sub").mkdir()
    with mounted(world.source / "sub"), pytest.raises(Permanent) as caught:
        await world.copier().run(world.job(), Heard())
    assert caught.value.problem == "source-unreadable"
    assert "'sub': another file system" in str(caught.value)
    assert os.listdir(world.copy) == []


async def test_a_file_that_vanishes_during_the_scan_is_a_change_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(world.source, b"file", b"x")
    write(world.source, b"temporary", b"x")
    list_names = tree._names_in

    def list_then_lose_one(folder: int, ignore: frozenset[bytes]) -> list[bytes]:
        names = list_names(folder, ignore)
        if b"temporary" in names:
            (world.source / "temporary").unlink()
        return names

    monkeypatch.setattr(tree, "_names_in", list_then_lose_one)
    with pytest.raises(Temporary):
        await world.copier().run(world.job(), Heard())


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file is added": lambda source: write(source, b"late", b"x"),
    "a folder is added": lambda source: (source / "late").mkdir(),
    "a file is removed": lambda source: (source / "sub" / "one").unlink(),
    "a file grows": lambda source: (source / "sub" / "one").write_bytes(b"longer than before"),
    "a file is touched": lambda source: os.utime(source / "sub" / "one", ns=(0, 1)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("strategy", [Strategy.SHUTIL, Strategy.DD])
async def test_a_source_that_changes_while_it_is_copied_is_not_sealed(
    world: World, strategy: Strategy, change: str
) -> None:
    (world.source / "sub").mkdir()
    write(world.source / "sub", b"one", b"x")
    write(world.source, b"two", b"x")
    heard = Heard(Copying=lambda: CHANGES[change](world.source))
    with pytest.raises(Temporary) as caught:
        await world.copier(strategy).run(world.job(), heard)
    assert caught.value.problem in ("source-changed", "source-unreadable")
    assert list(await world.catalogue.manifest(1)) == []


def rewrite_keeping_size_and_time(path: Path, content: bytes) -> None:
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(0, before.st_mtime_ns))


async def test_a_source_not_read_again_later_is_compared_with_its_copy_at_once(world: World) -> None:
    write(world.source, b"large", b"x" * 2_000_000)
    heard = Heard(Computing=lambda: rewrite_keeping_size_and_time(world.source / "large", b"y" * 2_000_000))
    with pytest.raises(Temporary) as caught:
        await world.copier(Strategy.DD, hash_source_at_once=True).run(world.job(), heard)
    assert "differs from the source" in str(caught.value)


async def test_beside_dd_small_files_have_the_digests_of_the_source_not_of_what_became_of_the_copy(
    world: World,
) -> None:
    for name, size in ((b"a large", 2_000_000), (b"b small", 100), (b"c large", 1_048_576), (b"d small", 1_048_575)):
        write(world.source, name, os.urandom(size))
    heard = Heard(Computing=lambda: rewrite_keeping_size_and_time(world.copy / "b small", b"y" * 100))
    await world.copier(Strategy.DD, hash_source_at_once=True).run(world.job(), heard)
    sealed = {entry.path: entry.sha256 for entry in await world.catalogue.manifest(1)}
    of_source = {os.fsencode(path.name): hashlib.sha256(path.read_bytes()).digest() for path in world.source.iterdir()}
    assert sealed == of_source


async def test_a_copy_that_is_spoiled_meanwhile_is_not_sealed(world: World) -> None:
    write(world.source, b"large", b"x" * 2_000_000)
    heard = Heard(Computing=lambda: write(world.copy, b"stray", b"x"))
    with pytest.raises(Temporary) as caught:
        await world.copier(Strategy.DD).run(world.job(), heard)
    assert caught.value.problem == "copy-differs"


def refuse_looks_at_the_copy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat

    def stat_of(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        if dir_fd is not None and os.readlink(f"/proc/self/fd/{dir_fd}") == str(world.copy):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "stat", stat_of)


@pytest.mark.parametrize("stage", ["copying", "compressing"])
async def test_a_copy_that_cannot_be_looked_at_is_no_trouble_of_the_nas(
    world: World, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    write(world.source, b"file", b"x")
    job = world.job() if stage == "copying" else await copied(world)
    refuse_looks_at_the_copy(world, monkeypatch)
    run = world.copier().run
    if stage == "compressing":
        run = Compress(SevenZip(Processes()), world.places, Mode.AUTO, threads=2).run
    with pytest.raises(NeedsOperator, match=r"cannot read '.*/file': Read-only.*: check the storage folder") as caught:
        await run(job, Heard())
    assert caught.value.problem == "storage-unusable"
    assert str(world.copy) in str(caught.value)


@pytest.mark.parametrize("year", [1902, 1970, 2100, 2300])
async def test_a_file_of_any_date_is_sealed_as_it_is_or_refused_by_name(world: World, year: int) -> None:
    path = write(world.source, b"far off", b"x")
    mtime_ns = (year - 1970) * 31_556_952 * 10**9 + 1
    os.utime(path, ns=(0, mtime_ns))
    if os.stat(path).st_mtime_ns != mtime_ns:
        pytest.skip("this file system cannot hold the date")
    try:
        advance = await world.copier().run(world.job(), Heard())
    except Permanent as error:
        assert year > 2262, error  # noqa: PT017  refusing is allowed only beyond what 64 bits of nanoseconds hold
        assert "far off" in str(error)  # noqa: PT017
    else:
        assert [entry.mtime_ns for entry in await world.manifest(advance)] == [mtime_ns]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_full_disk_is_told_as_such_by_every_strategy(world: World, strategy: Strategy) -> None:
    for number in range(600):  # each takes a page, which the sum of their sizes does not tell
        write(world.source, b"%d" % number, b"x")
    with mounted(world.places.temp, "-o", "size=2m"):
        heard = Heard()
        with pytest.raises(DiskFull) as caught:
            await world.copier(strategy).run(world.job(), heard)
        assert any("Copying from the NAS" in line for line in heard.lines)
        assert caught.value.problem == "disk-full"
        await SetAside(world.places).clear(world.job())
        assert os.listdir(world.places.temp) == []


@pytest.mark.parametrize(
    ("size", "files", "options", "error", "told"),
    [
        (3_000_000, 1, "size=2m", Permanent, "as the source is now, it can never fit: 2.86 MiB of disk space needed"),
        (1_500_000, 1, "size=2m", DiskFull, "1.43 MiB needed, "),
        (10, 30, "size=2m,nr_inodes=40", DiskFull, "names for 47 files needed, "),
    ],
)
async def test_a_source_that_has_grown_beyond_the_disk_is_not_copied(
    world: World, size: int, files: int, options: str, error: type[JobError], told: str
) -> None:
    (world.source / "sub").mkdir()
    for number in range(files):
        write(world.source, b"sub/%d" % number, os.urandom(size))
    with mounted(world.places.temp, "-o", options):
        write(world.places.temp, b"of somebody else", os.urandom(1_000_000))
        heard = Heard()
        with pytest.raises(error) as caught:
            await world.copier().run(world.job(), heard)
        assert told in str(caught.value)
        assert heard.lines == []


async def test_a_cancelled_copy_has_ended_when_it_returns(world: World) -> None:
    write(world.source, b"file", b"x")
    for number in range(300):
        write(world.source, b"%d" % number, os.urandom(20_000))
    copying = asyncio.Event()
    task = asyncio.create_task(world.copier().run(world.job(), Heard(Copying=copying.set)))
    await copying.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await SetAside(world.places).clear(world.job())
    assert os.listdir(world.places.temp) == [], "nobody writes any more"


@pytest.fixture
def packer(world: World) -> Compress:
    return Compress(SevenZip(Processes()), world.places, Mode.FAST, threads=2)


@pytest.fixture
def verifier(world: World) -> Verify:
    return Verify(SevenZip(Processes()), world.catalogue, world.places)


async def copied(world: World, **values: Any) -> Job:
    """The job after its copy was sealed."""
    if not os.listdir(world.source):
        write(world.source, b"plain.txt", b"content 0 ")
        (world.source / "sub").mkdir()
        write(world.source / "sub", b"-sdel", b"more content")
        (world.source / "link").symlink_to("plain.txt")
    advance = await world.copier().run(world.job(), Heard())
    return world.job(status=JobStatus.COMPRESSING, **{**advance.changes, **values})


async def packed(world: World, packer: Compress) -> Job:
    job = await copied(world)
    advance = await packer.run(job, Heard())
    assert advance.to is JobStatus.VERIFYING
    manifest_id = job.manifest_id
    return world.job(status=JobStatus.VERIFYING, manifest_id=manifest_id, **advance.changes)


def archive_of(world: World) -> Path:
    return Path(os.fsdecode(world.places.archive(world.job())))


async def test_a_partial_archive_of_an_earlier_run_is_never_added_to(world: World, packer: Compress) -> None:
    job = await copied(world)
    partial = Path(os.fsdecode(world.places.partial(job)))
    partial.parent.mkdir(parents=True)
    (world.root / "other folder").mkdir()
    write(world.root / "other folder", b"foreign", b"x")
    pack_by_hand(world.root / "other folder", partial)
    await packer.run(job, Heard())
    extract(partial, world.root / "unpacked")
    assert os.listdir(world.root / "unpacked") == [world.source.name]
    assert compare(world.source, world.root / "unpacked" / world.source.name) == []


async def test_a_packed_folder_is_verified_named_and_its_copy_removed(
    world: World, packer: Compress, verifier: Verify
) -> None:
    plant_awkward_tree(world.source)
    job, heard = await packed(world, packer), Heard()
    advance = await verifier.run(job, heard)
    content = archive_of(world).read_bytes()
    assert advance.to is JobStatus.AWAITING_UPLOAD
    assert heard.recorded == {"archive_sha256": hashlib.sha256(content).hexdigest()}
    assert job.archive_size_bytes == len(content)
    assert os.listdir(archive_of(world).parent) == [archive_of(world).name]
    assert os.listdir(world.places.temp) == []
    extract(archive_of(world), world.root / "unpacked")
    assert compare(world.source, world.root / "unpacked" / world.source.name) == []


async def test_a_named_archive_is_recorded_before_its_copy_goes_and_then_only_that_is_left_to_do(
    world: World, packer: Compress, verifier: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, heard = await packed(world, packer), Heard()

    def refuse(_path: bytes, _work: Work) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(removal, "remove_working_copy", refuse)
        with pytest.raises(Temporary, match="Input/output error"):
            await verifier.run(job, heard)
    archive = archive_of(world).read_bytes()
    assert heard.recorded == {"archive_sha256": hashlib.sha256(archive).hexdigest()}
    assert os.listdir(world.places.temp) != []

    again = Heard()
    advance = await verifier.run(job._replace(archive_sha256=hashlib.sha256(archive).hexdigest()), again)
    assert advance.to is JobStatus.AWAITING_UPLOAD
    assert (again.recorded, again.operations) == ({}, ["Removing the temporary copy"])
    assert os.listdir(world.places.temp) == []
    assert archive_of(world).read_bytes() == archive


async def test_the_folder_of_the_archives_may_go_while_auto_looks_at_samples(world: World) -> None:
    """As when the last archive of it was uploaded, and its source deleted."""
    plant_awkward_tree(world.source)
    job = await copied(world)
    folder = archive_of(world).parent
    folder.mkdir(parents=True)
    packer = Compress(SevenZip(Processes()), world.places, Mode.AUTO, threads=2)
    advance = await packer.run(job, Heard(samples=folder.rmdir))
    assert advance.to is JobStatus.VERIFYING
    assert not folder.exists() or os.listdir(folder) != []


async def test_auto_stores_what_would_not_shrink_and_says_so(world: World, verifier: Verify) -> None:
    plant_awkward_tree(world.source)
    write(world.source, b"take.mov", os.urandom(3_000_000))
    write(world.source, b"notes.xml", b"<note>said again and again</note>" * 30_000)
    packer = Compress(SevenZip(Processes()), world.places, Mode.AUTO, threads=2)
    job = await copied(world)
    heard = Heard()
    advance = await packer.run(job, heard)
    size = advance.changes["archive_size_bytes"]
    assert "Trying on samples what is worth compressing" in heard.operations
    (said,) = advance.said
    assert re.fullmatch(
        r"Compression complete \(.* MiB, 6\d\.\d% of the folder, in \d+\.\d s; \d+ files, .* MiB compressed; "
        r"\d+ files, .* MiB stored, as samples did not shrink; "
        r"6 files, 926 B stored as well, as no list can hold their names\)",
        said,
    )
    assert size < 3_000_000 + 2_500_000 * 2 + 100_000
    assert heard.bytes[-1] == (job.folder_size_bytes, job.folder_size_bytes)
    verifying = world.job(status=JobStatus.VERIFYING, manifest_id=job.manifest_id, **advance.changes)
    await verifier.run(verifying, Heard())
    assert os.listdir(world.places.temp) == []
    extract(archive_of(world), world.root / "unpacked")
    assert compare(world.source, world.root / "unpacked" / world.source.name) == []


def methods_in(archive: bytes) -> Counter[str]:
    """How 7-Zip says that the files are packed."""
    listed = subprocess.run(["7z", "l", "-slt", "-ba", archive], capture_output=True, text=True, check=True)
    return Counter(re.findall(r"^Method = (\w+)", listed.stdout, re.MULTILINE))


@pytest.mark.parametrize(
    ("kinds", "free_bytes", "methods"),
    [
        (("take.mov", "notes.xml"), 7_979_999, {"LZMA2": 2}),
        (("take.mov", "notes.xml"), 7_980_000, {"LZMA2": 1, "Copy": 1}),
        (("take.mov",), 0, {"Copy": 1}),
    ],
    ids=["no room for two runs", "room for two runs", "one run is enough"],
)
async def test_auto_needs_room_for_two_runs_where_a_disk_had_none_before(
    world: World, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...], free_bytes: int, methods: dict[str, int]
) -> None:
    contents = {"take.mov": os.urandom(3_000_000), "notes.xml": b"<note>said again and again</note>" * 30_000}
    for name in kinds:
        write(world.source, name.encode(), contents[name])
    job = await copied(world, disk_was_full=1)
    monkeypatch.setattr("cs_archiver.stages.compress.room_on", lambda _path: Room(free_bytes, 10**9, None, 4096))
    heard = Heard()

    await Compress(SevenZip(Processes()), world.places, Mode.AUTO, threads=2).run(job, heard)

    warned = [line for line in heard.lines if "this job had to wait for disk space before" in line]
    assert warned == (heard.lines[1:] if methods == {"LZMA2": 2} else [])
    assert methods_in(world.places.partial(job)) == methods


async def test_auto_says_what_7zip_shows(world: World) -> None:
    for number in range(3):
        write(world.source, b"take%d.mov" % number, os.urandom(1_000_000))
    write(world.source, b"notes.xml", b"<note>said again and again</note>" * 30_000)
    job = await copied(world)

    advance = await Compress(SevenZip(Processes()), world.places, Mode.AUTO, threads=2).run(job, Heard())

    assert methods_in(world.places.partial(job)) == {"LZMA2": 1, "Copy": 3}
    assert "; 1 file, 967 KiB compressed; 3 files, 2.86 MiB stored, as samples did not shrink" in advance.said[0]


async def test_auto_says_why_it_compresses_what_would_not_shrink(world: World) -> None:
    write(world.source, b"take.mov", os.urandom(3_000_000))
    write(world.source, b"notes\\of the day.xml", b"<note>said again and again</note>" * 30_000)
    job = await copied(world)
    heard = Heard()

    advance = await Compress(SevenZip(Processes()), world.places, Mode.AUTO, threads=2).run(job, heard)

    (said,) = advance.said
    assert re.fullmatch(r"Compression complete \(.* MiB, .* of the folder, in \d+\.\d s\)", said)
    (warning,) = [line for line in heard.lines if line.startswith(LogLevel.WARNING)]
    assert "Compressing everything, although 2.86 MiB of it would not shrink: " in warning
    assert "the names of 1 file, 967 KiB, that shrink" in warning


async def test_auto_begins_anew_after_a_crash_between_its_two_runs(world: World) -> None:
    plant_awkward_tree(world.source)
    job = await copied(world)
    partial = Path(os.fsdecode(world.places.partial(job)))
    partial.parent.mkdir(parents=True)
    pack_by_hand(world.source / "sub", partial)
    (Path(os.fsdecode(world.places.working_folder(job))) / f"{partial.name}.tmp").write_bytes(b"half of the second run")
    await Compress(SevenZip(Processes()), world.places, Mode.AUTO, threads=2).run(job, Heard())
    extract(partial, world.root / "unpacked")
    assert compare(world.source, world.root / "unpacked" / world.source.name) == []


async def test_the_archive_is_hashed_and_listed_while_it_is_tested(
    world: World, packer: Compress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a 7-Zip whose test would not end before that: were one done after the other, it would wait in vain."""
    seven_zip, listed, hashed = (world.root / name for name in ("7z", "listed", "hashed"))
    seven_zip.write_text(
        f"""#!/bin/sh
        case "$1" in
            l) touch '{listed}' ;;
            t) for _ in $(seq 2000); do
                   if [ -e '{listed}' ] && [ -e '{hashed}' ]; then exec 7z "$@"; fi
                   sleep 0.01
               done
               exit 9 ;;
        esac
        exec 7z "$@"
        """
    )
    seven_zip.chmod(0o755)

    def digest_and_tell(path: bytes, on_block: Callable[[int], None]) -> Digest:
        found = digest_of_file(path, on_block)
        hashed.touch()
        return found

    monkeypatch.setattr("cs_archiver.stages.verify.digest_of_file", digest_and_tell)
    job = await packed(world, packer)
    tested = SevenZip(Processes(), executable=str(seven_zip))
    heard = Heard()
    await Verify(tested, world.catalogue, world.places).run(job, heard)
    assert heard.recorded["archive_sha256"] == hashlib.sha256(archive_of(world).read_bytes()).hexdigest()


async def test_an_archive_that_cannot_be_read_is_said_to_be_so_before_its_test_has_ended(
    world: World, packer: Compress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: bytes, _on_block: Callable[[int], None]) -> Digest:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    seven_zip = world.root / "7z"
    seven_zip.write_text('#!/bin/sh\n[ "$1" = t ] && sleep 3600\nexec 7z "$@"\n')
    seven_zip.chmod(0o755)
    monkeypatch.setattr("cs_archiver.stages.verify.digest_of_file", fail)
    job = await packed(world, packer)
    verifier = Verify(SevenZip(Processes(), executable=str(seven_zip)), world.catalogue, world.places)
    async with asyncio.timeout(60):
        with pytest.raises(Temporary, match=r"cannot read '.*\.7z.*': Input/output error") as caught:
            await verifier.run(job, Heard())
    assert caught.value.problem == "storage-error"


async def test_an_archive_that_cannot_be_listed_starts_the_job_over(world: World, packer: Compress) -> None:
    seven_zip = world.root / "7z"
    seven_zip.write_text('#!/bin/sh\n[ "$1" = l ] && exit 2\n[ "$1" = t ] && sleep 3600\nexec 7z "$@"\n')
    seven_zip.chmod(0o755)
    job = await packed(world, packer)
    verifier = Verify(SevenZip(Processes(), executable=str(seven_zip)), world.catalogue, world.places)
    async with asyncio.timeout(60):
        with pytest.raises(Temporary) as caught:
            await verifier.run(job, Heard())
    assert caught.value.start_over
    assert caught.value.problem == "archive-damaged"


async def test_a_damaged_archive_starts_the_job_over(world: World, packer: Compress, verifier: Verify) -> None:
    job = await packed(world, packer)
    partial = Path(os.fsdecode(world.places.partial(job)))
    content = bytearray(partial.read_bytes())
    content[len(content) // 2] ^= 1
    partial.write_bytes(content)
    with pytest.raises(Temporary) as caught:
        await verifier.run(job, Heard())
    assert caught.value.start_over
    assert caught.value.problem == "archive-damaged"
    assert not archive_of(world).exists()


async def test_an_archive_that_lacks_a_file_starts_the_job_over(
    world: World, packer: Compress, verifier: Verify
) -> None:
    job = await copied(world)
    (world.copy / "plain.txt").unlink()
    advance = await packer.run(job, Heard())
    job = world.job(status=JobStatus.VERIFYING, manifest_id=job.manifest_id, **advance.changes)
    with pytest.raises(Temporary) as caught:
        await verifier.run(job, Heard())
    assert caught.value.start_over
    assert caught.value.problem == "archive-differs"
    assert "1 entry missing or different" in str(caught.value)
    assert "plain.txt" in str(caught.value)


async def test_an_archive_of_other_content_starts_the_job_over(
    world: World, packer: Compress, verifier: Verify
) -> None:
    job = await copied(world)
    (world.copy / "plain.txt").write_bytes(b"CONTENT 0 ")
    advance = await packer.run(job, Heard())
    job = world.job(status=JobStatus.VERIFYING, manifest_id=job.manifest_id, **advance.changes)
    with pytest.raises(Temporary) as caught:
        await verifier.run(job, Heard())
    assert caught.value.problem == "archive-differs"


@pytest.mark.parametrize("change", [{"manifest_id": None}, {"archive_size_bytes": 7}])
async def test_an_archive_without_proof_is_not_named(
    world: World, packer: Compress, verifier: Verify, change: dict[str, Any]
) -> None:
    job = await packed(world, packer)
    values = {"manifest_id": job.manifest_id, "archive_size_bytes": job.archive_size_bytes, **change}
    with pytest.raises(Temporary) as caught:
        await verifier.run(world.job(status=JobStatus.VERIFYING, **values), Heard())
    assert caught.value.start_over
    assert not archive_of(world).exists()


async def test_an_archive_already_of_that_name_is_never_overwritten(
    world: World, packer: Compress, verifier: Verify
) -> None:
    job = await packed(world, packer)
    archive_of(world).write_bytes(b"precious")
    heard = Heard()
    with pytest.raises(Temporary) as caught:
        await verifier.run(job, heard)
    assert caught.value.problem == "archive-exists"
    assert heard.recorded == {}
    assert archive_of(world).read_bytes() == b"precious"


async def test_an_archive_that_could_not_be_made_durable_is_found_by_nobody_who_looks_again(
    world: World, packer: Compress, verifier: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the database did not take down that the job starts over: a second fsync would claim success."""
    job = await packed(world, packer)

    def refuse(_path: bytes) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("cs_archiver.stages.verify.sync_file", refuse)
    with pytest.raises(Temporary, match="could not be made durable") as caught:
        await verifier.run(job, Heard())
    assert caught.value.start_over
    monkeypatch.undo()
    heard = Heard()
    with pytest.raises(Temporary, match="is gone") as caught:
        await verifier.run(job, heard)
    assert caught.value.start_over
    assert heard.recorded == {}
    assert not archive_of(world).exists()


async def test_a_job_starts_over_also_if_an_archive_that_is_not_durable_cannot_be_removed_either(
    world: World, packer: Compress, verifier: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await packed(world, packer)

    def refuse(_path: bytes) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("cs_archiver.stages.verify.sync_file", refuse)
    monkeypatch.setattr("cs_archiver.tools.removal.remove_file", refuse)
    with pytest.raises(Temporary, match="could not be made durable") as caught:
        await verifier.run(job, Heard())
    assert caught.value.start_over


async def test_an_archive_that_was_named_and_not_recorded_is_proven_again_under_its_name(
    world: World, packer: Compress, verifier: Verify
) -> None:
    job, refusing, heard = await packed(world, packer), Heard(), Heard()

    async def refuse(**_facts: object) -> None:
        raise NeedsOperator("the database is locked")

    refusing.record = refuse  # type: ignore[method-assign]
    with pytest.raises(NeedsOperator):
        await verifier.run(job, refusing)
    assert not os.path.lexists(world.places.partial(job))
    advance = await verifier.run(job, heard)
    assert advance.to is JobStatus.AWAITING_UPLOAD
    assert heard.recorded["archive_sha256"] == hashlib.sha256(archive_of(world).read_bytes()).hexdigest()


async def test_another_file_under_the_name_of_an_archive_that_is_gone_is_not_taken_for_it(
    world: World, packer: Compress, verifier: Verify
) -> None:
    job, heard = await packed(world, packer), Heard()
    content = bytearray(Path(os.fsdecode(world.places.partial(job))).read_bytes())
    content[len(content) // 2] ^= 1
    archive_of(world).write_bytes(content)
    os.unlink(world.places.partial(job))
    with pytest.raises(Temporary) as caught:
        await verifier.run(job, heard)
    assert caught.value.start_over
    assert heard.recorded == {}
    assert archive_of(world).read_bytes() == content


async def test_a_failed_job_keeps_its_archive_beside_an_error_log(world: World, packer: Compress) -> None:
    job = await packed(world, packer)
    archive_of(world).write_bytes(b"verified")
    aside = SetAside(world.places)
    await aside.keep(job, "first error: \u202e\n")
    archive_of(world).write_bytes(b"of the next attempt")
    await aside.keep(job, "second error")
    folder = world.places.failed / job.id
    name = archive_of(world).name
    assert sorted(os.listdir(folder)) == sorted(["error.log", name, f"{name}.partial", f"2-{name}"])
    assert (folder / name).read_bytes() == b"verified"
    log = (folder / "error.log").read_text()
    assert "first error" in log
    assert "failed while verifying: second error" in log
    assert os.listdir(world.places.temp) == []
    assert os.listdir(world.source) != []


async def test_a_job_that_failed_before_it_had_an_archive_leaves_its_error(world: World) -> None:
    job = world.job(status=JobStatus.QUEUED, archive_path=None)
    await SetAside(world.places).keep(job, "no such folder")
    assert "no such folder" in (world.places.failed / job.id / "error.log").read_text()
    await SetAside(world.places).clear(job)


async def test_files_that_cannot_be_kept_are_told_to_the_operator(world: World) -> None:
    (world.places.failed / world.job().id).write_bytes(b"in the way")
    with pytest.raises((NeedsOperator, Temporary)):
        await SetAside(world.places).keep(world.job(), "an error")


async def test_making_room_removes_the_copy_and_the_partial_archive_alone(world: World, packer: Compress) -> None:
    job = await packed(world, packer)
    archive_of(world).write_bytes(b"finished")
    await SetAside(world.places).clear(job)
    assert os.listdir(world.places.temp) == []
    assert os.listdir(archive_of(world).parent) == [archive_of(world).name]
    assert os.listdir(world.source) != []


def test_the_places_of_two_folders_of_one_name_are_apart(world: World) -> None:
    one, two = (world.places.archive_for("Events", level2, "Take 01.tar.7z") for level2 in ("Spring", "Autumn"))
    assert one != two
    assert world.places.as_collection_path(one) == "/collection/archives/Events/Spring/Take 01.tar.7z"
    with pytest.raises(ValueError, match="no archive path yet"):
        world.places.archive(world.job(archive_path=None))


def test_an_approval_is_used_only_once_and_only_for_its_job() -> None:
    approvals, approved = Approvals(), ApprovedDeletion(b"/nas/folder", 1, 2, [])
    job, other = a_job(), a_job()
    approvals.give(job, approved)
    assert approvals.take(other) is None
    assert approvals.take(job) is approved
    assert approvals.take(job) is None
