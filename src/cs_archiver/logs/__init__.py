"""Where log lines go: standard error or the journal behind it, and files that are rotated."""

import logging
import sys

from cs_archiver.logs.lines import JournalLine, OneLine, is_journal
from cs_archiver.logs.rotation import RotatingFile
from cs_archiver.sections.operation import Log
from cs_archiver.settings import Origin

_TALKATIVE = ("aiosqlite", "globus_sdk", "urllib3")  # at DEBUG they tell SQL parameters and tokens

_log = logging.getLogger(__name__)


def configure(log: Log, *, to_stderr: bool = True) -> None:
    """Send every log record to standard error and, where a file is set, there too; replaces earlier handlers.

    Raises ConfigError if the file cannot be opened.
    """
    handlers: list[logging.Handler] = [_stderr()] if to_stderr else []
    if log.path:
        try:
            handlers.append(RotatingFile(log.path, log))
        except OSError as error:
            found = f"{log.file!r}: {error.strerror}"
            raise Origin().wrong("log", "file", "a file that can be written", found) from error
        handlers[-1].setFormatter(OneLine())
    logging.basicConfig(level=log.level, handlers=handlers, force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(log.level)))


def reopen() -> None:
    """Go on in a new log file, after somebody else renamed the old one."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RotatingFile):
            try:
                handler.reopen()
            except OSError as error:
                _log.error("the log file is not opened anew, lines go on where they went: %s", error)
            else:
                _log.info("the log file is opened anew")


def _stderr() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JournalLine() if is_journal(sys.stderr) else OneLine())
    return handler
