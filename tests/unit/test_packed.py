"""Entries that are packed come back as they were, in the order of their paths, and equal means equal in everything."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from cs_archiver.domain.manifest import Entry, EntryKind, Seen
from cs_archiver.domain.packed import Packed, PackedTree, pack

ANY_INT = st.integers(-(2**70), 2**70)
SEEN = st.builds(
    Seen, st.binary(), st.sampled_from(EntryKind), ANY_INT, ANY_INT, ANY_INT, ANY_INT, ANY_INT, ANY_INT,
    st.none() | st.binary(),
)  # fmt: skip
SEALED = st.builds(
    Entry, st.binary(), st.sampled_from(EntryKind), ANY_INT, ANY_INT, ANY_INT, st.none() | st.binary(),
    st.none() | ANY_INT, st.none() | st.binary(),
)  # fmt: skip
# Characters that sort before and after the slash that parts a folder from what it holds.
NAMES = st.text("a!.0\xff", min_size=1, max_size=3).map(lambda text: text.encode("latin-1"))
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map(b"/".join), max_size=15, unique=True)


def an_entry(path: bytes, kind: EntryKind = EntryKind.FILE) -> Seen:
    return Seen(path, kind, 5, 1, 2, 3, 0o644, 1, None)


def tree_of(paths: list[bytes]) -> tuple[PackedTree, list[Seen]]:
    """The folders of these paths, each packed by itself as a scan does, and all that is in them, by path."""
    folders = {path[:end] for path in paths for end in range(len(path)) if path[end : end + 1] == b"/"}
    entries = {path: an_entry(path) for path in paths} | {path: an_entry(path, EntryKind.DIR) for path in folders}
    held: defaultdict[bytes, list[Seen]] = defaultdict(list)
    for path in sorted(entries):
        held[path.rpartition(b"/")[0]].append(entries[path])
    packed = {
        folder: Packed(Seen, [pack(some[start : start + 2]) for start in range(0, len(some), 2)])
        for folder, some in held.items()
    }
    return PackedTree(packed), [entries[path] for path in sorted(entries)]


@given(st.lists(SEEN, max_size=20), st.lists(SEALED, max_size=20))
def test_entries_come_back_as_they_were_as_often_as_asked(seen: list[Seen], sealed: list[Entry]) -> None:
    packed, manifest = Packed.of(Seen, seen), Packed.of(Entry, sealed)
    for _ in range(2):
        assert list(packed) == seen
        assert list(manifest) == sealed
    assert {type(entry) for entry in packed} <= {Seen}
    assert {type(entry) for entry in manifest} <= {Entry}


def test_entries_of_many_parts_come_back_in_their_order() -> None:
    entries = [an_entry(b"%05d" % number) for number in range(2500)]
    assert list(Packed.of(Seen, entries)) == entries


@given(PATHS)
def test_a_tree_is_walked_through_in_the_order_of_its_paths(paths: list[bytes]) -> None:
    tree, entries = tree_of(paths)
    assert list(tree) == entries


@given(PATHS)
def test_those_of_one_kind_and_those_at_the_top_are_found(paths: list[bytes]) -> None:
    tree, entries = tree_of(paths)
    for kind in EntryKind:
        assert sorted(tree.of_kind(kind)) == [entry for entry in entries if entry.kind is kind]
    assert list(tree.at_top()) == [entry for entry in entries if b"/" not in entry.path]


def test_a_very_deep_tree_is_walked_through() -> None:
    tree, entries = tree_of([b"/".join([b"d"] * 3000)])
    assert [entry.path for entry in tree] == [entry.path for entry in entries]


@given(st.lists(SEEN, min_size=1, max_size=5), SEEN, st.data())
def test_only_what_is_equal_in_everything_is_packed_alike(
    entries: list[Seen], other: Seen, data: st.DataObject
) -> None:
    again = [Seen(*entry) for entry in entries]
    assert Packed.of(Seen, again) == Packed.of(Seen, entries)
    index, field = data.draw(st.integers(0, len(entries) - 1)), data.draw(st.sampled_from(Seen._fields))
    again[index] = again[index]._replace(**{field: getattr(other, field)})
    assert (Packed.of(Seen, again) == Packed.of(Seen, entries)) == (again == entries)


def test_a_million_entries_take_little_room() -> None:
    entries = [
        an_entry(b"reel/frame %07d.dpx" % number)._replace(
            size=12_746_752 + number % 97,
            mtime_ns=1_790_000_000_123_456_789 + number * 40_000_003,
            ctime_ns=1_790_000_000_234_567_890 + number * 50_000_017,
            inode=5_000_000 + number,
        )
        for number in range(10_000)
    ]
    assert sum(len(part.packed) for part in Packed.of(Seen, entries).parts) < 40 * len(entries)
