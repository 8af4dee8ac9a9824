"""The marker left in place of a folder's content: it leads back to the archive and is known for our own."""

from typing import Any

import pytest

from cs_archiver.domain.job import Job
from cs_archiver.domain.marker import Stored, is_marker_of, marker_text, word_for_state
from tests.support.jobs import a_job

STORED = Stored("destination-id", 12, 3_456)
WHEN = "2026-01-15 14:45:30 UTC"


def job(**values: Any) -> Job:
    return a_job(id="7b2f0c6e-0000-4000-8000-000000000001", archive_size_bytes=999, archive_sha256="ab", **values)


def test_the_marker_has_the_lines_of_the_requirements_first() -> None:
    text = marker_text(job(), STORED, archived_on=WHEN, deleted=True).decode()
    assert text.splitlines() == [
        "Archived on: 2026-01-15 14:45:30 UTC",
        "Archive name: Project_Alpha.tar.7z",
        "Globus path: /Production/2024/Project_Alpha.tar.7z",
        "Job ID: 7b2f0c6e-0000-4000-8000-000000000001",
        "User: admin",
        "Globus collection: destination-id",
        "Archive size: 999 bytes",
        "Archive SHA-256: ab",
        "Content: 12 files, 3456 bytes",
        "Source deletion: is complete",
    ]
    assert text.endswith("\n")


def test_a_marker_written_before_the_deletion_says_that_it_goes_on() -> None:
    text = marker_text(job(), STORED, archived_on=WHEN, deleted=False).decode()
    assert text.splitlines()[-1] == "Source deletion: in progress"


@pytest.mark.parametrize("deleted", [True, False])
def test_a_job_knows_its_own_marker(deleted: bool) -> None:
    assert is_marker_of(job(), marker_text(job(), STORED, archived_on=WHEN, deleted=deleted))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Job ID: 7b2f0c6e-0000-4000-8000-000000000001",
        b"\nJob ID: 7b2f0c6e-0000-4000-8000-000000000001 and more\n",
        b"\nUser: Job ID: 7b2f0c6e-0000-4000-8000-000000000001\n",
        b"\nJob ID: 7b2f0c6e-0000-4000-8000-000000000002\n",
        b"shopping list\n",
    ],
)
def test_any_other_file_of_the_markers_name_is_somebody_elses(content: bytes) -> None:
    assert not is_marker_of(job(), content)


def test_the_marker_of_another_job_is_not_ours() -> None:
    other = marker_text(a_job(), STORED, archived_on=WHEN, deleted=False)
    assert not is_marker_of(job(), other)


def test_the_longest_paths_leave_the_job_id_where_it_is_looked_for() -> None:
    name = "é" * 116
    long = job(
        folder_name=name,
        globus_destination_path=f"/base/{'x' * 255}/{'y' * 255}/{name}.tar.7z",
        created_by="z" * 64,
    )
    text = marker_text(long, STORED, archived_on=WHEN, deleted=True)
    assert is_marker_of(long, text[:4096])


@pytest.mark.parametrize(
    "noted", ["by hand\n", "User: Kim takes over in May\n", "Source deletion: was approved by Kim\n"]
)
@pytest.mark.parametrize("at", [0, 3, 6, 9, 10])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_what_people_wrote_into_a_marker_stays_where_it_is(noted: str, at: int, ends: bytes) -> None:
    lines = marker_text(job(), STORED, archived_on=WHEN, deleted=False).splitlines(keepends=True)
    held = b"".join([*lines[:at], noted.encode(), *lines[at:]]).replace(b"\n", ends)
    change = word_for_state(job(), held, deleted=True)
    assert change is not None
    offset, word = change
    assert held[offset : offset + len(word)] == b"in progress"
    assert patched(held, change) == held.replace(b"in progress", b"is complete")


def test_an_older_marker_beside_ours_stays_as_it_is() -> None:
    older = marker_text(a_job(), STORED, archived_on=WHEN, deleted=False)
    ours = marker_text(job(), STORED, archived_on=WHEN, deleted=False)
    change = word_for_state(job(), older + ours + older, deleted=True)
    assert change is not None
    assert patched(older + ours + older, change) == older + ours.replace(b"in progress", b"is complete") + older


def test_a_marker_without_the_word_is_left_as_it_is() -> None:
    ours = marker_text(job(), STORED, archived_on=WHEN, deleted=False)
    assert word_for_state(job(), ours.replace(b"in progress", b"done, says Kim"), deleted=True) == (0, b"")
    assert word_for_state(job(), b"shopping list\n", deleted=True) is None


def patched(held: bytes, change: tuple[int, bytes]) -> bytes:
    offset, word = change
    return held[:offset] + word + held[offset + len(word) :]
