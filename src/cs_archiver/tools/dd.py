"""Copies one large file with dd in blocks of 1 MiB: the strategy for folders of huge files."""

import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cs_archiver.errors import DiskFull, JobError, Permanent, Temporary
from cs_archiver.tools.process import Finished, Processes, ProgressReader, require_absolute
from cs_archiver.tools.threads import in_thread

PROGRESS: Final = re.compile(rb"[\r\n](\d+) byte")

_VERSION: Final = re.compile(rb"^dd \(coreutils\) (\d+(?:\.\d+)*)", re.MULTILINE)
_COMPLAINT: Final = re.compile(rb"^[^\n]*dd: [^\n]*$", re.MULTILINE)


class Dd:
    """Every path handed in must be absolute (ValueError otherwise)."""

    def __init__(self, processes: Processes, *, executable: str = "dd") -> None:
        self._processes = processes
        self._executable = executable

    async def version(self) -> tuple[int, ...] | None:
        """The version of GNU coreutils; None for another make. Raises NeedsOperator when it is missing."""
        finished = await self._processes.run([self._executable, "--version"])
        match = _VERSION.search(finished.stdout)
        return tuple(map(int, match[1].split(b"."))) if match else None

    async def copy_file(self, source: bytes, destination: bytes, *, on_bytes: Callable[[int], None]) -> None:
        """Copy the content of the regular file `source` into the new file `destination`; holes become zeros.

        Mode and mtime are left to the caller, and nothing is fsynced. A file that changes meanwhile is copied
        half old and half new without complaint: compare lstat before and after. A failure leaves what was
        copied so far. `on_bytes` gets all bytes of this file copied so far. Raises Permanent if `source` is
        no regular file, DiskFull, Temporary, also when `destination` exists.
        """
        require_absolute(source, destination)
        await in_thread(lambda _work: _check_is_regular(source))  # a NAS may take its time to answer
        reader = ProgressReader(PROGRESS, first=b"\n")

        def consume(piece: bytes) -> None:
            copied_bytes = reader.feed(piece)
            if copied_bytes is not None:
                on_bytes(copied_bytes)

        finished = await self._processes.run(argv_to_copy(self._executable, source, destination), on_stderr=consume)
        if finished.returncode != 0:
            raise copy_failure(self._executable, finished)


def argv_to_copy(executable: str, source: bytes, destination: bytes) -> list[str | bytes]:
    # nonblock: were the file swapped for a FIFO just now, dd would wait for ever; regular files do not mind.
    return [
        executable, b"if=" + source, b"of=" + destination, "bs=1M", "conv=excl",
        "iflag=nofollow,nonblock", "oflag=nofollow", "status=progress",
    ]  # fmt: skip


def copy_failure(executable: str, finished: Finished) -> JobError:
    """What an exit code of dd other than 0 means: never a whole copy."""
    # dd prints its figures after the reason.
    complaints = b"\n".join(_COMPLAINT.findall(finished.stderr))
    what = replace(finished, stderr=complaints).describe(executable)
    if finished.disk_is_full:
        return DiskFull(f"the disk filled up while copying; {what}", problem="disk-full")
    return Temporary(f"the copy of a file is not complete and is repeated; {what}")


def _check_is_regular(source: bytes) -> None:
    try:
        mode = os.lstat(source).st_mode
    except OSError as error:
        raise Temporary(f"the file to copy cannot be reached: {error}") from error
    if not stat.S_ISREG(mode):
        raise Permanent(f"{os.fsdecode(source)!r} is to be copied but is no regular file")
