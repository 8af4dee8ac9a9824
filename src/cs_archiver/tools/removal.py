"""The only functions that delete or give up a name: everything goes by directory descriptors, links unfollowed."""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from cs_archiver.domain.manifest import EntryKind, Seen, shown
from cs_archiver.errors import JobError, NeedsOperator, Permanent
from cs_archiver.tools.disk import make_folders, sync_folder
from cs_archiver.tools.threads import Work
from cs_archiver.tools.way import FOLDER_FLAGS, Way


@dataclass(slots=True)
class Removed:
    """What a deletion has removed so far."""

    files: int = 0
    bytes: int = 0


class DeletionHalted(Exception):
    """The deletion was told to stop, and did so between two entries."""


class NotAsApproved(Permanent):
    """An entry, or the folder itself, is not the very one that was looked at: it and all after it is kept."""

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
    approved: ApprovedDeletion, removed: Removed, work: Work, is_halted: Callable[[], bool]
) -> None:
    """Delete the approved entries, leaving the folder itself and whatever else is in it, with the folders around that.

    Each entry must still be the very one that was looked at. The first that is not ends it: NotAsApproved, and
    everything from there on is kept. What the system refuses is NeedsOperator; calling again goes on. `is_halted` is
    asked before each entry: DeletionHalted. What it removes is added to `removed`, however it ends.
    """
    folders: list[bytes] = []
    with _opened(approved) as root, Way(root) as way:
        for entry in approved.entries:
            if entry.kind is EntryKind.DIR:
                folders.append(entry.path)
                continue
            if is_halted():
                raise DeletionHalted
            work.add(entry.size)
            try:
                was_there = _delete_entry(way, entry, approved.stamps)
            except OSError as error:
                raise _not_deletable(entry.path, error) from error
            if was_there:
                removed.files += 1
                removed.bytes += entry.size if entry.kind is EntryKind.FILE else 0
        _remove_folders(way, folders, work, is_halted)
        try:
            os.fsync(root)
        except OSError as error:  # says nothing of what was verified, whatever its number
            raise _refused(b".", error) from error


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


def _remove_folders(way: Way, folders: Iterable[bytes], work: Work, is_halted: Callable[[], bool]) -> None:
    for path in sorted(folders, key=lambda folder: -folder.count(b"/")):
        if is_halted():
            raise DeletionHalted
        work.add(0)
        folder, _, name = path.rpartition(b"/")
        with _mended_by_operator(path), suppress(FileNotFoundError):
            _remove_if_empty(way.to(folder), name)


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


def remove_working_copy(path: bytes, work: Work) -> None:
    """Remove a folder of our own below the storage path, if it is there. Never given a path of the NAS.

    What vanishes meanwhile is done. Raises OSError; a link in its place is one, and what it leads to is left alone.
    """
    if not _is_there(path):
        return
    if os.path.islink(path):
        raise OSError(errno.ENOTDIR, "a link, where a folder of our own should be", path)
    for folder in reversed(_emptied(path, work)):
        work.add(0)
        with suppress(FileNotFoundError):
            os.rmdir(folder)
    sync_folder(os.path.dirname(path))  # nobody looks for it again, if a power failure brings it back


def _is_there(path: bytes) -> bool:
    """Unlike os.path.lexists, an error is not taken for absence. Raises OSError.

    What is said not to be there is looked for among the names of its folder too: what is missed here stays for ever.
    """
    with suppress(FileNotFoundError):
        os.lstat(path)
        return True
    with suppress(FileNotFoundError):
        return os.path.basename(path) in os.listdir(os.path.dirname(path))
    return False


def _emptied(path: bytes, work: Work) -> list[bytes]:
    """The folder and all below it, each before what it holds, once they hold nothing else any more.

    Copies keep the modes of the source, which may forbid to enter or change a folder: that is allowed first.
    """
    os.chmod(path, 0o700)
    found = [path]
    for folder, folders, files in os.walk(path):
        for child in (os.path.join(folder, name) for name in folders):
            with suppress(FileNotFoundError):
                if os.path.islink(child):
                    os.unlink(child)
                else:
                    os.chmod(child, 0o700)
                    found.append(child)
        for name in files:
            work.add(0)
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
    return found


def give_up_name(folder: int, name: bytes) -> None:
    """Remove a name of our own, if it is there, from the folder of this descriptor."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def remove_file(path: bytes) -> int:
    """Remove a file of our own, durably, if it is there; gives back its size in bytes."""
    try:
        size = os.lstat(path).st_size
        os.unlink(path)
    except FileNotFoundError:
        return 0
    sync_folder(os.path.dirname(path))
    return size


def remove_empty_folders(path: bytes, *, up_to: bytes) -> None:
    """Remove `path` and its parents below `up_to` as long as they are empty."""
    while path != up_to and path.startswith(up_to + b"/"):
        try:
            os.rmdir(path)
        except OSError:  # not empty, or gone already: either way there is nothing left to tidy
            return
        path = os.path.dirname(path)


def set_aside(path: bytes, folder: bytes) -> bytes | None:
    """Move a file, if it is there, into a folder (made if needed) under a name that is free there: the new path."""
    if not _is_there(path):
        return None
    make_folders(folder)
    name = os.path.basename(path)
    number = 1
    while _is_there(os.path.join(folder, name)):
        number += 1
        name = b"%d-%s" % (number, os.path.basename(path))
    kept = os.path.join(folder, name)
    move_without_overwriting(path, kept)
    return kept


def move_without_overwriting(source: bytes, destination: bytes) -> None:
    """Give a file its final name, durably. Raises FileExistsError rather than replace anything.

    A link and an unlink, because rename replaces silently; a crash in between leaves both names on one file. The new
    name is durable before the old one goes: it may be the only copy.
    """
    os.link(source, destination, follow_symlinks=False)
    sync_folder(os.path.dirname(destination))
    os.unlink(source)
    sync_folder(os.path.dirname(source))
