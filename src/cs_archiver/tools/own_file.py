"""A file of our own among those of others, as the marker in a source: it never takes the place of anything."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cs_archiver.tools.disk import READING
from cs_archiver.tools.removal import give_up_name

_WRITING = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_MOST_BYTES = 1024**2  # what is larger was not written by us, or not by us alone
_KNOWS_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


class _NoSuchName(FileNotFoundError):
    """What a name was opened for is not there; any other call that says so has failed."""


def write_durably(
    folder: int, name: bytes, content: bytes, *, temporary_name: bytes, anew: Callable[[bytes], bytes | None]
) -> bool:
    """Write a file of our own, or write it anew as `anew` says for what it holds; gives back whether it is new.

    Raises FileExistsError when anything else has its name, of which `anew` is None, however late that came, and leaves
    it alone. A new file
    appears whole, by a link, because rename replaces silently. A present one is written in place: what takes its name
    meanwhile is another file. `folder` is the descriptor of its folder. `temporary_name` is a name of our own: what
    stands under it, from a crash, is given up.
    """
    give_up_name(folder, temporary_name)
    is_new = not _written_anew(folder, name, anew)
    if is_new:
        try:
            _write_new(folder, temporary_name, content)
            _link(folder, temporary_name, name, content)
        except FileExistsError:
            # A link sent twice, as NFS may send it, finds what it made itself.
            if not _written_anew(folder, name, anew):
                raise
        finally:
            give_up_name(folder, temporary_name)
    os.fsync(folder)
    return is_new


def _written_anew(folder: int, name: bytes, anew: Callable[[bytes], bytes | None]) -> bool:
    try:
        with _opened_in(folder, name, READING) as reader:
            status = os.fstat(reader)
            is_file = stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_BYTES
            content = anew(_read_all(reader)) if is_file else None
            if content is None:
                raise FileExistsError(errno.EEXIST, "no file of ours", name)
            with _opened_in(folder, name, _WRITING) as writer:
                if not os.path.samestat(status, os.fstat(writer)):
                    raise FileExistsError(errno.EEXIST, "no longer the file of ours", name)
                _write_all(writer, content)
    except _NoSuchName:
        return False
    return True


@contextmanager
def _opened_in(folder: int, name: bytes, flags: int) -> Iterator[int]:
    try:
        descriptor = os.open(name, flags, 0o644, dir_fd=folder)
    except FileNotFoundError as error:
        raise _NoSuchName(error.errno, error.strerror, name) from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise FileExistsError(errno.EEXIST, "no regular file", name) from error
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_all(descriptor: int) -> bytes:
    blocks = []
    while block := os.read(descriptor, _MOST_BYTES):
        blocks.append(block)
    return b"".join(blocks)


def _write_new(folder: int, name: bytes, content: bytes) -> None:
    with _opened_in(folder, name, _WRITING | os.O_CREAT | os.O_EXCL) as descriptor:
        _write_all(descriptor, content)


def _write_all(descriptor: int, content: bytes) -> None:
    if os.fstat(descriptor).st_size > len(content):
        os.ftruncate(descriptor, len(content))  # first: a crash in between leaves no end of another text
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written:], written)
    os.fsync(descriptor)


def _link(folder: int, temporary_name: bytes, name: bytes, content: bytes) -> None:
    try:
        os.link(temporary_name, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _KNOWS_NO_LINKS:
            raise
        _write_new(folder, name, content)  # a crash here leaves a part of it, which counts as somebody else's
