"""Progress as people see it: it only rises, says 100 only at the end, and tells rates from what was measured."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs_archiver.domain.progress import SPANS, StepMeter, job_percent
from cs_archiver.domain.states import ACTIVE, FINAL, JobStatus

WAY = [
    JobStatus.QUEUED,
    JobStatus.COPYING,
    JobStatus.COMPRESSING,
    JobStatus.VERIFYING,
    JobStatus.AWAITING_UPLOAD,
    JobStatus.UPLOADING,
    JobStatus.UPLOAD_VERIFYING,
    JobStatus.DELETING_SOURCE,
    JobStatus.COMPLETED,
]


@pytest.mark.parametrize(
    ("status", "step_percent", "percent"),
    [
        (JobStatus.QUEUED, 50.0, 0),
        (JobStatus.COPYING, None, 0),
        (JobStatus.COPYING, 50.0, 16),
        (JobStatus.COPYING, 100.0, 33),
        (JobStatus.COMPRESSING, 0.0, 33),
        (JobStatus.COMPRESSING, 100.0, 66),
        (JobStatus.VERIFYING, 100.0, 75),
        (JobStatus.AWAITING_UPLOAD, 77.0, 75),
        (JobStatus.UPLOADING, 50.0, 80),
        (JobStatus.UPLOAD_VERIFYING, 50.0, 90),
        (JobStatus.DELETING_SOURCE, 0.0, 95),
        (JobStatus.DELETING_SOURCE, 100.0, 99),
        (JobStatus.COMPLETED, None, 100),
        (JobStatus.COPYING, 250.0, 33),
        (JobStatus.COPYING, -5.0, 0),
    ],
)
def test_a_step_counts_as_its_share_of_the_whole_job(
    status: JobStatus, step_percent: float | None, percent: int
) -> None:
    assert job_percent(status, step_percent) == percent


def test_the_shares_of_the_states_join_without_gap_from_0_to_100() -> None:
    assert list(SPANS) == WAY
    assert all(before[1] == after[0] for before, after in pairwise(SPANS.values()))
    assert (SPANS[WAY[0]][0], SPANS[WAY[-1]][1]) == (0, 100)


@given(st.sampled_from(sorted(JobStatus)), st.none() | st.floats(allow_nan=False), st.integers(0, 100))
def test_progress_never_falls_and_stays_within_0_and_100(
    status: JobStatus, step_percent: float | None, at_least: int
) -> None:
    assert at_least <= job_percent(status, step_percent, at_least=at_least) <= 100


@given(st.sampled_from(sorted(ACTIVE)), st.floats(allow_nan=False), st.integers(0, 99))
def test_100_is_said_only_of_a_completed_job(status: JobStatus, step_percent: float, at_least: int) -> None:
    assert job_percent(status, step_percent, at_least=at_least) < 100


@pytest.mark.parametrize("status", sorted(FINAL - {JobStatus.COMPLETED}))
def test_a_job_that_ended_early_keeps_the_progress_it_had(status: JobStatus) -> None:
    assert job_percent(status, None, at_least=42) == 42


@given(st.lists(st.floats(0, 100), max_size=20), st.sampled_from(WAY))
def test_a_whole_life_only_rises(readings: list[float], last: JobStatus) -> None:
    percent, seen = 0, []
    for status in WAY[: WAY.index(last) + 1]:
        for reading in readings:
            percent = job_percent(status, reading, at_least=percent)
            seen.append(percent)
    assert seen == sorted(seen)


def test_percent_comes_from_the_bytes_unless_the_tool_tells_it() -> None:
    meter = StepMeter()
    assert meter.reading(0.0, bytes_done=25, bytes_total=100).percent == 25.0
    assert meter.reading(0.1, bytes_done=25, bytes_total=100, percent=60.0).percent == 60.0
    assert meter.reading(0.2, bytes_done=300, bytes_total=100).percent == 100.0


def test_what_is_not_known_is_none_and_not_zero() -> None:
    reading = StepMeter().reading(0.0, bytes_done=None, bytes_total=None)
    assert (reading.percent, reading.rate_bytes_per_second, reading.eta_seconds) == (None, None, None)
    assert StepMeter().reading(0.0, bytes_done=0, bytes_total=0).percent is None
    assert StepMeter().reading(0.0, bytes_done=5, bytes_total=10).rate_bytes_per_second is None


def test_rate_and_time_left_come_from_the_samples() -> None:
    meter = StepMeter()
    meter.reading(100.0, bytes_done=0, bytes_total=10_000)
    reading = meter.reading(102.0, bytes_done=1_000, bytes_total=10_000)
    assert reading.rate_bytes_per_second == 500.0
    assert reading.eta_seconds == 18.0


def test_the_rate_is_of_the_last_seconds_and_forgets_what_was_before() -> None:
    meter = StepMeter()
    for second in range(100):
        meter.reading(float(second), bytes_done=second * 1_000_000, bytes_total=10**12)
    for second in range(100, 114):
        meter.reading(float(second), bytes_done=100_000_000 + (second - 100) * 10, bytes_total=10**12)
    reading = meter.reading(114.0, bytes_done=100_000_140, bytes_total=10**12)
    assert reading.rate_bytes_per_second == pytest.approx(10.0)


def test_a_stalled_step_has_no_time_left_rather_than_a_wrong_one() -> None:
    meter = StepMeter()
    for second in range(30):
        meter.reading(float(second), bytes_done=500, bytes_total=1_000)
    reading = meter.reading(30.0, bytes_done=500, bytes_total=1_000)
    assert reading.rate_bytes_per_second == 0.0
    assert reading.eta_seconds is None


def test_bytes_that_fall_begin_a_new_measurement() -> None:
    meter = StepMeter()
    meter.reading(0.0, bytes_done=0, bytes_total=1_000)
    meter.reading(1.0, bytes_done=900, bytes_total=1_000)
    assert meter.reading(2.0, bytes_done=0, bytes_total=1_000).rate_bytes_per_second is None
    assert meter.reading(3.0, bytes_done=10, bytes_total=1_000).rate_bytes_per_second == 10.0


def test_two_readings_at_one_moment_divide_by_nothing() -> None:
    meter = StepMeter()
    meter.reading(5.0, bytes_done=0, bytes_total=10)
    assert meter.reading(5.0, bytes_done=5, bytes_total=10).rate_bytes_per_second is None


@given(st.lists(st.tuples(st.floats(0.001, 5.0), st.integers(0, 10**15)), min_size=1, max_size=50))
def test_rates_and_times_left_are_never_negative(steps: list[tuple[float, int]]) -> None:
    meter, now = StepMeter(), 0.0
    for pause, done in steps:
        now += pause
        reading = meter.reading(now, bytes_done=done, bytes_total=10**14)
        assert reading.rate_bytes_per_second is None or reading.rate_bytes_per_second >= 0
        assert reading.eta_seconds is None or reading.eta_seconds >= 0
        assert reading.percent is not None
        assert 0 <= reading.percent <= 100
