"""Worlds in memory for the fault suites, and the count of what they really ran."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.tally import TALLY

_HERE = Path(__file__).parent
_MEMORY = Path("/dev/shm")
_LEAST_FREE_BYTES = 512 * 1024**2

Count = Callable[..., None]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, in memory where there is room: thousands of worlds would wear out a disk."""
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _LEAST_FREE_BYTES:
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="cs-archiver-", dir=_MEMORY))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Count:
    """`count("kill points survived")` after each run that held; only what was counted is ever claimed."""
    tally = request.config.stash[TALLY]

    def add(what: str, number: int = 1) -> None:
        tally[what] = tally.get(what, 0) + number

    return add


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker("faults")
