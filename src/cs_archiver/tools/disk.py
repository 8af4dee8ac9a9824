"""The local disk: free space, mounts, durable writes, moves that never overwrite, and errors told apart by side."""

import errno
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import psutil

from cs_archiver.domain.checks import Mount
from cs_archiver.domain.manifest import shown
from cs_archiver.domain.space import Room
from cs_archiver.errors import DiskFull, JobError, NeedsOperator, Permanent, Temporary

# NONBLOCK: opening a FIFO must not hang; on a regular file it changes nothing.
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM)
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")  # as the kernel writes blanks, line breaks and backslashes
FSTAB = Path("/etc/fstab")
_GONE = (errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EHOSTDOWN, errno.ENOTCONN, errno.EROFS)


def file_size(path: bytes) -> int:
    """Bytes of a file, links not followed."""
    return os.lstat(path).st_size


def open_regular(path: bytes) -> int:
    """Open a regular file for reading; a link, FIFO or device put in its place is an OSError, never read."""
    descriptor = os.open(path, READING)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", path)
    return descriptor


def will_read(descriptor: int, *, whole: bool) -> None:
    """Tell the kernel that a regular file is about to be read: a small one whole, at once, or from its beginning on.

    A hint: what is read is what the file holds, with it or without. Fetching many small files before they are read
    hides the latency of a disk or NAS; a large file is read ahead by twice as much. NFS caches what it fetches: since
    it asks the server at the opening whether that is current, hint a file only through the descriptor it is read by.
    CIFS with cache=none, or without a lease from the server, does not read from the cache: there small files may come
    over the network twice.
    """
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED if whole else os.POSIX_FADV_SEQUENTIAL)


def free_bytes(path: str | bytes) -> int:
    """Space an ordinary user can still write on the file system of `path`."""
    usage = os.statvfs(path)
    return usage.f_bavail * usage.f_frsize


def room_on(path: str | bytes) -> Room:
    """What the file system of `path` has for an ordinary user. Raises as `local_error` tells."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise local_error(os.fsencode(path), error) from error
    in_use = found.f_blocks - found.f_bfree
    free_files = found.f_favail if found.f_files else None  # 0 in all: btrfs, CIFS and others make them as needed
    free, total = found.f_bavail * found.f_frsize, (in_use + found.f_bavail) * found.f_frsize
    return Room(free, total, free_files, found.f_frsize)


def sync_folder(path: bytes) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: bytes) -> None:
    """Make a file's content durable. A failure is final: a second fsync would claim success without the data."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(path: bytes) -> None:
    """Create a folder and its parents, durably."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    make_folders(parent)
    os.makedirs(path, mode=0o750, exist_ok=True)
    sync_folder(parent)


Trouble = Callable[[bytes, OSError], JobError]
"""What a failed read of what is at this path means."""


def source_error(path: bytes, error: OSError) -> JobError:
    """What a failed read of the source means. A full local disk must never look like an unreadable source."""
    text = f"cannot read '{shown(path)}': {error.strerror}"
    if error.errno in _REFUSED:
        return Permanent(f"{text}: let the service read it, then retry", problem="source-unreadable")
    if error.errno in _GONE:
        return NeedsOperator(f"{text}: check the NAS mount", problem="nas-unreachable")
    return Temporary(text, problem="source-unreadable")


def local_error(path: bytes, error: OSError, *, doing: str = "write") -> JobError:
    """What a failed write to the local disk means, or a failed read of what is ours there."""
    text = f"cannot {doing} '{shown(path)}': {error.strerror}"
    if error.errno in _NO_SPACE:
        return DiskFull(text, problem="disk-full")
    if error.errno in (*_REFUSED, *_GONE):
        return NeedsOperator(f"{text}: check the storage folder and its permissions", problem="storage-unusable")
    return Temporary(text, problem="storage-error")


def trouble_with_copy(root: bytes) -> Trouble:
    """As `local_error`, of a failed read of the copy in this folder; paths may be relative to it."""
    return lambda path, error: local_error(os.path.join(root, path), error, doing="read")


def mounts_in(folder: bytes) -> frozenset[bytes]:
    """What is mounted on this folder (b"") or below it, as paths relative to it, whatever file system that is of.

    The kernel's own table is read, which asks no mount, so that a dead NAS does not hang it; a path to the folder is
    looked at. Raises NeedsOperator when the table cannot be read.
    """
    parent, name = os.path.split(folder)
    root = os.path.join(os.path.realpath(parent), name)
    below = root.rstrip(b"/") + b"/"
    return frozenset(mount[len(below) :] for mount in mount_points() if (mount + b"/").startswith(below))


def mount_points() -> set[bytes]:
    """Where anything is mounted, by the kernel's own table. Raises NeedsOperator when that cannot be read."""
    try:
        with open("/proc/self/mountinfo", "rb") as table:
            return {_OCTAL.sub(_unescaped, line.split(b" ")[4]) for line in table}
    except OSError as error:
        raise NeedsOperator(
            f"cannot see what is mounted: /proc/self/mountinfo: {error.strerror}: let the service read it",
            problem="nas-unreachable",
        ) from error


