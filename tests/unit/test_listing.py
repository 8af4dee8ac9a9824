"""What 7z lists against the manifest: a missing, an extra and an altered entry are all found."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cs_archiver.domain.manifest import Entry, EntryKind
from cs_archiver.domain.packed import Packed
from cs_archiver.stages.verify import ListingComparison
from cs_archiver.tools.sevenzip import Listed

ROOT = b"My Folder"


def file(path: bytes, size: int = 5, crc32: int = 0xCAFE) -> Entry:
    return Entry(path, EntryKind.FILE, size, 7, 0o644, None, crc32 if size else 0, b"x" * 32)


def folder(path: bytes) -> Entry:
    return Entry(path, EntryKind.DIR, 0, 7, 0o755, None, None, None)


def link(path: bytes, target: bytes = b"file", crc32: int = 0xBEEF) -> Entry:
    return Entry(path, EntryKind.LINK, len(target), 7, 0o777, target, crc32, None)


MANIFEST = [folder(b"sub"), file(b"sub/a"), file(b"b", 6, 1), file(b"empty", 0), link(b"link")]
LISTED = [
    Listed(b"My Folder", "dir", 0, None),
    Listed(b"My Folder/sub", "dir", 0, None),
    Listed(b"My Folder/sub/a", "file", 5, 0xCAFE),
    Listed(b"My Folder/b", "file", 6, 1),
    Listed(b"My Folder/empty", "file", 0, None),
    Listed(b"My Folder/link", "link", 4, 0xBEEF),
]


def problem(listed: list[Listed], manifest: list[Entry] | None = None, *, root: bytes = ROOT) -> str | None:
    """As it is listed in two pieces."""
    entries = MANIFEST if manifest is None else manifest
    comparison = ListingComparison(Packed.of(Entry, entries), root=root)
    comparison.take(listed[:2])
    comparison.take(listed[2:])
    return comparison.problem()


def test_a_listing_of_just_the_manifest_is_no_problem_in_any_order() -> None:
    assert problem(LISTED) is None
    assert problem(LISTED[::-1]) is None


@pytest.mark.parametrize("index", range(len(LISTED)))
def test_each_missing_entry_is_found(index: int) -> None:
    found = problem(LISTED[:index] + LISTED[index + 1 :])
    assert found is not None
    assert found.startswith("1 entry missing or different (such as ")
    assert "0 not in the manifest" in found


@pytest.mark.parametrize("extra", [*LISTED, Listed(b"My Folder/evil", "file", 5, 1), Listed(b"b", "file", 6, 1)])
def test_each_extra_entry_is_found_even_a_second_of_the_same(extra: Listed) -> None:
    found = problem([*LISTED, extra])
    assert found is not None
    assert "1 not in the manifest (such as " in found


@pytest.mark.parametrize("index", range(2, len(LISTED)))
@pytest.mark.parametrize(
    "change", [{"path": b"My Folder/other"}, {"size": 99}, {"crc32": 77}, {"crc32": None, "size": 1}]
)
def test_each_altered_entry_is_found(index: int, change: dict[str, Any]) -> None:
    altered = LISTED[index]._replace(**change)
    assert problem([*LISTED[:index], altered, *LISTED[index + 1 :]]) is not None


@pytest.mark.parametrize(("index", "kind"), [(1, "file"), (2, "dir"), (2, "link"), (4, "dir"), (5, "file")])
def test_each_entry_of_another_kind_is_found(index: int, kind: str) -> None:
    altered = Listed(LISTED[index].path, kind, LISTED[index].size, LISTED[index].crc32)  # type: ignore[arg-type]
    assert problem([*LISTED[:index], altered, *LISTED[index + 1 :]]) is not None


def test_a_file_listed_without_a_checksum_is_found() -> None:
    assert problem([*LISTED[:2], LISTED[2]._replace(crc32=None), *LISTED[3:]]) is not None


def test_two_files_that_swapped_their_contents_are_found() -> None:
    swapped = [LISTED[2]._replace(size=6, crc32=1), LISTED[3]._replace(size=5, crc32=0xCAFE)]
    assert problem([*LISTED[:2], *swapped, *LISTED[4:]]) is not None


def test_an_archive_of_another_folder_is_found() -> None:
    assert problem(LISTED, root=b"Other Folder") is not None


def test_an_empty_listing_and_an_empty_manifest_are_no_match() -> None:
    assert problem([], []) is not None
    assert problem(LISTED, []) is not None
    assert problem([]) is not None


def test_names_that_7z_prints_alike_are_counted_and_told_apart_by_the_rest() -> None:
    manifest = [file(b"new\nline", 5, 1), file(b"new_line", 6, 2)]
    root = Listed(ROOT, "dir", 0, None)
    one = Listed(b"My Folder/new_line", "file", 5, 1)
    other = Listed(b"My Folder/new_line", "file", 6, 2)
    assert problem([root, one, other], manifest) is None
    assert problem([root, one, one], manifest) is not None
    assert problem([root, one], manifest) is not None
    assert problem([root, one, other, other], manifest) is not None


def test_names_that_differ_in_case_or_composition_are_different_names() -> None:
    for name, other in ((b"clip.avi", b"CLIP.avi"), ("é".encode(), "e\u0301".encode()), (b"a", b"a ")):
        root = Listed(ROOT, "dir", 0, None)
        assert problem([root, Listed(b"My Folder/" + other, "file", 5, 0xCAFE)], [file(name)]) is not None


NAMES = st.binary(min_size=1, max_size=3).map(lambda name: name.replace(b"/", b"x").replace(b"\0", b"y"))
ENTRIES = st.one_of(
    st.builds(file, NAMES, st.integers(0, 3), st.integers(0, 3)),
    st.builds(folder, NAMES),
    st.builds(link, NAMES, st.binary(min_size=1, max_size=2), st.integers(0, 3)),
)


def as_listed(entry: Entry) -> Listed:
    """Written out anew: how 7z lists what the manifest names."""
    path = ROOT + b"/" + bytes(0x5F if byte == 0x0A else byte for byte in entry.path)
    if entry.kind is EntryKind.DIR:
        return Listed(path, "dir", 0, None)
    kind = "file" if entry.kind is EntryKind.FILE else "link"
    return Listed(path, kind, entry.size, entry.crc32 if entry.size else None)  # type: ignore[arg-type]


@given(st.lists(ENTRIES, max_size=8, unique_by=lambda entry: entry.path), st.data())
def test_any_listing_is_accepted_only_if_it_is_the_manifests_own(manifest: list[Entry], data: st.DataObject) -> None:
    own = [Listed(ROOT, "dir", 0, None), *map(as_listed, manifest)]
    assert problem(data.draw(st.permutations(own)), manifest) is None
    index = data.draw(st.integers(0, len(own) - 1))
    other = data.draw(st.sampled_from([*own, Listed(b"My Folder/zzzz", "file", 1, 1)]))
    assume(other != own[index])
    assert problem([*own[:index], other, *own[index + 1 :]], manifest) is not None


LISTINGS = st.lists(
    st.builds(
        Listed,
        st.sampled_from([ROOT, b"My Folder/a", b"My Folder/b", b"My Folder/_"]),
        st.sampled_from(["file", "dir", "link"]),
        st.integers(0, 2),
        st.sampled_from([None, 0, 1]),
    ),
    max_size=10,
)


@given(st.lists(ENTRIES, max_size=8, unique_by=lambda entry: entry.path), LISTINGS)
def test_what_is_missing_and_what_is_extra_is_counted_as_with_all_of_both_at_hand(
    manifest: list[Entry], listed: list[Listed]
) -> None:
    wanted = Counter([(ROOT, "dir", 0, None), *map(tuple, map(as_listed, manifest))])
    found = Counter(map(tuple, listed))
    told = problem(listed, manifest)
    missing, extra = (wanted - found).total(), (found - wanted).total()
    if missing or extra:
        assert told is not None
        assert told.startswith(f"{missing} entr")
        assert f"{extra} not in the manifest" in told
    else:
        assert told is None


def test_what_was_compared_is_forgotten_so_that_a_million_entries_take_no_room() -> None:
    folders = [folder(b"%03d" % number) for number in range(100)]
    files = [file(b"%03d/%02d" % (number, of_it), 1 + of_it) for number in range(100) for of_it in range(20)]
    manifest = sorted([*folders, *files])
    comparison = ListingComparison(Packed.of(Entry, manifest), root=ROOT)
    most = 0
    for listed in [Listed(ROOT, "dir", 0, None), *map(as_listed, [*folders, *files])]:  # as 7z lists them
        comparison.take([listed])
        most = max(most, comparison._missing.total() + comparison._extra.total())
    assert comparison.problem() is None
    assert most == 0
