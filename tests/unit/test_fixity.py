"""Digests against the standard library's, however a file is cut into reads, and each in its place among many."""

import hashlib
import os
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs_archiver.domain.manifest import EntryKind, Seen
from cs_archiver.tools import fixity
from cs_archiver.tools.disk import open_regular
from cs_archiver.tools.fixity import (
    BLOCK_BYTES,
    Digest,
    LastDigest,
    OnBlock,
    digest_of,
    digest_of_seen,
    digest_of_stream,
    digests_of_files,
    in_batches,
    read_whole,
)

SIZES = (0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES + 7)


def a_file(number: int, size: int = 5) -> Seen:
    return Seen(b"%05d" % number, EntryKind.FILE, size, 0, 0, 1, 0o644, 1, None)


def expected(content: bytes) -> Digest:
    return Digest(len(content), zlib.crc32(content), hashlib.sha256(content).digest())


def reads_of(content: bytes, most: int) -> Iterator[bytes]:
    return (content[start : start + most] for start in range(0, len(content), most))


@given(st.binary(max_size=5000))
def test_a_digest_is_the_one_that_the_standard_library_computes(content: bytes) -> None:
    assert digest_of(content) == expected(content)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_a_stream_is_hashed_whole_and_handed_on_block_by_block(content: bytes, most: int) -> None:
    reads, taken = reads_of(content, most), []

    def read(buffer: memoryview) -> int:
        block = next(reads, b"")
        buffer[: len(block)] = block
        return len(block)

    found = digest_of_stream(read, lambda block: taken.append(bytes(block)))
    assert found == expected(content)
    assert b"".join(taken) == content


def test_an_error_of_the_reader_or_the_writer_is_raised_as_it_is() -> None:
    def fails(*_: object) -> int:
        raise OSError(5, "broken")

    with pytest.raises(OSError, match="broken"):
        digest_of_stream(fails, lambda _block: None)
    with pytest.raises(OSError, match="broken"):
        digest_of_stream(lambda _buffer: 7, fails)


def digest_of_path(path: Path, entry: Seen, on_block: OnBlock) -> Digest:
    descriptor = open_regular(os.fsencode(path))
    try:
        return digest_of_seen(descriptor, entry, on_block)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    blocks: list[int] = []
    assert digest_of_path(path, a_file(0, size), blocks.append) == expected(content)
    assert sum(blocks) == size


