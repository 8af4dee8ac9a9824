"""Makes calls of the service fail with an error number: the watcher behind the tests of I/O errors."""

import errno
import os
from dataclasses import dataclass

from tests.faults.instrument import Point


@dataclass(frozen=True)
class Fault:
    error: str
    mode: str
    point: str

    def __str__(self) -> str:
        return f"{self.error} {self.mode} {self.point}"


class Spoiler:
    """Raises the error at the point; a sticky one also at all later calls of this kind in this place, until cleared."""

    def __init__(self) -> None:
        self._fault: Fault | None = None
        self._is_stuck = False
        self.struck = 0
        self.points: list[str] = []

    def set(self, fault: Fault | None) -> None:
        self._fault, self._is_stuck, self.struck, self.points = fault, False, 0, []

    def clear(self) -> None:
        self._fault, self._is_stuck = None, False

    def before(self, point: Point) -> None:
        self.points.append(str(point))
        fault = self._fault
        if fault is None or not (str(point) == fault.point or self._is_stuck_at(point, fault)):
            return
        self.struck += 1
        self._is_stuck = fault.mode == "sticky"
        number = getattr(errno, fault.error)
        raise OSError(number, os.strerror(number))

    def after(self, point: Point) -> None:
        """Only calls that are not made are spoiled."""

    def _is_stuck_at(self, point: Point, fault: Fault) -> bool:
        wanted = Point.of(fault.point)
        return self._is_stuck and (point.call, point.place) == (wanted.call, wanted.place)
