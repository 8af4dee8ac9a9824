"""The plug is pulled right before system calls that change something: nothing is lost, and every job is finished.

One case is one point: the n-th such call that a role (the service, 7z, rsync, dd, or what starts them) makes in a
canonical job. How many calls there are is learnt from a run that nobody disturbs, once a test run; `3of30` is the
third of 30 ordinals spread over all of them, from the first to the last. The process that is about to make the call
gets SIGKILL (see kill_points); it must really have died, or the point does not count. A killed service is started
again; a killed tool must not end the service, which tries again. strace stands by as a witness: it sees no call
that the watch does not, and it pulls the plug as well.

Each run ends with an empty temp/, no partial archive, no process left, one real upload of each folder, the marker,
and an archive that stock 7-Zip restores; nothing is lost in between either.
"""

import os
import re
import shutil
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Once
from tests.faults.kill_jobs import JOBS, World, world_of
from tests.faults.kill_points import CALLS, TO_A_FILE, Case, Point, Watch, cases, shares_of, why_not
from tests.faults.process import ServiceProcess, state_of
from tests.faults.scale import pick
from tests.support.tally import Count

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]
NEEDS_STRACE = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing: apt-get install strace")

_MOST_MISSED = 3
_MOST_MISSED_SHARE = 0.05
_STRACE_POINTS = [("linkat", 1), ("fsync", 2), ("linkat", 2), ("unlinkat", 20), ("pwrite64", 150), ("rmdir", 1)]
_SIDE_BY_SIDE = [Case("wide", "service", "unlinkat", share, 156) for share in (50, 110)]
_OFTEN = [("tree", "7z", "write", 2), ("rsync", "rsync", "write", 1), ("dd", "dd", "write", 1)]
_ALL_OFTEN = [
    *_OFTEN,
    *[(job, "7z", call, number) for job in ("one", "parallel") for call, number in (("openat", 1), ("write", 1))],
    *[("rsync", "rsync", call, 1) for call in ("openat", "mkdirat", "renameat", "fchmod", "utimensat", "symlinkat")],
    *[("dd", "dd", call, number) for call, number in (("openat", 1), ("write", 2))],
]


class Missed:
    """Points that no process came to are reported, and too many of them are a failure of this suite."""

    tried = 0
    missed = 0

    @classmethod
    def note(cls, count: Count, case: Case) -> None:
        cls.missed += 1
        count("kill points not reached, and not counted")
        allowed = max(_MOST_MISSED, _MOST_MISSED_SHARE * cls.tried)
        assert cls.missed <= allowed, f"{case} is one of {cls.missed} points of {cls.tried} that nobody came to"


async def calls_of(job: str, root: Path, once: Once) -> Counter[tuple[str, str]]:
    """How often each role makes each call in a run that nobody disturbs; the same for every case of a test run."""

    async def look() -> list[list[Any]]:
        async with world_of(JOBS[job], root / "undisturbed") as world:
            await world.be_killed_before()
            service = await world.live(world.watched(None))
            assert world.is_done()
            world.require_all_well()
        assert service.watch is not None
        return [[*kind, made] for kind, made in service.watch.counts.items()]

    return Counter({(role, call): made for role, call, made in await once(f"calls-of-{job}", look)})


@pytest.mark.parametrize("case", pick(_SIDE_BY_SIDE, []) + cases(pick(34, 1_000_000)), ids=str)
async def test_killed_right_before_a_call_nothing_is_lost_and_the_job_is_finished(
    root: Path, once: Once, count: Count, case: Case
) -> None:
    Missed.tried += 1
    calls = await calls_of(case.job, root, once)
    case = case.as_made(calls)
    made = calls[case.role, case.call]
    point = case.point(made)
    if point is None:
        Missed.note(count, case)
        return
    try:
        async with world_of(JOBS[case.job], root / "world") as world:
            if await is_killed_at(world, point):
                count("kill points survived")
                count(f"  of them in {case.role}")
            else:
                Missed.note(count, case)
    except BaseException as error:
        error.add_note(f"killed at {point}, of {made} in an undisturbed run")
        raise


async def is_killed_at(world: World, point: Point) -> bool:
    """Whether somebody came to the point, and died of it; either way all is well in the end."""
    await world.be_killed_before()
    service = await world.live(world.watched(point))
    assert service.watch is not None
    victims = service.watch.victims
    if not victims:
        assert world.is_done()
    elif point.role == "service":
        assert victims == [("service", service.pid)]
        assert service.returncode == -signal.SIGKILL
    else:
        assert [role for role, _ in victims] == [point.role]
        assert service.pid not in dict(victims).values()
        # Killed while the service starts, a tool may end that: it must say so.
        assert world.is_done() if service.was_ready else "cs-archiver: " in service.printed
    await world.live_to_the_end()
    world.require_all_well()
    return bool(victims)


