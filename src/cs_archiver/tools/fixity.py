"""Digests: of one file, and of the many files of a folder, in little memory."""

import hashlib
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from cs_archiver.domain.manifest import Seen, file_batches
from cs_archiver.tools.disk import open_regular
from cs_archiver.tools.threads import for_each

BLOCK_BYTES = 1024 * 1024
_RECORD = struct.Struct("<QI32s")


class Digest(NamedTuple):
    """Fixity of one file's content."""

    size: int
    crc32: int
    sha256: bytes


class Hasher:
    """Size, CRC32 and SHA-256 of a stream of blocks."""

    def __init__(self) -> None:
        self._size = 0
        self._crc32 = 0
        self._sha256 = hashlib.sha256()

    def update(self, block: bytes | memoryview) -> None:
        self._size += len(block)
        self._crc32 = zlib.crc32(block, self._crc32)
        self._sha256.update(block)

    def digest(self) -> Digest:
        return Digest(self._size, self._crc32, self._sha256.digest())


class _Buffer(threading.local):
    """One a thread: to make a new one takes longer than to read a small file."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(BLOCK_BYTES))


_buffer = _Buffer()


def digest_of(descriptor: int, on_block: Callable[[int], None]) -> Digest:
    """Read an open file to its end. `on_block` hears the size of each block."""
    hasher = Hasher()
    buffer = _buffer.view
    while count := os.readv(descriptor, [buffer]):
        hasher.update(buffer[:count])
        on_block(count)
    return hasher.digest()


def digest_of_file(path: bytes, on_block: Callable[[int], None]) -> Digest:
    """The digest of a regular file as it is on disk now. Raises OSError."""
    descriptor = open_regular(path)
    try:
        return digest_of(descriptor, on_block)
    finally:
        os.close(descriptor)


class Digests:
    """Those of all files of a scan, in its order; 44 bytes for each."""

    def __init__(self) -> None:
        self._batches: dict[int, bytes] = {}

    def put(self, number: int, digests: Iterable[Digest]) -> None:
        """Keep those of the batch of this number, counted from 0; batches may come in any order."""
        self._batches[number] = b"".join([_RECORD.pack(*digest) for digest in digests])

    def __iter__(self) -> Iterator[Digest]:
        for number in range(len(self._batches)):
            yield from map(Digest._make, _RECORD.iter_unpack(self._batches[number]))


def digests_of_files(entries: Iterable[Seen], read: Callable[[Seen], Digest], *, threads: int) -> Digests:
    """Call `read` for each file among `entries`, on several threads."""
    digests = Digests()

    def read_all(batch: tuple[int, Sequence[Seen]]) -> tuple[int, list[Digest]]:
        number, files = batch
        return number, [read(entry) for entry in files]

    for_each(enumerate(file_batches(entries)), read_all, threads=threads, done=lambda found: digests.put(*found))
    return digests
