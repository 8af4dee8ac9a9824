"""Very many small files in one job: memory, the event loop, and each stage beside a script of the bare commands."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cs_archiver.clock import from_text
from cs_archiver.demo.compare import compare, extract
from tests.bench.frame.benchmark import Benchmark, Claim, Findings, Order
from tests.bench.frame.document import table
from tests.bench.frame.rounds import Spent, command, percentiles
from tests.bench.gauges import Gauge, Lateness, gauged, lateness
from tests.support.service import Place, Service, keep_copy, query, running_service

_STAGES = ("copying", "compressing", "verifying", "uploading", "upload_verifying", "deleting_source")
_MOST_MEMORY_BYTES = 400_000_000
_LATEST_SECONDS = 0.05
_JOB_SECONDS = 3 * 3600


@dataclass(frozen=True, slots=True)
class _Case:
    """So many files of about `size` bytes, in one folder or a thousand to each."""

    files: int
    size: int
    flat: bool

    @property
    def name(self) -> str:
        return (
            f"{self.files:,} files of about {self.size:,} bytes, {'in one folder' if self.flat else '1,000 a folder'}"
        )


_QUICK = (_Case(20_000, 4_600, flat=True), _Case(20_000, 4_600, flat=False))
_FULL = (_Case(1_000_000, 300, flat=True), _Case(100_000, 4_600, flat=False))


@dataclass(frozen=True, slots=True)
class _Outcome:
    stages: dict[str, tuple[float, int, float, float]]  # seconds, resident bytes, own and tools' processor seconds
    seconds: float
    bare: Spent
    late: Lateness

    @property
    def memory(self) -> int:
        return max(resident for _, resident, _, _ in self.stages.values())


def _build(folder: Path, case: _Case) -> None:
    block = os.urandom(1 << 20)
    for number in range(case.files):
        sub = folder if case.flat else folder / f"{number // 1000:04d}"
        if number % 1000 == 0:
            sub.mkdir(exist_ok=True)
        start = number * 37 % (len(block) - 2 * case.size)
        content = block[start : start + case.size // 4 + number % (3 * case.size // 2)]
        (sub / f"frame {number:07d}.dpx").write_bytes(content)


async def _bare(folder: Path, scratch: Path) -> Spent:
    """What the requirements' commands take by themselves, without any proof; the copy is what is removed at the end."""
    copy, archive, remote = scratch / "copy", scratch / "bare.7z", scratch / "remote.7z"
    copy.mkdir(parents=True)
    spent = Spent()
    for argv in (
        ("rsync", "-a", f"{folder}/", f"{copy}/"),
        ("7z", "a", "-t7z", "-mx1", "-mmt=on", "-bso0", "-bsp0", archive, copy),
        ("7z", "t", "-bso0", "-bsp0", archive),
        ("cp", archive, remote),
        ("cmp", archive, remote),
        ("rm", "-r", copy),
    ):
        took = await command(*argv)
        spent.wall, spent.busy = spent.wall + took.wall, spent.busy + took.busy
    shutil.rmtree(scratch)
    return spent


async def _through_product(root: Path, case: _Case) -> _Outcome:
    place = Place(root)
    folder = place.folder("Measured")
    _build(folder, case)
    bare = await _bare(folder, root / "bare")
    original = keep_copy(folder, root / "originals")
    async with running_service(root) as service:
        await service.discover()
        with gauged() as gauge:
            async with lateness() as late:
                job = await service.until(await service.submit(folder), seconds=_JOB_SECONDS)
        assert job["status"] == "completed", job
        stages, seconds = _stages(service, job["job_id"], gauge)
    await asyncio.to_thread(extract, place.archive_of(folder), root / "restored")
    assert not compare(original, root / "restored" / folder.name)
    return _Outcome(stages, seconds, bare, late)


def _stages(service: Service, job_id: str, gauge: Gauge) -> tuple[dict[str, tuple[float, int, float, float]], float]:
    rows = query(service, "SELECT to_status, at FROM job_history WHERE job_id = ? ORDER BY id", job_id)
    times = [(status, from_text(at).timestamp()) for status, at in rows]
    stages = {
        status: (ended - begun, *gauge.between(begun, ended))
        for (status, begun), (_, ended) in pairwise(times)
        if status in _STAGES
    }
    return stages, times[-1][1] - times[0][1]


