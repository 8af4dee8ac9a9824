"""The root logger, put back as it was: the product sets it up for itself, and writes a moment after it was told."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cs_archiver.logs.behind import Behind


def until_written() -> None:
    """Wait until all that was logged is where it goes."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Behind):
            written = threading.Event()
            handler._waiting.put(written.set)
            assert written.wait(30)


@contextmanager
def root_logger_as_before() -> Iterator[None]:
    """Within, it has no handlers but those that are set up there; they are closed at the end."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level
