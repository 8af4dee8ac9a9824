"""Worlds in memory for the fault suites, what they learn once for all, and which of them run."""

import asyncio
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from tests.faults.scale import PART

_HERE = Path(__file__).parent
_HOSTILE_PATHS = _HERE.parent / "integration" / "test_hostile_paths.py"  # make test-faults runs all of it
_MEMORY = Path("/dev/shm")
_LEAST_FREE_BYTES = 512 * 1024**2

Look = Callable[[], Awaitable[Any]]
Once = Callable[[str, Look], Awaitable[Any]]


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
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """`await once("calls of rsync", look)`: what `look` found (as JSON), which only one process of a test run asks."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    async def ask(name: str, look: Look) -> Any:
        with _opened(shared / f"{name}.json") as file:
            await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
            file.seek(0)
            if (known := file.read()) == "":
                known = json.dumps(await look())
                file.write(known)
        return json.loads(known)

    return ask


def _opened(path: Path) -> TextIO:
    return open(path, "a+", encoding="utf-8")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the fault tests, and leave out those that are not in the part of them that is to run."""
    ours = [item for item in items if _HERE in item.path.parents or item.path == _HOSTILE_PATHS]
    for item in ours:
        item.add_marker("faults")
    left_out = set(ours) - set(PART.among(ours))
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
