"""The text file that stays in place of an archived folder's content (PRD 2.6)."""

from dataclasses import dataclass

from cs_archiver.domain.job import Job
from cs_archiver.domain.sizes import counted

_STATE = b"Source deletion: "


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the content is, for the marker. Sizes are bytes."""

    collection: str
    files: int
    bytes: int


def marker_text(job: Job, stored: Stored, *, archived_on: str, deleted: bool) -> bytes:
    """The PRD's five lines, then what helps to find and check the archive. `archived_on` as in PRD 2.6."""
    state = "complete" if deleted else "in progress"
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
        f"{_STATE.decode()}{state}",
    ]
    return ("\n".join(lines) + "\n").encode()


def written_anew(held: bytes, text: bytes) -> bytes:
    """The marker that holds `held`, with what `text` says of the deletion; all of `text`, unless people wrote into it.

    Then nothing else is changed, and no byte moves: a crash in the middle leaves what they wrote where it is.
    """
    ours = [line.partition(b": ")[0] for line in text.splitlines()]
    if all(line.partition(b": ")[0] in ours for line in held.splitlines()):
        return text
    state = text.splitlines()[-1]
    return b"\n".join(
        state.ljust(len(line)) if line.startswith(_STATE) and len(line) >= len(state) else line
        for line in held.split(b"\n")
    )


def is_marker_of(job: Job, content: bytes) -> bool:
    """Whether a file of the marker's name was written by this very job, and is not somebody's own file."""
    return f"\nJob ID: {job.id}\n".encode() in content
