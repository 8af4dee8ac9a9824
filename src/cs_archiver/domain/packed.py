"""Entries by the million in little memory: packed a part at a time, and walked through in the order of their paths."""

import marshal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain, islice
from typing import Generic, NamedTuple, TypeVar

from isal import isal_zlib

from cs_archiver.domain.manifest import Entry, EntryKind, Seen

Record = TypeVar("Record", Seen, Entry)

_PART_ENTRIES = 1000
_WITHOUT_REFERENCES = 2  # the version of marshal in which equal entries are packed to equal bytes
_LEVEL = 1  # as small as by zlib, and much quicker with digests, which do not shrink

_LETTERS = {EntryKind.FILE: "f", EntryKind.DIR: "d", EntryKind.LINK: "l", EntryKind.OTHER: "o"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}


class Part(NamedTuple):
    """Some entries, about twenty bytes for each, and the letters of the kinds that are among them."""

    letters: str
    packed: bytes


def pack(entries: Sequence[Record]) -> Part:
    """Only ever unpacked by this process, so that the form is nobody else's business."""
    paths, kinds, *rest = zip(*entries, strict=True)
    letters = "".join([_LETTERS[kind] for kind in kinds])
    packed = isal_zlib.compress(marshal.dumps((paths, letters, rest), _WITHOUT_REFERENCES), _LEVEL)
    return Part("".join(sorted(set(letters))), packed)


def _unpack(record: type[Record], part: Part) -> Iterator[Record]:
    paths, letters, rest = marshal.loads(isal_zlib.decompress(part.packed))  # noqa: S302  our own, see above
    return map(record._make, zip(paths, map(_KINDS.__getitem__, letters), *rest, strict=True))


@dataclass(frozen=True, slots=True)
class Packed(Generic[Record]):
    """Entries in the order in which they were packed, as often as they are walked through."""

    record: type[Record]
    parts: Sequence[Part]

    @classmethod
    def of(cls, record: type[Record], entries: Iterable[Record]) -> "Packed[Record]":
        rest = iter(entries)
        return cls(record, [pack(some) for some in iter(lambda: list(islice(rest, _PART_ENTRIES)), [])])

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(_unpack(self.record, part) for part in self.parts)

    def of_kind(self, kind: EntryKind) -> Iterator[Record]:
        letter = _LETTERS[kind]
        for part in self.parts:
            if letter in part.letters:
                yield from (entry for entry in _unpack(self.record, part) if entry.kind is kind)


Manifest = Packed[Entry]
"""In the order of the paths."""


@dataclass(frozen=True, slots=True)
class PackedTree:
    """What a scan found, in the order of the paths; `folders` has what each folder holds, in the order of the names.

    Two that are equal hold the same, in every respect.
    """

    folders: Mapping[bytes, Packed[Seen]]  # by relative path; that of the root is empty

    def __iter__(self) -> Iterator[Seen]:
        """A folder's own entries may have to wait for others: `a.txt` stands between `a` and `a/b`."""
        begun: list[tuple[Seen, Iterator[Seen]]] = []
        self._begin(b"", begun)
        while begun:
            entry, rest = heappop(begun)  # of all that have begun, the one whose next entry comes first
            while True:
                yield entry
                if entry.kind is EntryKind.DIR:
                    self._begin(entry.path, begun)
                following = next(rest, None)
                if following is None:
                    break
                entry = following
                if begun and begun[0][0].path < entry.path:
                    heappush(begun, (entry, rest))
                    break

    def at_top(self) -> Iterable[Seen]:
        """What the root itself holds."""
        return self.folders.get(b"", ())

    def of_kind(self, kind: EntryKind) -> Iterator[Seen]:
        """In no particular order."""
        for folder in self.folders.values():
            yield from folder.of_kind(kind)

    def _begin(self, folder: bytes, begun: list[tuple[Seen, Iterator[Seen]]]) -> None:
        if folder in self.folders:
            entries = iter(self.folders[folder])
            if (first := next(entries, None)) is not None:
                heappush(begun, (first, entries))
