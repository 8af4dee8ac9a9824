"""One job through the product beside a shell script of the bare commands, for media, text, and a mix of both."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from cs_archiver.clock import from_text
from tests.bench.frame.benchmark import Benchmark, Claim, Findings, Order
from tests.bench.frame.disk import FORGOTTEN, forget
from tests.bench.frame.document import table
from tests.bench.frame.rounds import Ratio, command, in_turns, ratio, spent
from tests.bench.planted import ONE_SMALL, Case, cases
from tests.support.service import FINAL, Place, Service, query, running_service

STAGES = ("queued", "copying", "compressing", "verifying", "uploading", "upload_verifying", "deleting_source")
MODES = ("fast", "auto")
_LOOK_SECONDS = 0.02
_MOST_SECONDS = 7200
_MOST_FAST, _MOST_AUTO, _MOST_SIZE = 1.10, 0.15, 1.01
# The commands of the requirements, nothing else: no proof of the copy, no look at the source before it is deleted.
# After each it says when it was done. The copy goes where the product's does, after the test.
_SCRIPT = """
set -e
done_at() { echo $EPOCHREALTIME >> "$2/times"; }
rsync -a "$1/" "$2/copy/"; done_at "$@"
7z a -t7z -mx1 -mmt=on -bso0 -bsp0 "$2/archive.7z" "$2/copy"; done_at "$@"
7z t -bso0 -bsp0 "$2/archive.7z"; rm -r "$2/copy"; done_at "$@"
cp "$2/archive.7z" "$2/remote.7z"; done_at "$@"
cmp "$2/archive.7z" "$2/remote.7z"; done_at "$@"
rm -r "$1" "$2/archive.7z"; done_at "$@"
"""
_OF_SCRIPT = STAGES[1:]  # each command does what the product does in this state


class Run(NamedTuple):
    """Seconds, of them on a processor, the archive's size in bytes, and the seconds of each state of the job."""

    seconds: float
    processor: float
    size: int
    stages: Mapping[str, float]


async def by_script(original: Path, root: Path) -> Run:
    scratch = root / "script"
    folder = await _fresh(original, scratch / original.name)
    began = time.time()
    took = await command("bash", "-c", _SCRIPT, "bash", folder, scratch)
    size = (scratch / "remote.7z").stat().st_size
    ends = [began, *map(float, (scratch / "times").read_text().split())]
    shutil.rmtree(scratch)
    stages = {stage: after - before for stage, (before, after) in zip(_OF_SCRIPT, pairwise(ends), strict=True)}
    return Run(took.wall, took.busy, size, stages)


async def by_product(original: Path, service: Service, number: int) -> Run:
    folder = service.place.folder(f"Measured {number}")
    await _fresh(original, folder)
    await service.discover()
    with spent() as took:
        began = time.time()
        job_id = await service.submit(folder)
        await _ended(service, job_id)
    rows = query(service, "SELECT to_status, at FROM job_history WHERE job_id = ? ORDER BY id", job_id)
    times = [(status, from_text(at)) for status, at in rows]
    stages = {status: (after - at).total_seconds() for (status, at), (_, after) in pairwise(times)}
    archive = service.place.archive_of(folder)
    size = archive.stat().st_size
    archive.unlink()
    return Run(times[-1][1].timestamp() - began, took.busy, size, stages)


async def _ended(service: Service, job_id: str) -> None:
    """Looks at the database from outside, so that to be watched costs the service nothing."""
    with closing(sqlite3.connect(f"file:{service.place.database}?mode=ro", uri=True)) as connection:
        async with asyncio.timeout(_MOST_SECONDS):
            while True:
                ((status,),) = connection.execute("SELECT status FROM jobs WHERE id = ?", (job_id,))
                if status in FINAL:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
    if status != "completed":
        raise RuntimeError("\n".join(await service.log_of(job_id)))


