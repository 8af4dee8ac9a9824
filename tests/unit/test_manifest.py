"""The comparison of two looks at a folder: no change goes unseen, and every path can be told from every other."""

from collections.abc import Iterable
from typing import TypeVar

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cs_archiver.domain.manifest import (
    Difference,
    Entry,
    EntryKind,
    Seen,
    changes,
    described,
    paired,
    shown,
    totals,
)

_E = TypeVar("_E", Seen, Entry)

FILE = Seen(b"a/file", EntryKind.FILE, 5, 1_000, 2_000, 77, 0o644, 1, None)
FOLDER = Seen(b"a", EntryKind.DIR, 0, 1_000, 2_000, 78, 0o755, 2, None)
LINK = Seen(b"a/link", EntryKind.LINK, 4, 1_000, 2_000, 79, 0o777, 1, b"file")
ALL = [FOLDER, FILE, LINK]

MTIMES = st.integers(-3, 3)
FILES = st.builds(
    lambda path, size, mtime: Seen(path, EntryKind.FILE, size, mtime, 9, 9, 0o644, 1, None),
    st.binary(min_size=1, max_size=1),
    st.integers(0, 2),
    MTIMES,
)
FOLDERS = st.builds(
    lambda path, mtime: Seen(path, EntryKind.DIR, 0, mtime, 9, 9, 0o755, 2, None),
    st.binary(min_size=1, max_size=1),
    MTIMES,
)
LINKS = st.builds(
    lambda path, target, mtime: Seen(path, EntryKind.LINK, len(target), mtime, 9, 9, 0o777, 1, target),
    st.binary(min_size=1, max_size=1),
    st.sampled_from([b"x", b"y"]),
    MTIMES,
)
TREES = st.lists(FILES | FOLDERS | LINKS, max_size=12, unique_by=lambda entry: entry.path)


def sealed(entry: Seen) -> Entry:
    crc32, sha256 = (9, b"x" * 32) if entry.kind is EntryKind.FILE else (None, None)
    return Entry(entry.path, entry.kind, entry.size, entry.mtime_ns, entry.mode, entry.target, crc32, sha256)


def meaning(entry: Seen) -> tuple[object, ...]:
    """Written out anew: what makes two entries of one path the same."""
    if entry.kind is EntryKind.DIR:
        return ("dir",)
    return (entry.kind.value, entry.size, entry.mtime_ns, entry.target)


def by_path(entries: Iterable[_E]) -> list[_E]:
    return sorted(entries, key=lambda entry: entry.path)


def test_the_same_tree_is_unchanged() -> None:
    assert changes(ALL, ALL) == []
    assert changes([sealed(entry) for entry in ALL], ALL) == []


@pytest.mark.parametrize(
    ("now", "what"),
    [
        ([FOLDER, LINK], Difference(b"a/file", "removed")),
        ([*ALL, FILE._replace(path=b"a/new")], Difference(b"a/new", "added")),
        ([FOLDER, FILE._replace(size=6), LINK], Difference(b"a/file", "size 5 -> 6 bytes")),
        ([FOLDER, FILE._replace(mtime_ns=1_001), LINK], Difference(b"a/file", "modification time changed")),
        ([FOLDER, FILE, LINK._replace(mtime_ns=999)], Difference(b"a/link", "modification time changed")),
        ([FOLDER, FILE, LINK._replace(target=b"elif")], Difference(b"a/link", "link target changed")),
        ([FOLDER, FILE, LINK._replace(kind=EntryKind.FILE)], Difference(b"a/link", "was a link, now a file")),
        ([FOLDER._replace(kind=EntryKind.OTHER), FILE, LINK], Difference(b"a", "was a dir, now a other")),
    ],
)
def test_each_kind_of_change_is_seen_and_named(now: list[Seen], what: Difference) -> None:
    assert changes(ALL, now) == [what]
    assert changes([sealed(entry) for entry in ALL], now) == [what]


def test_a_renamed_file_is_one_removed_and_one_added() -> None:
    now = [FOLDER, FILE._replace(path=b"a/FILE"), LINK]
    assert changes(ALL, now) == [Difference(b"a/FILE", "added"), Difference(b"a/file", "removed")]


def test_once_a_deletion_began_only_what_is_gone_is_no_change() -> None:
    assert changes(ALL, [LINK], gone_is_fine=True) == []
    assert changes(ALL, [], gone_is_fine=True) == []
    now = [FILE._replace(path=b"a/FILE"), FILE._replace(size=6)]
    assert changes(ALL, now, gone_is_fine=True) == [
        Difference(b"a/FILE", "added"),
        Difference(b"a/file", "size 5 -> 6 bytes"),
    ]


def test_the_time_of_a_folder_does_not_count() -> None:
    now = [FOLDER._replace(mtime_ns=5, ctime_ns=6), FILE, LINK]
    assert changes(ALL, now) == []
    assert changes([sealed(entry) for entry in ALL], now) == []


