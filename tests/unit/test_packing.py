"""What `auto` compresses and what it stores: by kind and by samples, and in how many runs of 7-Zip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs_archiver.domain.manifest import EntryKind, Seen, Totals
from cs_archiver.domain.packing import (
    BLOCK_BYTES,
    Family,
    Mode,
    Plan,
    Sample,
    block_offsets,
    families,
    first_share,
    is_listable,
    plan,
    shrinks,
)

GAINS, GAINS_NOTHING = Sample(1000, 400), Sample(1000, 1001)


def a_file(path: bytes, size: int = 1000) -> Seen:
    return Seen(path, EntryKind.FILE, size, 0, 0, 1, 0o644, 1, None)


def judged(*verdicts: tuple[bytes, int, Sample]) -> list[tuple[Family, Sample]]:
    return [(Family([a_file(path, size)], [a_file(path, size)]), sample) for path, size, sample in verdicts]


def test_large_files_are_judged_one_by_one_and_small_ones_by_their_type() -> None:
    large = [a_file(b"one.MOV", 2**20), a_file(b"two.mov", 2**28)]
    small = [a_file(b"sub.d/%d.JPG" % number) for number in range(100)] + [a_file(b"x.jpg"), a_file(b"sub.d/none")]

    found = families([*large, *small, a_file(b"empty.jpg", 0), a_file(b"no", 5)._replace(kind=EntryKind.LINK)])

    assert [family.files for family in found] == [[large[0]], [large[1]], small[:101], small[101:]]
    assert 10 <= len(found[2].probes) <= 16
    assert set(found[2].probes) <= set(found[2].files)


@given(st.integers(0, 2**50))
def test_blocks_are_taken_within_the_file_and_few_even_of_a_huge_one(size: int) -> None:
    offsets = block_offsets(size)

    assert 1 <= len(offsets) <= 32
    assert offsets == sorted(offsets)
    assert all(offset >= 0 and (offset + BLOCK_BYTES <= size or offset == 0) for offset in offsets)


@pytest.mark.parametrize(("left", "expected"), [(1001, False), (1000, False), (990, False), (989, True), (10, True)])
def test_what_shrinks_by_less_than_one_percent_is_stored(left: int, expected: bool) -> None:
    assert shrinks(Sample(1000, left)) is expected


def test_a_folder_of_one_sort_is_packed_in_one_run() -> None:
    assert plan(b"F", judged((b"a", 7, GAINS))) == Plan(Mode.FAST, [], Totals(1, 7), Totals(0, 0))
    assert plan(b"F", judged((b"a", 7, GAINS_NOTHING))) == Plan(Mode.STORE, [], Totals(0, 0), Totals(1, 7))
    assert plan(b"F", []) == Plan(Mode.FAST, [], Totals(0, 0), Totals(0, 0))


def test_a_folder_of_both_sorts_lists_what_is_compressed() -> None:
    found = plan(b"F", judged((b"a.txt", 10, GAINS), (b"b.mov", 90, GAINS_NOTHING)))

    assert found == Plan(Mode.AUTO, [b"a.txt"], Totals(1, 10), Totals(1, 90))


def test_what_no_list_can_name_is_stored_only_while_it_is_little() -> None:
    little = judged((b"a.txt", 10, GAINS), (b"new\nline", 1, GAINS), (b"b.mov", 989, GAINS_NOTHING))
    much = judged((b"a.txt", 10, GAINS), (b"new\nline", 11, GAINS), (b"b.mov", 979, GAINS_NOTHING))

    assert plan(b"F", little) == Plan(Mode.AUTO, [b"a.txt"], Totals(1, 10), Totals(2, 990))
    assert plan(b"F", much).mode is Mode.FAST
    assert plan(b"F\xff", little).mode is Mode.FAST


@pytest.mark.parametrize("path", [b"F/a b", b"F/ a", b'F/"a"', b"F/@a", b"F/a*?", "F/é €".encode()])
def test_text_can_be_listed(path: bytes) -> None:
    assert is_listable(path)


@pytest.mark.parametrize("path", [b"F/a\nb", b"F/a\rb", b"F/\xff", b"F/a\\b", b"F/\x01", b"F/\xed\xa0\x80"])
def test_what_is_no_line_of_text_cannot_be_listed(path: bytes) -> None:
    assert not is_listable(path)


@given(st.integers(0, 2**50), st.integers(0, 2**50))
def test_compressing_takes_the_greater_share_of_the_time(compressed: int, stored: int) -> None:
    share = first_share(Plan(Mode.AUTO, [], Totals(1, compressed), Totals(1, stored)))

    assert 0 <= share <= 1
    assert share >= compressed / (compressed + stored or 1)