@pytest.mark.parametrize("seen", [3, 6])
def test_a_small_file_of_another_size_than_was_seen_has_another_digest(tmp_path: Path, seen: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    found = digest_of_path(path, a_file(0, seen), lambda _size: None)
    assert found.size != seen


@pytest.mark.parametrize("content", [b"", b"1", b"12345", b"1234567"])
def test_a_small_file_that_comes_in_pieces_is_read_on(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    pieces = list(reads_of(content, 2))
    monkeypatch.setattr(os, "read", lambda _descriptor, _size: pieces.pop(0) if pieces else b"")
    assert read_whole(-1, len(content)) == content


class Reader:
    """Of the real files of a folder; keeps how many were open at once, and the hints each had when it was read."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.hints: dict[int, list[int]] = {}
        self.read_hints: list[list[int]] = []
        self.most_open = 0
        self.threads: list[int] = []
        self._advise = os.posix_fadvise
        monkeypatch.setattr(os, "posix_fadvise", self._hinted)

    def _hinted(self, descriptor: int, offset: int, length: int, advice: int) -> None:
        self._advise(descriptor, offset, length, advice)
        self.hints[descriptor].append(advice)

    def open(self, entry: Seen) -> int:
        descriptor = open_regular(os.fsencode(self.folder / os.fsdecode(entry.path)))
        self.hints[descriptor] = []
        return descriptor

    def read(self, entry: Seen, descriptor: int) -> Digest:
        self.most_open = max(self.most_open, len(os.listdir("/proc/self/fd")))
        self.read_hints.append(self.hints[descriptor])
        self.threads.append(threading.get_ident())
        if entry.size == 666:
            raise OSError(5, "broken")
        return digest_of_seen(descriptor, entry, lambda _size: None)


def planted(folder: Path, sizes: Sequence[int]) -> list[Seen]:
    entries = [a_file(number, size) for number, size in enumerate(sizes)]
    for entry in entries:
        (folder / os.fsdecode(entry.path)).write_bytes(entry.path * (entry.size // 5) + entry.path[: entry.size % 5])
    return entries


@pytest.mark.parametrize("threads", [1, 7, 100])
def test_digests_stand_in_the_order_of_the_files_whichever_was_ready_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    files = planted(tmp_path, [number % 11 for number in range(2000)])
    others = [a_file(number)._replace(kind=EntryKind.DIR) for number in range(3)]
    found = digests_of_files(in_batches([*others, *files]), Reader(tmp_path, monkeypatch), threads=threads)
    assert list(found) == [expected((tmp_path / os.fsdecode(entry.path)).read_bytes()) for entry in files]


@pytest.mark.parametrize("threads", [1, 4])
def test_each_file_is_fetched_before_it_is_read_and_few_are_open_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    files = planted(tmp_path, [3] * 1000 + [BLOCK_BYTES])
    reader = Reader(tmp_path, monkeypatch)
    before = len(os.listdir("/proc/self/fd"))
    digests_of_files(in_batches(files), reader, threads=threads)
    small, large = [os.POSIX_FADV_WILLNEED], [os.POSIX_FADV_SEQUENTIAL]
    assert sorted(reader.read_hints) == sorted([small] * 1000 + [large])
    assert 32 // threads < reader.most_open - before < 45
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("size", "is_small"), [(64 * 1024 - 1, True), (64 * 1024, False)])
def test_small_files_are_the_callers_until_they_wait_and_large_ones_go_to_other_threads_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, is_small: bool
) -> None:
    reader = Reader(tmp_path, monkeypatch)
    digests_of_files(in_batches(planted(tmp_path, [size] * 10)), reader, threads=2)
    assert (reader.threads[0] == threading.get_ident()) is is_small


def test_a_file_that_cannot_be_read_leaves_none_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = planted(tmp_path, [3] * 50 + [666] + [3] * 50)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="broken"):
        digests_of_files(in_batches(files), Reader(tmp_path, monkeypatch), threads=2)
    assert len(os.listdir("/proc/self/fd")) == before


class Archive:
    """A file, and how many of its bytes were read for its digest."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self.path.write_bytes(content)
        self._read = 0

    def digest_by(self, last: LastDigest) -> tuple[Digest, int]:
        self._read = 0
        return last.of_file(bytes(self.path), self._note), self._read

    def _note(self, count: int) -> None:
        self._read += count


def rewritten(path: Path) -> None:
    """In place, with the same size and the time it had."""
    times = path.stat()
    path.write_bytes(b"54321")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_file_that_was_hashed_is_read_again_only_when_it_may_have_changed(tmp_path: Path) -> None:
    archive, last = Archive(tmp_path / "archive", b"12345"), LastDigest()
    time.sleep(1.01)
    assert archive.digest_by(last) == (expected(b"12345"), 5)
    assert archive.digest_by(last) == (expected(b"12345"), 0)
    assert archive.digest_by(LastDigest()) == (expected(b"12345"), 5)
    rewritten(archive.path)
    assert archive.digest_by(last) == (expected(b"54321"), 5)


def test_a_file_that_has_just_changed_is_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixity, "_SETTLED_NS", 60_000_000_000)  # what "just" means is up to this machine
    archive, last = Archive(tmp_path / "archive", b"12345"), LastDigest()
    for _ in range(2):
        assert archive.digest_by(last) == (expected(b"12345"), 5)


def test_a_file_that_changes_while_it_is_hashed_is_read_again(tmp_path: Path) -> None:
    path, last = tmp_path / "archive", LastDigest()
    path.write_bytes(b"12345")
    time.sleep(1.01)
    last.of_file(bytes(path), lambda _count: rewritten(path))
    assert last.of_file(bytes(path), lambda _count: None) == expected(b"54321")


def test_a_file_that_is_gone_is_told_as_gone_although_it_was_hashed(tmp_path: Path) -> None:
    archive, last = Archive(tmp_path / "archive", b"12345"), LastDigest()
    time.sleep(1.01)
    archive.digest_by(last)
    archive.path.unlink()
    with pytest.raises(FileNotFoundError):
        archive.digest_by(last)
