"""The log file: rotated by size, old ones deleted by age and total size; trouble with it is nobody else's trouble."""

import contextlib
import logging
import os
import re
import sys
from pathlib import Path

from cs_archiver.logs.behind import missing
from cs_archiver.sections.operation import Log

_DAY_SECONDS = 86400


class RotatingFile:
    """A log file that grows to `max_bytes` and is then renamed: app.log.1 is the newest of the old ones.

    Old ones go when they are over `max_age_days` old, or when all files together could pass `max_total_bytes`
    before the next renaming. A line that was taken is in one of the files, whatever fails around it; one that could
    not be written is counted, and the next that can be says how many are missing. One thread alone may use it.
    """

    def __init__(self, path: Path, log: Log, formatter: logging.Formatter) -> None:
        """Raises OSError if the file cannot be opened."""
        self._path = path
        self._formatter = formatter
        self._max_bytes = log.max_bytes
        self._max_age_seconds = log.max_age_days * _DAY_SECONDS
        self._max_old_bytes = log.max_total_bytes - log.max_bytes
        self._next_pruning = 0.0
        self._missing = 0
        self._is_torn = False  # the last line in the file has no end
        self._told: set[str] = set()
        self._descriptor = _opened(path)

    def write(self, record: logging.LogRecord) -> None:
        line = self._line(record)
        try:
            self._make_room(len(line), record.created)
        except OSError as error:
            self._tell(f"old log files cannot be renamed or deleted: {error}")
        try:
            if self._missing:
                self._write(self._line(missing(self._missing, record.created)))
                self._missing = 0
                self._told.clear()
            self._write(line)
        except OSError as error:
            self._missing += 1
            self._tell(f"the log file {self._path} cannot be written: {error.strerror}: lines will be missing there")

    def reopen(self) -> None:
        """Go on in a file of the same name, which somebody else may have put there; where that fails, in this one."""
        try:
            self._open_anew()
        except OSError as error:
            self._tell(f"the log file is not opened anew, lines go on where they went: {error}")
        else:
            self.write(_record("the log file is opened anew"))

    def close(self) -> None:
        os.close(self._descriptor)

    def _open_anew(self) -> None:
        opened = _opened(self._path)
        before, self._descriptor = self._descriptor, opened
        self._is_torn = False
        os.close(before)

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self._formatter.format(record)}\n".encode("utf-8", "backslashreplace")

    def _write(self, line: bytes) -> None:
        left = b"\n" + line if self._is_torn else line
        while left:
            written = os.write(self._descriptor, left)
            self._is_torn = written < len(left)
            left = left[written:]

    def _make_room(self, size: int, now: float) -> None:
        filled = os.fstat(self._descriptor).st_size
        if filled > 0 and filled + size > self._max_bytes:
            self._rotate()
        # A quiet service may not fill a file for months, so age is looked at once a day as well.
        if now >= self._next_pruning:
            self._prune(now)

    def _rotate(self) -> None:
        """Until the new file is open, lines go on into the old one, under whatever name."""
        if os.path.lexists(self._path):
            old = dict(self._old_files())
            free = next(number for number in range(1, len(old) + 2) if number not in old)
            for number in range(free - 1, 0, -1):
                os.rename(old[number], f"{self._path}.{number + 1}")
            os.rename(self._path, f"{self._path}.1")
        self._open_anew()
        self._next_pruning = 0.0

    def _prune(self, now: float) -> None:
        self._next_pruning = now + _DAY_SECONDS
        room_bytes = self._max_old_bytes
        for _, path in self._old_files():
            status = path.stat()
            room_bytes -= status.st_size
            if room_bytes < 0 or now - status.st_mtime > self._max_age_seconds:
                path.unlink()

    def _old_files(self) -> list[tuple[int, Path]]:
        """By their numbers, the newest first."""
        pattern = re.compile(re.escape(self._path.name) + r"\.([1-9][0-9]*)")
        matches = ((pattern.fullmatch(path.name), path) for path in self._path.parent.iterdir())
        return sorted((int(match[1]), path) for match, path in matches if match)

    def _tell(self, trouble: str) -> None:
        """On standard error, and not the same with every line."""
        if trouble in self._told:
            return
        self._told.add(trouble)
        with contextlib.suppress(OSError, ValueError):  # it may be full, or closed, as well
            print(f"cs-archiver: {trouble}", file=sys.stderr)  # noqa: T201  the log itself is what fails


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o640)


def _record(message: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "levelno": logging.INFO, "levelname": "INFO", "name": __name__})
