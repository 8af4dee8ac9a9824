"""Digests against the standard library's, however a file is cut into reads, and each in its place among many."""

import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs_archiver.domain.manifest import EntryKind, Seen
from cs_archiver.tools.fixity import (
    BLOCK_BYTES,
    Digest,
    digest_of,
    digest_of_seen,
    digest_of_stream,
    digests_of_files,
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


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    blocks: list[int] = []
    assert digest_of_seen(os.fsencode(path), a_file(0, size), blocks.append) == expected(content)
    assert sum(blocks) == size


@pytest.mark.parametrize("seen", [3, 6])
def test_a_small_file_of_another_size_than_was_seen_has_another_digest(tmp_path: Path, seen: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    found = digest_of_seen(os.fsencode(path), a_file(0, seen), lambda _size: None)
    assert found.size != seen


@pytest.mark.parametrize("content", [b"", b"1", b"12345", b"1234567"])
def test_a_small_file_that_comes_in_pieces_is_read_on(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    pieces = list(reads_of(content, 2))
    monkeypatch.setattr(os, "read", lambda _descriptor, _size: pieces.pop(0) if pieces else b"")
    assert read_whole(-1, len(content)) == content


def test_digests_stand_in_the_order_of_the_files_whichever_was_ready_first() -> None:
    kinds = (EntryKind.FILE, EntryKind.DIR, EntryKind.LINK)
    entries = [a_file(number)._replace(kind=kinds[number % 7 % 3]) for number in range(5000)]
    found = digests_of_files(entries, lambda entry: expected(entry.path), threads=7)
    assert list(found) == [expected(entry.path) for entry in entries if entry.kind is EntryKind.FILE]
