"""A few threads that work off a growing heap of tasks, and can be stopped even if the NAS hangs."""

import logging
import threading
from collections.abc import Callable
from functools import partial

from cs_archiver.errors import NeedsOperator, Temporary
from cs_archiver.tools.crowd import Parallelism, Spent, spent_by_thread

logger = logging.getLogger(__name__)

STOP_GRACE_SECONDS = 5.0
_PATIENCE_SECONDS = 1.0

Task = Callable[[], None]
Lap = tuple[Spent, int]
"""What a thread had spent, and how many were at work."""


class Crew:
    """Works off tasks on a few threads, the newest first: so few are waiting, however large the tree is.

    No more of them work than its Parallelism allows, and those that hang besides.
    """

    def __init__(self, size: int, *, timeout_seconds: float | None = None) -> None:
        self.stopped = False
        self._size = size
        self._timeout_seconds = timeout_seconds
        self._threads: list[threading.Thread] = []
        self._waiting: list[Task] = []
        self._unfinished = 0
        self._idle = 0
        self._at_work = 0
        # All at first: one that hangs at once must not keep others from being started.
        self._parallelism = Parallelism(size, allowed=size)
        self._steps = 0  # parts of tasks that are done
        self._hanging = 0
        self._failure: BaseException | None = None
        lock = threading.Lock()
        self._more = threading.Condition(lock)
        self._over = threading.Condition(lock)

    def run(self, first: Task) -> None:
        """Work until no task is left. Raises what a task raised, and Temporary when stopped.

        NeedsOperator once nothing has been done for `timeout_seconds`, twice that at most.
        """
        self.add(first)
        with self._over:
            steps = -1
            while not self._over.wait_for(lambda: self.stopped or not self._unfinished, self._timeout_seconds):
                if steps == self._steps:
                    self._failure = _hangs(self._timeout_seconds)
                    self._stop()
                steps = self._steps
            is_over = self._over.wait_for(lambda: not self._unfinished, STOP_GRACE_SECONDS)
        if is_over:
            for thread in self._threads:
                thread.join()
        else:
            logger.warning("discovery ended, but the NAS does not answer tasks=%d", self._unfinished)
        if self._failure is not None:
            raise self._failure
        if self.stopped:
            raise Temporary("the discovery was stopped", problem="discovery-stopped")

    def add(self, task: Task) -> None:
        with self._more:
            if self.stopped:
                return
            self._waiting.append(task)
            self._unfinished += 1
            if not self._has_room:
                return  # whoever is at work takes it next
            if len(self._waiting) <= self._idle:
                self._more.notify()
            elif len(self._threads) < self._size:
                # Daemons: a NAS that never answers must not keep the service from ending.
                thread = threading.Thread(target=self._work, name=f"discovery-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    @property
    def wants_more(self) -> bool:
        """Whether there are threads with nothing to do that may work."""
        return self._has_room and len(self._waiting) < self._idle + self._size - len(self._threads)

    @property
    def _has_room(self) -> bool:
        return self._at_work < self._parallelism.allowed + self._hanging

    def lap(self) -> Lap:
        """Where a part of a task begins, for `judge`."""
        return spent_by_thread(), self._at_work

    def judge(self, lap: Lap) -> None:
        """Judge by what this thread has spent since how many may work."""
        (before, at_work), allowed = lap, self._parallelism.allowed
        after = spent_by_thread()
        self._parallelism.judge(before, after, threads=max(1, max(at_work, self._at_work) - self._hanging))
        with self._more:
            self._steps += 1
            if self._hanging and after.clock - before.clock > _PATIENCE_SECONDS:
                self._hanging -= 1
            if self._parallelism.allowed > allowed:
                self._more.notify_all()

    def add_or_run(self, task: Task) -> None:
        """Leave the task to a thread that is free, or do it here: entries must not pile up."""
        if len(self._waiting) < self._size:
            self.add(task)
        else:
            task()

    def add_each(self, visit: Callable[[bytes], None], names: list[bytes]) -> None:
        """Visit each name; only the names wait, of which there may be a million."""
        if names:
            self.add(partial(self._visit_last, visit, names))

    def stop(self) -> None:
        with self._more:
            self._stop()

    def _stop(self) -> None:
        self.stopped = True
        self._unfinished -= len(self._waiting)
        self._waiting.clear()
        self._more.notify_all()
        self._over.notify_all()

    def _visit_last(self, visit: Callable[[bytes], None], names: list[bytes]) -> None:
        name = names.pop()
        self.add_each(visit, names)
        visit(name)

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except BaseException as error:  # noqa: BLE001 - raised by run()
                self._failure = self._failure or error
                self.stop()
            with self._over:
                self._at_work -= 1
                self._unfinished -= 1
                self._steps += 1
                if not self._unfinished:
                    self._over.notify_all()
                    self._more.notify_all()

    def _next(self) -> Task | None:
        with self._more:
            self._idle += 1
            steps = self._steps
            while not self._more.wait_for(self._may_go_on, _PATIENCE_SECONDS):
                if self._waiting and steps == self._steps:  # whoever is at work must not keep all others from it
                    self._hanging = self._at_work
                steps = self._steps
            self._idle -= 1
            if not self._waiting:
                return None
            self._at_work += 1
            return self._waiting.pop()

    def _may_go_on(self) -> bool:
        return (bool(self._waiting) and self._has_room) or not self._unfinished or self.stopped


def _hangs(seconds: float | None) -> NeedsOperator:
    return NeedsOperator(
        f"the NAS has not answered for {seconds:g} s: check it, and the mount", problem="nas-unreachable"
    )


class Crews:
    """One crew after the other, all of which `stop` ends; `timeout_seconds` as Crew.run has it."""

    def __init__(self, *, timeout_seconds: float | None = None) -> None:
        self.is_stopped = False
        self._timeout_seconds = timeout_seconds
        self._present: Crew | None = None
        self._lock = threading.Lock()

    def run(self, size: int, first: Callable[[Crew], None]) -> None:
        """Have another crew work off what `first` leads to. Raises as Crew.run does."""
        crew = Crew(size, timeout_seconds=self._timeout_seconds)
        with self._lock:
            self._present = crew
            if self.is_stopped:
                crew.stop()
        crew.run(lambda: first(crew))

    def stop(self) -> None:
        with self._lock:
            self.is_stopped = True
            if self._present is not None:
                self._present.stop()
