"""What of a folder is worth compressing: decided by kind and by samples, never by name alone."""

import posixpath
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum, StrEnum, auto
from typing import NamedTuple

from cs_archiver.domain.manifest import EntryKind, Seen, Totals

SAMPLE_BYTES = 16 * 1024
# Storing runs about fifty times as fast as compressing.
_STORED_COUNTS = 1 / 50
_LARGE_BYTES = 256 * 1024  # below, a look costs more than it saves: files of one type are judged together
_SHRINKS_BELOW = 0.99  # of its size: where samples tell the truth, storing the rest adds no more than 1 %
_FILES_OF_A_TYPE = 16
_FEWEST_BLOCKS, _MOST_BLOCKS = 4, 32
_BYTES_A_BLOCK = 2 * 1024 * 1024


class Mode(StrEnum):
    """COMPRESSION_MODE: compress everything, only what shrinks, or nothing."""

    FAST = "fast"
    AUTO = "auto"
    STORE = "store"


class Sample(NamedTuple):
    """Bytes taken out of files, and how many were left of them when they were compressed."""

    taken: int
    left: int


class Family(NamedTuple):
    """Files that are judged together, by what `probes`, some of them, hold; `family_of` gives each this name."""

    name: bytes
    probes: Sequence[Seen]


class PackingPlan(NamedTuple):
    """How to pack. `listed` are the files to compress before all the rest is stored, in AUTO; else it is empty.

    It is to be walked through once. `unlisted` are files that would shrink and that no list can name: they are stored
    as well, or the reason why all that is `stored` is compressed, in FAST.
    """

    mode: Mode
    listed: Iterable[bytes] = ()
    compressed: Totals = Totals(0, 0)
    stored: Totals = Totals(0, 0)
    unlisted: Totals = Totals(0, 0)


def family_of(entry: Seen) -> bytes | None:
    """A large file is judged by itself, small ones with those of the same type; None for what holds nothing."""
    if entry.kind is not EntryKind.FILE or not entry.size:
        return None
    if entry.size >= _LARGE_BYTES:
        return b"/" + entry.path
    extension = posixpath.splitext(entry.path)[1].lower()
    return b"" if extension[1:].isdigit() else extension  # "take.0001" is the first of many, and no type


def families(entries: Iterable[Seen]) -> Iterator[Family]:
    """Every family among the entries, that of a large file at once, the others when all entries are known."""
    small: dict[bytes, _Drawn] = {}
    for entry in entries:
        name = family_of(entry)
        if name is not None and entry.size >= _LARGE_BYTES:
            yield Family(name, [entry])
        elif name is not None:
            small.setdefault(name, _Drawn()).take(entry)
    for name, drawn in small.items():
        yield Family(name, drawn.probes)


class _Drawn:
    """A few of many files, each as likely as the others, however many come; the same ones each time.

    Drawn, since what lies evenly spread may all be of one kind, as where every other file is a sidecar.
    """

    def __init__(self) -> None:
        self.probes: list[Seen] = []
        self._seen = 0
        self._random = random.Random(0)  # noqa: S311  nobody gains by foretelling what is sampled

    def take(self, entry: Seen) -> None:
        if len(self.probes) < _FILES_OF_A_TYPE:
            self.probes.append(entry)
        elif (place := self._random.randrange(self._seen + 1)) < _FILES_OF_A_TYPE:
            self.probes[place] = entry
        self._seen += 1


def block_offsets(size: int) -> list[int]:
    """Where to read SAMPLE_BYTES each: evenly spread, the ends left out, where headers and padding stand."""
    count = 1 if size < _LARGE_BYTES else max(_FEWEST_BLOCKS, min(_MOST_BLOCKS, size // _BYTES_A_BLOCK))
    room = max(0, size - SAMPLE_BYTES)
    return [room * (2 * number + 1) // (2 * count) for number in range(count)]


def shrinks(sample: Sample) -> bool:
    """A sample of nothing, as of a file cut off meanwhile, says nothing against compressing."""
    return not sample.taken or sample.left < sample.taken * _SHRINKS_BELOW


class _Sort(Enum):
    LISTED = auto()  # compressed, and a list can name it
    UNLISTED = auto()  # worth compressing, but no list can name it
    STORED = auto()


def plan(folder_name: bytes, entries: Iterable[Seen], gains: Mapping[bytes, bool]) -> PackingPlan:
    """One run of 7-Zip where all files are of one sort; two where both are there and can be told apart by a list.

    `gains` says of each family whether compressing it would gain anything; `entries` is walked through twice.
    """
    files: Counter[_Sort] = Counter()
    size: Counter[_Sort] = Counter()
    for entry, sort in _sorted_out(folder_name, entries, gains):
        files[sort] += 1
        size[sort] += entry.size
    everything = Totals(files.total(), size.total())
    compressed, unlisted, stored = (Totals(files[sort], size[sort]) for sort in _Sort)
    if not stored.files:
        return PackingPlan(Mode.FAST, [], everything, stored)
    if unlisted.bytes > everything.bytes * (1 - _SHRINKS_BELOW):
        return PackingPlan(Mode.FAST, [], compressed, stored, unlisted)
    if not compressed.files:
        return PackingPlan(Mode.STORE, [], compressed, stored, unlisted)
    listed = (entry.path for entry, sort in _sorted_out(folder_name, entries, gains) if sort is _Sort.LISTED)
    return PackingPlan(Mode.AUTO, listed, compressed, stored, unlisted)


def _sorted_out(
    folder_name: bytes, entries: Iterable[Seen], gains: Mapping[bytes, bool]
) -> Iterator[tuple[Seen, _Sort]]:
    for entry in entries:
        name = family_of(entry)
        if name is not None and not gains[name]:
            yield entry, _Sort.STORED
        elif name is not None:
            yield entry, _Sort.LISTED if is_listable(folder_name + b"/" + entry.path) else _Sort.UNLISTED


def is_listable(path: bytes) -> bool:
    """Whether a list file of 7-Zip can name this path: one name a line, as text."""
    try:
        return path.decode().isprintable() and b"\\" not in path
    except UnicodeDecodeError:
        return False


def first_share(planned: PackingPlan) -> float:
    """The part of the time that compressing takes before the rest is stored, 0 to 1."""
    work = planned.compressed.bytes
    return work / (work + planned.stored.bytes * _STORED_COUNTS) if work else 0.0
