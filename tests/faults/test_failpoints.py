"""A crash at every durable act of the service, right before and right after it, and once more while recovering.

Each life is a real process that kills itself with SIGKILL at one point (see instrument.py): a file or name it changes,
a COMMIT, a tool it starts, a request to Globus before it is sent, or after its reply came but was not seen yet.
The points are those of a recorded run of the same history; the points of a recovery are those of a recorded recovery
from the same first crash. The next life gets no help: what was submitted it finishes by itself, and only what never
was recorded is asked for again. In the end nothing is lost, exactly one Globus task sent something, no process and no
file is left. That a life really died by SIGKILL at its point is asserted; one that never came to it counts for nothing.

A crash right before an act leaves what one right after the act before it leaves: the slice in `make test` is therefore
every act, from one side, and the whole is every act from both. A pair is a first crash and a second one, each right
after an act (or before the very first); the whole is every first crash with every second one that its recovery has.

A case is a share of the points of one history, spread evenly, or all second crashes after one first.
CS_ARCHIVER_CRASH="before fsync nas caller 1" runs that one alone; a second crash follows after " THEN ".
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Once
from tests.faults.crashes import Runs, Trials, crashes_at
from tests.faults.life import Crash, zygote_process
from tests.faults.life_histories import HISTORIES
from tests.faults.scale import FULL, pick
from tests.support.tally import Count

pytestmark = pytest.mark.timeout(900)

SEED = 20
SHARES = {"archived": pick(10, 240), "cancelled": pick(1, 24), "retried": pick(6, 48)}
FIRSTS = {"archived": range(180), "cancelled": range(18), "retried": range(110)}  # by number; a few more than there are
A_FEW_FIRSTS = {"archived": range(40, 150, 45)}
SECONDS = pick(1, 10**6)  # crashes of each recovery
ALWAYS_THERE = """
commit state request|commit state copying-*|commit state compressing-*|commit state verifying-*
commit state uploading-*|commit state upload_verifying-*|commit state deleting_source-*
commit state worker-copy_compress|commit state worker-upload
mkdir storage|create storage copier|write storage copier|symlink storage copier|start tool 7z-a|start tool 7z-t
fsync storage disk.sync_file|link storage removal|unlink storage removal|rmdir storage removal
POST globus /v0.10/transfer|GET globus /v0.10/task|create nas own_file|link nas own_file|fsync nas own_file
unlink nas deletion._delete_entry|rmdir nas deletion._remove_if_empty
""".replace("|", "\n").split("\n")[1:-1]
MISSED = "failpoints that several runs did not come to again, and not counted"
MOST_MISSED = 1  # of a share: how often an upload is looked at before its cancel is up to the clock
MOST_MISSED_SECONDS = 0.1  # of the second crashes: how often a recovery looks at an upload is up to the clock, too
SINGLE = "failpoint crashes, single"
PAIR = "failpoint crashes, pairs"

ONLY = os.environ.get("CS_ARCHIVER_CRASH")
EVERY = 1 if ONLY else pick(4, 1)  # of the points
CASES = [(history, share) for history, shares in SHARES.items() for share in range(shares)]
PAIRS = [(history, number) for history, numbers in pick(A_FEW_FIRSTS, FIRSTS).items() for number in numbers]


@pytest.fixture(scope="module")
def zygote() -> Iterator[Path]:
    with zygote_process() as path:
        yield path


@pytest.mark.parametrize(("name", "share"), CASES)
async def test_a_crash_at_any_point_loses_nothing(
    root: Path, zygote: Path, once: Once, count: Count, name: str, share: int
) -> None:
    runs = Runs(root, zygote, HISTORIES[name], __file__)
    crashes = list(crashes_at(await once(f"points-of-{name}", runs.record), both_sides=FULL))
    trials = Trials(count, MISSED)
    for crash in crashes[share * EVERY :: SHARES[name] * EVERY]:
        if ONLY is None or str(crash) == ONLY:
            await trials.survive(runs, crash, what=SINGLE)
    trials.end(most_missed=MOST_MISSED)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("name", "number"), PAIRS)
async def test_a_second_crash_at_any_point_of_the_recovery_loses_nothing(
    root: Path, zygote: Path, once: Once, count: Count, name: str, number: int
) -> None:
    runs = Runs(root, zygote, HISTORIES[name], __file__)
    firsts = list(crashes_at(await once(f"points-of-{name}", runs.record), both_sides=False))
    assert len(firsts) <= len(FIRSTS[name]), "give FIRSTS more numbers"
    if number >= len(firsts):
        pytest.skip("so many points there are not")
    first = firsts[number]
    if ONLY is not None and ONLY.partition(" THEN ")[0] != str(first):
        return
    seconds = list(crashes_at(await runs.survive(first), both_sides=False))
    trials = Trials(count, MISSED)
    for second in chosen(first, seconds):
        if ONLY is None or str(second) == ONLY.partition(" THEN ")[2]:
            await trials.survive(runs, first, second, what=PAIR)
    trials.end(most_missed=max(MOST_MISSED, MOST_MISSED_SECONDS * len(seconds)))


async def test_the_points_hold_every_kind_of_act_of_a_job(root: Path, zygote: Path) -> None:
    points = await Runs(root, zygote, HISTORIES["archived"], __file__).record()
    absent = [start for start in ALWAYS_THERE if not any(point.startswith(start) for point in points)]
    assert absent == []
    assert len(points) == len(set(points)) > 100


def chosen(first: Crash, seconds: list[Crash]) -> list[Crash]:
    """All of them, or as many as are wanted, drawn so that they are spread evenly over the recovery."""
    if len(seconds) <= SECONDS or ONLY is not None:
        return seconds
    dice = random.Random(f"{SEED} {first}")
    width = len(seconds) / SECONDS
    return [seconds[int((band + dice.random()) * width)] for band in range(SECONDS)]
