"""Sizes for people, and the free space that a job needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs_archiver.domain.sizes import human_size
from cs_archiver.domain.space import GIB, required_bytes


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (532, "532 B"),
        (1023, "1023 B"),
        (1024, "1.00 KB"),
        (1536, "1.50 KB"),
        (1024**2, "1.00 MB"),
        (int(2.35 * 1024**3), "2.35 GB"),
        (1024**4, "1.00 TB"),
        (3 * 1024**5, "3.00 PB"),
        (5000 * 1024**5, "5000.00 PB"),
    ],
)
def test_a_size_is_told_in_the_unit_that_fits(size_bytes: int, text: str) -> None:
    assert human_size(size_bytes) == text


@given(st.integers(0, 2**60))
def test_the_told_size_is_the_real_one_to_two_decimals(size_bytes: int) -> None:
    number, unit = human_size(size_bytes).split()
    factor = 1024 ** ["B", "KB", "MB", "GB", "TB", "PB"].index(unit)
    assert abs(float(number) * factor - size_bytes) <= 0.0051 * factor


@pytest.mark.parametrize(
    ("folder_bytes", "ratio", "min_free_gb", "required"),
    [
        (100 * GIB, 0.5, 10.0, 150 * GIB),
        (10 * GIB, 0.5, 10.0, 20 * GIB),
        (20 * GIB, 0.5, 10.0, 30 * GIB),
        (0, 1.0, 10.0, 10 * GIB),
        (GIB, 1.0, 0.0, 2 * GIB),
        (1_000, 0.7, 0.0, 1_700),
    ],
)
def test_a_job_needs_room_for_the_copy_and_the_archive_beside_it(
    folder_bytes: int, ratio: float, min_free_gb: float, required: int
) -> None:
    assert required_bytes(folder_bytes, ratio=ratio, min_free_gb=min_free_gb) == required


@given(st.integers(0, 2**50), st.floats(0, 2), st.floats(0, 1000))
def test_the_room_is_never_less_than_the_copy_and_the_minimum(size: int, ratio: float, min_free_gb: float) -> None:
    assert required_bytes(size, ratio=ratio, min_free_gb=min_free_gb) >= size + int(min_free_gb * GIB)
