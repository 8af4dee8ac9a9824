"""The power fails at any durable act of the service: what was not synced by then is gone from all disks at once.

The crashes are those of test_failpoints, in worlds whose NAS, storage and database are file systems of their own
(power.py). A life is killed at a point; then each of the three is what its disk held. What the database had committed
is there; the last life goes on from it, and in the end nothing is lost and exactly one Globus task sent something.
The destination is another machine, and keeps what it has.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Once
from tests.faults.crashes import Runs, Trials, crashes_at
from tests.faults.life import Crash, zygote_process
from tests.faults.life_histories import HISTORIES, History, World
from tests.faults.power import Disks, blank_disk, need_disks
from tests.faults.scale import FULL, pick
from tests.support.service import Place
from tests.support.tally import Count

pytestmark = pytest.mark.timeout(900)

SURVIVED = "power failures survived"
MISSED = "power failures that several runs did not come to again, and not counted"
MOST_MISSED = 1  # of a share, as in test_failpoints
SHARES = {"archived": pick(40, 240), "cancelled": pick(18, 24), "retried": pick(90, 48)}
SLICE = {"archived": range(0, 40, 16), "cancelled": range(1), "retried": range(1)}
CASES = [(history, share) for history in SHARES for share in pick(SLICE[history], range(SHARES[history]))]
ONLY = os.environ.get("CS_ARCHIVER_CRASH")
_COMMITTED = """
SELECT jobs.id, status, source_inode, manifest_id, jobs.archive_sha256, submission_id, task_id, outcome
FROM jobs LEFT JOIN uploads ON uploads.job_id = jobs.id ORDER BY seq, uploads.id
"""


@pytest.fixture(scope="module")
def zygote() -> Iterator[Path]:
    with zygote_process() as path:
        yield path


@pytest.mark.parametrize(("name", "share"), CASES)
async def test_a_power_failure_at_any_point_loses_nothing(
    root: Path, zygote: Path, once: Once, count: Count, name: str, share: int
) -> None:
    need_disks()
    runs = PowerRuns(root, zygote, HISTORIES[name])
    crashes = list(crashes_at(await once(f"points-on-disks-of-{name}", runs.record), both_sides=FULL))
    trials = Trials(count, MISSED)
    for crash in crashes[share :: SHARES[name]]:
        if ONLY is None or str(crash) == ONLY:
            await trials.survive(runs, crash, what=SURVIVED)
    trials.end(most_missed=MOST_MISSED)


async def test_what_is_not_synced_is_gone_and_what_is_synced_is_there(root: Path) -> None:
    need_disks()
    disk = root / "disk"
    disks = Disks([disk], root, blank_disk(root))
    with disks.mounted():
        (disk / "synced").write_bytes(b"x" * 9000)
        disks.sync()
        (disk / "written").write_bytes(b"y" * 9000)
        (disk / "synced").unlink()
        disks.cut_power()
        assert os.listdir(disk) == ["synced"]
        assert (disk / "synced").read_bytes() == b"x" * 9000


class PowerRuns(Runs):
    """Runs in worlds whose power fails with each crash."""

    def __init__(self, root: Path, zygote: Path, history: History) -> None:
        super().__init__(root, zygote, history, __file__)
        self._root = root
        self._blank = blank_disk(root)
        self._disks: Disks

    def ground_of(self, place: Place) -> AbstractContextManager[object]:
        folders = (place.root / "nas", place.storage, place.database.parent)
        self._disks = Disks(folders, place.root, self._blank)
        return self._disks.mounted()

    def before_the_first_life(self, world: World) -> None:
        self._disks.sync()

    def after_a_crash(self, world: World, crash: Crash) -> None:
        # Right after one commit, and hardly ever in the middle of another, which need not be there.
        is_settled = str(crash).startswith("after commit")
        committed = _committed(world.place.database) if is_settled else None
        self._disks.cut_power()
        assert committed is None or _committed(world.place.database) == committed, "what was committed is gone"


def _committed(database: Path) -> list[tuple[Any, ...]]:
    """What is in it, read from a copy: to open it would change it."""
    beside = database.parent.parent / "copy-of-database"
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(database.parent, beside)
    try:
        with closing(sqlite3.connect(beside / database.name)) as connection:
            return connection.execute(_COMMITTED).fetchall()
    except sqlite3.OperationalError as error:
        if str(error).startswith("no such table"):
            return []
        raise
