"""Packs a folder with 7-Zip, tests the archive and lists what it holds."""

import os
import re
import shutil
import stat
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from cs_archiver.errors import DiskFull, JobError, NeedsOperator, Permanent, Temporary
from cs_archiver.tools.process import Finished, Processes, ProgressReader, require_absolute
from cs_archiver.tools.sevenzip_commands import (
    Compression,
    argv_to_list,
    argv_to_pack,
    argv_to_pack_listed,
    argv_to_pack_rest,
    argv_to_test,
    write_list,
)
from cs_archiver.tools.threads import in_thread

OLDEST_VERSION: Final = (23, 1)
PERCENT: Final = re.compile(rb"\x08\s*(100|\d{1,2})%")

_EXECUTABLE: Final = "7z"
_VERSION: Final = re.compile(rb"^7-Zip (?:[\[(][^\])]*[\])] )*(\d+)\.(\d+)", re.MULTILINE)
_PHYSICAL_SIZE: Final = re.compile(rb"^Physical Size = (\d+)$", re.MULTILINE)
_SOUND: Final = re.compile(rb"^Everything is Ok$", re.MULTILINE)
_COMPLAINT: Final = re.compile(rb"^(?:[\w ]*(?:Warnings|Errors): \d+|WARNINGS?:|ERRORS?:)", re.MULTILINE)
_ENTRY: Final = re.compile(
    rb"Path = (?P<path>[^\n]+)\nSize = (?P<size>\d*)\n(?:[^\n]+\n)*?"
    rb"Attributes = (?:[A-Z]+ )?(?P<type>[-dl])[-rwxsStT]{9}\n"
    # No entry has this line where none has content.
    rb"(?:(?:[^\n]+\n)*?CRC = (?P<crc>[0-9A-F]{8})?(?:\n|$))?"
)

EntryKind = Literal["file", "dir", "link"]
_KINDS: Final[dict[bytes, EntryKind]] = {b"-": "file", b"d": "dir", b"l": "link"}


class Listed(NamedTuple):
    """One entry as 7z lists it: `path` begins with the folder's name and went through shown_name().

    `size` is in bytes, for a link that of its target; `crc32` is None for folders and empty files.
    """

    path: bytes
    kind: EntryKind
    size: int
    crc32: int | None


def is_there() -> bool:
    """Whether there is a program of its name to run: quicker than asking it."""
    return shutil.which(_EXECUTABLE) is not None


class SevenZip:
    """Every path handed in must be absolute (ValueError otherwise)."""

    def __init__(self, processes: Processes, *, executable: str = _EXECUTABLE) -> None:
        self._processes = processes
        self._executable = executable

    async def version(self) -> tuple[int, int]:
        """The version of 7-Zip; raises NeedsOperator when it is missing or too old to be trusted."""
        found = await self.reported_version()
        if found is None or found < OLDEST_VERSION:
            seen = "no version of 7-Zip" if found is None else f"version {found[0]}.{found[1]:02}"
            raise NeedsOperator(
                f"{self._executable} reports {seen}; 23.01 or newer is needed: install the package 7zip "
                "(on Debian 12: p7zip-full with its security updates)",
                problem="tool-too-old",
            )
        return found

    async def reported_version(self) -> tuple[int, int] | None:
        """What it says, trusted or not; None when it says no version. Raises NeedsOperator when it is missing."""
        return parse_version((await self._processes.run([self._executable])).stdout)

    async def pack(
        self, folder: bytes, archive: bytes, *, compression: Compression, on_percent: Callable[[int], None]
    ) -> None:
        """Pack `folder`, links as links, into the new file `archive`, which is not fsynced.

        A failure may leave a part of `archive` behind. A file that changes while it is read is packed without
        complaint: compare list() with the manifest. Raises Permanent if `archive` exists or `folder` is no
        folder, DiskFull, NeedsOperator, and Temporary also when anything was left out.
        """
        require_absolute(folder, archive)
        _check_places(folder, archive)
        await self._run(argv_to_pack(self._executable, folder, archive, compression), on_percent)
        on_percent(100)

    async def pack_in_two(
        self,
        folder: bytes,
        archive: bytes,
        *,
        compressed: Sequence[bytes],
        first_share: float,
        on_percent: Callable[[int], None],
    ) -> None:
        """As pack(), but only the files `compressed`, paths below `folder`, are compressed; the rest is stored.

        The folder that holds `folder` must be on the file system of `archive` and be ours: the list of names is
        written there, and the archive of the second run. The first run takes `first_share`, 0 to 1, of the time.
        """
        require_absolute(folder, archive)
        _check_places(folder, archive)
        scratch, name = os.path.split(folder)
        listed = await in_thread(lambda _work: write_list(scratch, name, compressed))
        await self._run(
            argv_to_pack_listed(self._executable, listed, archive),
            lambda percent: on_percent(int(percent * first_share)),
            cwd=scratch,
        )
        await self._run(
            argv_to_pack_rest(self._executable, folder, archive),
            lambda percent: on_percent(int(100 * first_share + percent * (1 - first_share))),
            cwd=scratch,
        )
        on_percent(100)

    async def test(self, archive: bytes, *, on_percent: Callable[[int], None]) -> None:
        """Read all of the archive against its own CRCs; raises Temporary unless it is sound to its last byte.

        This proves the archive consistent with itself, not equal to any source.
        """
        size_bytes = _size_of(archive)
        finished = await self._processes.run(
            argv_to_test(self._executable, archive), on_stdout=_percent_consumer(on_percent)
        )
        if finished.returncode != 0:
            raise read_failure(self._executable, archive, finished)
        # 7z ends with 0 although something stands before or after the archive, which then is not as packed.
        if not is_sound(finished.stderr, size_bytes):
            raise _damaged(archive, finished.describe(self._executable))
        on_percent(100)

    async def _run(
        self, argv: Sequence[str | bytes], on_percent: Callable[[int], None], *, cwd: bytes | None = None
    ) -> None:
        finished = await self._processes.run(argv, cwd=cwd, on_stdout=_percent_consumer(on_percent))
        if finished.returncode != 0:
            raise pack_failure(self._executable, finished)

    async def list(self, archive: bytes) -> list[Listed]:
        """What the archive's header names, the packed folder itself too; raises Temporary if it is damaged."""
        require_absolute(archive)
        parser = ListingParser()
        finished = await self._processes.run(argv_to_list(self._executable, archive), on_stdout=parser.feed)
        if finished.returncode != 0:
            raise read_failure(self._executable, archive, finished)
        return parser.close()


