"""Our own copying, hashing while it reads: files on one thread or several, folders and links around them."""

import errno
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import accumulate
from typing import TypeVar

from cs_archiver.domain.manifest import EntryKind, Seen, shown
from cs_archiver.domain.packed import PackedTree
from cs_archiver.errors import Temporary
from cs_archiver.tools.disk import READING, local_error, source_error
from cs_archiver.tools.fixity import (
    BLOCK_BYTES,
    Digest,
    Digests,
    digest_of,
    digest_of_stream,
    digests_of_files,
    in_batches,
    read_whole,
)
from cs_archiver.tools.threads import Pace, Work

OnBytes = Callable[[int], None]

_T = TypeVar("_T")

_READ_FILE = stat.S_IRUSR
_READ_FOLDER = stat.S_IRUSR | stat.S_IXUSR
_WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def make_folders_and_links(destination: bytes, entries: PackedTree, work: Work) -> None:
    """Below a folder, make every folder that is not there yet, and every link."""
    try:
        for entry in entries.of_kind(EntryKind.DIR):
            work.add(0)
            _make_folder(destination, entry.path)
        for entry in entries.of_kind(EntryKind.LINK):
            if entry.target is not None:
                path = os.path.join(destination, entry.path)
                os.symlink(entry.target, path)
                os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)
    except OSError as error:
        raise local_error(destination, error) from error


def finish_folders(destination: bytes, entries: PackedTree, work: Work) -> None:
    """Give folders their modes and times, the deepest first, once nothing is written into them any more."""
    folders = sorted(entries.of_kind(EntryKind.DIR), key=lambda folder: -folder.path.count(b"/"))
    for entry in folders:
        work.add(0)
        finish_folder(os.path.join(destination, entry.path), mtime_ns=entry.mtime_ns, mode=entry.mode)


def copy_files(
    source: bytes, destination: bytes, entries: Iterable[Seen], *, threads: int, work: Work, pace: Pace | None = None
) -> Digests:
    """Copy the files among `entries`, and make the folders they are in.

    The digests are of the bytes read from the source; content and mtime_ns are kept, and the mode but for set-id bits.
    Raises Temporary when a file is not the one that was scanned, or changes while it is read; DiskFull when the
    destination has no more room. `pace` None: as fast as it goes.
    """
    return digests_of_files(in_batches(entries), _Copying(source, destination, work, pace), threads=threads)


def finish_folder(path: bytes, *, mtime_ns: int, mode: int) -> None:
    """Give a folder of the copy its mode and time. Raises as `local_error` tells."""
    _set_time_and_mode(path, mtime_ns, _copied(mode, _READ_FOLDER))


def finish_file(path: bytes, *, mtime_ns: int, mode: int) -> None:
    """As `finish_folder`, of a file that something else has made."""
    _set_time_and_mode(path, mtime_ns, _copied(mode, _READ_FILE))


def _set_time_and_mode(path: bytes, mtime_ns: int, mode: int) -> None:
    try:
        os.chmod(path, mode)
        os.utime(path, ns=(mtime_ns, mtime_ns))
    except OSError as error:
        raise local_error(path, error) from error


def _copied(mode: int, read: int) -> int:
    """Without set-id bits, which are not archived, and which systemd refuses to set (RestrictSUIDSGID).

    Its owner, this service, may `read` it, even if on the NAS an ACL alone allows that.
    """
    return mode & ~(stat.S_ISUID | stat.S_ISGID) | read


class _Copying:
    """Of files from below one folder to below another."""

    def __init__(self, source: bytes, destination: bytes, work: Work, pace: Pace | None) -> None:
        self._source = source
        self._destination = destination
        self._work = work
        self._pace = pace

    def open(self, entry: Seen) -> int:
        path = self._source + b"/" + entry.path
        try:
            descriptor = os.open(path, READING)
            try:
                _require_unchanged(descriptor, entry)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise source_error(path, error) from error
        return descriptor

    def read(self, entry: Seen, descriptor: int) -> Digest:
        try:
            digest = self._copy_content(descriptor, entry)
            _require_unchanged(descriptor, entry)
        except OSError as error:  # of the source: those of the copy are translated where they occur
            raise source_error(self._source + b"/" + entry.path, error) from error
        if digest.size != entry.size:
            raise _changed(entry)
        return digest

    def _copy_content(self, descriptor: int, entry: Seen) -> Digest:
        if entry.size < BLOCK_BYTES:
            content = read_whole(descriptor, entry.size)
            self._count(len(content))
            self._make(entry, lambda copy: _write(copy, content))
            return digest_of(content)
        path = self._source + b"/" + entry.path

        def read(buffer: memoryview) -> int:
            return self._read(descriptor, path, buffer)

        return self._make(entry, lambda copy: digest_of_stream(read, partial(_write, copy)))

    def _read(self, descriptor: int, path: bytes, buffer: memoryview) -> int:
        try:
            count = os.readv(descriptor, [buffer])
        except OSError as error:  # here, for around it those of the copy are translated
            raise source_error(path, error) from error
        self._count(count)
        return count

    def _count(self, size: int) -> None:
        self._work.add(size)
        if self._pace is not None:
            self._pace.keep(size, self._work)

    def _make(self, entry: Seen, fill: Callable[[int], _T]) -> _T:
        """A new file that `fill` writes to, with the mode and time of the entry then; gives back what `fill` does."""
        path = self._destination + b"/" + entry.path
        try:
            descriptor = self._create(path, entry)
            try:
                filled = fill(descriptor)
                os.fchmod(descriptor, _copied(entry.mode, _READ_FILE))
                os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise local_error(path, error) from error
        return filled

    def _create(self, path: bytes, entry: Seen) -> int:
        """A folder is made for its first file: of folders that are made together ext4 fills none as fast."""
        try:
            return os.open(path, _WRITING, 0o600)
        except FileNotFoundError:
            folder = os.path.dirname(entry.path)
            if not folder:
                raise
            _make_folder(self._destination, folder)
            return os.open(path, _WRITING, 0o600)


def _make_folder(destination: bytes, path: bytes) -> None:
    """With those above it, but for the destination: that it is gone is an error."""
    try:
        _make_one_folder(destination + b"/" + path)
    except FileNotFoundError:
        for above in accumulate(path.split(b"/"), lambda above, name: above + b"/" + name):
            _make_one_folder(destination + b"/" + above)


def _make_one_folder(path: bytes) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _write(descriptor: int, block: bytes | memoryview) -> None:
    """All of it: a single write may take only a part."""
    written = os.write(descriptor, block)
    while written < len(block):
        more = os.write(descriptor, memoryview(block)[written:])
        if not more:
            raise OSError(errno.EIO, "nothing written")
        written += more


def _require_unchanged(descriptor: int, entry: Seen) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "no regular file")
    now = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if now != (entry.inode, entry.size, entry.mtime_ns, entry.ctime_ns):  # ctime: a writer can restore the mtime
        raise _changed(entry)


def _changed(entry: Seen) -> Temporary:
    return Temporary(f"'{shown(entry.path)}' changed while it was copied", problem="source-changed")
