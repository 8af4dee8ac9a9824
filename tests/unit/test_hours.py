"""The hours of copies and uploads: over midnight, and in the nights in which the clocks are changed."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs_archiver.clock import wall_minute
from cs_archiver.domain.hours import Hours, Wall

NIGHT = Hours.parse("22:00-06:00")
BERLIN = ZoneInfo("Europe/Berlin")  # put on at 2026-03-29 02:00, and back at 2026-10-25 03:00


def _wall(zone: ZoneInfo) -> Wall:
    def wall(moment: int) -> int:
        there = datetime.fromtimestamp(moment, zone)
        return 60 * there.hour + there.minute

    return wall


def _at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp())


def _begins(text: str, now: str, fold: int = 0) -> str:
    moment = Hours.parse(text).next_begin(_at(now, fold=fold), _wall(BERLIN))
    return datetime.fromtimestamp(moment, BERLIN).strftime("%d. %H:%M %Z")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("22:00-06:00", ("22:00", "23:59", "00:00", "05:59"), ("06:00", "12:00", "21:59")),
        ("06:00-22:00", ("06:00", "21:59"), ("22:00", "00:00", "05:59")),
        ("00:00-23:59", ("00:00", "23:58"), ("23:59",)),
    ],
)
def test_they_are_on_from_their_begin_until_just_before_their_end(
    text: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    hours = Hours.parse(text)
    assert all(hours.hold(_minute(moment)) for moment in inside)
    assert not any(hours.hold(_minute(moment)) for moment in outside)


def _minute(text: str) -> int:
    return 60 * int(text[:2]) + int(text[3:])


@pytest.mark.parametrize(
    "text",
    ["22-6", "22:00", "22:00-", "-06:00", "24:00-06:00", "22:60-06:00", "2:00-06:00", "22:00-22:00", "٢٢:00-06:00"],
)
def test_what_is_no_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time of day|the same"):
        Hours.parse(text)


def test_the_begin_is_told_as_it_was_set() -> None:
    assert Hours.parse("09:05-17:00").begin_text == "09:05"


@pytest.mark.parametrize(
    ("text", "now", "fold", "begins"),
    [
        ("22:00-06:00", "2026-06-10 12:00:30", 0, "10. 22:00 CEST"),
        ("06:00-08:00", "2026-06-10 12:00", 0, "11. 06:00 CEST"),
        # The night that skips from 02:00 to 03:00.
        ("22:00-06:00", "2026-03-28 12:00", 0, "28. 22:00 CET"),
        ("02:30-05:00", "2026-03-29 00:10", 0, "29. 03:00 CEST"),
        ("02:15-02:45", "2026-03-29 00:10", 0, "30. 02:15 CEST"),
        # The night that has 02:00 to 03:00 twice.
        ("02:30-05:00", "2026-10-25 01:00", 0, "25. 02:30 CEST"),
        ("02:30-02:45", "2026-10-25 02:50", 0, "25. 02:30 CET"),
        ("02:30-02:45", "2026-10-25 02:50", 1, "26. 02:30 CET"),
    ],
)
def test_next_begin_is_by_the_clock_on_the_wall(text: str, now: str, fold: int, begins: str) -> None:
    assert _begins(text, now, fold) == begins


def test_the_night_is_seven_or_nine_hours_long_when_the_clocks_are_changed() -> None:
    wall = _wall(BERLIN)
    for evening, hours in (("2026-03-28 12:00", 7), ("2026-10-24 12:00", 9), ("2026-06-10 12:00", 8)):
        begin = NIGHT.next_begin(_at(evening), wall)
        end = Hours(NIGHT.end, NIGHT.begin).next_begin(begin, wall)
        assert end - begin == hours * 3600


@given(
    begin=st.integers(0, 1439),
    end=st.integers(0, 1439),
    now=st.integers(1_700_000_000, 1_900_000_000),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_a_begin_is_the_first_minute_from_now_on_that_is_within(begin: int, end: int, now: int, zone: str) -> None:
    if begin == end:
        return
    hours, wall = Hours(begin, end), _wall(ZoneInfo(zone))
    found = hours.next_begin(now, wall)
    assert found > now
    assert hours.hold(wall(found))
    assert not any(hours.hold(wall(minute)) for minute in range(now - now % 60 + 60, found, 60))


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_berlin")
def test_the_clock_of_the_host_is_the_one_on_the_wall() -> None:
    assert wall_minute(int(datetime(2026, 1, 15, 21, 30, tzinfo=UTC).timestamp())) == 22 * 60 + 30
    assert wall_minute(int(datetime(2026, 7, 15, 21, 30, tzinfo=UTC).timestamp())) == 23 * 60 + 30
