"""The list of what a folder holds, entry by entry, and the comparison of two of them."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from typing import NamedTuple, TypeVar

from cs_archiver.domain.text import escape_of


class EntryKind(StrEnum):
    FILE = "file"
    DIR = "dir"
    LINK = "link"
    OTHER = "other"  # socket, FIFO, device: never archived


class Seen(NamedTuple):
    """One entry as a scan found it. `path` is relative to the folder, as raw bytes: Linux names are bytes.

    A folder may hold a million of them: many at a time are kept as domain.packed keeps them.
    """

    path: bytes
    kind: EntryKind
    size: int  # bytes; of a link, the length of its target; of a folder, 0
    mtime_ns: int
    ctime_ns: int
    inode: int
    mode: int  # permission bits only
    links: int  # names this file has
    target: bytes | None  # of a link


class Entry(NamedTuple):
    """One entry of a sealed manifest: what was copied, with its fixity."""

    path: bytes
    kind: EntryKind
    size: int
    mtime_ns: int
    mode: int
    target: bytes | None
    crc32: int | None  # of files, and of a link's target
    sha256: bytes | None  # of files


class Totals(NamedTuple):
    files: int
    bytes: int


_BATCH_FILES = 200
_BATCH_BYTES = 4 * 1024 * 1024


def file_batches(entries: Iterable[Seen]) -> Iterator[list[Seen]]:
    """The files among `entries`, many small ones at a time: to hand each to a thread takes longer than to read it."""
    batch: list[Seen] = []
    size = 0
    for entry in entries:
        if entry.kind is EntryKind.FILE:
            batch.append(entry)
            size += entry.size
            if len(batch) == _BATCH_FILES or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


_ADDED = "added"


class Difference(NamedTuple):
    path: bytes
    what: str


def totals(entries: Iterable[Seen | Entry]) -> Totals:
    """Files and links, and the bytes of the files."""
    files = size = 0
    for entry in entries:
        if entry.kind is EntryKind.FILE:
            files += 1
            size += entry.size
        elif entry.kind is EntryKind.LINK:
            files += 1
    return Totals(files, size)


def shown(path: bytes) -> str:
    """A path for people: undecodable bytes and control characters are escaped, never dropped."""
    text = path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    # \xNN stands for a byte that is no text, so a character of that number needs another form.
    if 0x7F < ord(character) < 0x100:
        return f"\\u{ord(character):04x}"
    return escape_of(character)


_E = TypeVar("_E", bound=Seen | Entry)
_O = TypeVar("_O", bound=Seen | Entry)


def paired(one: Iterable[_E], other: Iterable[_O]) -> Iterator[tuple[_E | None, _O | None]]:
    """Both side by side, each in the order of its paths: what has the same path together, and None where one has none.

    Each entry comes exactly once. Were one of them out of order, some would find no partner: never a wrong one.
    """
    others = iter(other)
    facing = next(others, None)
    for entry in one:
        while facing is not None and facing.path < entry.path:
            yield None, facing
            facing = next(others, None)
        if facing is not None and facing.path == entry.path:
            yield entry, facing
            facing = next(others, None)
        else:
            yield entry, None
    while facing is not None:
        yield None, facing
        facing = next(others, None)


def changes(
    before: Iterable[Seen | Entry], now: Iterable[Seen], *, gone_is_fine: bool = False, limit: int = 20
) -> list[Difference]:
    """What changed in a folder since an earlier scan, or since its manifest was sealed; empty if nothing did.

    Both in the order of their paths. Compared are kind, size, mtime_ns and link target; the times of folders do not
    count: reading a NAS may touch a folder's own. With `gone_is_fine` what is no longer there is no change.
    """
    return list(islice(_changes(before, now, gone_is_fine=gone_is_fine), limit))


def first_missing(before: Iterable[Entry], now: Iterable[Seen]) -> Difference | None:
    """The first entry of a manifest that is no longer there as it was, compared as in `changes`; None if all are.

    What was added does not count.
    """
    differences = _changes(before, now, gone_is_fine=False)
    return next((difference for difference in differences if difference.what != _ADDED), None)


def _changes(before: Iterable[Seen | Entry], now: Iterable[Seen], *, gone_is_fine: bool) -> Iterator[Difference]:
    for was, entry in paired(before, now):
        if was is None:
            if entry is not None:
                yield Difference(entry.path, _ADDED)
        elif entry is None:
            if not gone_is_fine:
                yield Difference(was.path, "removed")
        elif (what := _change(was, entry)) is not None:
            yield Difference(entry.path, what)


def _change(was: Seen | Entry, now: Seen) -> str | None:
    if was.kind is not now.kind:
        return f"was a {was.kind}, now a {now.kind}"
    if was.size != now.size:
        return f"size {was.size} -> {now.size} bytes"
    if was.target != now.target:
        return "link target changed"
    if was.mtime_ns != now.mtime_ns and now.kind is not EntryKind.DIR:
        return "modification time changed"
    return None


def described(differences: Iterable[Difference], *, limit: int = 5) -> str:
    """One line for messages: the first few differences by name, and how many there are."""
    listed = list(differences)
    names = "; ".join(f"'{shown(d.path)}' {d.what}" for d in listed[:limit])
    more = len(listed) - limit
    return names + (f"; and at least {more} more" if more > 0 else "")
