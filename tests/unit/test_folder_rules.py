"""Which folders are offered for archiving: the rules alone, without a disk."""

import itertools

import pytest

from cs_archiver.domain.folders import (
    MARKER_SUFFIX,
    Content,
    Folder,
    Patterns,
    is_passed_over,
    reason_to_leave_out,
    unusable_characters,
    unusable_name,
)

PATTERNS = Patterns(
    markers=(".archived", "*-ARCHIVED-TO-GLOBUS.txt"),
    litter=(".@__thumb", "@eaDir", ".DS_Store", "Thumbs.db", "._*"),
)


def content_of(*names: bytes) -> Content:
    return PATTERNS.but_litter(names).plus(Content(file_count=len(names)))


def folder(left_out: str | None) -> Folder:
    return Folder("/nas/a/b/c", "a", "b", "c", 0, 0, None, left_out)


@pytest.mark.parametrize(
    "names",
    [
        (b"film.mov",),
        (b"notes.txt", b"film.mov"),
        (b"one.txt", b"two.txt"),
        (b"notes.txt.gz",),
        (b"txt",),
        (b"notes.text", b".DS_Store"),
        (b"archived",),
        (b"caf\xe9",),
    ],
)
def test_folder_with_something_to_archive_is_listed(names: tuple[bytes, ...]) -> None:
    assert reason_to_leave_out(content_of(*names)) is None


def test_folder_without_any_file_has_nothing_to_archive() -> None:
    reason = reason_to_leave_out(Content(newest_mtime_ns=1))
    assert reason == "nothing to archive: it holds no file"
    assert folder(reason).has_nothing_to_archive


def test_folder_of_litter_alone_has_nothing_to_archive_and_is_not_called_empty() -> None:
    reason = reason_to_leave_out(content_of(b".DS_Store", b"._film.mov", b"Thumbs.db"))
    assert reason == "nothing to archive: it holds only what NAS and desktop systems leave behind"
    assert folder(reason).has_nothing_to_archive


@pytest.mark.parametrize(
    "names",
    [
        (b"notes.txt",),
        (b"Notes.TXT",),
        (b".txt",),
        (b"notes.txt", b".DS_Store", b"._notes.txt"),
        (b"caf\xe9.Txt",),
    ],
)
def test_single_txt_file_in_any_case_is_nothing_to_archive_and_litter_does_not_count(
    names: tuple[bytes, ...],
) -> None:
    reason = reason_to_leave_out(content_of(*names))
    assert reason == "nothing to archive: it holds only a single .txt file"
    assert folder(reason).has_nothing_to_archive


@pytest.mark.parametrize("name", [b".archived", b"-ARCHIVED-TO-GLOBUS.txt", b"Film \xff-ARCHIVED-TO-GLOBUS.txt"])
def test_marker_names_are_recognised(name: bytes) -> None:
    assert PATTERNS.is_marker(name)


@pytest.mark.parametrize(
    "name",
    [b"archived", b".archived.txt", b"x.archived", b"-ARCHIVED-TO-GLOBUS.txt~", b"-archived-to-globus.txt", b"",
     b".archived\n", b"-ARCHIVED-TO-GLOBUS.txt\n"],
)  # fmt: skip
def test_names_that_only_resemble_a_marker_are_none(name: bytes) -> None:
    assert not PATTERNS.is_marker(name)


def test_marker_counts_before_everything_else() -> None:
    reason = reason_to_leave_out(Content(marker=b"a\n-ARCHIVED-TO-GLOBUS.txt", trouble="it holds a FIFO"))
    assert reason == "already archived: it holds the marker file 'a\\n-ARCHIVED-TO-GLOBUS.txt'"
    assert folder(reason).is_archived
    assert not folder(reason).has_nothing_to_archive


def test_trouble_counts_before_emptiness_because_what_cannot_be_read_may_hold_files() -> None:
    reason = reason_to_leave_out(Content(trouble="its sub-folder 'x': cannot be read"))
    assert reason == "its sub-folder 'x': cannot be read"
    assert not folder(reason).is_archived
    assert not folder(reason).has_nothing_to_archive


def test_a_listed_folder_is_neither_archived_nor_without_content() -> None:
    assert not folder(None).is_archived
    assert not folder(None).has_nothing_to_archive


def test_no_patterns_match_nothing() -> None:
    none = Patterns(markers=(), litter=())
    assert not none.is_marker(b".archived")
    assert not none.is_litter(b"")


def test_parts_of_a_folder_add_up_the_same_in_any_order() -> None:
    parts = [
        Content(5, 2, 100, trouble="b"),
        Content(-7, 1, 0, marker=b"z", trouble="a"),
        Content(9, 4, 11, 3, 1, marker=b"c"),
        Content(),
    ]
    expected = Content(9, 7, 111, 3, 1, b"c", "a")
    for order in itertools.permutations(parts):
        total = Content()
        for part in order:
            total = total.plus(part)
        assert total == expected


def test_content_is_decided_only_by_a_second_file_that_is_no_litter() -> None:
    assert not content_of().is_decided
    assert not content_of(b"film.mov", b".DS_Store").is_decided
    assert content_of(b"film.mov", b"notes.txt").is_decided


@pytest.mark.parametrize("name", [b".snapshots", b"@Recycle", b"@Recently-Snapshot", b".", b".."])
def test_names_of_the_nas_are_passed_over(name: bytes) -> None:
    assert is_passed_over(name)


@pytest.mark.parametrize("name", [b"Production", b"#recycle", b" .x", "é".encode()])
def test_names_of_people_are_not_passed_over(name: bytes) -> None:
    assert not is_passed_over(name)


@pytest.mark.parametrize(
    "name",
    [
        b"a*b",
        b"-sdel",
        b"two words",
        b"it's",
        b'"',
        b"$(reboot)",
        b"host:x",
        b"trailing.",
        "Café – 第一部 🎬".encode(),
    ],
)
def test_odd_but_sound_names_are_usable(name: bytes) -> None:
    assert unusable_name(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"line\nbreak", "U+000A (a control or unassigned character)"),
        (b"\x7f", "U+007F"),
        ("no-break\u00a0space".encode(), "U+00A0 (NO-BREAK SPACE)"),
        ("\u202ertl".encode(), "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        (b"caf\xe9", "not valid UTF-8"),
        (b"\xed\xa0\x80", "not valid UTF-8"),
        (b"back\\slash", "a backslash"),
    ],
)
def test_unusable_names_say_what_to_mend(name: bytes, why: str) -> None:
    reason = unusable_name(name)
    assert reason is not None
    assert why in reason
    assert "rename it" in reason
    assert unusable_characters(name) == reason


def test_name_is_usable_up_to_the_length_that_leaves_room_for_the_marker() -> None:
    longest = b"n" * (255 - len(MARKER_SUFFIX))
    assert len(longest + MARKER_SUFFIX.encode()) == 255
    assert unusable_name(longest) is None
    reason = unusable_name(longest + b"n")
    assert reason is not None
    assert "too long" in reason
    assert unusable_characters(longest + b"n") is None
