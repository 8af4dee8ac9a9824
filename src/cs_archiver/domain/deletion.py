"""The gate: the one decision whether a source may be deleted. Facts in, the reasons why not out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import Difference, Entry, EntryKind, described
from cs_archiver.domain.verification import Check, failures, passed


@dataclass(frozen=True, slots=True)
class Facts:
    """All gathered afresh, right before the decision.

    `differences` compares the sealed manifest with the folder now, `unreadable` lists what could not be
    looked at, `content_checked` says whether every file was read again and had its digest.
    """

    checks: Sequence[Check]
    has_files: bool
    archive_sha256: str | None
    differences: Sequence[Difference]
    unreadable: Sequence[str]
    content_checked: bool
    content_check_required: bool
    folder_is_the_one_copied: bool


def facts_of(
    job: Job,
    manifest: Iterable[Entry],
    checks: Sequence[Check],
    *,
    inode: int,
    differences: Sequence[Difference],
    unreadable: Sequence[str],
    content_checked: bool,
    content_check_required: bool,
) -> Facts:
    """The facts about a job from its row, its evidence and a fresh look at its source folder."""
    return Facts(
        checks=checks,
        has_files=any(entry.kind is not EntryKind.DIR for entry in manifest),  # links are content as well
        archive_sha256=job.archive_sha256,
        differences=differences,
        unreadable=unreadable,
        content_checked=content_checked,
        content_check_required=content_check_required,
        folder_is_the_one_copied=inode == job.source_inode,
    )


def reasons_against(facts: Facts) -> list[str]:
    """Empty only if the source may be deleted. In doubt there is a reason."""
    holds = (
        (passed(facts.checks), f"the upload is not verified: {failures(facts.checks) or 'no check was made'}"),
        (facts.has_files, "the manifest names no file: an empty archive proves nothing"),
        (bool(facts.archive_sha256), "the archive has no digest"),
        (facts.folder_is_the_one_copied, "the folder at this path is not the one that was copied"),
        (not facts.differences, f"the source changed since it was copied: {described(facts.differences)}"),
        (not facts.unreadable, f"the source cannot be read in full: {'; '.join(facts.unreadable[:5])}"),
        (
            facts.content_checked or not facts.content_check_required,
            "the content of the source is not proven equal to the manifest",
        ),
    )
    return [reason for held, reason in holds if not held]
