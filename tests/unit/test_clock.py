"""Times as the product writes them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs_archiver.clock import elapsed, from_ns, from_text, now_text, to_text

MOMENTS = st.integers(-30_000_000_000_000, 250_000_000_000_000).map(
    lambda milliseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
)


def test_a_time_is_utc_with_milliseconds_and_a_z() -> None:
    moment = datetime(2026, 1, 15, 15, 32, 1, 250_999, tzinfo=timezone(timedelta(hours=1)))
    assert to_text(moment) == "2026-01-15T14:32:01.250Z"


@given(MOMENTS)
def test_a_time_read_back_is_the_same_to_the_millisecond(moment: datetime) -> None:
    assert from_text(to_text(moment)) == moment


@given(MOMENTS, MOMENTS)
def test_texts_sort_as_the_times_do(one: datetime, other: datetime) -> None:
    assert (to_text(one) <= to_text(other)) or one > other


def test_now_lies_between_before_and_after() -> None:
    before = datetime.now(UTC)
    text = now_text()
    assert before - timedelta(milliseconds=1) <= from_text(text) <= datetime.now(UTC)


def test_a_moment_later_is_later_by_just_that() -> None:
    assert timedelta(seconds=299) < elapsed(now_text(), now_text(after=timedelta(minutes=5))) < timedelta(seconds=301)


def test_elapsed_is_negative_for_a_moment_that_is_past() -> None:
    assert elapsed("2026-01-15T14:32:01.250Z", "2026-01-15T14:32:00.250Z") == timedelta(seconds=-1)


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_500_000_000_999_999_999, "2017-07-14T02:40:00.000Z"),
        (-1, "1969-12-31T23:59:59.000Z"),
        (2**63 - 1, "2262-04-11T23:47:16.000Z"),
        (10**30, "9999-12-31T23:59:59.000Z"),
        (-(10**30), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_any_time_stamp_of_a_file_can_be_told(time_ns: int, text: str) -> None:
    assert from_ns(time_ns) == text
