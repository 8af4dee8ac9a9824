"""How an event becomes one line: for files with its time, for the journal with its priority instead."""

import logging
import os
from datetime import UTC, datetime
from typing import TextIO

from cs_archiver.domain.text import escaped
from cs_archiver.logs.context import fields

_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


class OneLine(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO cs_archiver.workers job=... message`, in UTC; a traceback joins the same line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return f"{record.asctime} {_words(record)}"

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


class JournalLine(OneLine):
    """`<6>INFO cs_archiver.workers job=... message`: the journal knows the time, and takes the priority off."""

    def __init__(self) -> None:
        logging.Formatter.__init__(self)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return _words(record)

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{super().format(record)}"


def is_journal(stream: TextIO) -> bool:
    """Whether what is written there goes straight to the systemd journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _words(record: logging.LogRecord) -> str:
    known = getattr(record, "fields", None)  # noted where it was logged, if it is written elsewhere
    return f"{record.levelname} {record.name} {fields() if known is None else known}{record.message}"
