"""Digests of a copy while a tool makes it: nothing is read before it is whole, and nothing is left out."""

import asyncio
import errno
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.manifest import EntryKind, Seen
from cs_archiver.errors import NeedsOperator, Permanent, Temporary
from cs_archiver.stages.strategies import Strategies, Strategy
from cs_archiver.tools import hashing
from cs_archiver.tools.dd import Dd
from cs_archiver.tools.fixity import Digest, Digests, digest_of_seen, digest_of_stream
from cs_archiver.tools.process import Processes
from cs_archiver.tools.rsync import Rsync
from cs_archiver.tools.threads import Stopped, Work
from cs_archiver.tools.tree import scan_tree
from tests.support.trees import write

_MTIME_NS = 1_222_333_444_555_666_777
_SIZE = 5 << 20  # enough for a batch of its own
HASHING = "Computing digests"
_LOOKS_SECONDS = 4 * hashing._LOOK_SECONDS


class Report:
    """Keeps what is said to be done, and how far it is."""

    def __init__(self) -> None:
        self.told: list[object] = []

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None: ...

    async def log_all(self, lines: Sequence[tuple[LogLevel, str]]) -> None: ...

    async def record(self, **facts: object) -> None: ...

    async def recovered(self) -> None: ...

    def operation(self, text: str) -> None:
        self.told.append(text)

    def progress(self, **figures: object) -> None:
        self.told.append(figures["bytes_done"])


class Copying:
    """A copy that is being made of a source, and the thread that hashes it."""

    def __init__(self, root: Path) -> None:
        self.source, self.copy = root / "source", root / "copy"
        self.source.mkdir()
        self.copy.mkdir()
        self.is_made = threading.Event()
        self.work = Work()
        self._executor = ThreadPoolExecutor(1)

    def begin(self) -> Future[Digests]:
        entries = scan_tree(os.fsencode(self.source), threads=1, work=Work()).entries
        root, is_made = os.fsencode(self.copy), self.is_made.is_set
        return self._executor.submit(
            lambda: hashing.hash_copy(root, entries, threads=2, work=self.work, is_made=is_made)
        )

    async def by_rsync(self, executable: str, report: Report) -> Digests:
        scan = scan_tree(os.fsencode(self.source), threads=1, work=Work())
        processes = Processes()
        strategies = Strategies(Rsync(processes, executable=executable), Dd(processes), threads=2)
        return await strategies.copy(Strategy.RSYNC, os.fsencode(self.source), os.fsencode(self.copy), scan, report)

    async def by(self, strategy: Strategy, *, limit: float | None = None) -> Digests:
        scan, processes = scan_tree(os.fsencode(self.source), threads=1, work=Work()), Processes()
        strategies = Strategies(Rsync(processes), Dd(processes), threads=2, limit=limit)
        return await strategies.copy(strategy, os.fsencode(self.source), os.fsencode(self.copy), scan, Report())

    def plant(self, *names: str) -> None:
        for name in names:
            (self.source / name).parent.mkdir(exist_ok=True)
            write(self.source, os.fsencode(name), os.urandom(_SIZE), mtime_ns=_MTIME_NS)

    def bring(self, name: str, *, size: int = _SIZE, mtime_ns: int = _MTIME_NS) -> None:
        """As a tool does: under another name first, if it is to have its time with its name."""
        path = self.copy / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((self.source / name).read_bytes()[:size])
        os.utime(path, ns=(mtime_ns, mtime_ns))

    def until_read(self, size: int) -> None:
        deadline = time.monotonic() + 20
        while self.work.bytes_done < size:
            assert time.monotonic() < deadline, self.work.bytes_done
            time.sleep(0.005)

    def end(self) -> None:
        self.is_made.set()
        self.work.stop()
        self._executor.shutdown()

    def of_source(self) -> list[bytes]:
        entries = scan_tree(os.fsencode(self.source), threads=1, work=Work()).entries
        files = [os.fsdecode(entry.path) for entry in entries if entry.kind is EntryKind.FILE]
        return [hashlib.sha256((self.source / name).read_bytes()).digest() for name in files]


@pytest.fixture
def copying(tmp_path: Path) -> Iterator[Copying]:
    copying = Copying(tmp_path)
    yield copying
    copying.end()


def test_a_file_is_read_as_soon_as_it_is_whole_in_whatever_order_they_come(copying: Copying) -> None:
    copying.plant("a", "b", "folder/c")
    digests = copying.begin()
    for number, name in enumerate(("folder/c", "b", "a"), start=1):
        copying.bring(name)
        copying.until_read(number * _SIZE)
    assert [digest.sha256 for digest in digests.result(20)] == copying.of_source()
    assert copying.work.bytes_done == 3 * _SIZE, "nothing is read twice"


