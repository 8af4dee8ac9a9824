"""Spans of time and moments as people read them; static/format.js writes the same words."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from cs_archiver.clock import from_text
from cs_archiver.server.pages.preferences import Preferences, zone_of


def duration_text(seconds: float) -> str:
    """The two largest units, as in `1 h 23 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, second = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {second} s" if second else f"{minutes} min"
    hours, minute = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minute} min" if minute else f"{hours} h"
    days, hour = divmod(hours, 24)
    return f"{days} d {hour} h" if hour else f"{days} d"


def moment_text(moment: str, preferences: Preferences) -> str:
    """The moment to the minute, in the time zone of the reader: `2026-11-22 14:03`."""
    return _shown(moment, preferences.zone_name).moment


def exact_text(moment: str, preferences: Preferences) -> str:
    """The moment to the second, with its zone."""
    return _shown(moment, preferences.zone_name).exact


def clock_text(moment: str, preferences: Preferences) -> str:
    """The time of day to the second: `14:03:22`."""
    return _shown(moment, preferences.zone_name).clock


def ago_text(moment: str, now: datetime | None = None) -> str:
    """How long ago that was, roughly: `3 min ago`."""
    past = (now or datetime.now(UTC)) - from_text(moment)
    if past < timedelta(seconds=45):
        return "just now" if past > timedelta(minutes=-1) else "in the future"
    minutes = round(past.total_seconds() / 60)
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 48 * 60:
        return f"{round(minutes / 60)} h ago"
    days = round(minutes / 1440)
    return f"{days} days ago" if days < 60 else f"{days // 30} months ago" if days < 730 else f"{days // 365} years ago"


def count_text(number: int) -> str:
    """With thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


class _Shown(NamedTuple):
    moment: str
    exact: str
    clock: str


@lru_cache(maxsize=4096)  # pages show the same moments again and again
def _shown(moment: str, zone_name: str) -> _Shown:
    local = from_text(moment).astimezone(zone_of(zone_name) or UTC)
    return _Shown(f"{local:%Y-%m-%d %H:%M}", f"{local:%Y-%m-%d %H:%M:%S %Z}", f"{local:%H:%M:%S}")
