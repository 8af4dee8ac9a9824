"""What `auto` compresses and what it stores: by kind and by samples, and in how many runs of 7-Zip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs_archiver.domain.manifest import EntryKind, Seen, Totals
from cs_archiver.domain.packing import (
    SAMPLE_BYTES,
    Mode,
    PackingPlan,
    Sample,
    block_offsets,
    families,
    family_of,
    first_share,
    is_listable,
    plan,
    shrinks,
)


def a_file(path: bytes, size: int = 1000) -> Seen:
    return Seen(path, EntryKind.FILE, size, 0, 0, 1, 0o644, 1, None)


Planned = tuple[Mode, list[bytes], Totals, Totals, Totals]
NONE = Totals(0, 0)


def planned(folder_name: bytes, *verdicts: tuple[bytes, int, bool]) -> Planned:
    """For small files, each the only one of its type."""
    entries = [a_file(path, size) for path, size, _ in verdicts]
    gains = {family_of(entry) or b"": gain for entry, (_, _, gain) in zip(entries, verdicts, strict=True)}
    assert len(gains) == len(verdicts)
    made = plan(folder_name, entries, gains)
    return made.mode, list(made.listed), made.compressed, made.stored, made.unlisted


def test_large_files_are_judged_one_by_one_and_small_ones_by_their_type() -> None:
    large = [a_file(b"one.MOV", 2**20), a_file(b"two.mov", 2**28)]
    small = [a_file(b"sub.d/%d.JPG" % number) for number in range(100)] + [a_file(b"x.jpg"), a_file(b"sub.d/none")]

    nothing = [a_file(b"empty.jpg", 0), a_file(b"no", 5)._replace(kind=EntryKind.LINK)]

    found = {family.name: list(family.probes) for family in families([*small, *large, *nothing])}

    assert [family_of(entry) for entry in nothing] == [None, None]
    assert [family_of(entry) for entry in small] == [b".jpg"] * 101 + [b""]
    assert len(found.pop(b".jpg")) == 16
    assert found == {**{family_of(entry): [entry] for entry in large}, b"": [small[101]]}


def test_numbers_at_the_end_are_no_types() -> None:
    numbered = [a_file(b"take.%05d" % number) for number in range(5)]
    assert [list(family.probes) for family in families(numbered)] == [numbered]


def test_a_large_file_named_like_a_type_is_judged_by_itself() -> None:
    large, small = a_file(b".jpg", 2**20), a_file(b"one.jpg")
    assert [list(family.probes) for family in families([large, small])] == [[large], [small]]


@given(st.integers(1, 2000))
def test_probes_are_few_of_the_files_and_the_same_each_time(files: int) -> None:
    once, again = (list(families(a_file(b"%d.jpg" % number) for number in range(files))) for _ in range(2))

    assert once == again
    (family,) = once
    assert len({entry.path for entry in family.probes}) == len(family.probes) == min(files, 16)
    assert all(int(entry.path.removesuffix(b".jpg")) < files for entry in family.probes)


@pytest.mark.parametrize("period", [2, 3, 4, 8, 16])
def test_of_files_that_take_turns_each_kind_is_looked_at(period: int) -> None:
    (family,) = families(a_file(b"%d.dat" % number) for number in range(3000))

    kinds = {int(entry.path.removesuffix(b".dat")) % period for entry in family.probes}
    assert len(kinds) > period // 2


@given(st.integers(0, 2**50))
def test_blocks_are_taken_within_the_file_and_few_even_of_a_huge_one(size: int) -> None:
    offsets = block_offsets(size)

    assert 1 <= len(offsets) <= 32
    assert offsets == sorted(offsets)
    assert all(offset >= 0 and (offset + SAMPLE_BYTES <= size or offset == 0) for offset in offsets)


@pytest.mark.parametrize(("left", "expected"), [(1001, False), (1000, False), (990, False), (989, True), (10, True)])
def test_what_shrinks_by_less_than_one_percent_is_stored(left: int, expected: bool) -> None:
    assert shrinks(Sample(1000, left)) is expected


def test_a_folder_of_one_sort_is_packed_in_one_run() -> None:
    assert planned(b"F", (b"a", 7, True)) == (Mode.FAST, [], Totals(1, 7), NONE, NONE)
    assert planned(b"F", (b"\xff", 7, True)) == (Mode.FAST, [], Totals(1, 7), NONE, NONE)
    assert planned(b"F", (b"a", 7, False)) == (Mode.STORE, [], NONE, Totals(1, 7), NONE)
    assert planned(b"F") == (Mode.FAST, [], NONE, NONE, NONE)


def test_a_folder_of_both_sorts_lists_what_is_compressed() -> None:
    found = planned(b"F", (b"a.txt", 10, True), (b"b.mov", 90, False))

    assert found == (Mode.AUTO, [b"a.txt"], Totals(1, 10), Totals(1, 90), NONE)


def test_what_no_list_can_name_is_stored_only_while_it_is_little() -> None:
    little = ((b"a.txt", 10, True), (b"new\nline", 1, True), (b"b.mov", 989, False))
    much = ((b"a.txt", 10, True), (b"new\nline", 11, True), (b"b.mov", 979, False))

    assert planned(b"F", *little) == (Mode.AUTO, [b"a.txt"], Totals(1, 10), Totals(1, 989), Totals(1, 1))
    assert planned(b"F", *little[1:]) == (Mode.STORE, [], NONE, Totals(1, 989), Totals(1, 1))
    assert planned(b"F", *much) == (Mode.FAST, [], Totals(1, 10), Totals(1, 979), Totals(1, 11))
    assert planned(b"F\xff", *little) == (Mode.FAST, [], NONE, Totals(1, 989), Totals(2, 11))


@pytest.mark.parametrize("path", [b"F/a b", b"F/ a", b'F/"a"', b"F/@a", b"F/a*?", "F/é €".encode()])
def test_text_can_be_listed(path: bytes) -> None:
    assert is_listable(path)


@pytest.mark.parametrize("path", [b"F/a\nb", b"F/a\rb", b"F/\xff", b"F/a\\b", b"F/\x01", b"F/\xed\xa0\x80"])
def test_what_is_no_line_of_text_cannot_be_listed(path: bytes) -> None:
    assert not is_listable(path)


@given(st.integers(0, 2**50), st.integers(0, 2**50))
def test_compressing_takes_the_greater_share_of_the_time(compressed: int, stored: int) -> None:
    share = first_share(PackingPlan(Mode.AUTO, [], Totals(1, compressed), Totals(1, stored)))

    assert 0 <= share <= 1
    assert share >= compressed / (compressed + stored or 1)
