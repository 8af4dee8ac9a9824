"""What of a folder is worth compressing: decided by kind and by samples, never by name alone."""

import posixpath
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from cs_archiver.domain.manifest import EntryKind, Seen, Totals, totals

BLOCK_BYTES = 16 * 1024
# Storing runs about fifty times as fast as compressing.
_STORED_COUNTS = 1 / 50
_LARGE_BYTES = 256 * 1024  # below, a look costs more than it saves: files of one type are judged together
_SHRINKS_BELOW = 0.99  # of its size: then storing the rest cannot make an archive more than 1 % larger
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
    """Files that are judged together, by what `probes`, some of them, hold."""

    files: Sequence[Seen]
    probes: Sequence[Seen]


class Plan(NamedTuple):
    """How to pack. `listed` are the files to compress before all the rest is stored, in AUTO; else it is empty."""

    mode: Mode
    listed: Sequence[bytes]
    compressed: Totals
    stored: Totals


def families(entries: Iterable[Seen]) -> list[Family]:
    """Every file that holds something: a large one by itself, small ones with those of the same type."""
    found: list[Family] = []
    small: dict[bytes, list[Seen]] = {}
    for entry in entries:
        if entry.kind is EntryKind.FILE and entry.size >= _LARGE_BYTES:
            found.append(Family([entry], [entry]))
        elif entry.kind is EntryKind.FILE and entry.size:
            small.setdefault(posixpath.splitext(entry.path)[1].lower(), []).append(entry)
    return [*found, *(Family(files, _spread(files)) for files in small.values())]


def _spread(files: Sequence[Seen]) -> Sequence[Seen]:
    return files[:: -(-len(files) // _FILES_OF_A_TYPE)]


def block_offsets(size: int) -> list[int]:
    """Where to read BLOCK_BYTES each: evenly spread, the ends left out, where headers and padding stand."""
    count = 1 if size < _LARGE_BYTES else max(_FEWEST_BLOCKS, min(_MOST_BLOCKS, size // _BYTES_A_BLOCK))
    room = max(0, size - BLOCK_BYTES)
    return [room * (2 * number + 1) // (2 * count) for number in range(count)]


def shrinks(sample: Sample) -> bool:
    """A sample of nothing, as of a file cut off meanwhile, says nothing against compressing."""
    return not sample.taken or sample.left < sample.taken * _SHRINKS_BELOW


def plan(folder_name: bytes, judged: Iterable[tuple[Family, Sample]]) -> Plan:
    """One run of 7-Zip where all files are of one sort; two where both are there and can be told apart by a list."""
    compressed: list[Seen] = []
    stored: list[Seen] = []
    for family, sample in judged:
        (compressed if shrinks(sample) else stored).extend(family.files)
    listed = [entry for entry in compressed if is_listable(folder_name + b"/" + entry.path)]
    first, everything = totals(listed), totals([*compressed, *stored])
    unlisted_bytes = totals(compressed).bytes - first.bytes
    if not stored or unlisted_bytes > everything.bytes * (1 - _SHRINKS_BELOW):
        return Plan(Mode.FAST, [], everything, totals([]))
    rest = Totals(everything.files - first.files, everything.bytes - first.bytes)
    return Plan(Mode.AUTO if listed else Mode.STORE, [entry.path for entry in listed], first, rest)


def is_listable(path: bytes) -> bool:
    """Whether a list file of 7-Zip can name this path: one name a line, as text."""
    try:
        return path.decode().isprintable() and b"\\" not in path
    except UnicodeDecodeError:
        return False


def first_share(planned: Plan) -> float:
    """The part of the time that compressing takes before the rest is stored, 0 to 1."""
    work = planned.compressed.bytes
    return work / (work + planned.stored.bytes * _STORED_COUNTS) if work else 0.0
