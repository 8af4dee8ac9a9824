"""The triple verification (PRD 2.4) in its stricter form: facts in, every check with its values out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that had to hold. `number` is the PRD's verification it belongs to: 1, 2 or 3."""

    number: int
    name: str
    expected: str
    found: str
    passed: bool

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Expected:
    """What was handed to Globus. `sha256` in lower-case hexadecimal, `size` in bytes."""

    task_id: str
    label: str
    source_collection: str
    destination_collection: str
    source_path: str
    destination_path: str
    size: int
    sha256: str
    size_tolerance_percent: float


@dataclass(frozen=True, slots=True)
class Observed:
    """What was read back: the task document, its successful transfers, the remote entry, the local archive.

    `remote` is None when Globus says that the file is not there. `verification_disabled` lists the collections
    whose owner switched checksums off. `local_sha256` is of the archive as it is on disk now.
    """

    task: Mapping[str, Any]
    transfers: Sequence[Mapping[str, Any]]
    remote: Mapping[str, Any] | None
    verification_disabled: Sequence[str]
    local_size: int
    local_sha256: str


def verify(expected: Expected, observed: Observed) -> list[Check]:
    """Every check, passed or not. The source may be deleted only if all of them passed."""
    return [
        *_task_checks(expected, observed),
        *_content_checks(expected, observed),
        *_remote_checks(expected, observed),
    ]


def passed(checks: Sequence[Check]) -> bool:
    """Nothing checked is nothing proven."""
    return bool(checks) and all(check.passed for check in checks)


def failures(checks: Sequence[Check]) -> str:
    """One line that names what failed, with the values."""
    return "; ".join(
        f"{check.name}: expected {check.expected}, found {check.found}" for check in checks if not check.passed
    )


def size_difference(checks: Sequence[Check]) -> str | None:
    """A difference in size that the tolerance let through: worth a warning (decisions, point 9)."""
    check = next((check for check in checks if check.name == "remote size"), None)
    if check is None or check.expected.split(" ", 1)[0] == check.found.split(" ", 1)[0]:
        return None
    return f"remote size differs: expected {check.expected}, found {check.found}"


def last_modified(checks: Sequence[Check]) -> str | None:
    """When the remote file was written, as the evidence has it."""
    return next((check.found for check in checks if check.name == _LAST_MODIFIED), None)


def collection_of(checks: Sequence[Check]) -> str | None:
    """The destination collection in which the archive was verified, as the evidence has it."""
    return next((check.found for check in checks if check.name == "task destination_endpoint_id"), None)


_LAST_MODIFIED = "remote last modified"

_TASK_FIELDS: tuple[tuple[str, Any], ...] = (
    ("status", "SUCCEEDED"),
    ("type", "TRANSFER"),
    ("verify_checksum", True),
    ("files", 1),
    ("subtasks_failed", 0),
    ("subtasks_expired", 0),
    ("subtasks_canceled", 0),
    ("subtasks_skipped_errors", 0),
    ("fatal_error", None),
    ("canceled_by_admin", None),
)


def verify_comparison(expected: Expected, task: Mapping[str, Any]) -> list[Check]:
    """The checks of a second task with sync_level checksum: both sides were read, and nothing had to be sent.

    Source: docs.globus.org, transfer sync levels; a file that is equal on both sides counts as skipped.
    """
    nothing_sent = (("files_transferred", 0), ("files_skipped", 1), ("bytes_transferred", 0))
    return _document_checks("comparison", (*_of_task(expected), *nothing_sent), task)


def _task_checks(expected: Expected, observed: Observed) -> list[Check]:
    all_sent = (("files_transferred", 1), ("files_skipped", 0), ("bytes_transferred", expected.size))
    checks = _document_checks("task", (*_of_task(expected), *all_sent), observed.task)
    disabled = list(observed.verification_disabled)
    checks.append(_equal(1, "collections with checksums switched off", [], disabled))
    return checks


def _of_task(expected: Expected) -> tuple[tuple[str, Any], ...]:
    return (
        *_TASK_FIELDS,
        ("task_id", expected.task_id),
        ("label", expected.label),
        ("source_endpoint_id", expected.source_collection),
        ("destination_endpoint_id", expected.destination_collection),
    )


def _document_checks(what: str, wanted: Sequence[tuple[str, Any]], document: Mapping[str, Any]) -> list[Check]:
    # A field that is absent is not a field that is zero: it proves nothing.
    return [_equal(1, f"{what} {name}", value, document.get(name, "(absent)")) for name, value in wanted]


def _content_checks(expected: Expected, observed: Observed) -> list[Check]:
    rows = [row for row in observed.transfers if row.get("destination_path") == expected.destination_path]
    checks = [
        _equal(1, "files Globus lists as transferred", 1, len(observed.transfers)),
        _equal(1, "of them at the destination path", 1, len(rows)),
        _equal(1, "local archive size", expected.size, observed.local_size),
        _equal(1, "local archive SHA-256", expected.sha256, observed.local_sha256),
    ]
    row: Mapping[str, Any] = rows[0] if rows else {}
    checks.append(_equal(1, "source path of the transfer", expected.source_path, row.get("source_path")))
    if row.get("size") is not None:
        checks.append(_equal(1, "size Globus transferred", expected.size, row["size"]))
    if str(row.get("checksum_algorithm")).upper() in ("SHA256", "SHA-256") and row.get("checksum"):
        checks.append(_equal(1, "SHA-256 Globus computed", expected.sha256, str(row["checksum"]).lower()))
    return checks


def _remote_checks(expected: Expected, observed: Observed) -> list[Check]:
    remote = observed.remote
    name = expected.destination_path.rsplit("/", 1)[-1]
    if remote is None:
        return [Check(2, "remote file", f"a file {name!r}", "not there", passed=False)]
    return [
        _equal(2, "remote name", name, remote.get("name")),
        _equal(2, "remote type", "file", remote.get("type")),
        # Within a tolerance is not stored: a 7z that lacks its last byte cannot be opened.
        # Nothing to compare it with yet: it is what the file must still show when the source is deleted.
        Check(2, _LAST_MODIFIED, str(remote.get("last_modified")), str(remote.get("last_modified")), passed=True),
        _equal(1, "bytes at the destination", expected.size, remote.get("size")),
        _size_check(expected, remote.get("size")),
    ]


def _size_check(expected: Expected, found: object) -> Check:
    if not isinstance(found, int) or isinstance(found, bool):
        return Check(3, "remote size", f"{expected.size} bytes", str(found), passed=False)
    difference = abs(found - expected.size) / max(expected.size, 1) * 100
    within = found == expected.size or difference < expected.size_tolerance_percent
    return Check(3, "remote size", f"{expected.size} bytes", f"{found} bytes", passed=within)


def _equal(number: int, name: str, expected: object, found: object) -> Check:
    same = expected == found and type(expected) is type(found)
    return Check(number, name, str(expected), str(found), passed=same)