async def _fresh(original: Path, folder: Path) -> Path:
    """A copy to be archived. What is still to be written of it must not slow down what is measured next."""
    forget()
    folder.parent.mkdir(parents=True, exist_ok=True)
    await command("cp", "-a", "-T", original, folder)
    os.sync()
    return folder


async def measured(case: Case, rounds: int) -> dict[str, list[Run]]:
    with tempfile.TemporaryDirectory(prefix="bench-pipeline-") as name:
        root = Path(name)
        original = root / "original"
        original.mkdir()
        case.plant(original)
        async with AsyncExitStack() as stack:
            sides: dict[str, Callable[[], Awaitable[Run]]] = {"script": lambda: by_script(original, root)}
            for mode in MODES:
                place = Place(root / mode)
                # As by default: that Globus is asked often at first is what is measured.
                values = {"COMPRESSION_MODE": mode, "UPLOAD_TASK_POLL_INTERVAL_SECONDS": "60"}
                service = await stack.enter_async_context(running_service(place.root, **values))
                sides[mode] = _by_turns(original, service)
            return await in_turns(rounds, sides)


def _by_turns(original: Path, service: Service) -> Callable[[], Awaitable[Run]]:
    numbers = iter(range(1_000_000))
    return lambda: by_product(original, service, next(numbers))


@dataclass(frozen=True, slots=True)
class Line:
    """What the sides came to in one case; `of_a_job` are the medians for one small file."""

    case: Case
    runs: Mapping[str, list[Run]]
    of_a_job: Mapping[str, float]

    def seconds(self, side: str) -> float:
        return median(run.seconds for run in self.runs[side])

    def ratio(self, mode: str) -> Ratio:
        return ratio([run.seconds for run in self.runs[mode]], [run.seconds for run in self.runs["script"]])

    def busy(self, mode: str) -> Ratio:
        return ratio([run.processor for run in self.runs[mode]], [run.processor for run in self.runs["script"]])

    def beyond_a_job(self, mode: str) -> float:
        """The ratio of what comes on top of a job of one small file: towards which it goes as folders grow."""
        more, base = (self.seconds(side) - self.of_a_job[side] for side in (mode, "script"))
        return more / base

    @property
    def size(self) -> float:
        """Of the archive in `auto`, as a share of that in `fast`."""
        return median(run.size for run in self.runs["auto"]) / median(run.size for run in self.runs["fast"])

    def stages(self, side: str) -> dict[str, float]:
        """Seconds, medians."""
        return {stage: median(run.stages.get(stage, 0.0) for run in self.runs[side]) for stage in STAGES}

    def added(self, mode: str) -> dict[str, float]:
        """Seconds that each state takes beyond what the script takes for the same."""
        base = self.stages("script")
        return {stage: seconds - base[stage] for stage, seconds in self.stages(mode).items()}


def _largest(seconds: Mapping[str, float]) -> str:
    """The states that take most, until two thirds of all are named."""
    over = {stage: of_one for stage, of_one in seconds.items() if of_one > 0}
    named: dict[str, float] = {}
    for stage in sorted(over, key=lambda stage: -over[stage]):
        if sum(named.values()) < sum(over.values()) * 2 / 3:
            named[stage] = over[stage]
    return ", ".join(f"{stage} {of_one:.2f} s" for stage, of_one in named.items())


def _row(line: Line) -> list[str]:
    cells = [line.case.name, f"{line.case.megabytes:.3g} MB", f"{line.seconds('script'):.2f} s"]
    for mode in MODES:
        beyond = "" if line.case is ONE_SMALL else f"{line.beyond_a_job(mode):.2f}"
        cells += [f"{line.seconds(mode):.2f} s", str(line.ratio(mode)), beyond, f"{line.busy(mode).middle:.2f}"]
    return [*cells, f"{line.size:.3f}"]


_HEADS = (
    "Folder", "size", "script",
    *(head for mode in MODES for head in (f"`{mode}`", "/ script", "beyond one small file", "processor / script")),
    "archive, `auto` / `fast`",
)  # fmt: skip