def shown_name(path: bytes) -> bytes:
    """How `7z l` prints this path: two names may look alike then.

    Every byte is printed as it is, valid UTF-8 or not, but a newline becomes `_`: no name can forge a line.
    """
    return path.replace(b"\n", b"_")


def parse_version(banner: bytes) -> tuple[int, int] | None:
    """The version 7-Zip prints of itself; the line "p7zip Version 16.02" beside it says nothing."""
    match = _VERSION.search(banner)
    return (int(match[1]), int(match[2])) if match else None


def is_sound(report: bytes, size_bytes: int) -> bool:
    """Whether a report of `7z t` calls a file of this size one whole archive, without a warning."""
    physical_size = _PHYSICAL_SIZE.search(report)
    return (
        _SOUND.search(report) is not None
        and _COMPLAINT.search(report) is None
        and physical_size is not None
        and int(physical_size[1]) == size_bytes
    )


def pack_failure(executable: str, finished: Finished) -> JobError:
    """What an exit code of `7z a` other than 0 means; the archive it may have left behind counts for nothing."""
    what = finished.describe(executable)
    if finished.returncode == 2 and finished.disk_is_full:
        return DiskFull(f"the disk filled up while packing; {what}", problem="disk-full")
    if finished.returncode == 1:
        return Temporary(f"the archive lacks files that were missing or unreadable, packing is repeated; {what}")
    return _common_failure(what, finished.returncode) or Temporary(f"packing failed and is repeated; {what}")


def read_failure(executable: str, archive: bytes, finished: Finished) -> JobError:
    """What an exit code of `7z t` or `7z l` other than 0 means."""
    what = finished.describe(executable)
    if finished.returncode in (1, 2):
        return _damaged(archive, what)
    return _common_failure(what, finished.returncode) or Temporary(f"reading the archive was cut off; {what}")


class ListingParser:
    """Reads the output of `7z l -slt -ba` in pieces of any size, so that no piece takes long."""

    def __init__(self) -> None:
        self._rest = b""
        self._entries: list[Listed] = []

    def feed(self, piece: bytes) -> None:
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        self._entries += [_entry(block) for block in blocks]

    def close(self) -> list[Listed]:
        """All entries; raises Permanent if the output was not understood to its end."""
        if self._rest.strip(b"\n"):
            self.feed(b"\n\n")
        return self._entries


def _entry(block: bytes) -> Listed:
    match = _ENTRY.match(block)
    if match is None:
        raise Permanent(f"7z lists an entry that is no file, folder or link, or in an unknown form: {block[:300]!r}")
    crc = match["crc"]
    return Listed(
        path=match["path"],
        kind=_KINDS[match["type"]],
        size=int(match["size"] or 0),
        crc32=int(crc, 16) if crc else None,
    )


def _size_of(archive: bytes) -> int:
    require_absolute(archive)
    try:
        return os.lstat(archive).st_size
    except OSError as error:
        raise _damaged(archive, str(error)) from error


def _check_places(folder: bytes, archive: bytes) -> None:
    try:
        os.lstat(archive)
    except FileNotFoundError:
        pass
    except OSError as error:  # not knowing is not the same as nothing being there
        raise Temporary(f"the place for the archive cannot be looked at: {error}") from error
    else:
        # 7z would merge the folder into it and report success.
        raise Permanent(f"{os.fsdecode(archive)!r} exists already, and nothing is packed into an existing file")
    if not os.path.isdir(os.path.dirname(archive)):
        # 7z would create it, on the local disk if the storage is not mounted.
        raise NeedsOperator(f"the folder for the archive {os.fsdecode(archive)!r} is missing: is its disk mounted?")
    try:
        # With a slash at its end the name of a link would stand for what it points to.
        mode = os.lstat(folder.rstrip(b"/")).st_mode
    except OSError as error:
        raise Temporary(f"the folder to pack cannot be read: {error}") from error
    if not stat.S_ISDIR(mode):
        raise Permanent(f"{os.fsdecode(folder)!r} is to be packed but is no folder")


def _percent_consumer(on_percent: Callable[[int], None]) -> Callable[[bytes], None]:
    reader = ProgressReader(PERCENT, first=b"\x08")

    def consume(piece: bytes) -> None:
        percent = reader.feed(piece)
        if percent is not None:
            on_percent(percent)

    return consume


def _common_failure(what: str, returncode: int) -> JobError | None:
    if returncode == 7:
        return Permanent(f"7z refused its command line, which is a fault of this program; {what}")
    if returncode == 8:
        return NeedsOperator(f"7z got too little memory: free some or raise the limit; {what}")
    return None


def _damaged(archive: bytes, what: str) -> Temporary:
    return Temporary(
        f"the archive {os.fsdecode(archive)!r} is damaged or unreadable and must be packed again; {what}",
        problem="archive-damaged",
    )
