"""Digests of all files of a folder: of one that is there, and of a copy that a tool is still making."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from cs_archiver.domain.manifest import Seen
from cs_archiver.errors import JobError
from cs_archiver.tools.disk import Trouble, open_regular, source_error, trouble_with_copy
from cs_archiver.tools.fixity import Batch, Digest, Digests, digest_of_seen, digests_of_files, in_batches
from cs_archiver.tools.threads import Work

_BATCHES_IN_VIEW = 256  # that may come in any order; rsync copies what lies at the top of a folder first
_LOOK_SECONDS = 0.05


def hash_tree(root: bytes, entries: Iterable[Seen], *, threads: int, work: Work) -> Digests:
    """Digests of the files among `entries`, read now. Raises as `source_error` tells when one cannot be read."""
    return digests_of_files(in_batches(entries), _Hashing(root, work, source_error), threads=threads)


def hash_copy(
    root: bytes, entries: Iterable[Seen], *, threads: int, work: Work, is_made: Callable[[], bool]
) -> Digests:
    """Digests of the files among `entries` in a copy, while a tool makes it.

    A file is whole once it has the size and the time of its entry: the tool gives it its time last. Once `is_made`
    says that the tool has ended, the rest is read as it is. Raises as `trouble_with_copy` tells if one cannot be read.
    """
    hashing = _Hashing(root, work, trouble_with_copy(root))

    def rest() -> None:
        if hashing.failure is not None:  # on another thread: it is not to wait for what is still to come
            raise hashing.failure
        work.rest(_LOOK_SECONDS)

    batches = _as_they_come(root, in_batches(entries), is_made, rest)
    return digests_of_files(batches, hashing, threads=threads)


def _as_they_come(
    root: bytes, batches: Iterator[Batch], is_made: Callable[[], bool], rest: Callable[[], None]
) -> Iterator[Batch]:
    missing: list[Batch] = []
    while in_view := [*missing, *islice(batches, _BATCHES_IN_VIEW - len(missing))]:
        is_over = is_made()  # asked first: what comes after the look has come by the next
        missing = []
        for batch in in_view:
            if is_over or _is_whole(root, batch.files):
                yield batch
            else:
                missing.append(batch)
        if len(missing) == len(in_view):
            rest()


def _is_whole(root: bytes, files: Sequence[Seen]) -> bool:
    return all(_has_come(root, entry) for entry in reversed(files))  # the last one comes last, mostly


def _has_come(root: bytes, entry: Seen) -> bool:
    try:
        found = os.lstat(root + b"/" + entry.path)
    except OSError:  # what that means is found out once the tool has ended
        return False
    return stat.S_ISREG(found.st_mode) and (found.st_size, found.st_mtime_ns) == (entry.size, entry.mtime_ns)


class _Hashing:
    """Of files below one folder."""

    def __init__(self, root: bytes, work: Work, trouble: Trouble) -> None:
        self._root = root
        self._work = work
        self._trouble = trouble
        self.failure: JobError | None = None

    def open(self, entry: Seen) -> int:
        path = self._root + b"/" + entry.path
        try:
            return open_regular(path)
        except OSError as error:
            raise self._failed(path, error) from error

    def read(self, entry: Seen, descriptor: int) -> Digest:
        try:
            return digest_of_seen(descriptor, entry, self._work.add)
        except OSError as error:
            raise self._failed(self._root + b"/" + entry.path, error) from error

    def _failed(self, path: bytes, error: OSError) -> JobError:
        self.failure = self._trouble(path, error)
        return self.failure
