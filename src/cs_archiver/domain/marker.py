"""The text file that stays in place of an archived folder's content (PRD 2.6)."""

import re
from dataclasses import dataclass

from cs_archiver.domain.job import Job
from cs_archiver.domain.sizes import counted

_STATE = b"\nSource deletion: "
_UNDER_WAY, _COMPLETE = b"in progress", b"is complete"  # as long as each other, see below


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the content is, for the marker. Sizes are bytes."""

    collection: str
    files: int
    bytes: int


def marker_text(job: Job, stored: Stored, *, archived_on: str, deleted: bool) -> bytes:
    """The PRD's five lines, then what helps to find and check the archive. `archived_on` as in PRD 2.6."""
    state = (_COMPLETE if deleted else _UNDER_WAY).decode()
    lines = [
        f"Archived on: {archived_on}",
        f"Archive name: {job.archive_name}",
        f"Globus path: {job.globus_destination_path}",
        f"Job ID: {job.id}",
        f"User: {job.created_by}",
        f"Globus collection: {stored.collection}",
        f"Archive size: {job.archive_size_bytes} bytes",
        f"Archive SHA-256: {job.archive_sha256}",
        f"Content: {counted(stored.files, 'file')}, {counted(stored.bytes, 'byte')}",
        f"Source deletion: {state}",
    ]
    return ("\n".join(lines) + "\n").encode()


def is_marker_of(job: Job, content: bytes) -> bool:
    """Whether a file of the marker's name was written by this very job, and is not somebody's own file."""
    return _id_line(job, content) is not None


def word_for_state(job: Job, held: bytes, *, deleted: bool) -> tuple[int, bytes] | None:
    """What of the job's marker is written once more: the word for the state of its deletion, and where it stands.

    Nothing else of it ever is, and no byte of it moves, since people may have written into it: also over that word,
    which is then nowhere. None for what is no marker of this job.
    """
    line = _id_line(job, held)
    if line is None:
        return None
    at = held.find(_STATE + _UNDER_WAY, line.end() - 1)
    return (0, b"") if at < 0 else (at + len(_STATE), _COMPLETE if deleted else _UNDER_WAY)


def _id_line(job: Job, content: bytes) -> re.Match[bytes] | None:
    return re.search(rb"\nJob ID: %b\r?\n" % re.escape(job.id.encode()), content)
