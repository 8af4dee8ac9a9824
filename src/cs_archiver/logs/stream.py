"""Standard error, and the journal behind it."""

import contextlib
import logging
from typing import TextIO


class Stream:
    """One line a record. What cannot be written is nobody's trouble: it may be closed, or a full disk behind it."""

    def __init__(self, stream: TextIO, formatter: logging.Formatter) -> None:
        self._stream = stream
        self._formatter = formatter

    def write(self, record: logging.LogRecord) -> None:
        line = self._formatter.format(record)
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def reopen(self) -> None:
        """It was opened by whoever started the program."""

    def close(self) -> None:
        """Others may write there as well."""
