"""Digests: of one file, and of the many files of a folder, in little memory."""

import os
import struct
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from itertools import islice
from typing import NamedTuple, Protocol

from isal.isal_zlib import crc32

from cs_archiver.domain.manifest import Seen, file_batches
from cs_archiver.tools.crowd import for_each
from cs_archiver.tools.disk import open_regular, will_read

BLOCK_BYTES = 1024 * 1024
_BLOCKS_AHEAD = 3
_SMALL_BYTES = 64 * 1024  # on average: the calls for such a file take longer than to hash it
_FILES_AHEAD = 32  # of all threads together: each is an open file
_SETTLED_NS = 1_000_000_000
_RECORD = struct.Struct("<QI32s")


class Batch(NamedTuple):
    """Files that one thread reads, one after the other, and their number among the batches of a folder, from 0."""

    number: int
    files: Sequence[Seen]


OnBlock = Callable[[int], None]
"""Hears the size of each block once it was read."""


class Digest(NamedTuple):
    """Fixity of one file's content."""

    size: int
    crc32: int
    sha256: bytes


def digest_of(content: bytes) -> Digest:
    return Digest(len(content), crc32(content), sha256(content).digest())


def read_whole(descriptor: int, size: int) -> bytes:
    """A small open file that should have `size` bytes: one byte more at most, which tells that it has more."""
    content = os.read(descriptor, size + 1)
    while 0 < len(content) < size and (more := os.read(descriptor, size + 1 - len(content))):
        content += more
    return content


class Hasher:
    """Size, CRC32 and SHA-256 of a stream of blocks."""

    def __init__(self) -> None:
        self._size = 0
        self._crc32 = 0
        self._sha256 = sha256()

    def update(self, block: bytes | memoryview) -> None:
        self._size += len(block)
        self._crc32 = crc32(block, self._crc32)
        self._sha256.update(block)

    def digest(self) -> Digest:
        return Digest(self._size, self._crc32, self._sha256.digest())


def digest_of_stream(read: Callable[[memoryview], int], take: Callable[[memoryview], object]) -> Digest:
    """Read to the end, hand each block to `take`, and hash it on a thread of its own meanwhile.

    `read` fills a buffer and gives back how many bytes it holds now, 0 at the end.
    """
    hasher = Hasher()
    under_way: deque[tuple[Future[None], memoryview]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="hash") as hashing:
        while True:
            if len(under_way) < _BLOCKS_AHEAD:
                buffer = memoryview(bytearray(BLOCK_BYTES))
            else:
                hashed, buffer = under_way.popleft()
                hashed.result()
            count = read(buffer)
            if not count:
                break
            under_way.append((hashing.submit(hasher.update, buffer[:count]), buffer))
            take(buffer[:count])
        for hashed, _ in under_way:
            hashed.result()
    return hasher.digest()


def digest_of_file(path: bytes, on_block: OnBlock) -> Digest:
    """The digest of a regular file as it is on disk now. Raises OSError."""
    descriptor = open_regular(path)
    try:
        will_read(descriptor, whole=False)
        return _digest_of_open(descriptor, on_block)
    finally:
        os.close(descriptor)


class LastDigest:
    """The digest of the file that was hashed last, which is read again only if it may have changed since."""

    def __init__(self) -> None:
        self._known: tuple[tuple[int, ...], Digest] | None = None

    def of_file(self, path: bytes, on_block: OnBlock) -> Digest:
        """As `digest_of_file`."""
        before = _identity(path)
        if self._known is not None and self._known[0] == before:
            return self._known[1]
        # A change as young as this one may be followed by another that the kernel gives the same time.
        has_settled = before[-1] < time.time_ns() - _SETTLED_NS
        digest = digest_of_file(path, on_block)
        if has_settled and _identity(path) == before:
            self._known = before, digest
        return digest


def _identity(path: bytes) -> tuple[int, ...]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def digest_of_seen(descriptor: int, entry: Seen, on_block: OnBlock) -> Digest:
    """As `digest_of_file`, of an open file that was seen: a small one is read at once."""
    if entry.size >= BLOCK_BYTES:
        return _digest_of_open(descriptor, on_block)
    content = read_whole(descriptor, entry.size)
    on_block(len(content))
    return digest_of(content)


def _digest_of_open(descriptor: int, on_block: OnBlock) -> Digest:
    return digest_of_stream(lambda buffer: os.readv(descriptor, [buffer]), lambda block: on_block(len(block)))


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


class Reader(Protocol):
    """What is done with each of many files."""

    def open(self, entry: Seen) -> int:
        """A descriptor to read from, some files before it is read."""

    def read(self, entry: Seen, descriptor: int) -> Digest:
        """The digest of what it holds."""


def in_batches(entries: Iterable[Seen]) -> Iterator[Batch]:
    """All files among `entries`."""
    return map(Batch._make, enumerate(file_batches(entries)))


def digests_of_files(batches: Iterable[Batch], reader: Reader, *, threads: int) -> Digests:
    """Read each file of all batches of a folder, on several threads, while the next ones are fetched."""
    digests = Digests()
    ahead = max(1, _FILES_AHEAD // threads)

    def read_all(batch: Batch) -> tuple[int, list[Digest]]:
        with closing(_opened_ahead(batch.files, reader.open, ahead)) as opened:
            return batch.number, [reader.read(entry, descriptor) for entry, descriptor in opened]

    def keep(found: tuple[int, list[Digest]]) -> None:
        digests.put(*found)

    for_each(batches, read_all, threads=threads, done=keep, is_short=_are_small)
    return digests


def _are_small(batch: Batch) -> bool:
    return sum(entry.size for entry in batch.files) < len(batch.files) * _SMALL_BYTES


def _opened_ahead(
    files: Sequence[Seen], open_file: Callable[[Seen], int], ahead: int
) -> Generator[tuple[Seen, int], None, None]:
    """Each file with its descriptor, closed when the next is asked for, and `ahead` more open and being fetched."""
    opened: deque[int] = deque()
    later = iter(files)

    def fetch(count: int) -> None:
        for entry in islice(later, count):
            opened.append(open_file(entry))
            will_read(opened[-1], whole=entry.size < BLOCK_BYTES)

    try:
        fetch(ahead)
        for entry in files:
            fetch(1)
            yield entry, opened[0]
            os.close(opened.popleft())
    finally:
        for descriptor in opened:
            os.close(descriptor)
