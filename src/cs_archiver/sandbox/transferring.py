"""What a thread does for one file of a task: compare, copy, verify, and the scripted damage."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cs_archiver.sandbox.copying import RateLimit, copy_file, digests_of_both, flip_bit_in_place
from cs_archiver.sandbox.filesystem import Collection, OutsideCollection
from cs_archiver.sandbox.submissions import TransferItem, TransferRequest
from cs_archiver.sandbox.tasks import SkippedError, Task, TaskFailure, TaskFault, TransferredFile

_ERRNO_CODES = {
    errno.ENOENT: ("FILE_NOT_FOUND", "file not found"),
    errno.EACCES: ("PERMISSION_DENIED", "permission denied"),
    errno.EPERM: ("PERMISSION_DENIED", "permission denied"),
    errno.EISDIR: ("IS_A_DIRECTORY", "is a directory"),
    errno.ENOTDIR: ("NOT_A_DIRECTORY", "not a directory"),
    errno.EEXIST: ("NOT_A_DIRECTORY", "not a directory"),
    errno.ENOSPC: ("NO_SPACE_LEFT", "no space left"),
    errno.EDQUOT: ("QUOTA_EXCEEDED", "quota exceeded"),
}


@dataclass(frozen=True, slots=True)
class Skipped:
    """The file needed no copy."""


ItemResult = TransferredFile | Skipped | SkippedError


@dataclass(frozen=True, slots=True)
class _Places:
    item: TransferItem
    source: str
    destination: str


def transfer_item(task: Task, request: TransferRequest, item: TransferItem, rate: RateLimit) -> ItemResult:
    """Runs in a thread; safe to repeat. Raises TaskFault, TaskFailure and Stopped."""
    if task.has_outcome("SKIPPED"):
        return Skipped()
    if task.has_outcome("SKIPPED_ERRORS"):
        return SkippedError(item, "PERMISSION_DENIED", "scripted by the sandbox")
    places = _Places(
        item,
        source=_usable_place(request.source, item.source_path),
        destination=_usable_place(request.destination, item.destination_path),
    )
    try:
        with _faults_for(places.source):
            _require_file(places.source)
    except TaskFault as fault:
        if request.options.skip_source_errors:
            return SkippedError(item, fault.code, fault.description)
        raise
    with _faults_for(places.destination):
        _require_other_file(places)
        return _synchronise(task, request, places, rate)


def _synchronise(task: Task, request: TransferRequest, places: _Places, rate: RateLimit) -> ItemResult:
    if _is_in_sync(task, request.options.sync_level, places):
        return Skipped()
    is_stale = task.has_outcome("STALE")
    size_bytes = os.path.getsize(places.source)
    if is_stale:
        task.bytes_transferred += size_bytes
    else:
        _copy(task, request, places, rate)
    checksum = _verified_digest(task, places, against_destination=not is_stale)
    _damage(task, places.destination)
    algorithm = places.item.checksum_algorithm if checksum else None
    return TransferredFile(places.item, size_bytes, checksum, algorithm)


def _copy(task: Task, request: TransferRequest, places: _Places, rate: RateLimit) -> None:
    before = os.stat(places.source)

    def count(size_bytes: int) -> None:
        task.bytes_transferred += size_bytes

    copied_bytes = copy_file(
        places.source,
        places.destination,
        rate=rate,
        stopping=task.stopping,
        progress=count,
        flip_a_bit=task.has_outcome("CORRUPT_IN_FLIGHT") and task.bytes_transferred == 0,
    )
    if copied_bytes != before.st_size or os.path.getsize(places.source) != before.st_size:
        raise TaskFault("FILE_SIZE_CHANGED", "file size changed")
    if request.options.preserve_timestamp:
        os.utime(places.destination, ns=(before.st_atime_ns, before.st_mtime_ns))


def _is_in_sync(task: Task, sync_level: int | None, places: _Places) -> bool:
    if sync_level is None or not os.path.exists(places.destination):
        return False
    source, destination = os.stat(places.source), os.stat(places.destination)
    if sync_level == 0:
        return True
    if source.st_size != destination.st_size:
        return False
    if sync_level == 1:
        return True
    if sync_level == 2:
        return source.st_mtime <= destination.st_mtime
    return _has_same_digest(task, places, source.st_size)


def _has_same_digest(task: Task, places: _Places, size_bytes: int) -> bool:
    algorithm, expected = places.item.checksum_algorithm, places.item.external_checksum
    source, destination = digests_of_both(places.source, places.destination, algorithm, task.stopping)
    if expected and source != expected:
        raise _external_mismatch()
    task.bytes_checksummed += size_bytes
    return source == destination


def _verified_digest(task: Task, places: _Places, *, against_destination: bool) -> str | None:
    algorithm, expected = places.item.checksum_algorithm, places.item.external_checksum
    verifies = task.verify_checksum or expected is not None
    if not verifies or _is_verification_off(task):
        return None
    destination = places.destination if against_destination else places.source
    source, arrived = digests_of_both(places.source, destination, algorithm, task.stopping)
    if task.verify_checksum and source != arrived:
        raise TaskFault("VERIFY_CHECKSUM", "checksum verification failed")
    if expected and expected != arrived:
        raise _external_mismatch()
    return arrived


def _is_verification_off(task: Task) -> bool:
    disabled = any(collection.traits.disable_verify for collection in task.request.collections)
    return disabled or task.has_outcome("VERIFY_OFF")


def _external_mismatch() -> TaskFailure:
    return TaskFailure("EXTERNAL_CHECKSUM_MISMATCH", "external checksum mismatch")


def _damage(task: Task, destination: str) -> None:
    if task.has_outcome("MISSING"):
        os.unlink(destination)
    elif task.has_outcome("TRUNCATED"):
        os.truncate(destination, os.path.getsize(destination) // 2)
    elif task.has_outcome("FLIPPED_BIT"):
        flip_bit_in_place(destination)


def _require_other_file(places: _Places) -> None:
    if not os.path.exists(places.destination):
        return
    _require_file(places.destination)
    # Opening the destination empties it: it must never be the source itself.
    if os.path.samefile(places.source, places.destination):
        raise TaskFailure("INVALID_PATH_NAME", "source and destination are the same file")


def _require_file(place: str) -> None:
    if not stat.S_ISREG(os.stat(place).st_mode):
        raise TaskFault("NOT_A_FILE", f"not a file ({os.path.basename(place)})")
    with open(place, "rb"):
        pass


def _usable_place(collection: Collection, path: str) -> str:
    traits = collection.traits
    if traits.is_personal and not traits.gcp_connected:
        raise TaskFault("GC_NOT_CONNECTED", "Globus Connect is not connected")
    if traits.is_personal and traits.gcp_paused:
        raise TaskFault("GC_PAUSED", "Globus Connect is paused")
    try:
        return collection.locate(path)
    except OutsideCollection as error:
        raise TaskFault("PERMISSION_DENIED", "permission denied: Path not allowed") from error


@contextmanager
def _faults_for(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code, description = _ERRNO_CODES.get(error.errno or 0, ("ENDPOINT_ERROR", "endpoint error"))
        raise TaskFault(code, f"{description}: {error.strerror} ({os.path.basename(place)})") from error