@pytest.mark.parametrize("part", [{"size": _SIZE - 1}, {"mtime_ns": _MTIME_NS + 1}])
def test_a_file_that_is_not_whole_yet_is_not_read_until_the_tool_has_ended(
    copying: Copying, part: dict[str, int]
) -> None:
    copying.plant("a")
    digests = copying.begin()
    copying.bring("a", **part)
    time.sleep(_LOOKS_SECONDS)
    assert copying.work.bytes_done == 0
    copying.bring("a")
    copying.is_made.set()
    assert [digest.sha256 for digest in digests.result(20)] == copying.of_source()


def test_of_many_small_files_together_none_is_read_before_all_are_whole(copying: Copying) -> None:
    for number in range(10):
        write(copying.source, b"%d" % number, b"x%d" % number, mtime_ns=_MTIME_NS)
    digests = copying.begin()
    for number in range(1, 10):
        copying.bring(str(number))
    time.sleep(_LOOKS_SECONDS)
    assert copying.work.bytes_done == 0
    copying.bring("0")
    copying.until_read(20)
    copying.is_made.set()
    assert [digest.sha256 for digest in digests.result(20)] == copying.of_source()


def test_no_more_is_in_view_than_memory_has_room_for(copying: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_BATCHES_IN_VIEW", 2)
    copying.plant("a", "b", "c")
    digests = copying.begin()
    copying.bring("c")
    time.sleep(_LOOKS_SECONDS)
    assert copying.work.bytes_done == 0
    copying.bring("b")
    copying.until_read(2 * _SIZE)
    copying.bring("a")
    copying.is_made.set()
    assert [digest.sha256 for digest in digests.result(20)] == copying.of_source()


def test_what_the_tool_has_not_made_or_made_otherwise_is_no_trouble_of_the_source(copying: Copying) -> None:
    copying.plant("a")
    digests = copying.begin()
    copying.is_made.set()
    with pytest.raises(Temporary, match=r"cannot read '.*/copy/a': No such file") as caught:
        digests.result(20)
    assert caught.value.problem == "storage-error"


def test_a_link_in_the_place_of_a_file_is_not_followed(copying: Copying) -> None:
    copying.plant("a")
    os.symlink(copying.source / "a", copying.copy / "a")
    digests = copying.begin()
    copying.is_made.set()
    with pytest.raises((Temporary, NeedsOperator), match="cannot read"):
        digests.result(20)


def test_told_to_stop_it_ends_while_it_waits(copying: Copying) -> None:
    copying.plant("a")
    digests = copying.begin()
    time.sleep(0.01)
    copying.work.stop()
    with pytest.raises(Stopped):
        digests.result(20)


@pytest.mark.parametrize(
    ("strategy", "waits"), [(Strategy.RSYNC, 'rsync "$@"; until_hashed'), (Strategy.DD, 'until_hashed; dd "$@"')]
)
async def test_rsync_and_dd_may_wait_until_what_they_have_copied_is_hashed(
    copying: Copying, monkeypatch: pytest.MonkeyPatch, strategy: Strategy, waits: str
) -> None:
    """A tool that would not end before that: were the copy hashed once it has ended, it would wait in vain."""
    tool, begun, hashed = (copying.copy.parent / name for name in ("tool", "begun", "hashed"))
    tool.write_text(
        f"""#!/bin/sh
        until_hashed() {{
            for _ in $(seq 2000); do
                if [ -e '{hashed}' ]; then return; fi
                sleep 0.01
            done
            exit 9
        }}
        if [ "{strategy}" = dd ] && [ ! -e '{begun}' ]; then touch '{begun}'; exec dd "$@"; fi
        {waits}
        """
    )
    tool.chmod(0o755)

    def digest_and_tell(descriptor: int, entry: Seen, on_block: Callable[[int], None]) -> Digest:
        found = digest_of_seen(descriptor, entry, on_block)
        hashed.touch()
        return found

    monkeypatch.setattr("cs_archiver.tools.hashing.digest_of_seen", digest_and_tell)
    copying.plant("a", "b")
    scan = scan_tree(os.fsencode(copying.source), threads=1, work=Work())
    processes = Processes()
    strategies = Strategies(Rsync(processes, executable=str(tool)), Dd(processes, executable=str(tool)), threads=2)
    digests = await strategies.copy(strategy, os.fsencode(copying.source), os.fsencode(copying.copy), scan, Report())
    assert [digest.sha256 for digest in digests] == copying.of_source()


async def test_progress_is_that_of_the_tool_and_then_that_of_the_digests(copying: Copying) -> None:
    rsync = copying.copy.parent / "rsync"
    # It tells nothing, and keeps no times, so that no file is known to be whole before it ends.
    rsync.write_text('#!/bin/sh\nfor path; do from=$to; to=$path; done; cp -r "$from." "$to"; sleep 0.5\n')
    rsync.chmod(0o755)
    copying.plant("a", "b")
    report = Report()
    await copying.by_rsync(str(rsync), report)
    before, after = report.told[: report.told.index(HASHING)], report.told[report.told.index(HASHING) + 1 :]
    assert before == []
    assert after[-1] == 2 * _SIZE


async def test_a_copy_that_cannot_be_read_ends_the_tool_at_once_while_more_is_to_come(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    rsync, ended = copying.copy.parent / "rsync", copying.copy.parent / "ended"
    rsync.write_text(f'#!/bin/sh\nrsync --exclude=/b "$@"; sleep 20; touch "{ended}"\n')
    rsync.chmod(0o755)
    copying.plant("a", "b")

    def fail(_descriptor: int, _entry: Seen, _on_block: Callable[[int], None]) -> Digest:
        time.sleep(0.2)  # so that the copy is being looked at again by then
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("cs_archiver.tools.hashing.digest_of_seen", fail)
    began = time.monotonic()
    with pytest.raises(Temporary, match=r"cannot read '.*/copy/a': Input/output error") as caught:
        await copying.by_rsync(str(rsync), Report())
    assert isinstance(caught.value.__cause__, OSError)
    assert time.monotonic() - began < 15
    assert not ended.exists()


async def test_nothing_is_hashed_any_more_once_the_tool_has_failed(copying: Copying) -> None:
    copying.plant("a")
    with pytest.raises(Permanent, match="false ended with exit code 1"):
        await copying.by_rsync("false", Report())
    assert [task for task in asyncio.all_tasks() if task.get_name() == "hash the copy"] == []


@pytest.mark.parametrize("strategy", [Strategy.SHUTIL, Strategy.DD, Strategy.PARALLEL])
async def test_a_folder_is_made_for_its_first_file_and_empty_ones_and_links_after_all_files(
    copying: Copying, monkeypatch: pytest.MonkeyPatch, strategy: Strategy
) -> None:
    for name in ("a", "b", "empty"):
        (copying.source / name).mkdir()
    for name in ("a/1", "b/2"):
        (copying.source / name).write_bytes(b"small")
    (copying.source / "link").symlink_to("a")
    made: list[str] = []
    real_mkdir, real_open, real_symlink = os.mkdir, os.open, os.symlink

    def note(path: bytes) -> None:
        made.append(os.path.relpath(os.fsdecode(path), copying.copy))

    def mkdir(path: bytes, mode: int) -> None:
        with suppress(FileExistsError):
            real_mkdir(path, mode)
            note(path)

    def open_new(path: bytes, flags: int, *more: int) -> int:
        descriptor = real_open(path, flags, *more)
        if flags & os.O_CREAT:
            note(path)
        return descriptor

    def symlink(target: bytes, path: bytes) -> None:
        real_symlink(target, path)
        note(path)

    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(os, "open", open_new)
    monkeypatch.setattr(os, "symlink", symlink)
    await copying.by(strategy)
    assert made == ["a", "a/1", "b", "b/2", "empty", "link"]


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize(
    ("mode", "of_file", "of_folder"),
    [(0o6755, 0o755, 0o755), (0o2070, 0o470, 0o570), (0o7000, 0o1400, 0o1500)],
    ids="{:o}".format,
)
async def test_a_copy_has_no_set_id_bits_and_its_owner_may_read_it(
    copying: Copying, strategy: Strategy, mode: int, of_file: int, of_folder: int
) -> None:
    (copying.source / "folder").mkdir()
    for name, size in (("folder/small", 5), ("folder/large", _SIZE)):
        (copying.source / name).write_bytes(os.urandom(size))
        (copying.source / name).chmod(mode)
    (copying.source / "folder").chmod(mode)
    await copying.by(strategy)
    modes = {name: stat.S_IMODE((copying.copy / name).stat().st_mode) for name in ("folder/small", "folder/large")}
    assert modes == {"folder/small": of_file, "folder/large": of_file}
    assert stat.S_IMODE((copying.copy / "folder").stat().st_mode) == of_folder


@pytest.mark.parametrize("strategy", [Strategy.SHUTIL, Strategy.PARALLEL])
async def test_the_limit_holds_for_copies_within_the_process(copying: Copying, strategy: Strategy) -> None:
    for name in "ab":
        (copying.source / name).write_bytes(bytes(500))
    began = time.monotonic()
    await copying.by(strategy, limit=2_000)
    assert time.monotonic() - began >= 0.5


@pytest.mark.parametrize("strategy", [Strategy.SHUTIL, Strategy.PARALLEL])
async def test_files_are_copied_and_hashed_side_by_side_in_small_folders_as_in_very_large_ones(
    copying: Copying, monkeypatch: pytest.MonkeyPatch, strategy: Strategy
) -> None:
    together = threading.Barrier(2, timeout=20)

    def digest(read: Callable[[memoryview], int], take: Callable[[memoryview], object]) -> Digest:
        together.wait()
        return digest_of_stream(read, take)

    monkeypatch.setattr("cs_archiver.tools.copier.digest_of_stream", digest)
    for name in "ab":
        write(copying.source, os.fsencode(name), os.urandom(1 << 20) * 4)  # a batch each
    digests = await copying.by(strategy)
    assert [digest.sha256 for digest in digests] == copying.of_source()
