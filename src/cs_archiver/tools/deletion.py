"""The deletion of a verified source: everything goes by directory descriptors, links unfollowed."""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

from cs_archiver.domain.manifest import EntryKind, Seen, shown
from cs_archiver.errors import JobError, NeedsOperator, Permanent
from cs_archiver.tools.crowd import for_each_part
from cs_archiver.tools.threads import Work
from cs_archiver.tools.way import FOLDER_FLAGS, Way

_MOST_OPEN = 256  # folders, of all threads together

_T = TypeVar("_T")


@dataclass(slots=True)
class Removed:
    """What a deletion has removed so far."""

    files: int = 0
    bytes: int = 0


class DeletionHalted(Exception):
    """The deletion was told to stop, and did so between two entries."""


class NotAsApproved(Permanent):
    """An entry, or the folder itself, is not the very one that was looked at: it is kept, and nothing more is begun."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, problem="source-changed")


@dataclass(frozen=True, slots=True)
class ApprovedDeletion:
    """What the gate approved: this folder, holding exactly these entries, by path, as they were looked at just now.

    `stamps` are the ctimes, by inode, that files of several names got when this deletion took one of them away.
    """

    folder: bytes
    inode: int
    device: int
    entries: Iterable[Seen]
    stamps: dict[int, int] = field(default_factory=dict)


def delete_verified_source(
    approved: ApprovedDeletion, removed: Removed, work: Work, is_halted: Callable[[], bool], *, threads: int
) -> None:
    """Delete the approved entries, leaving the folder itself and whatever else is in it, with the folders around that.

    Each entry must still be the very one that was looked at. The first that is not ends it: NotAsApproved, and it is
    kept, as is everything after it but for entries that other threads were just proving. What the system refuses is
    NeedsOperator; calling again goes on. `is_halted` is asked before each entry: DeletionHalted. What it removes is
    added to `removed`, however it ends.
    """
    folders: list[bytes] = []
    with _opened(approved) as root:
        most_open = max(1, _MOST_OPEN // threads)
        deletion = _Deletion(root, approved.stamps, removed, work, is_halted, most_open=most_open)
        for_each_part(_apart_from_folders(approved.entries, folders), deletion.delete_all, threads=threads)
        _remove_folders(folders, deletion, threads=threads)
        try:
            os.fsync(root)
        except OSError as error:  # says nothing of what was verified, whatever its number
            raise _refused(b".", error) from error


def _apart_from_folders(entries: Iterable[Seen], folders: list[bytes]) -> Iterator[Seen]:
    for entry in entries:
        if entry.kind is EntryKind.DIR:
            folders.append(entry.path)
        else:
            yield entry


class _Deletion:
    """Of entries below a folder, by several threads at once."""

    def __init__(
        self,
        root: int,
        stamps: dict[int, int],
        removed: Removed,
        work: Work,
        is_halted: Callable[[], bool],
        *,
        most_open: int,
    ) -> None:
        self._root = root
        self._stamps = stamps
        self._removed = removed
        self._work = work
        self._is_halted = is_halted
        self._most_open = most_open
        self._is_over = False
        self._counting = threading.Lock()
        self._of_several_names = threading.Lock()  # what is done to one name is seen at the others

    def delete_all(self, entries: Sequence[Seen]) -> None:
        self._each(entries, self._delete)

    def remove_all(self, folders: Sequence[bytes]) -> None:
        self._each(folders, self._remove)

    def _each(self, items: Sequence[_T], do: Callable[[Way, _T], None]) -> None:
        try:
            with Way(self._root, most_open=self._most_open) as way:
                for item in items:
                    do(way, item)
        except BaseException:
            self._is_over = True
            raise

    def _goes_on(self, size: int) -> bool:
        """False once another thread has ended it. Raises DeletionHalted, and Stopped."""
        if self._is_over:
            return False
        if self._is_halted():
            raise DeletionHalted
        self._work.add(size)
        return True

    def _delete(self, way: Way, entry: Seen) -> None:
        with nullcontext() if entry.links == 1 else self._of_several_names:
            if not self._goes_on(entry.size):
                return
            try:
                was_there = _delete_entry(way, entry, self._stamps)
            except OSError as error:
                raise _not_deletable(entry.path, error) from error
        if was_there:
            with self._counting:
                self._removed.files += 1
                self._removed.bytes += entry.size if entry.kind is EntryKind.FILE else 0

    def _remove(self, way: Way, path: bytes) -> None:
        if self._goes_on(0):
            folder, _, name = path.rpartition(b"/")
            with _mended_by_operator(path), suppress(FileNotFoundError):
                _remove_if_empty(way.to(folder), name)


def _delete_entry(way: Way, entry: Seen, stamps: dict[int, int]) -> bool:
    """Whether it was still there. What is gone already is done: the deletion went on after an interruption."""
    folder, _, name = entry.path.rpartition(b"/")
    try:
        parent = way.to(folder)
        _require_same(parent, name, entry, stamps.get(entry.inode, entry.ctime_ns))
        if entry.links == 1:
            os.unlink(name, dir_fd=parent)
        else:
            stamps[entry.inode] = _unlink_one_of_several(parent, name)
    except FileNotFoundError:
        return False
    return True


def _unlink_one_of_several(parent: int, name: bytes) -> int:
    """The ctime that the file's other names now show: the unlink itself changes it."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=parent)
    try:
        os.unlink(name, dir_fd=parent)
        return os.fstat(descriptor).st_ctime_ns
    finally:
        os.close(descriptor)


def _remove_folders(folders: Iterable[bytes], deletion: _Deletion, *, threads: int) -> None:
    """The deepest first, and those that are equally deep side by side."""
    for _, level in groupby(sorted(folders, key=_depth, reverse=True), key=_depth):
        for_each_part(level, deletion.remove_all, threads=threads)


def _depth(path: bytes) -> int:
    return path.count(b"/")


def _remove_if_empty(parent: int, name: bytes) -> None:
    """What came into a folder after the last look was never archived: it stays, and so does the folder."""
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


@contextmanager
def _opened(approved: ApprovedDeletion) -> Iterator[int]:
    with _mended_by_operator(b"."):
        root = os.open(approved.folder, FOLDER_FLAGS)
    try:
        with _mended_by_operator(b"."):
            status = os.fstat(root)
        if (status.st_dev, status.st_ino) != (approved.device, approved.inode):
            raise NotAsApproved(
                f"'{shown(approved.folder)}' is not the folder that was verified: nothing more is deleted"
            )
        yield root
    finally:
        os.close(root)


def _require_same(parent: int, name: bytes, entry: Seen, ctime_ns: int) -> None:
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    found = (stat.S_IFMT(status.st_mode), status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    expected_type = stat.S_IFLNK if entry.kind is EntryKind.LINK else stat.S_IFREG
    same = found == (expected_type, entry.inode, entry.mtime_ns, ctime_ns)
    if entry.kind is EntryKind.FILE:
        same = same and status.st_size == entry.size
    if not same:
        raise NotAsApproved(
            f"'{shown(entry.path)}' changed after it was verified: it and everything not yet deleted is kept"
        )


@contextmanager
def _mended_by_operator(path: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _not_deletable(path, error) from error


def _not_deletable(path: bytes, error: OSError) -> JobError:
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.ELOOP):
        return NotAsApproved(f"'{shown(path)}' changed after it was verified ({error.strerror}): it is kept")
    return _refused(path, error)


def _refused(path: bytes, error: OSError) -> NeedsOperator:
    return NeedsOperator(
        f"cannot delete '{shown(path)}': {error.strerror}: check the NAS mount and its permissions",
        problem="source-not-deletable",
    )
