"""A file of our own among those of others, as the marker in a source: it never takes the place of anything."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cs_archiver.tools.disk import READING
from cs_archiver.tools.removal import give_up_name

_WRITING = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_KNOWS_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)

MOST_READ_BYTES = 1024**2
"""So much of a file is looked at for what shows that it is ours."""

Patch = tuple[int, bytes]
"""Bytes, and the offset at which they are written over as many others."""


class _NoSuchName(FileNotFoundError):
    """What a name was opened for is not there; any other call that says so has failed."""


def write_durably(
    folder: int, name: bytes, content: bytes, *, temporary_name: bytes, patch: Callable[[bytes], Patch | None]
) -> bool:
    """Write a file of our own, or what `patch` says for what is in it already; gives back whether it is new.

    Raises FileExistsError when anything else has its name, for which `patch` gives None, however late that came, and
    leaves it alone. A new file appears whole, by a link, because rename replaces silently. A present one is written to
    in place: what takes its name meanwhile is another file. `folder` is the descriptor of its folder. `temporary_name`
    is a name of our own: what stands under it, from a crash, is given up.
    """
    give_up_name(folder, temporary_name)
    is_new = not _patched(folder, name, patch)
    if is_new:
        try:
            _write_new(folder, temporary_name, content)
            _link(folder, temporary_name, name, content)
        except FileExistsError:
            # A link sent twice, as NFS may send it, finds what it made itself.
            if not _patched(folder, name, patch):
                raise
        finally:
            give_up_name(folder, temporary_name)
    os.fsync(folder)
    return is_new


def _patched(folder: int, name: bytes, patch: Callable[[bytes], Patch | None]) -> bool:
    try:
        with _opened_in(folder, name, READING) as reader:
            status = os.fstat(reader)
            change = patch(_start_of(reader)) if stat.S_ISREG(status.st_mode) else None
            if change is None:
                raise FileExistsError(errno.EEXIST, "no file of ours", name)
            with _opened_in(folder, name, _WRITING) as writer:
                if not os.path.samestat(status, os.fstat(writer)):
                    raise FileExistsError(errno.EEXIST, "no longer the file of ours", name)
                _write_all(writer, *change)
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


def _start_of(descriptor: int) -> bytes:
    start = b""
    while len(start) < MOST_READ_BYTES and (block := os.read(descriptor, MOST_READ_BYTES - len(start))):
        start += block
    return start


def _write_new(folder: int, name: bytes, content: bytes) -> None:
    with _opened_in(folder, name, _WRITING | os.O_CREAT | os.O_EXCL) as descriptor:
        _write_all(descriptor, 0, content)


def _write_all(descriptor: int, offset: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written:], offset + written)
    os.fsync(descriptor)


def _link(folder: int, temporary_name: bytes, name: bytes, content: bytes) -> None:
    try:
        os.link(temporary_name, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _KNOWS_NO_LINKS:
            raise
        _write_new(folder, name, content)  # a crash here leaves a part of it, which counts as somebody else's