@contextmanager
def _folder() -> Iterator[Path]:
    """On the disk, unless TMPDIR says otherwise."""
    root = Path(tempfile.mkdtemp(prefix="bench-many-"))
    try:
        yield root
    finally:
        shutil.rmtree(root)


def _claims(case: _Case, outcome: _Outcome) -> list[Claim]:
    late, own, idle = (
        percentiles(found, 0.99)[0] for found in (outcome.late.here, outcome.late.own, outcome.late.idle)
    )
    ratio = f"{outcome.seconds / outcome.bare.wall:.2f} of the bare commands' time"
    return [
        Claim(
            f"{case.name}: the job completes, restored equal; resident memory",
            "< 400 MB",
            f"{outcome.memory / 1e6:.0f} MB",
            ratio,
            None if outcome.memory < _MOST_MEMORY_BYTES else "the packed entries of the scans that are compared",
        ),
        Claim(
            f"{case.name}: a timer of the event loop is late by, p99",
            "< 50 ms",
            f"{late * 1000:.0f} ms",
            f"without its wait for a processor {own * 1000:.0f} ms; in an idle program beside it {idle * 1000:.0f} ms",
            None if late < _LATEST_SECONDS else "threads that hold Python's lock, and other programs",
        ),
    ]


def _rows(case: _Case, outcome: _Outcome) -> list[list[str]]:
    return [
        [
            case.name if status == _STAGES[0] else "",
            status,
            f"{seconds:.1f} s",
            f"{own:.1f} s",
            f"{tools:.1f} s",
            f"{resident / 1e6:.0f} MB",
        ]
        for status, (seconds, resident, own, tools) in outcome.stages.items()
    ]


def _summary(case: _Case, outcome: _Outcome) -> list[str]:
    middle, most, latest = percentiles(outcome.late.here, 0.5, 0.99, 1.0)
    own = percentiles(outcome.late.own, 0.99, 1.0)
    return [
        case.name,
        f"{outcome.bare.wall:.1f} s",
        f"{outcome.bare.busy:.1f} s",
        f"{outcome.seconds:.1f} s",
        f"{outcome.seconds / outcome.bare.wall:.2f}",
        f"{outcome.memory / 1e6:.0f} MB",
        f"{middle * 1000:.1f}, {most * 1000:.0f}, {latest * 1000:.0f} ms",
        f"{own[0] * 1000:.0f}, {own[1] * 1000:.0f} ms",
    ]


_HEADS = (
    "Folder",
    "bare commands",
    "processor",
    "product",
    "ratio",
    "memory",
    "timer late: p50, p99, most",
    "own: p99, most",
)
_STAGE_HEADS = ("Folder", "stage", "time", "processor, own", "of its tools", "memory")


async def _measure(order: Order) -> Findings:
    claims: list[Claim] = []
    summaries, stages = [], []
    for case in _FULL if order.full else _QUICK:
        if order.only not in case.name:
            continue
        with _folder() as root:
            outcome = await _through_product(root, case)
        order.tell(" | ".join(_summary(case, outcome)))
        claims += _claims(case, outcome)
        summaries.append(_summary(case, outcome))
        stages += _rows(case, outcome)
    return Findings(
        claims,
        f"""One run each, since the largest takes long: the bare commands first (`rsync -a`, `7z a -mx1`, `7z t`, `cp`,
`cmp`, `rm -r`), then the product with its sandbox in one process, so that memory and processor seconds are of both.
Each archive is unpacked with stock 7-Zip and compared with a copy that nothing of the product touches.

{table(_HEADS, summaries)}

{table(_STAGE_HEADS, stages)}

What bounds it: the file system, which creates each file once and deletes it twice, and Python's work for every entry in
the scans, the two readings, the manifest's rows and the look before each deletion. "Own" is how late the timer was
without the time in which its thread waited for a processor that other programs had.""",
    )


BENCHMARK = Benchmark("many", "Very many files", _measure, versions=("7-Zip", "rsync"), in_rounds=False)
