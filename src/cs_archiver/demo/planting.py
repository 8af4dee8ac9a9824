"""Writes files, links and folders with exact modes and dates, so that every built tree is the same tree."""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_FIRST_DATE_SECONDS = int(datetime(2015, 1, 1, tzinfo=UTC).timestamp())
_DATE_RANGE_SECONDS = 9 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Plot:
    """A folder being filled. Names are bytes or text; each entry gets a date of its own, derived from its path."""

    path: bytes
    relative: bytes = b""

    def folder(self, name: bytes | str, *, mode: int = 0o755) -> "Plot":
        """The folder `name` (or a path of several) in here, made where missing."""
        plot = self
        for part in os.fsencode(name).split(b"/"):
            plot = Plot(os.path.join(plot.path, part), os.path.join(plot.relative, part))
            if not os.path.isdir(plot.path):
                os.mkdir(plot.path)
            os.chmod(plot.path, mode)
        return plot

    def file(self, name: bytes | str, content: bytes, *, mode: int = 0o644, mtime_ns: int | None = None) -> bytes:
        """Write a new file; returns its path."""
        path = os.path.join(self.path, os.fsencode(name))
        with open(path, "xb") as file:
            file.write(content)
        os.chmod(path, mode)
        self._date(os.fsencode(name), mtime_ns)
        return path

    def sparse_file(self, name: str, *, size_bytes: int, head: bytes, tail: bytes) -> None:
        """A file with `head` at its start, `tail` at its end and a hole between."""
        path = self.file(name, head)
        with open(path, "r+b") as file:
            file.seek(size_bytes - len(tail))
            file.write(tail)
        self._date(os.fsencode(name), None)

    def hard_link(self, name: str, to: str) -> None:
        """A second name for the file `to` of this folder."""
        os.link(os.path.join(self.path, os.fsencode(to)), os.path.join(self.path, os.fsencode(name)))

    def symlink(self, name: bytes | str, target: bytes | str) -> None:
        """A symbolic link, stored exactly as given."""
        os.symlink(os.fsencode(target), os.path.join(self.path, os.fsencode(name)))
        self._date(os.fsencode(name), None)

    def date_folders(self) -> None:
        """Date this folder and all below, deepest first; to be called when nothing more is written."""
        for path in list(self._folders_deepest_first()):
            relative = os.path.relpath(path, self.path)
            _set_mtime(path, date_for(os.path.join(self.relative, relative)))

    def _folders_deepest_first(self) -> Iterator[bytes]:
        for path, _, _ in os.walk(self.path, topdown=False):
            yield path

    def _date(self, name: bytes, mtime_ns: int | None) -> None:
        own_ns = date_for(os.path.join(self.relative, name)) if mtime_ns is None else mtime_ns
        _set_mtime(os.path.join(self.path, name), own_ns)


def date_for(relative: bytes) -> int:
    """The modification time of a path, in nanoseconds: between 2015 and 2024, with a fraction of a second."""
    digest = zlib.crc32(relative)
    fraction_ns = digest * 2_654_435_761 % 1_000_000_000
    return (_FIRST_DATE_SECONDS + digest % _DATE_RANGE_SECONDS) * 1_000_000_000 + fraction_ns


def _set_mtime(path: bytes, mtime_ns: int) -> None:
    os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)
