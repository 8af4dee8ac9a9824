"""Archive, then restore with stock 7-Zip: that gives back the very folder, whatever it was.

Hypothesis draws the folders; each goes through the whole product, by each of the four ways to copy and the three to
pack. What `7z x` restores is compared with a copy that `cp -a` made before anything touched the folder: names as
bytes, kinds, contents, link targets, permissions, and times of modification to 100 ns; so is the judge's own list.
"""

import asyncio
import os
import shutil
import stat
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.faults.oracle import Oracle, contents
from tests.faults.phases import STRATEGIES
from tests.faults.random_trees import Tree, plant, trees
from tests.faults.scale import FULL, pick
from tests.support.service import Service, keep_copy, running_service
from tests.support.tally import Count

pytestmark = pytest.mark.timeout(1200)

TREES_A_CASE = pick(2, 28)
WAYS = [(strategy, mode) for strategy in STRATEGIES for mode in ("fast", "store", "auto")]
CASES = [(number, *WAYS[number % len(WAYS)]) for number in range(80 if FULL else len(WAYS))]

Attributes = dict[bytes, tuple[int, int, int]]


@pytest.mark.parametrize(("number", "strategy", "mode"), CASES)
def test_what_7zip_restores_is_the_folder_that_was_archived(
    number: int, strategy: str, mode: str, root: Path, count: Count
) -> None:
    with asyncio.Runner() as runner:  # one service for many folders, while hypothesis calls a plain function
        stack = AsyncExitStack()
        overrides = {**STRATEGIES[strategy], "COMPRESSION_MODE": mode}
        service = runner.run(stack.enter_async_context(running_service(root, **overrides)))
        trial = Trial(service, strategy)
        tried: set[Tree] = set()

        @seed(number)
        @settings(
            max_examples=TREES_A_CASE,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(trees())
        def is_restored(tree: Tree) -> None:
            if tree not in tried:
                runner.run(trial.run(tree))
                tried.add(tree)
                count("random trees restored equal")

        try:
            is_restored()
        finally:
            runner.run(stack.aclose())


class Trial:
    """Sends one folder after the other through the same service, each under a name of its own."""

    def __init__(self, service: Service, strategy: str) -> None:
        self._service = service
        self._strategy = strategy
        self._number = 0

    async def run(self, tree: Tree) -> None:
        place = self._service.place
        self._number += 1
        folder = plant(place.folder(f"Tree {self._number}"), tree)
        oracle = Oracle(folder)
        copy = keep_copy(folder, place.root / f"copies {self._number}")
        job = await self._service.archive(folder)
        assert job["status"] == "completed", job
        assert self._by in "\n".join(await self._service.log_of(job["job_id"]))
        assert oracle.losses(place.remote) == []
        assert oracle.is_archived_and_gone(place.remote)
        self._compare(copy, place.archive_of(folder), oracle)
        assert leftovers(place.storage) == []

    @property
    def _by(self) -> str:
        return ", by " + {"parallel": "parallel threads"}.get(self._strategy, self._strategy)

    def _compare(self, copy: Path, archive: Path, oracle: Oracle) -> None:
        """Also throws away what is no longer needed: the worlds of thousands of trees would fill the memory."""
        scratch = copy.parent / "scratch"
        argv = ["7z", "x", "-y", "-snld20", "-spd", "-bso0", "-bsp0", f"-o{scratch}", "--", str(archive)]
        # Umask 0: else 7-Zip takes the umask off every mode it restores.
        subprocess.run(argv, check=True, umask=0)
        assert os.listdir(scratch) == [copy.name]
        assert dict(contents(scratch / copy.name)) == dict(contents(copy)) == oracle.expected
        assert attributes(scratch / copy.name) == attributes(copy)
        shutil.rmtree(copy.parent)
        archive.unlink()


def attributes(folder: Path) -> Attributes:
    """Kind, permissions and time of everything, the folder itself too; links have no permissions of their own."""
    root = os.fsencode(folder)
    found = {b".": _attributes(root)}
    for parent, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(parent, name)
            found[os.path.relpath(path, root)] = _attributes(path)
    return found


def _attributes(path: bytes) -> tuple[int, int, int]:
    status = os.lstat(path)
    mode = 0 if stat.S_ISLNK(status.st_mode) else stat.S_IMODE(status.st_mode)
    return (stat.S_IFMT(status.st_mode), mode, status.st_mtime_ns // 100)


def leftovers(storage: Path) -> list[bytes]:
    return [path for place in ("temp", "archives", "failed") for path, _ in contents(storage / place)]
