"""Sizes for people, and the free space that a job needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs_archiver.domain.sizes import human_size
from cs_archiver.domain.space import GIB, Need, Room, needed_again, required_bytes, why_never, why_not_now


@pytest.mark.parametrize(
    ("size", "decimal", "binary"),
    [
        (0, "0 B", "0 B"),
        (999, "999 B", "999 B"),
        (1000, "1.00 kB", "1000 B"),
        (1024, "1.02 kB", "1.00 KiB"),
        (9_994, "9.99 kB", "9.76 KiB"),
        (9_996, "10.0 kB", "9.76 KiB"),
        (99_960, "100 kB", "97.6 KiB"),
        (999_994, "1000 kB", "977 KiB"),
        (999_996, "1.00 MB", "977 KiB"),
        (1_234_567_890, "1.23 GB", "1.15 GiB"),
        (2**50, "1.13 PB", "1.00 PiB"),
        (10**19, "10000 PB", "8882 PiB"),
    ],
)
def test_a_size_is_told_in_the_unit_that_fits(size: int, decimal: str, binary: str) -> None:
    assert human_size(size) == binary
    assert human_size(size, 1000) == decimal


@given(st.integers(0, 999 * 10**15), st.sampled_from([1000, 1024]))
def test_the_told_size_is_the_real_one_to_three_digits(size_bytes: int, unit: int) -> None:
    number, name = human_size(size_bytes, unit).split()
    told = float(number) * unit ** "BkMGTP".index(name[0] if unit == 1000 else name[0].replace("K", "k"))
    assert abs(told - size_bytes) <= 0.0051 * size_bytes


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


ROOM = Room(free_bytes=50 * GIB, total_bytes=100 * GIB, free_files=1000, block_bytes=4096)


@pytest.mark.parametrize(
    ("need", "never", "not_now"),
    [
        (Need(50 * GIB, 0), None, None),
        (Need(50 * GIB + 1, 0), None, "50.0 GiB needed, 50.0 GiB free"),
        (Need(100 * GIB, 0), None, "100 GiB needed, 50.0 GiB free"),
        (Need(100 * GIB + 1, 0), "it can never fit: 100 GiB of disk space needed", "100 GiB needed, 50.0 GiB free"),
        (Need(GIB, 1000 - 16), None, None),
        (Need(GIB, 1001 - 16), None, "names for 1001 files needed, 1000 free (inodes)"),
        (Need(GIB, 10**9), None, "names for 1000000016 files needed, 1000 free (inodes)"),
    ],
)
def test_what_a_job_needs_is_held_against_the_room_there_is(need: Need, never: str | None, not_now: str | None) -> None:
    told = why_never(need, ROOM)
    assert (told is None) if never is None else (told is not None and told.startswith(never))
    assert why_not_now(need, ROOM) == not_now


def test_a_folder_that_filled_the_disk_needs_twice_its_size_and_each_further_time_more_in_whole_blocks() -> None:
    folder = Need(1000, 10)
    needs = [needed_again(folder, times_full=times, block_bytes=4096) for times in (1, 2, 3)]
    assert needs == [Need(2000, 20), Need(3 * 41_960, 30), Need(4 * 41_960, 40)]


def test_a_disk_that_makes_names_for_files_as_they_are_needed_has_no_limit_of_them() -> None:
    assert why_not_now(Need(GIB, 10**9), ROOM._replace(free_files=None)) is None
