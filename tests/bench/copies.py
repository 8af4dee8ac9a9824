"""The ways to copy a folder, each with its digests, beside `cp -a` and `rsync -a`, in turns. `--help` tells more."""

import argparse
import asyncio
import os
import platform
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from cs_archiver.domain.events import LogLevel
from cs_archiver.stages.strategies import Strategies, Strategy
from cs_archiver.tools.dd import Dd
from cs_archiver.tools.process import Processes
from cs_archiver.tools.rsync import Rsync
from cs_archiver.tools.threads import Work
from cs_archiver.tools.tree import Scan, hash_tree, scan_tree
from tests.bench.load.report import replace_in

_HEADING = "## Copying"
_DROP_CACHES = Path("/proc/sys/vm/drop_caches")
_BASELINE = "cp -a"

_BOUNDS = """
What bounds it: the processor. "digests alone" reads the folder and computes CRC32 and SHA-256, nothing else, while
`cp` never sees a byte: the kernel moves them. A large file is hashed on a second thread while its next blocks are
read and written, so that it takes as long as the longer of the two where two processors are free, and as long as both
where they are not. CRC32 comes from isal (56 GB/s here, where zlib computes 4), which leaves SHA-256 (1.8 GB/s, by
the processor's own instructions). A small file costs the calls that `cp` makes as well, its SHA-256, and about ten
microseconds of Python. `rsync` and `dd` know no digests, so that what they copied is read once more.
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """So many files of about `size` bytes each, a thousand to a folder."""

    name: str
    files: int
    size: int

    def plant(self, folder: Path) -> None:
        block = os.urandom(8 << 20)
        for number in range(self.files):
            path = folder / f"{number // 1000:04d}" / f"frame {number:07d}.dpx"
            path.parent.mkdir(exist_ok=True)
            left = self.size // 2 + number * 37 % self.size
            with path.open("wb") as file:
                while left > 0:
                    left -= file.write(block[number % 4096 :][:left])

    @property
    def title(self) -> str:
        return f"{self.name}: {self.files:,} files, {self.files * self.size / 1e6:,.0f} MB"


class Run(NamedTuple):
    """Seconds by the clock, and on a processor, of this process and all that it started."""

    wall: float
    processor: float


Way = Callable[[Path, Path], Awaitable[None]]


class _Silent:
    """A report nobody listens to."""

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        """Not heard."""

    async def recovered(self) -> None:
        """Not heard."""

    def operation(self, text: str) -> None:
        """Not heard."""

    def progress(self, **_figures: object) -> None:
        """Not heard."""


async def _by_command(argv: list[str], source: Path, copy: Path) -> None:
    process = await asyncio.create_subprocess_exec(*argv, f"{source}/.", str(copy))
    assert await process.wait() == 0


async def _by_strategy(strategy: Strategy, threads: int, scan: Scan, source: Path, copy: Path) -> None:
    """As the product copies, its digests included; the scan before it is none of the copy."""
    processes = Processes()
    strategies = Strategies(Rsync(processes), Dd(processes), threads=threads)
    digests = await strategies.copy(strategy, os.fsencode(source), os.fsencode(copy), scan, _Silent())
    assert sum(1 for _ in digests) == scan.total.files


async def _digests_alone(threads: int, scan: Scan, source: Path, _copy: Path) -> None:
    await asyncio.to_thread(lambda: hash_tree(os.fsencode(source), scan.entries, threads=threads, work=Work()))


def _ways(scan: Scan, threads: int) -> dict[str, Way]:
    return {
        _BASELINE: partial(_by_command, ["cp", "-a"]),
        "rsync -a": partial(_by_command, ["rsync", "-a"]),
        "digests alone": partial(_digests_alone, threads, scan),
        **{f"product, {strategy.value}": partial(_by_strategy, strategy, threads, scan) for strategy in Strategy},
    }


def _measure(way: Way, source: Path, copy: Path, *, cold: bool) -> Run:
    copy.mkdir()
    os.sync()
    if cold:
        _DROP_CACHES.write_text("3")
    busy, started = _processor_seconds(), time.perf_counter()
    asyncio.run(way(source, copy))  # type: ignore[arg-type]
    run = Run(time.perf_counter() - started, _processor_seconds() - busy)
    shutil.rmtree(copy)
    return run


def _processor_seconds() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def rows_of(shape: Shape, rounds: int, threads: int, *, cold: bool) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="bench-copies-") as name:
        source, copy = Path(name) / "source", Path(name) / "copy"
        source.mkdir()
        shape.plant(source)
        scan = scan_tree(os.fsencode(source), threads=threads, work=Work())
        ways = _ways(scan, threads)
        found: dict[str, list[Run]] = {way: [] for way in ways}
        for _ in range(rounds):
            for what, way in ways.items():
                found[what].append(_measure(way, source, copy, cold=cold))
    return [_row(what, runs, found[_BASELINE]) for what, runs in found.items()]


def _row(what: str, runs: list[Run], baseline: list[Run]) -> str:
    pairs = list(zip(runs, baseline, strict=True))
    wall = median(run.wall / base.wall for run, base in pairs)
    processor = median(run.processor / base.processor for run, base in pairs)
    seconds = (median(run.wall for run in runs), median(run.processor for run in runs))
    return f"| {what} | {seconds[0]:.2f} s | {wall:.2f} | {seconds[1]:.2f} s | {processor:.2f} |"


def shapes(scale: float) -> list[Shape]:
    return [
        Shape("many small", int(20_000 * scale), 5_000),
        Shape("few large", 4, int(250_000_000 * scale)),
    ]


def section_of(tables: list[str], arguments: argparse.Namespace) -> str:
    rsync = subprocess.run(["rsync", "-V"], capture_output=True, text=True, check=True).stdout.split()[2]
    return f"""{_HEADING}

