"""Reads a folder on disk: what it holds, entry by entry, and whether that is what its manifest says."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import NamedTuple

from cs_archiver.domain.manifest import Difference, Entry, EntryKind, Seen, Totals, changes, paired, shown, totals
from cs_archiver.domain.packed import Packed, PackedTree, Part, pack
from cs_archiver.tools.crowd import for_each, parallelism_at_first
from cs_archiver.tools.disk import Trouble, mounts_in, source_error
from cs_archiver.tools.fixity import Digest
from cs_archiver.tools.hashing import hash_tree
from cs_archiver.tools.threads import Work
from cs_archiver.tools.way import FOLDER_FLAGS

_NAMES_A_TASK = 400  # one huge folder is spread over the threads as many small ones are
_NAMES_SORTED = 5000  # at once: some milliseconds
_MOST_DIFFERENCES = 20
_KINDS = {stat.S_IFREG: EntryKind.FILE, stat.S_IFDIR: EntryKind.DIR, stat.S_IFLNK: EntryKind.LINK}

CHANGING = "changed while it was being read"


@dataclass(frozen=True, slots=True)
class Scan:
    """What a folder holds, and the folder itself. `unreadable` says what could not be looked at and why."""

    inode: int
    device: int
    mode: int
    mtime_ns: int
    total: Totals
    entries: PackedTree
    unreadable: Sequence[str]


class _Task(NamedTuple):
    folder: bytes  # relative; empty for the root
    number: int  # of this part of the folder
    names: Sequence[bytes] | None  # None: list the folder first


class _Found(NamedTuple):
    entries: list[Seen]
    tasks: list[_Task]
    unreadable: list[str]


class _Looked(NamedTuple):
    task: _Task
    part: Part | None  # None: nothing is there
    total: Totals
    tasks: Sequence[_Task]
    unreadable: Sequence[str]


def scan_tree(
    root: bytes,
    *,
    threads: int,
    work: Work,
    ignore: frozenset[bytes] = frozenset(),
    trouble: Trouble = source_error,
) -> Scan:
    """Everything below `root`, but for the names in `ignore` right below it; links not followed, mounts not entered.

    What is mounted on `root` or below, be it a part of the same file system, counts as unreadable. Raises as `trouble`
    tells, of a path below the root or the root's own, when the root may not be read, or something vanishes meanwhile.
    """
    try:
        status = os.lstat(root)
    except OSError as error:
        raise trouble(root, error) from error
    mounts = mounts_in(root)
    scanner = _Scanner(root, status.st_dev, mounts, ignore, work, trouble)
    parts: dict[bytes, dict[int, Part]] = {}
    unreadable: list[str] = []
    files = size = 0
    level: list[_Task] = [_Task(b"", 0, None)]

    def collect(looked: _Looked) -> None:
        nonlocal files, size
        if looked.part is not None:
            parts.setdefault(looked.task.folder, {})[looked.task.number] = looked.part
        files += looked.total.files
        size += looked.total.bytes
        unreadable.extend(looked.unreadable)
        level.extend(looked.tasks)

    parallelism = parallelism_at_first(threads)
    while level:
        tasks, level = level, []
        for_each(
            tasks, scanner.look, threads=threads, done=collect, is_short=lambda _task: True, parallelism=parallelism
        )
    unreadable.extend(map(_mounted, sorted(mounts_in(root) - mounts)))  # it may have been entered
    found = {folder: Packed(Seen, [part for _, part in sorted(of_it.items())]) for folder, of_it in parts.items()}
    mode = stat.S_IMODE(status.st_mode)
    total = Totals(files, size)
    return Scan(status.st_ino, status.st_dev, mode, status.st_mtime_ns, total, PackedTree(found), unreadable)


class _Scanner:
    def __init__(
        self,
        root: bytes,
        device: int,
        mounts: frozenset[bytes],
        ignore: frozenset[bytes],
        work: Work,
        trouble: Trouble,
    ) -> None:
        self._root = root
        self._device = device
        self._mounts = mounts
        self._ignore = ignore
        self._work = work
        self._trouble = trouble

    def look(self, task: _Task) -> _Looked:
        """One folder, or some of its names when it holds very many."""
        self._work.add(0)
        found = _Found([], [], [])
        # No slash after the root: it would make the kernel follow a link put in its place.
        path = os.path.join(self._root, task.folder) if task.folder else self._root
        try:
            descriptor = os.open(path, FOLDER_FLAGS)
            try:
                self._look_into(descriptor, task, found)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._note(found, task.folder, error)
        part = pack(found.entries) if found.entries else None
        return _Looked(task, part, totals(found.entries), found.tasks, found.unreadable)

    def _look_into(self, descriptor: int, task: _Task, found: _Found) -> None:
        if task.folder in self._mounts or os.fstat(descriptor).st_dev != self._device:
            found.unreadable.append(_mounted(task.folder))
            return
        names = task.names
        if names is None:
            names = _names_in(descriptor, frozenset() if task.folder else self._ignore)
            for number, start in enumerate(range(_NAMES_A_TASK, len(names), _NAMES_A_TASK), start=1):
                found.tasks.append(_Task(task.folder, number, names[start : start + _NAMES_A_TASK]))
            names = names[:_NAMES_A_TASK]
        above = task.folder + b"/" if task.folder else b""
        for name in names:
            path = above + name
            try:
                entry = _seen(descriptor, name, path)
            except OSError as error:
                self._note(found, path, error)
                continue
            found.entries.append(entry)
            if entry.kind is EntryKind.DIR:
                found.tasks.append(_Task(path, 0, None))
            elif path in self._mounts:
                found.unreadable.append(_mounted(path))

    def _note(self, found: _Found, path: bytes, error: OSError) -> None:
        """What may not be read is listed; what vanished, or a NAS in trouble, ends the scan, for a later one."""
        if error.errno not in (errno.EACCES, errno.EPERM):
            raise self._trouble(path or b".", error) from error
        found.unreadable.append(f"'{shown(path) or '.'}': {error.strerror}")


def _names_in(folder: int, ignore: frozenset[bytes]) -> list[bytes]:
    with os.scandir(folder) as listed:  # one by one: a list of all as text would be a second one beside this
        return _in_order(name for entry in listed if (name := os.fsencode(entry.name)) not in ignore)


def _in_order(names: Iterator[bytes]) -> list[bytes]:
    """As `sorted`, which holds Python's lock, and so the dashboard, to its end: a second or two for a million names."""
    parts = iter(lambda: sorted(islice(names, _NAMES_SORTED)), [])
    return list(merge(*parts))