def test_an_emptied_folder_is_a_change() -> None:
    assert len(changes(ALL, [])) == 3
    assert len(changes([], ALL)) == 3


@given(TREES, TREES, st.integers(1, 5))
def test_exactly_the_paths_that_differ_are_told_up_to_the_limit(
    before: list[Seen], after: list[Seen], limit: int
) -> None:
    was, now = ({entry.path: meaning(entry) for entry in tree} for tree in (before, after))
    differing = {path for path in was.keys() | now.keys() if was.get(path) != now.get(path)}
    before, after = by_path(before), by_path(after)
    for found in (
        changes(before, after, limit=limit),
        changes([sealed(entry) for entry in before], after, limit=limit),
    ):
        assert len(found) == min(limit, len(differing))
        assert {difference.path for difference in found} <= differing
        assert len({difference.path for difference in found}) == len(found)


@given(TREES, TREES)
def test_what_a_deletion_took_away_and_nothing_else_is_let_pass(before: list[Seen], after: list[Seen]) -> None:
    was, now = ({entry.path: meaning(entry) for entry in tree} for tree in (before, after))
    differing = [path for path in sorted(now) if was.get(path) != now[path]]
    found = changes([sealed(entry) for entry in by_path(before)], by_path(after), gone_is_fine=True)
    assert [difference.path for difference in found] == differing


@given(TREES, TREES)
def test_two_trees_side_by_side_are_both_whole_and_what_belongs_together_is_together(
    one: list[Seen], other: list[Seen]
) -> None:
    pairs = list(paired(by_path(one), by_path(other)))
    assert [entry for entry, _ in pairs if entry] == by_path(one)
    assert [entry for _, entry in pairs if entry] == by_path(other)
    paths = {entry.path for entry in one} & {entry.path for entry in other}
    assert {entry.path for entry, facing in pairs if entry and facing and entry.path == facing.path} == paths
    assert all(entry.path == facing.path for entry, facing in pairs if entry and facing)


@given(TREES, st.data())
def test_a_tree_out_of_order_can_look_changed_but_no_change_is_hidden_by_it(
    before: list[Seen], data: st.DataObject
) -> None:
    after = data.draw(st.permutations(before))
    altered = [entry._replace(size=entry.size + 1) for entry in after[:1]] + after[1:]
    pairs = list(paired(by_path(before), after))
    assert sorted(entry for entry, _ in pairs if entry) == sorted(before)
    assert sorted(entry for _, entry in pairs if entry) == sorted(before)
    if before:
        assert changes(by_path(before), altered)
        assert changes(by_path(before), altered, gone_is_fine=True)
        assert changes(by_path(before), after[1:])


def test_a_million_changes_are_not_all_listed() -> None:
    many = [FILE._replace(path=b"%03d" % number) for number in range(1000)]
    assert len(changes(many, [])) == 20
    assert len(changes([], many)) == 20


def test_a_description_names_the_first_few_and_counts_the_rest() -> None:
    listed = [Difference(b"file %d" % number, "removed") for number in range(7)]
    assert described(listed[:1]) == "'file 0' removed"
    assert described(listed[:5]).count(";") == 4
    assert described(listed).endswith("'file 4' removed; and at least 2 more")
    assert described([]) == ""


def test_totals_count_files_and_links_but_only_the_bytes_of_files() -> None:
    assert totals(ALL) == (2, 5)
    assert totals([FOLDER]) == (0, 0)
    assert totals(sealed(entry) for entry in ALL) == (2, 5)


@pytest.mark.parametrize("text", ["plain.txt", "with space .mov ", "NFC é", "ראיון ערב", "🎬 slate"])
def test_a_name_that_can_be_shown_is_shown_as_it_is(text: str) -> None:
    assert shown(text.encode()) == text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"new\nline", "new\\nline"),
        (b"latin-\xe9", "latin-\\xe9"),
        (b"\x1b[31m", "\\x1b[31m"),
        ("\u202ertl".encode(), "\\u202ertl"),
    ],
)
def test_what_cannot_be_shown_is_escaped(path: bytes, text: str) -> None:
    assert shown(path) == text


@given(st.binary(max_size=30))
def test_what_is_shown_is_one_printable_line(path: bytes) -> None:
    assert shown(path).isprintable()


@given(st.binary(max_size=8), st.binary(max_size=8))
@example(b"a\nb", b"a\\nb")  # a line break, and a backslash with an n
@example(b"\xff", b"\\xff")
@example(b"\x85", b"\xc2\x85")  # a stray byte, and the control character U+0085 in UTF-8
def test_two_paths_are_never_shown_alike(one: bytes, other: bytes) -> None:
    assume(one != other)
    assert shown(one) != shown(other)
