"""Hands what is logged to a thread, so that a disk or a pipe that hangs holds up nobody who logs."""

import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from logging.handlers import QueueHandler
from queue import Full, Queue
from typing import Protocol

from cs_archiver.logs.context import fields

_MOST_WAITING = 10_000
_PATIENCE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where lines end up. One thread alone calls it, and may be held up there; what it raises costs that line alone."""

    def write(self, record: logging.LogRecord) -> None: ...

    def reopen(self) -> None: ...

    def close(self) -> None: ...


class Behind(QueueHandler):
    """Lets its sink write what was logged, in that order, a moment later.

    Up to `most_waiting` records wait for it. What comes then is missing there: the other places are told as soon as
    that begins, and the first record that is taken again says how many. So does the first that can be written again
    after the sink failed at some; that it fails is said on standard error. `close` waits for the rest of them, unless
    the sink hangs.
    """

    def __init__(self, sink: Sink, name: str, *, most_waiting: int = _MOST_WAITING) -> None:
        """`name` of the sink, for people."""
        self._waiting: Queue[Callable[[], None] | None] = Queue(most_waiting)
        super().__init__(self._waiting)  # what to do with each record stands for the record
        self.setFormatter(logging.Formatter())  # the message with its traceback; all else is up to the sink
        self._sink = sink
        self._sink_name = name
        self._missing = 0
        self._is_told = False
        self._is_reopening = False
        self._is_closed = False
        self._unwritten = 0  # these two are of the thread alone
        self._failures_told: set[type[Exception]] = set()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def handle(self, record: logging.LogRecord) -> bool:
        is_handled = bool(super().handle(record))
        if self._missing and not self._is_told:  # outside of the lock: the other places have locks, too
            self._is_told = True
            _log.error("%s takes no more lines: it hangs, or is too slow; they will be missing there", self._sink_name)
        return is_handled

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        prepared: logging.LogRecord = super().prepare(record)
        prepared.fields = fields()  # only known to who logs
        return prepared

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self._make_up(record.created)
            self._waiting.put_nowait(partial(self._sink.write, record))
        except Full:
            self._missing += 1

    def reopen(self) -> None:
        """Go on in a new file, once everything before is written."""
        self.acquire()
        self._is_reopening = True
        with suppress(Full):  # the next record that is taken makes up for it
            self._make_up(time.time())
        self.release()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            with suppress(Full):
                self._waiting.put(None, timeout=_PATIENCE_SECONDS)
                self._thread.join(_PATIENCE_SECONDS)
        super().close()

    def _make_up(self, now: float) -> None:
        if self._is_reopening:
            self._waiting.put_nowait(self._sink.reopen)
            self._is_reopening = False
        if self._missing:
            self._waiting.put_nowait(partial(self._sink.write, missing(self._missing, now)))
            self._missing, self._is_told = 0, False

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            self._try(work)
        self._try(self._sink.close)

    def _try(self, work: Callable[[], None]) -> None:
        """Whatever goes wrong with one line, the next may be written: without this thread none is."""
        try:
            if self._unwritten:
                self._sink.write(missing(self._unwritten, time.time()))
                self._unwritten = 0
            work()
        except Exception as error:  # noqa: BLE001
            self._unwritten += 1
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        if type(error) in self._failures_told:
            return
        self._failures_told.add(type(error))
        with suppress(Exception):  # it may be closed, or full, as well
            print(  # noqa: T201  the log itself is what fails
                f"cs-archiver: a line cannot be written to {self._sink_name}: {type(error).__name__}: {error}",
                file=sys.stderr,
                flush=True,
            )


def missing(number: int, now: float) -> logging.LogRecord:
    """What stands where so many lines should."""
    what = "%d line is missing here" if number == 1 else "%d lines are missing here"
    values = {"msg": what, "args": (number,), "created": now}
    return logging.makeLogRecord({**values, "levelno": logging.WARNING, "levelname": "WARNING", "name": __name__})
