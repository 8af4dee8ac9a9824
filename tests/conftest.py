"""What holds for all tests, wherever a run begins."""

import fcntl
import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.tally", "tests.support.worlds"]

# Machines are shared: how long an example takes says nothing of the product.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_OBJECTS_OF_A_FEW_TESTS = (50_000, 20, 50)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The first process alone compiles what it collects, and the others find that: together they would all do it."""
    with Path(__file__).open("rb") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(turn, fcntl.LOCK_SH)
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first: each process of pytest-xdist begins at the start of a share of the list."""
    long = [item for item in items if item.get_closest_marker("long")]
    items[:] = [item for item in items if not item.get_closest_marker("long")]
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = (len(items) + len(long)) // processes
    for number, item in enumerate(long):
        items.insert(number % processes * share, item)


def pytest_collection_finish() -> None:
    """Thousands of tests stay until the end: no collection need look at them, and at what a test leaves only rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_OBJECTS_OF_A_FEW_TESTS)