def _claims(lines: list[Line]) -> list[Claim]:
    one, *others = lines
    claims = [
        _ratio_claim(line, "fast", _MOST_FAST, f"beyond the script's: {_largest(line.added('fast'))}")
        for line in others
    ] + [
        _ratio_claim(line, "auto", _MOST_AUTO, f"most of it: {_largest(line.stages('auto'))}")
        for line in others
        if line.case.kind == "media"
    ]
    largest = max(line.size for line in others)
    return [
        *claims,
        Claim(
            "archive size in `auto` / in `fast`, the largest of these folders, whose types are each of one kind",
            f"<= {_MOST_SIZE}",
            f"{largest:.3f}",
            f"{largest:.3f}",
            None if largest <= _MOST_SIZE else "what samples did not show",
        ),
        Claim(
            f"what a job costs by itself: {one.case.name}, `fast`",
            "",
            f"{one.seconds('fast') * 1000:.0f} ms against {one.seconds('script') * 1000:.0f} ms",
            str(one.ratio("fast")),
            None,
        ),
    ]


def _ratio_claim(line: Line, mode: str, most: float, bound: str) -> Claim:
    found = line.ratio(mode)
    measured = f"{line.seconds(mode):.2f} s against {line.seconds('script'):.2f} s"
    what = f"one job in `{mode}` / the script: {line.case.name}"
    return Claim(what, f"<= {most:.2f}", measured, str(found), None if found.middle <= most else bound)


def _body(lines: list[Line]) -> str:
    stages = [
        [line.case.name, side, *(f"{seconds:.2f}" for seconds in line.stages(side).values())]
        for line in lines
        for side in ("script", *MODES)
    ]
    bounds = [[line.case.name, _largest(line.added("fast")), _largest(line.stages("auto"))] for line in lines]
    return f"""The script is `rsync -a`, `7z a -mx1 -mmt=on`, `7z t`, `cp` to the remote folder, `cmp`, `rm -r`, and
nothing else. The product does this too; besides it scans the source and the copy anew wherever it relies on them,
hashes every file while it copies it and once more before it deletes it, compares the archive's listing with the
manifest, hashes the archive twice, has Globus (the sandbox, in the same process) compute checksums of both sides and
compare them in a second task, makes everything durable, and deletes entry by entry. "/ script" is the median of the
ratios of the rounds, with the least and the most. "Beyond one small file" leaves out, of both sides, what the first
line takes: it is what the ratio goes towards as folders grow. "processor" counts the seconds that all processes
together had a processor. {FORGOTTEN}

{table(_HEADS, map(_row, lines))}

Seconds in each state of the job, and of the script in the commands that do the same, medians:

{table(("Folder", "side", *STAGES), stages)}

What bounds it are these states, the largest first, until two thirds of all are named: in `fast` by what they take
beyond the script, in `auto`, which is to leave 7-Zip's time out, by what they take.

{table(("Folder", "`fast`, beyond the script", "`auto`"), bounds)}

`auto` compresses what shrinks by at least 1 % in samples, so it gains nothing on text and nearly all of it on media.
Where samples mislead, as with equal files that do not shrink by themselves, or types of which few shrink, its archive
may be much larger than that of `fast`."""


async def _measure(order: Order) -> Findings:
    lines: list[Line] = []
    for case in cases(full=order.full):
        if case is ONE_SMALL or order.only in case.name:
            runs = await measured(case, order.rounds)
            here = {side: median(run.seconds for run in of_side) for side, of_side in runs.items()}
            lines.append(Line(case, runs, lines[0].of_a_job if lines else here))
            order.tell(" | ".join(_row(lines[-1])))
    return Findings(_claims(lines), _body(lines))


BENCHMARK = Benchmark("pipeline", "The pipeline", _measure, versions=("7-Zip", "rsync", "coreutils", "SQLite"))
