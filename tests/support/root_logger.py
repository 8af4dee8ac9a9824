"""The root logger, put back as it was: the product sets it up for itself."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


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
