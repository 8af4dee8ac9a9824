"""The ways to copy a folder, each with its digests, beside `cp -a` and `rsync -a`, in turns."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from cs_archiver.domain.events import LogLevel
from cs_archiver.stages.strategies import Strategies, Strategy
from cs_archiver.tools.dd import Dd
from cs_archiver.tools.process import Processes
from cs_archiver.tools.rsync import Rsync
from cs_archiver.tools.threads import Work
from cs_archiver.tools.tree import Scan, hash_tree, scan_tree
from tests.bench.frame.benchmark import Benchmark, Claim, Findings, Order
from tests.bench.frame.document import table
from tests.bench.frame.rounds import Ratio, Spent, in_turns, ratio, spent

_THREADS = 4  # of the product, as [copy] threads
_MOST = 1.2
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


Way = Callable[[Path, Path], Awaitable[None]]


class _Silent:
    """A report nobody listens to."""

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        """Not heard."""

    async def log_all(self, lines: Sequence[tuple[LogLevel, str]]) -> None:
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


def _ways(scan: Scan) -> dict[str, Way]:
    return {
        _BASELINE: partial(_by_command, ["cp", "-a"]),
        "rsync -a": partial(_by_command, ["rsync", "-a"]),
        "digests alone": partial(_digests_alone, _THREADS, scan),
        **{f"product, {strategy.value}": partial(_by_strategy, strategy, _THREADS, scan) for strategy in Strategy},
    }


async def _timed(way: Way, source: Path, copy: Path, *, cold: bool) -> Spent:
    copy.mkdir()
    os.sync()
    if cold:
        _DROP_CACHES.write_text("3")
    with spent() as found:
        await way(source, copy)
    shutil.rmtree(copy)
    return found


async def _compared(shape: Shape, order: Order, *, cold: bool) -> dict[str, list[Spent]]:
    with tempfile.TemporaryDirectory(prefix="bench-copies-") as name:
        source, copy = Path(name) / "source", Path(name) / "copy"
        source.mkdir()
        shape.plant(source)
        scan = scan_tree(os.fsencode(source), threads=_THREADS, work=Work())
        sides = {what: partial(_timed, way, source, copy, cold=cold) for what, way in _ways(scan).items()}
        return await in_turns(order.rounds, sides)


def _ratio(found: dict[str, list[Spent]], what: str) -> Ratio:
    return ratio([run.wall for run in found[what]], [run.wall for run in found[_BASELINE]])


def _row(found: dict[str, list[Spent]], what: str) -> list[str]:
    walls, busy = ([getattr(run, kind) for run in found[what]] for kind in ("wall", "busy"))
    of_baseline = [run.busy for run in found[_BASELINE]]
    return [
        what,
        f"{median(walls):.2f} s",
        str(_ratio(found, what)),
        f"{median(busy):.2f} s",
        str(ratio(busy, of_baseline)),
    ]


def _claim(title: str, found: dict[str, list[Spent]]) -> Claim:
    best = min((what for what in found if what.startswith("product")), key=lambda what: _ratio(found, what).middle)
    reached = _ratio(found, best)
    bound = None if reached.middle <= _MOST else "SHA-256 of every byte, which `cp` never sees: see below"
    seconds = median(run.wall for run in found[best])
    return Claim(
        f"copy, {title}: {best}, with its digests", f"<= {_MOST} x `cp -a`", f"{seconds:.2f} s", str(reached), bound
    )


def _shapes(*, full: bool) -> list[Shape]:
    scale = 1.0 if full else 0.1
    return [
        Shape("many small", int(20_000 * scale), 5_000),
        Shape("few large", 4, int(250_000_000 * scale)),
    ]


async def _measure(order: Order) -> Findings:
    claims, tables = [], []
    for shape in _shapes(full=order.full):
        for cold in (False, True) if order.full and os.access(_DROP_CACHES, os.W_OK) else (False,):
            title = f"{shape.title}, {'cold' if cold else 'warm'}"
            if order.only not in title:
                continue
            found = await _compared(shape, order, cold=cold)
            claims.append(_claim(title, found))
            heads = (title, "time", "/ cp -a", "processor", "/ cp -a")
            tables.append(table(heads, [_row(found, what) for what in found]))
            order.tell(tables[-1])
    body = "\n\n".join(tables)
    about = f""""warm": the source is in memory; "cold": nothing is, as after `drop_caches`, which only root can see to.
{_THREADS} threads, in `{tempfile.gettempdir()}`."""
    return Findings(claims, f"{about}\n\n{body}\n{_BOUNDS}")


BENCHMARK = Benchmark("copies", "Copying", _measure, versions=("rsync",))
