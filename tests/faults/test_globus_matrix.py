"""Whatever Globus answers, at any call the product makes, once, a few times or for ever: nothing is lost.

A cell is one kind of fault at one use of a call for one duration, in a service and a Globus sandbox of its own. The
fault must have struck. Once or a few times: the job completes by itself (a failed one after its user's retry), and
one upload was carried out. For ever: the source stays untouched and the job waits and says why, or fails and says
why; when the fault is taken away it completes, and so does a second job behind it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from cs_archiver.sandbox import Operation
from tests.faults.globus_faults import ALPHA, FEW, KINDS, POINTS, TASK_KINDS, Kind, Point
from tests.faults.globus_world import World, executed, hurry, usual_calls
from tests.faults.leftovers import leftovers
from tests.faults.scale import FULL
from tests.support.service import running_service
from tests.support.tally import Count
from tests.support.tampering import until_at_work

pytestmark = [pytest.mark.timeout(180)]

DURATIONS: dict[str, int | None] = {"once": 1, "few": FEW, "for-ever": None}
A_SLICE_PER_POINT = 1
NARROW_PER_POINT = 2  # of the kinds that few points have


@dataclass(frozen=True)
class Cell:
    kind_name: str
    point_name: str
    duration: str

    @property
    def kind(self) -> Kind:
        return (TASK_KINDS if self.point.operation is Operation.RUN else KINDS)[self.kind_name]

    @property
    def point(self) -> Point:
        return RUNS.get(self.point_name) or POINTS[self.point_name]

    @property
    def times(self) -> int | None:
        return DURATIONS[self.duration]

    @property
    def is_broken_upload(self) -> bool:
        """Whether more than one upload may rightly have been carried out."""
        broken = any(operation is Operation.RUN and skip == 0 for operation, _, _, skip in self.point.before)
        return self.kind.doubted or (broken and not self.point.held) or self.point.operation is Operation.RUN


RUNS: dict[str, Point] = {"task": Point(Operation.RUN)}


ONCE_NOT_SURVIVED = [
    Cell("400", "cancel", "once"),  # the job ended as cancelled while its task wrote on
    Cell("reply-lost", "stat-admitting", "for-ever"),  # it was at its first retry again and again
    Cell("cut-short", "submit", "for-ever"),  # it did not say what was wrong
]


def everything() -> list[Cell]:
    cells = [
        Cell(kind, point, duration)
        for point in POINTS
        for kind in KINDS
        for duration in DURATIONS
        if KINDS[kind].fits(POINTS[point].operation)
    ]
    return cells + [Cell(kind, "task", duration) for kind in TASK_KINDS for duration in DURATIONS]


def a_slice() -> list[Cell]:
    """Every kind and every point, each at several of the other; the durations take turns."""
    durations, cells = list(DURATIONS), []
    for number, point in enumerate(POINTS):
        kinds = [kind for kind in KINDS if KINDS[kind].fits(POINTS[point].operation)]
        narrow = [kind for kind in kinds if KINDS[kind].only]
        start = number * A_SLICE_PER_POINT
        wide = [kind for kind in kinds if kind not in narrow]
        wide = [wide[(start + turn) % len(wide)] for turn in range(A_SLICE_PER_POINT)]
        narrow = [narrow[(number + turn) % len(narrow)] for turn in range(min(NARROW_PER_POINT, len(narrow)))]
        cells += [
            Cell(kind, point, durations[(number + turn) % len(durations)]) for turn, kind in enumerate(wide + narrow)
        ]
    tasks = [Cell(kind, "task", durations[turn % 3]) for turn, kind in enumerate(TASK_KINDS)]
    return [*cells, *tasks, *ONCE_NOT_SURVIVED]


CELLS = everything() if FULL else a_slice()


def test_the_slice_has_every_kind_of_fault_and_every_use_of_a_call() -> None:
    cells = a_slice()
    assert {cell.kind_name for cell in cells} == {*KINDS, *TASK_KINDS}
    assert {cell.point_name for cell in cells} == {*POINTS, *RUNS}
    assert {cell.duration for cell in cells} == set(DURATIONS)
    assert len(set(everything())) == len(everything()) >= 1500


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.kind_name}:{cell.point_name}:{cell.duration}")
async def test_nothing_is_lost_and_the_queue_goes_on_after(
    cell: Cell, root: Path, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    hurry(monkeypatch)
    point, skip = cell.point, cell.point.skip
    if skip < 0:
        skip += await usual_calls(root / "usual", point.operation, point.match)
    settings = {"MAX_CONNECTION_ERROR_RETRIES": "2", **cell.kind.overrides}
    async with running_service(root / "world", **settings) as service:
        world = World(service)
        await suffer(world, cell, skip)
        place = service.place
    assert leftovers(place) == []
    count("Globus fault cells")


async def suffer(world: World, cell: Cell, skip: int) -> None:
    faults = world.service.sandbox.faults
    for operation, effect, times, later in cell.point.before:
        faults.add(operation, effect, times=None if (times, cell.times) == (FEW, None) else times, skip=later)
    await world.service.discover()
    if cell.point.gate is None:
        faults.add(cell.point.operation, cell.kind.effect, times=cell.times, skip=skip, match=cell.point.match)
    job_id = await world.submit("Project_Alpha")
    await lead_there(world, cell, job_id)
    await until_struck(world, cell, job_id)
    if cell.times is None:
        await must_wait_or_fail(world, cell, job_id)
    behind = await world.submit("Project_Beta")
    if cell.times is None:
        faults.clear()
    elif cell.point.held or cell.point.operation is Operation.RUN:
        world.lets_go = True
    await must_end_well(world, cell, job_id)
    await world.completed("Project_Beta", behind)
    assert world.losses() == []


async def lead_there(world: World, cell: Cell, job_id: str) -> None:
    """Cancel where this is about cancelling, and add the fault where it had to wait for another one."""
    sandbox, point = world.service.sandbox, cell.point
    if point.cancels:
        await world.service.until(job_id, "uploading")
        await until_at_work(sandbox)
        assert (await world.service.call("DELETE", f"/api/jobs/{job_id}"))[0] in (200, 202, 204)
    if point.gate is None:
        return
    last = max(index for index, before in enumerate(point.before) if before[0] is point.gate)
    effect = point.before[last][1]
    job = await world.follow(job_id, lambda _job: world.struck(point.gate or point.operation, effect) > 0)
    if job["status"] == "completed" and point.optional:
        pytest.skip("the product makes no such call")
    sandbox.faults.add(point.operation, cell.kind.effect, times=cell.times, match=point.match)


async def until_struck(world: World, cell: Cell, job_id: str) -> None:
    """The fault struck: every time it was to, or once where it need not or will go on."""
    point = cell.point
    goes_on = cell.times is None or point.operation is Operation.RUN
    # Events are words for people: their lack is no reason to ask again.
    asked_once = point.operation is Operation.EVENT_LIST or is_cancel_of_unseen_task(cell)
    need = 1 if goes_on or asked_once or cell.kind.harmless or point.optional else cell.times or 1

    def struck() -> bool:
        return world.struck(point.operation, cell.kind.effect) >= need

    if goes_on:
        await world.until_final_or(job_id, struck)
    else:
        await world.follow(job_id, lambda _job: struck())
    if not struck() and point.optional:
        pytest.skip("the product makes no such call")
    assert struck(), world.service.sandbox.faults.fired


def is_cancel_of_unseen_task(cell: Cell) -> bool:
    """Nobody can cancel a task that Globus does not show: the job says so, and ends."""
    return cell.point.cancels and cell.kind_name == "404-task"


async def must_wait_or_fail(world: World, cell: Cell, job_id: str) -> None:
    """The fault goes on: the job waits or has failed, says why, and its source is as it was."""
    pattern = cell.point.tells or cell.kind.told
    job = await world.said(job_id, pattern, quiet=cell.kind.quiet or bool(cell.point.tells))
    told = f"{job['current_operation']} {job['error_message']}"
    assert world.losses() == []
    if job["status"] in ("completed", "cancelled"):
        assert cell.kind.harmless or cell.point.optional or cell.point.cancels, f"completed in spite of it: {job}"
        return
    assert re.search(pattern, told), f"does not say {pattern!r}: {told}"
    if not cell.point.source_gone:
        assert world.oracles["Project_Alpha"].missing() == []


async def must_end_well(world: World, cell: Cell, job_id: str) -> None:
    if cell.point.cancels:
        job = await world.follow(job_id)
        assert job["status"] in ("cancelled", "completed"), job
        if job["status"] == "cancelled":
            assert world.oracles["Project_Alpha"].missing() == []
            unfinished = [task for task in world.service.sandbox.tasks.values() if task.is_unfinished]
            assert unfinished == [] or is_cancel_of_unseen_task(cell)
            return
    await world.completed("Project_Alpha", job_id)
    if not (world.failures or cell.is_broken_upload):
        assert executed(world.service.sandbox, ALPHA) == 1
