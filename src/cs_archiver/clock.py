"""Times as the product writes them: UTC, ISO 8601, milliseconds, ending in Z."""

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  UTC


def now_text(*, after: timedelta = timedelta(0)) -> str:
    """The present moment, or one `after` it, e.g. `2026-01-15T14:32:01.250Z`."""
    return to_text(datetime.now(UTC) + after)


def to_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    return datetime.fromisoformat(text)


def from_ns(time_ns: int) -> str:
    """A file's time stamp as text; out-of-range stamps are clipped to the years 1 to 9999."""
    seconds = min(max(time_ns // 1_000_000_000, -62_135_596_800), 253_402_300_799)
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()}.000Z"  # half the time of to_text: lists are long


def from_unix(seconds: int) -> str:
    return to_text(datetime.fromtimestamp(seconds, UTC))


def wall_minute(unix_seconds: int) -> int:
    """The minute of the day that the clock of this host shows then, in its own time zone."""
    there = time.localtime(unix_seconds)
    return 60 * there.tm_hour + there.tm_min


def elapsed(start: str, end: str) -> timedelta:
    return from_text(end) - from_text(start)
