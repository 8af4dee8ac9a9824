"""Where log lines go: standard error or the journal behind it, and files that are rotated; neither is waited for."""

import logging
import sys

from cs_archiver.logs.behind import Behind
from cs_archiver.logs.lines import JournalLine, OneLine, is_journal
from cs_archiver.logs.rotation import RotatingFile
from cs_archiver.logs.stream import Stream
from cs_archiver.sections.operation import Log
from cs_archiver.settings import Origin

_TALKATIVE = ("aiosqlite", "globus_sdk", "urllib3")  # at DEBUG they tell SQL parameters and tokens


def configure(log: Log, *, to_stderr: bool = True) -> None:
    """Send every log record to standard error and, where a file is set, there too; replaces earlier handlers.

    Raises ConfigError if the file cannot be opened.
    """
    handlers: list[logging.Handler] = []
    if log.path:
        try:
            file = RotatingFile(log.path, log, OneLine())
        except OSError as error:
            found = f"{log.file!r}: {error.strerror}"
            raise Origin().wrong("log", "file", "a file that can be written", found) from error
        handlers.append(Behind(file, f"the log file {log.file}"))
    if to_stderr:
        formatter = JournalLine() if is_journal(sys.stderr) else OneLine()
        handlers.append(Behind(Stream(sys.stderr, formatter), "standard error"))
    logging.basicConfig(level=log.level, handlers=handlers, force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(log.level)))


def reopen() -> None:
    """Go on in a new log file, after somebody else renamed the old one and all that was logged until now is written."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Behind):
            handler.reopen()
