"""The list of what a folder holds, entry by entry, and the comparison of two of them."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple


class EntryKind(StrEnum):
    FILE = "file"
    DIR = "dir"
    LINK = "link"
    OTHER = "other"  # socket, FIFO, device: never archived


class Seen(NamedTuple):
    """One entry as a scan found it. `path` is relative to the folder, as raw bytes: Linux names are bytes.

    A NamedTuple, the smallest record there is: a folder may hold a million of them.
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


_BATCH_FILES = 64
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
    return character.encode("unicode_escape").decode()


def changes(before: Iterable[Seen], after: Iterable[Seen], *, limit: int = 20) -> list[Difference]:
    """What changed between two scans of one folder; empty if nothing did.

    The times of folders count only for links and files: reading a NAS may touch a folder's own.
    """
    return _differences(
        {entry.path: _identity(entry) for entry in before},
        {entry.path: _identity(entry) for entry in after},
        limit,
    )


def changes_since_sealed(manifest: Iterable[Entry], now: Iterable[Seen], *, limit: int = 20) -> list[Difference]:
    """What differs between a sealed manifest and the folder now, by kind, size, mtime_ns and link target."""
    return _differences(
        {entry.path: _identity(entry) for entry in manifest},
        {entry.path: _identity(entry) for entry in now},
        limit,
    )


_Identity = tuple[EntryKind, int, int, bytes | None]


def _identity(entry: Seen | Entry) -> _Identity:
    mtime_ns = 0 if entry.kind is EntryKind.DIR else entry.mtime_ns
    return (entry.kind, entry.size, mtime_ns, entry.target)


def _differences(before: Mapping[bytes, _Identity], after: Mapping[bytes, _Identity], limit: int) -> list[Difference]:
    found: list[Difference] = []
    for path, identity in before.items():
        other = after.get(path)
        if other is None:
            found.append(Difference(path, "removed"))
        elif other != identity:
            found.append(Difference(path, _describe(identity, other)))
        if len(found) >= limit:
            return found
    for path in after:
        if path not in before:
            found.append(Difference(path, "added"))
            if len(found) >= limit:
                break
    return found


def _describe(before: _Identity, after: _Identity) -> str:
    if before[0] is not after[0]:
        return f"was a {before[0]}, now a {after[0]}"
    if before[1] != after[1]:
        return f"size {before[1]} -> {after[1]} bytes"
    if before[3] != after[3]:
        return "link target changed"
    return "modification time changed"


def described(differences: Iterable[Difference], *, limit: int = 5) -> str:
    """One line for messages: the first few differences by name, and how many there are."""
    listed = list(differences)
    names = "; ".join(f"'{shown(d.path)}' {d.what}" for d in listed[:limit])
    more = len(listed) - limit
    return names + (f"; and at least {more} more" if more > 0 else "")