def _mount_points_wanted() -> set[bytes]:
    """Where this host mounts something when it starts; none where nobody may read that."""
    try:
        lines = FSTAB.read_bytes().splitlines()
    except OSError:
        return set()
    mounts = [line.split() for line in lines if not line.lstrip().startswith(b"#")]
    return {_point_of(mount[1]) for mount in mounts if len(mount) > 2 and _is_mounted_at_start(*mount[1:4])}


def _is_mounted_at_start(point: bytes, _kind: bytes, options: bytes = b"") -> bool:
    given = options.split(b",")
    return point.startswith(b"/") and (b"noauto" not in given or b"x-systemd.automount" in given)


def _point_of(named: bytes) -> bytes:
    """As the kernel's table has it: no link is left in it, and what is mounted is not looked at."""
    parent, name = os.path.split(os.path.normpath(b"/" + _OCTAL.sub(_unescaped, named).lstrip(b"/")))
    return os.path.join(os.fsencode(place_of(Path(os.fsdecode(parent)))), name)


def _unescaped(octal: re.Match[bytes]) -> bytes:
    return bytes([int(octal[1], 8)])


def mount_point_of(path: Path) -> bytes:
    """Where the file system is mounted that `path` lies on, or is to lie on by /etc/fstab; no mount is asked.

    Raises NeedsOperator as `mount_points` does.
    """
    place = place_of(path)
    around = [point for point in mount_points() | _mount_points_wanted() if _lies_in(place, os.fsdecode(point))]
    return max(around, key=len, default=b"/")


def mount_of(path: Path) -> Mount:
    """What `path`, or the nearest folder above it that is there, lies on. Raises OSError."""
    real = os.path.realpath(path)
    mounts = [found for found in psutil.disk_partitions(all=True) if _lies_in(real, found.mountpoint)]
    nearest = max(mounts, key=lambda found: len(found.mountpoint), default=None)
    existing = next(folder for folder in (real, *map(str, Path(real).parents)) if os.path.exists(folder))
    is_read_only = bool(os.statvfs(existing).f_flag & os.ST_RDONLY)
    if nearest is None:  # a root that the kernel does not list, as in some containers
        return Mount("/", "unknown", is_read_only)
    last = [found for found in mounts if found.mountpoint == nearest.mountpoint][-1]  # it hides those below it
    return Mount(shown(os.fsencode(last.mountpoint)), last.fstype, is_read_only)


def place_of(path: Path) -> str:
    """As os.path.realpath, without a look at a mount that may hang, or below it."""
    may_hang = [found.mountpoint for found in psutil.disk_partitions(all=True) if _may_hang(found.fstype)]
    absolute = os.path.abspath(path)
    if any(_lies_in(absolute, mount) for mount in may_hang):  # a mount point is real, whatever lies above it
        return absolute
    return os.path.realpath(path)


def _may_hang(kind: str) -> bool:
    return kind.startswith("fuse") or Mount("", kind, is_read_only=False).is_network


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
