"""Worlds in memory for the fault suites, and the count of what they really ran, printed at the end."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_HERE = Path(__file__).parent
_MEMORY = Path("/dev/shm")
_LEAST_FREE_BYTES = 512 * 1024**2
_TALLY = pytest.StashKey[dict[str, int]]()

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
    tally = request.config.stash[_TALLY]

    def add(what: str, number: int = 1) -> None:
        tally[what] = tally.get(what, 0) + number

    return add


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker("faults")


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:  # a process of pytest-xdist hands its counts to the one that prints
        output["fault_tally"] = session.config.stash[_TALLY]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    tally = node.config.stash[_TALLY]
    for what, number in getattr(node, "workeroutput", {}).get("fault_tally", {}).items():
        tally[what] = tally.get(what, 0) + number


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    tally = config.stash[_TALLY]
    if tally:
        terminalreporter.section("what the fault suites ran")
    for what, number in sorted(tally.items()):
        terminalreporter.line(f"{number:>9,}  {what}")
