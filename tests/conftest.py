"""What holds for all tests, wherever a run begins."""

import gc

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.tally", "tests.support.worlds"]

# Machines are shared: how long an example takes says nothing of the product.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """Thousands of tests stay until the end: no collection need look at them."""
    gc.collect()
    gc.freeze()