def _mounted(path: bytes) -> str:
    return f"'{shown(path) or '.'}': another file system or folder is mounted here: unmount it"


def _seen(folder: int, name: bytes, path: bytes) -> Seen:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), EntryKind.OTHER)
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


@dataclass(frozen=True, slots=True)
class FreshLook:
    """A source folder compared with its manifest just now. `seen` is exactly what was looked at."""

    inode: int
    device: int
    seen: Iterable[Seen]
    differences: Sequence[Difference]
    unreadable: Sequence[str]
    content_checked: bool


def look_again(
    root: bytes,
    manifest: Iterable[Entry],
    *,
    ignore: frozenset[bytes],
    gone_is_fine: bool,
    read_content: bool,
    threads: int,
    work: Work,
) -> FreshLook:
    """Scan the folder anew and compare it with the manifest; with `read_content` also every file's SHA-256.

    `manifest` is in the order of its paths. `ignore` names entries of our own (the marker). `gone_is_fine` is for a
    deletion that had begun: entries already deleted are then no difference. A second scan after the reading catches
    what changed meanwhile.
    """
    before = scan_tree(root, threads=threads, work=work, ignore=ignore)
    differences = changes(manifest, before.entries, gone_is_fine=gone_is_fine)
    if differences or before.unreadable or not read_content:
        return _looked(before, differences, content_checked=False)
    digests = hash_tree(root, before.entries, threads=threads, work=work)
    differences = list(islice(_altered(manifest, before.entries, digests), _MOST_DIFFERENCES))
    after = scan_tree(root, threads=threads, work=work, ignore=ignore)
    if after.entries != before.entries:  # equal ones differ from the manifest in nothing either, and were not touched
        differences += changes(manifest, after.entries, gone_is_fine=gone_is_fine)
        differences += islice(_touched(before.entries, after.entries), _MOST_DIFFERENCES)
    return _looked(after, differences, content_checked=not differences)


def _looked(scan: Scan, differences: Sequence[Difference], *, content_checked: bool) -> FreshLook:
    return FreshLook(scan.inode, scan.device, scan.entries, differences, scan.unreadable, content_checked)


def _altered(manifest: Iterable[Entry], seen: Iterable[Seen], digests: Iterable[Digest]) -> Iterator[Difference]:
    """The files among `seen`, whose digests these are, that do not hold what the manifest says."""
    digest_of_next = iter(digests).__next__
    for wanted, entry in paired(manifest, seen):
        if entry is not None and entry.kind is EntryKind.FILE:
            digest = digest_of_next()
            if wanted is None or (digest.size, digest.sha256) != (wanted.size, wanted.sha256):
                yield Difference(entry.path, "content changed, although size and time did not")


def _touched(before: Iterable[Seen], after: Iterable[Seen]) -> Iterator[Difference]:
    for was, entry in paired(before, after):
        if entry is not None and entry.kind is EntryKind.FILE and not _is_same_file(was, entry):
            yield Difference(entry.path, CHANGING)


def _is_same_file(before: Seen | None, after: Seen) -> bool:
    return before is not None and (before.inode, before.ctime_ns) == (after.inode, after.ctime_ns)
