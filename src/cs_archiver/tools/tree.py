"""Reads a folder on disk: what it holds, entry by entry, and the digests of its files."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cs_archiver.domain.manifest import (
    Difference,
    Entry,
    EntryKind,
    Seen,
    Totals,
    changes_since_sealed,
    file_batches,
    shown,
    totals,
)
from cs_archiver.tools.disk import Digest, digest_of_file, source_error
from cs_archiver.tools.threads import Work, for_each

_NAMES_A_TASK = 400  # one huge folder is spread over the threads as many small ones are
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NOTHING = Totals(0, 0)


@dataclass(slots=True)
class Scan:
    """What a folder holds, and the folder itself. `unreadable` says what could not be looked at and why."""

    inode: int
    device: int
    mode: int
    mtime_ns: int
    total: Totals = _NOTHING
    entries: list[Seen] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


class _Task(NamedTuple):
    folder: bytes  # relative; empty for the root
    names: Sequence[bytes] | None  # None: list the folder first


class _Found(NamedTuple):
    entries: list[Seen]
    tasks: list[_Task]
    unreadable: list[str]


def scan_tree(root: bytes, *, threads: int, work: Work) -> Scan:
    """Everything below `root`, links not followed, other file systems not entered.

    Raises Temporary or NeedsOperator when something vanishes meanwhile or the NAS is in trouble, and Permanent
    when the root itself may not be read.
    """
    try:
        status = os.lstat(root)
    except OSError as error:
        raise source_error(root, error) from error
    scanner = _Scanner(root, status.st_dev, work)
    scan = Scan(status.st_ino, status.st_dev, stat.S_IMODE(status.st_mode), status.st_mtime_ns)
    level: list[_Task] = [_Task(b"", None)]

    def collect(found: _Found) -> None:
        scan.entries.extend(found.entries)
        scan.unreadable.extend(found.unreadable)
        level.extend(found.tasks)

    while level:
        tasks, level = level, []
        for_each(tasks, scanner.look, threads=threads, done=collect)
    scan.total = totals(scan.entries)
    return scan


class _Scanner:
    def __init__(self, root: bytes, device: int, work: Work) -> None:
        self._root = root
        self._device = device
        self._work = work

    def look(self, task: _Task) -> _Found:
        """One folder, or some of its names when it holds very many."""
        self._work.add(0)
        found = _Found([], [], [])
        # No slash after the root: it would make the kernel follow a link put in its place.
        path = os.path.join(self._root, task.folder) if task.folder else self._root
        try:
            descriptor = os.open(path, _FOLDER_FLAGS)
        except OSError as error:
            _note(found, task.folder, error)
            return found
        try:
            self._look_into(descriptor, task, found)
        except OSError as error:
            _note(found, task.folder, error)
        finally:
            os.close(descriptor)
        return found

    def _look_into(self, descriptor: int, task: _Task, found: _Found) -> None:
        if os.fstat(descriptor).st_dev != self._device:
            found.unreadable.append(f"'{shown(task.folder) or '.'}': another file system is mounted here")
            return
        names = task.names
        if names is None:
            names = [os.fsencode(name) for name in os.listdir(descriptor)]
            for start in range(_NAMES_A_TASK, len(names), _NAMES_A_TASK):
                found.tasks.append(_Task(task.folder, names[start : start + _NAMES_A_TASK]))
            names = names[:_NAMES_A_TASK]
        for name in names:
            self._look_at(descriptor, task.folder, name, found)

    def _look_at(self, descriptor: int, folder: bytes, name: bytes, found: _Found) -> None:
        path = folder + b"/" + name if folder else name
        try:
            entry = _seen(descriptor, name, path)
        except OSError as error:
            _note(found, path, error)
            return
        found.entries.append(entry)
        if entry.kind is EntryKind.DIR:
            found.tasks.append(_Task(path, None))


def _note(found: _Found, path: bytes, error: OSError) -> None:
    """What may not be read is listed; what vanished, or a NAS in trouble, ends the scan, for a later one."""
    if error.errno not in (errno.EACCES, errno.EPERM):
        raise source_error(path or b".", error) from error
    found.unreadable.append(f"'{shown(path) or '.'}': {error.strerror}")


def _seen(folder: int, name: bytes, path: bytes) -> Seen:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    kind = _kind(status.st_mode)
    target = os.readlink(name, dir_fd=folder) if kind is EntryKind.LINK else None
    size = status.st_size if kind is EntryKind.FILE else len(target or b"")
    return Seen(
        path,
        kind,
        size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        stat.S_IMODE(status.st_mode),
        status.st_nlink,
        target,
    )


def _kind(mode: int) -> EntryKind:
    if stat.S_ISREG(mode):
        return EntryKind.FILE
    if stat.S_ISDIR(mode):
        return EntryKind.DIR
    return EntryKind.LINK if stat.S_ISLNK(mode) else EntryKind.OTHER


def hash_tree(root: bytes, entries: Iterable[Seen], *, threads: int, work: Work) -> dict[bytes, Digest]:
    """Digests of the files among `entries`, read now. Raises as `source_error` tells when one cannot be read."""
    digests: dict[bytes, Digest] = {}

    def read(entry: Seen) -> tuple[bytes, Digest]:
        path = root + b"/" + entry.path
        try:
            return entry.path, digest_of_file(path, work.add)
        except OSError as error:
            raise source_error(path, error) from error

    def read_all(batch: Sequence[Seen]) -> list[tuple[bytes, Digest]]:
        return [read(entry) for entry in batch]

    for_each(file_batches(entries), read_all, threads=threads, done=lambda found: digests.update(found))
    return digests


@dataclass(frozen=True, slots=True)
class FreshLook:
    """A source folder compared with its manifest just now. `seen` is exactly what was looked at."""

    inode: int
    device: int
    seen: Sequence[Seen]
    differences: Sequence[Difference]
    unreadable: Sequence[str]
    content_checked: bool


def look_again(
    root: bytes,
    manifest: Sequence[Entry],
    *,
    ignore: frozenset[bytes],
    gone_is_fine: bool,
    read_content: bool,
    threads: int,
    work: Work,
) -> FreshLook:
    """Scan the folder anew and compare it with the manifest; with `read_content` also every file's SHA-256.

    `ignore` names entries of our own (the marker). `gone_is_fine` is for a deletion that had begun: entries
    already deleted are then no difference. A second scan after the reading catches what changed meanwhile.
    """
    before = _scan_without(root, ignore, threads=threads, work=work)
    differences = [*_compared(manifest, before.entries, gone_is_fine=gone_is_fine)]
    unreadable = [*before.unreadable]
    if differences or unreadable or not read_content:
        return FreshLook(before.inode, before.device, before.entries, differences, unreadable, content_checked=False)
    digests = hash_tree(root, before.entries, threads=threads, work=work)
    wanted = {entry.path: entry for entry in manifest}
    differences = [
        Difference(path, "content changed, although size and time did not")
        for path, digest in digests.items()
        if (digest.size, digest.sha256) != (wanted[path].size, wanted[path].sha256)
    ]
    after = _scan_without(root, ignore, threads=threads, work=work)
    differences += _compared(manifest, after.entries, gone_is_fine=gone_is_fine)
    differences += _touched(before.entries, after.entries)
    return FreshLook(
        after.inode, after.device, after.entries, differences, after.unreadable, content_checked=not differences
    )


def _scan_without(root: bytes, ignore: frozenset[bytes], *, threads: int, work: Work) -> Scan:
    scan = scan_tree(root, threads=threads, work=work)
    scan.entries = [entry for entry in scan.entries if entry.path not in ignore]
    return scan


def _compared(manifest: Sequence[Entry], seen: Sequence[Seen], *, gone_is_fine: bool) -> Iterator[Difference]:
    if gone_is_fine:
        there = {entry.path for entry in seen}
        manifest = [entry for entry in manifest if entry.path in there]
    yield from changes_since_sealed(manifest, seen)


def _touched(before: Sequence[Seen], after: Sequence[Seen]) -> list[Difference]:
    known = {entry.path: entry for entry in before}
    return [
        Difference(entry.path, "was written to while it was being read")
        for entry in after
        if entry.kind is EntryKind.FILE and not _same_file(known.get(entry.path), entry)
    ]


def _same_file(before: Seen | None, after: Seen) -> bool:
    return before is not None and (before.inode, before.ctime_ns) == (after.inode, after.ctime_ns)
