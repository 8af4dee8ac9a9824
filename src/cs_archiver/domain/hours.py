"""The hours of the day in which something may begin, by the clock on the wall."""

import re
from collections.abc import Callable
from dataclasses import dataclass

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_MINUTE_SECONDS = 60

Wall = Callable[[int], int]
"""The minute of the day, from 0 to 1439, that the clock on the wall shows at a Unix time."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Minutes of the day, from `begin` until just before `end`; over midnight where `end` is not later.

    Only the clock on the wall counts: the night in which it is put back is an hour longer, and a minute that it skips
    has come when the next one is there.
    """

    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> "Hours":
        """Of text such as "22:00-06:00". Raises ValueError for anything else, and for hours of no length."""
        begin, _, end = text.partition("-")
        hours = cls(_minute(begin), _minute(end))
        if hours.begin == hours.end:
            raise ValueError(f"begin and end are the same: {text!r}")
        return hours

    @property
    def begin_text(self) -> str:
        return f"{self.begin // 60:02}:{self.begin % 60:02}"

    def hold(self, minute: int) -> bool:
        """Whether they are on at this minute of the day."""
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def next_begin(self, now: int, wall: Wall) -> int:
        """The first whole minute after now at which they are on. All are Unix times in seconds."""
        moment = now - now % _MINUTE_SECONDS + _MINUTE_SECONDS
        while not self.hold(wall(moment)):
            moment += _MINUTE_SECONDS
        return moment


def _minute(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"no time of day: {text!r}")
    return 60 * int(found[1]) + int(found[2])
