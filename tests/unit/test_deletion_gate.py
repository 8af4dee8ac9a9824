"""The gate before the deletion: a single doubt keeps the source."""

from itertools import product
from typing import Any

import pytest

from cs_archiver.domain.deletion import Facts, facts_of, reasons_against
from cs_archiver.domain.manifest import Difference, Entry, EntryKind
from cs_archiver.domain.verification import Check
from tests.support.jobs import a_job

PASSED = Check(1, "task status", "SUCCEEDED", "SUCCEEDED", passed=True)
FAILED = Check(3, "remote size", "5 bytes", "4 bytes", passed=False)

# Each fact: the values that allow the deletion, then those that forbid it.
FACTS: tuple[tuple[str, list[Any], list[Any]], ...] = (
    ("checks", [[PASSED], [PASSED, PASSED]], [[], [FAILED], [PASSED, FAILED]]),
    ("has_files", [True], [False]),
    ("archive_sha256", ["ab" * 32], [None, ""]),
    ("differences", [[]], [[Difference(b"file", "removed")]]),
    ("unreadable", [[]], [["'file': Permission denied"]]),
    ("content", [(True, True), (True, False), (False, False)], [(False, True)]),
    ("folder_is_the_one_copied", [True], [False]),
)
ALLOWED = {name: good[0] for name, good, _bad in FACTS}


def facts_from(values: dict[str, Any]) -> Facts:
    checked, required = values["content"]
    rest = {name: value for name, value in values.items() if name != "content"}
    return Facts(content_checked=checked, content_check_required=required, **rest)


def test_every_combination_of_facts_gives_one_reason_for_each_doubt_and_no_other() -> None:
    allowed = combinations = 0
    names = [name for name, _good, _bad in FACTS]
    choices = [[*((value, 0) for value in good), *((value, 1) for value in bad)] for _name, good, bad in FACTS]
    for combination in product(*choices):
        values = {name: value for name, (value, _doubt) in zip(names, combination, strict=True)}
        reasons = reasons_against(facts_from(values))
        assert len(set(reasons)) == len(reasons) == sum(doubt for _value, doubt in combination), combination
        combinations += 1
        allowed += not reasons
    assert (combinations, allowed) == (5 * 2 * 3 * 2 * 2 * 4 * 2, 2 * 1 * 1 * 1 * 1 * 3 * 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("checks", "not verified: no check was made"),
        ("has_files", "names no file"),
        ("archive_sha256", "no digest"),
        ("differences", "changed since it was copied: 'file' removed"),
        ("unreadable", "cannot be read in full: 'file': Permission denied"),
        ("content", "content of the source is not proven equal to the manifest"),
        ("folder_is_the_one_copied", "not the one that was copied"),
    ],
)
def test_each_doubt_alone_is_told_in_words(name: str, words: str) -> None:
    bad = next(bad[0] for known, _good, bad in FACTS if known == name)
    (reason,) = reasons_against(facts_from({**ALLOWED, name: bad}))
    assert words in reason


def test_all_doubts_together_are_all_told() -> None:
    assert len(reasons_against(facts_from({name: bad[0] for name, _good, bad in FACTS}))) == len(FACTS)


def test_the_reason_names_the_check_that_failed() -> None:
    (reason,) = reasons_against(facts_from({**ALLOWED, "checks": [PASSED, FAILED]}))
    assert reason == "the upload is not verified: remote size: expected 5 bytes, found 4 bytes"


FOLDER = Entry(b"folder", EntryKind.DIR, 0, 1, 0o755, None, None, None)
LINK = Entry(b"folder/link", EntryKind.LINK, 4, 1, 0o777, b"file", 9, None)
FILE = Entry(b"folder/file", EntryKind.FILE, 5, 1, 0o644, None, 9, b"x" * 32)


def gathered(
    *more: Entry, files: int = 3, inode: int = 11, source_inode: int | None = 11, sha256: str | None = "ab"
) -> Facts:
    return facts_of(
        a_job(source_inode=source_inode, archive_sha256=sha256),
        [FOLDER, *[FILE] * files, *more],
        [PASSED],
        inode=inode,
        differences=[],
        unreadable=[],
        content_checked=True,
        content_check_required=True,
    )


def test_a_job_that_is_proven_may_be_deleted() -> None:
    assert reasons_against(gathered()) == []


def test_an_empty_manifest_deletes_nothing() -> None:
    (reason,) = reasons_against(gathered(files=0))
    assert "names no file" in reason


def test_links_alone_are_content() -> None:
    assert reasons_against(gathered(LINK, files=0)) == []


@pytest.mark.parametrize(("inode", "source_inode"), [(12, 11), (11, None), (0, None)])
def test_another_folder_at_the_same_path_is_never_deleted(inode: int, source_inode: int | None) -> None:
    (reason,) = reasons_against(gathered(inode=inode, source_inode=source_inode))
    assert "not the one that was copied" in reason


def test_a_job_without_the_digest_of_its_archive_deletes_nothing() -> None:
    (reason,) = reasons_against(gathered(sha256=None))
    assert "no digest" in reason
