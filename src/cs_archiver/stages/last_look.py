"""Looks at a source whose deletion has begun: is it as approved, and what is left? Never a reason to give up."""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from cs_archiver.domain.manifest import EntryKind, Seen, paired, shown
from cs_archiver.errors import NeedsOperator, Permanent
from cs_archiver.tools.deletion import ApprovedDeletion
from cs_archiver.tools.threads import Work
from cs_archiver.tools.tree import Scan, scan_tree


@contextmanager
def held_while_refused() -> Iterator[None]:
    """A job whose deletion has begun is not given up because a look was refused."""
    try:
        yield
    except Permanent as error:
        if error.problem != "source-unreadable":
            raise
        raise NeedsOperator(str(error), problem=error.problem) from error


def require_readable(folder: bytes, unreadable: Sequence[str]) -> None:
    """Raises NeedsOperator "source-unreadable"."""
    if unreadable:
        raise NeedsOperator(
            f"cannot look at all of '{shown(folder)}' ({unreadable[0]}): check the NAS mount and its permissions",
            problem="source-unreadable",
        )


def is_as_approved(approved: ApprovedDeletion, own: Collection[bytes], work: Work) -> bool:
    """Whether nothing has come or changed since, but for what is `own`. Raises NeedsOperator where it cannot look."""
    for there, before in paired(_scan_of_the_very_folder(approved, work).entries, approved.entries):
        if there is None or there.path in own:
            continue
        if before is None or _fixed(there) != _fixed(before):
            return False
    return True


def _scan_of_the_very_folder(approved: ApprovedDeletion, work: Work) -> Scan:
    try:
        status = os.lstat(approved.folder)
    except OSError as error:
        raise NeedsOperator(
            f"cannot look at '{shown(approved.folder)}': {error.strerror}: check the NAS mount",
            problem="nas-unreachable",
        ) from error
    if (status.st_dev, status.st_ino) != (approved.device, approved.inode):
        raise NeedsOperator(not_the_folder(approved.folder), problem="nas-unreachable")
    with held_while_refused():
        scan = scan_tree(approved.folder, threads=1, work=work)
    require_readable(approved.folder, scan.unreadable)
    return scan


def _fixed(entry: Seen) -> Seen:
    """Without what a deletion in it changes of a folder."""
    return entry._replace(mtime_ns=0, ctime_ns=0, links=0) if entry.kind is EntryKind.DIR else entry


def left_and_still_there(approved: ApprovedDeletion, marker: bytes, work: Work) -> tuple[list[bytes], list[bytes]]:
    """By path: what was not approved, but for the marker, and what was, but for the folders around the former.

    Raises NeedsOperator where it cannot look.
    """
    left: list[bytes] = []
    still: list[bytes] = []
    for there, deleted in paired(_scan_of_the_very_folder(approved, work).entries, approved.entries):
        if there is not None and there.path != marker:
            (left if deleted is None else still).append(there.path)
    around_left = {folder for path in left for folder in _folders_of(path)}
    return left, [path for path in still if path not in around_left]


def _folders_of(path: bytes) -> Iterator[bytes]:
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def not_the_folder(path: bytes) -> str:
    return (
        f"'{shown(path)}' is not the folder that was copied: check the NAS mount, or put that folder back; nothing in "
        "this one is deleted. If that folder is gone for good, give this one another name: then the job ends"
    )
