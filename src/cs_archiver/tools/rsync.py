"""Copies the content of a folder with rsync: the strategy for folders of middling size."""

import os
import re
import stat
from collections.abc import Callable
from typing import Final

from cs_archiver.errors import DiskFull, JobError, NeedsOperator, Permanent, Temporary
from cs_archiver.tools.process import Finished, Processes, ProgressReader, require_absolute
from cs_archiver.tools.threads import in_thread

PROGRESS: Final = re.compile(rb"\r\s*(\d+)\s+\d{1,3}%")

_VERSION: Final = re.compile(rb"^rsync +version v?(\d+(?:\.\d+)*)", re.MULTILINE)
# Usage, protocol and unsupported action: the same command will end the same way.
_HOPELESS_CODES: Final = frozenset({1, 2, 4})


class Rsync:
    """Every path handed in must be absolute (ValueError otherwise)."""

    def __init__(self, processes: Processes, *, executable: str = "rsync", limit: float | None = None) -> None:
        """`limit`: bytes a second, None for as fast as it goes."""
        self._processes = processes
        self._limit = limit
        self._executable = executable

    async def version(self) -> tuple[int, ...]:
        """The version of rsync; raises NeedsOperator when it is missing or says none."""
        finished = await self._processes.run([self._executable, "--version"])
        found = parse_version(finished.stdout)
        if found is None:
            raise NeedsOperator(
                f"{finished.describe(self._executable)}; it reports no version: install the package rsync",
                problem="tool-too-old",
            )
        return found

    async def copy_tree(self, source: bytes, destination: bytes, *, on_bytes: Callable[[int], None]) -> None:
        """Copy what the folder `source` holds into the existing, empty folder `destination`; nothing is fsynced.

        Links stay links; modes, times and empty folders are kept, owners are not. FIFOs, sockets and devices are
        left out, and a file that changes meanwhile may be copied half old and half new, both without complaint:
        scan before and after. A failure leaves what was copied so far. `on_bytes` gets all bytes copied so far.
        Raises Permanent if either is no folder or `destination` holds something, DiskFull, Temporary.
        """
        require_absolute(source, destination)
        await in_thread(lambda _work: _check_folders(source, destination))  # a NAS may take its time to answer
        reader = ProgressReader(PROGRESS, first=b"\r")

        def consume(piece: bytes) -> None:
            copied_bytes = reader.feed(piece)
            if copied_bytes is not None:
                on_bytes(copied_bytes)

        argv = argv_to_copy(self._executable, source, destination, limit=self._limit)
        finished = await self._processes.run(argv, on_stdout=consume)
        if finished.returncode != 0:
            raise copy_failure(self._executable, finished)


def argv_to_copy(executable: str, source: bytes, destination: bytes, *, limit: float | None) -> list[str | bytes]:
    # The slash at the end of the source means its content. Neither --inplace nor --partial: a read error would
    # leave a file of full size with zeros in it. A window of -1 compares nanoseconds: otherwise a time stays wrong
    # that differs from the moment of copying by less than a second.
    # Modes are kept as copier keeps them: without set-id bits, and so that the owner of the copy can read it.
    limited = [] if limit is None else [f"--bwlimit={max(1, round(limit / 1024))}"]  # in KiB; 0 would be no limit
    return [
        executable, *limited, "--recursive", "--links", "--perms", "--chmod=ug-s,u+r,Du+x", "--times",
        "--modify-window=-1", "--whole-file",
        "--info=progress2", "--no-inc-recursive", "--no-human-readable", "--outbuf=L",
        "--", source.rstrip(b"/") + b"/", destination.rstrip(b"/") + b"/",
    ]  # fmt: skip


def parse_version(banner: bytes) -> tuple[int, ...] | None:
    match = _VERSION.search(banner)
    return tuple(int(part) for part in match[1].split(b".")) if match else None


def copy_failure(executable: str, finished: Finished) -> JobError:
    """What an exit code of rsync other than 0 means: never a whole copy."""
    what = finished.describe(executable)
    if finished.disk_is_full:
        return DiskFull(f"the disk filled up while copying; {what}", problem="disk-full")
    if finished.returncode in _HOPELESS_CODES:
        return Permanent(f"rsync refused its command line, which is a fault of this program; {what}")
    return Temporary(f"the copy is not complete and is repeated from the start; {what}")


def _check_folders(source: bytes, destination: bytes) -> None:
    for folder in (source, destination):
        try:
            # With a slash at its end the name of a link would stand for what it points to.
            mode = os.lstat(folder.rstrip(b"/")).st_mode
        except OSError as error:
            raise Temporary(f"a folder to copy from or to cannot be reached: {error}") from error
        if not stat.S_ISDIR(mode):
            raise Permanent(f"{os.fsdecode(folder)!r} is to be copied from or to but is no folder")
    # rsync would keep a stale file that has the size and time of the one to copy.
    if os.listdir(destination):
        raise Permanent(f"{os.fsdecode(destination)!r} is not empty, and copies go into empty folders only")
