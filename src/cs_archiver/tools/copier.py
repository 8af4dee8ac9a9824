"""Our own copying, hashing while it reads: files on one thread or several, folders and links around them."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable

from cs_archiver.domain.manifest import EntryKind, Seen, shown
from cs_archiver.domain.packed import PackedTree
from cs_archiver.errors import Temporary
from cs_archiver.tools.disk import local_error, open_regular, source_error
from cs_archiver.tools.fixity import BLOCK_BYTES, Digest, Digests, Hasher, digests_of_files
from cs_archiver.tools.threads import Pace, Work

OnBytes = Callable[[int], None]


def make_folders_and_links(destination: bytes, entries: PackedTree) -> None:
    """Below an empty folder, make every folder and every link."""
    try:
        for entry in entries.of_kind(EntryKind.DIR):
            os.makedirs(os.path.join(destination, entry.path), mode=0o700, exist_ok=True)
        for entry in entries.of_kind(EntryKind.LINK):
            if entry.target is not None:
                path = os.path.join(destination, entry.path)
                os.symlink(entry.target, path)
                os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)
    except OSError as error:
        raise local_error(destination, error) from error


def finish_folders(destination: bytes, entries: PackedTree) -> None:
    """Give folders their modes and times, the deepest first, once nothing is written into them any more."""
    folders = sorted(entries.of_kind(EntryKind.DIR), key=lambda folder: -folder.path.count(b"/"))
    for entry in folders:
        set_time_and_mode(os.path.join(destination, entry.path), mtime_ns=entry.mtime_ns, mode=entry.mode)


def copy_files(
    source: bytes, destination: bytes, entries: Iterable[Seen], *, threads: int, work: Work, pace: Pace | None = None
) -> Digests:
    """Copy the files among `entries` into existing folders; the digests are of the bytes read from the source.

    Content, mode and mtime_ns are kept. Raises Temporary when a file is not the one that was scanned, or
    changes while it is read; DiskFull when the destination has no more room. `pace` None: as fast as it goes.
    """

    def copy(entry: Seen) -> Digest:
        return _copy_file(source + b"/" + entry.path, destination + b"/" + entry.path, entry, work, pace)

    return digests_of_files(entries, copy, threads=threads)


def set_times_and_modes(destination: bytes, entries: Iterable[Seen]) -> None:
    """For files that a tool copied without them."""
    for entry in entries:
        if entry.kind is EntryKind.FILE:
            set_time_and_mode(os.path.join(destination, entry.path), mtime_ns=entry.mtime_ns, mode=entry.mode)


def set_time_and_mode(path: bytes, *, mtime_ns: int, mode: int) -> None:
    try:
        os.chmod(path, mode)
        os.utime(path, ns=(mtime_ns, mtime_ns))
    except OSError as error:
        raise local_error(path, error) from error


def _copy_file(source: bytes, destination: bytes, entry: Seen, work: Work, pace: Pace | None) -> Digest:
    try:
        descriptor = open_regular(source)
        try:
            _require_unchanged(descriptor, entry)
            hashing = _HashingReader(source, descriptor, work, pace)
            _write(destination, hashing, entry)
            _require_unchanged(descriptor, entry)
        finally:
            os.close(descriptor)
    except OSError as error:  # of the source: those of the copy are translated where they occur
        raise source_error(source, error) from error
    digest = hashing.digest()
    if digest.size != entry.size:
        raise Temporary(f"'{shown(entry.path)}' changed while it was copied", problem="source-changed")
    return digest


def _write(destination: bytes, reader: "_HashingReader", entry: Seen) -> None:
    try:
        descriptor = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            # No larger than needed: to make and give back a block for every small file takes longer than to copy it.
            shutil.copyfileobj(reader, _Writer(descriptor), min(BLOCK_BYTES, entry.size + 1))
            os.fchmod(descriptor, entry.mode)
            os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise local_error(destination, error) from error


def _require_unchanged(descriptor: int, entry: Seen) -> None:
    status = os.fstat(descriptor)
    now = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if now != (entry.inode, entry.size, entry.mtime_ns, entry.ctime_ns):  # ctime: a writer can restore the mtime
        raise Temporary(f"'{shown(entry.path)}' changed while it was copied", problem="source-changed")


class _HashingReader:
    """Reads a source file block by block, hashing and counting; its read errors are the source's."""

    def __init__(self, path: bytes, descriptor: int, work: Work, pace: Pace | None) -> None:
        self._path = path
        self._descriptor = descriptor
        self._work = work
        self._pace = pace
        self._hasher = Hasher()

    def read(self, size: int = -1, /) -> bytes:
        try:
            block = os.read(self._descriptor, size)
        except OSError as error:
            raise source_error(self._path, error) from error
        self._hasher.update(block)
        self._work.add(len(block))
        if self._pace is not None:
            self._pace.keep(len(block), self._work)
        return block

    def digest(self) -> Digest:
        return self._hasher.digest()


class _Writer:
    """Writes every block in full: a single write may take only a part of it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, block: bytes) -> int:
        written = os.write(self._descriptor, block)
        while written < len(block):
            more = os.write(self._descriptor, memoryview(block)[written:])
            if not more:
                raise OSError(errno.EIO, "nothing written")
            written += more
        return written