`.venv/bin/python -m tests.bench.copies --cold --write docs/benchmarks.md` writes this section: {arguments.rounds}
rounds, all ways in turns, medians; the ratios are the medians of the rounds' ratios to `cp -a`. Taken on
{datetime.now(UTC):%Y-%m-%d}: {platform.machine()}, {os.cpu_count()} processors, load average {os.getloadavg()[2]:.1f}
over the last 15 minutes (other programs included); Python {platform.python_version()}, rsync {rsync},
{arguments.threads} threads; in `{tempfile.gettempdir()}`, {_file_system()}. "warm": the source is in memory; "cold":
nothing is (`drop_caches`).

{"".join(tables)}{_BOUNDS}"""


def _file_system() -> str:
    argv = ["stat", "-f", "-c", "%T", tempfile.gettempdir()]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.copies", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="times 20,000 files of 5 kB, and 4 of 250 MB")
    parser.add_argument("--threads", type=int, default=4, help="of the product, as [copy] threads")
    parser.add_argument("--only", default="", help="only folders that hold this in their name")
    parser.add_argument("--cold", action="store_true", help="also with nothing in memory, which only root can see to")
    parser.add_argument("--write", type=Path, help="put the figures into this file, in place of those there")
    arguments = parser.parse_args()
    tables = []
    for shape in shapes(arguments.scale):
        for cold in (False, True) if arguments.cold else (False,):
            if arguments.only in shape.name:
                rows = rows_of(shape, arguments.rounds, arguments.threads, cold=cold)
                title = f"{shape.title}, {'cold' if cold else 'warm'}"
                head = f"| {title} | time | / cp -a | processor | / cp -a |\n|---|---|---|---|---|\n"
                tables.append(head + "".join(f"{row}\n" for row in rows) + "\n")
                print(tables[-1], flush=True)
    if arguments.write:
        replace_in(arguments.write, section_of(tables, arguments))


if __name__ == "__main__":
    main()
