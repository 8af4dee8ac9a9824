"""Where log lines go: standard error, and files that are rotated by size and deleted by age and total size."""

import logging
import logging.handlers
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from cs_archiver.sections.operation import Log
from cs_archiver.settings import Origin

_DAY_SECONDS = 86400
_TALKATIVE = ("aiosqlite", "globus_sdk", "urllib3")  # at DEBUG they tell SQL parameters and tokens


def configure(log: Log, *, to_stderr: bool = True) -> None:
    """Send every log record to standard error and, where a file is set, there too; replaces earlier handlers.

    Raises ConfigError if the file cannot be opened.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if to_stderr else []
    if log.path:
        try:
            handlers.append(RotatingFile(log.path, log))
        except OSError as error:
            found = f"{log.file!r}: {error.strerror}"
            raise Origin().wrong("log", "file", "a file that can be written", found) from error
    for handler in handlers:
        handler.setFormatter(OneLine())
    logging.basicConfig(level=log.level, handlers=handlers, force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(log.level)))


class OneLine(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO cs_archiver.workers message`, in UTC; a traceback joins the same line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def format(self, record: logging.LogRecord) -> str:
        return _escaped(super().format(record))


def _escaped(text: str) -> str:
    """Names of files may hold anything: line breaks, terminal commands, bytes that are no text.

    The backslash itself is doubled, so that a line says exactly which characters it stands for.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode() for char in text
    )


class RotatingFile(logging.handlers.RotatingFileHandler):
    """A log file that grows to `max_bytes` and is then renamed: app.log.1 is the newest of the old ones.

    Old ones go when they are over `max_age_days` old, or when all files together could pass `max_total_bytes`
    before the next renaming.
    """

    def __init__(self, path: Path, log: Log) -> None:
        self._max_age_seconds = log.max_age_days * _DAY_SECONDS
        self._max_old_bytes = log.max_total_bytes - log.max_bytes
        self._next_pruning = 0.0
        super().__init__(
            path,
            maxBytes=log.max_bytes,
            backupCount=log.max_total_bytes // log.max_bytes,
            encoding="utf-8",
        )

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        # A quiet service may not fill a file for months, so age is looked at once a day as well.
        if record.created >= self._next_pruning:
            try:
                self._prune(record.created)
            except OSError:
                self.handleError(record)

    def doRollover(self) -> None:  # noqa: N802
        super().doRollover()
        self._next_pruning = 0.0

    def _prune(self, now: float) -> None:
        self._next_pruning = now + _DAY_SECONDS
        room_bytes = self._max_old_bytes
        for path in self._newest_first():
            status = path.stat()
            room_bytes -= status.st_size
            if room_bytes < 0 or now - status.st_mtime > self._max_age_seconds:
                path.unlink()

    def _newest_first(self) -> list[Path]:
        current = Path(self.baseFilename)
        pattern = re.compile(re.escape(current.name) + r"\.([0-9]+)")
        matches = ((pattern.fullmatch(path.name), path) for path in current.parent.iterdir())
        return [path for _, path in sorted((int(match[1]), path) for match, path in matches if match)]