@pytest.mark.parametrize(("job", "role", "call", "ordinal"), _ALL_OFTEN if pick(0, 1) else _OFTEN)
async def test_a_tool_that_dies_each_time_fails_the_job_which_says_so_and_a_retry_finishes_it(
    root: Path, count: Count, job: str, role: str, call: str, ordinal: int
) -> None:
    """The 4 runs of the tool (a job is tried again 3 times) are killed each; then the fault is taken away."""
    async with world_of(JOBS[job], root) as world:
        service = ServiceProcess(world.environment, root)
        try:
            assert await service.start(world.watched(None))
            assert service.watch is not None
            service.watch.point = Point(role, call, ordinal, each=True)
            await world.use(service)
            assert len(service.watch.victims) == 4
            assert {victim for victim, _ in service.watch.victims} == {role}
            assert world.is_done()
        finally:
            await service.bury()
        world.require_all_well()
    count("tools that died each time, told of, and finished after a retry")


@pytest.mark.parametrize(("job", "tool"), [("tree", "7z"), ("rsync", "rsync"), ("dd", "dd")])
async def test_while_an_orphaned_tool_lives_no_second_service_starts(
    root: Path, count: Count, job: str, tool: str
) -> None:
    def watched(listener: int, service: int) -> Watch:
        def orphan(process: int) -> bool:
            os.kill(process, signal.SIGSTOP)  # or it would end when the kernel tells it to
            while state_of(process) != "T":
                os.sched_yield()
            os.kill(service, signal.SIGKILL)
            return False

        return Watch(listener, service, root, point=Point(tool, "write", 2), blow=orphan)

    async with world_of(JOBS[job], root) as world:
        first, second = (ServiceProcess(world.environment, root) for _ in range(2))
        try:
            assert await first.start(watched)
            await world.use(first)
            assert first.watch is not None
            assert [role for role, _ in first.watch.victims] == [tool]
            assert not await second.start()
            assert "another CS Archiver" in second.printed
            assert await second.ended(10)
            assert second.returncode == 1
        finally:
            if second.was_ready:
                await second.bury()
            for _, process in [] if first.watch is None else first.watch.victims:
                os.kill(process, signal.SIGCONT)
            await first.bury()
        assert world.losses() == []
        await world.live_to_the_end()
        world.require_all_well()
    count("second starts refused while an orphan lived")


async def test_killed_while_it_first_marks_a_submission_the_service_does_not_take_its_database_for_an_older_one(
    root: Path,
) -> None:
    def is_being_marked(world: World) -> bool:
        mark = world.place.storage / ".cs-archiver.sent"
        return mark.exists() and mark.stat().st_size == 0

    async with world_of(replace(JOBS["one"], before=is_being_marked), root) as world:
        await world.be_killed_before()
        await world.live_to_the_end()
        world.require_all_well()


@pytest.mark.parametrize("job", list(JOBS))
async def test_no_kind_of_call_of_a_canonical_job_is_without_points(root: Path, once: Once, job: str) -> None:
    made = await calls_of(job, root, once)
    without = {(role, call) for role, call in made if not shares_of(job, role, call)}
    assert not without, f"give these kinds points in SHARES: {without}"


async def test_several_threads_delete_the_source_of_the_wide_job(root: Path) -> None:
    async with world_of(JOBS["wide"], root) as world:
        service = await world.live(world.watched(None))
        world.require_all_well()
    assert service.watch is not None
    deleted = service.watch.by_thread["service", "unlinkat"]
    assert sum(made >= 20 for made in deleted.values()) > 2, deleted


@NEEDS_STRACE
@pytest.mark.parametrize("job", list(JOBS) if pick(0, 1) else ["rsync", "dd"])
async def test_strace_sees_no_call_that_the_watch_does_not_see(root: Path, count: Count, job: str) -> None:
    log = root.parent / f"{root.name}.strace"
    traced = ",".join(f"?{call}" for call in CALLS)
    try:
        async with world_of(JOBS[job], root) as world:
            await world.be_killed_before()
            service = await world.live(world.watched(None), strace=("-y", "-o", str(log), "-e", f"trace={traced}"))
            world.require_all_well()
        assert service.watch is not None
        seen: Counter[str] = Counter()
        for (_, call), made in service.watch.counts.items():
            seen[call] += made
        assert calls_in(log, root) == seen
    finally:
        log.unlink(missing_ok=True)
    count("system calls seen by strace and by the watch alike", seen.total())


def calls_in(log: Path, world: Path) -> Counter[str]:
    """The calls in a log of strace that change something."""
    found: Counter[str] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"\d+ +(\w+)\((.*)", line)
        if match is None:
            continue
        call, arguments = match.groups()
        to_file = re.match(rf"\d+<{re.escape(str(world))}(?!/state/app\.log|/printed\.txt)", arguments)
        opens = call not in ("open", "openat") or re.search("O_CREAT|O_TRUNC", arguments)
        found[call] += bool(opens and (call not in TO_A_FILE or to_file))
    return +found


@NEEDS_STRACE
@pytest.mark.parametrize(("call", "number"), _STRACE_POINTS)
async def test_killed_by_strace_nothing_is_lost_and_the_job_is_finished(
    root: Path, count: Count, call: str, number: int
) -> None:
    log = root / "strace.txt"
    kill = ("-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
    async with world_of(JOBS["tree"], root / "world") as world:
        service = await world.live(strace=kill)
        assert f"{service.pid} " in log.read_text()
        assert "+++ killed by SIGKILL +++" in log.read_text()
        assert service.returncode == -signal.SIGKILL
        await world.live_to_the_end()
        world.require_all_well()
    count("kills by strace survived")
