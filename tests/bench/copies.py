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
from cs_archiver.tools.hashing import hash_tree
from cs_archiver.tools.process import Processes
from cs_archiver.tools.rsync import Rsync
from cs_archiver.tools.threads import Work
from cs_archiver.tools.tree import Scan, scan_tree
from tests.bench.frame.benchmark import Benchmark, Claim, Findings, Order
from tests.bench.frame.disk import CAN_FORGET, FORGOTTEN, forget
from tests.bench.frame.document import table
from tests.bench.frame.rounds import Ratio, Spent, in_turns, ratio, spent

_THREADS = 4  # of the product, as [copy] threads
_STEP = 7919  # a prime
_MOST_WARM, _MOST_COLD = 1.2, 1.05
_COPIED = "cp -a"
_READ = "read alone"
_DIGESTS = "digests alone"

_BOUNDS = f"""
"{_READ}" is `cat` of all files to /dev/null, one after the other: what the disk takes when the source is cold, unless
"{_DIGESTS}" takes less, which fetches files before it reads them. That reads the folder as the product does and
computes CRC32 and SHA-256, nothing else, while `cp` never sees a byte: the kernel moves them. A large file is hashed on
a second thread while its next blocks are read and written, so that it takes as long as the longer of the two where two
processors are free, and as long as both where they are not. `rsync` and `dd` know no digests, so that what they copied
is read once more, while they copy the rest. By default folders up to 1 GB are copied by shutil, up to 100 GB by rsync,
up to 1 TB by dd, and only larger ones by parallel threads: `[copy]` sets that. Shutil and parallel
threads are the same by now. A copy of many small files keeps one processor busy nearly all the time: what bounds it is
the eleven calls that each takes, one after the other.
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
            left = self._size_of(number)
            with path.open("wb") as file:
                while left > 0:
                    left -= file.write(block[number % 4096 :][:left])

    def _size_of(self, number: int) -> int:
        """From half of `size` to one and a half, one after the other in no order."""
        return self.size // 2 + number * _STEP % self.files * self.size // (self.files - 1)

    @property
    def title(self) -> str:
        size = sum(map(self._size_of, range(self.files)))
        return f"{self.name}: {self.files:,} files, {size / 1e6:,.0f} MB"


Way = Callable[[Path, Path], Awaitable[None]]


class _Silent:
    """A report nobody listens to."""

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        """Not heard."""

    async def log_all(self, lines: Sequence[tuple[LogLevel, str]]) -> None:
        """Not heard."""

    async def record(self, **_facts: object) -> None:
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


async def _read_alone(source: Path, _copy: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "find", str(source), "-type", "f", "-exec", "cat", "{}", "+", stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0


async def _digests_alone(threads: int, scan: Scan, source: Path, _copy: Path) -> None:
    await asyncio.to_thread(lambda: hash_tree(os.fsencode(source), scan.entries, threads=threads, work=Work()))


def _ways(scan: Scan) -> dict[str, Way]:
    return {
        _COPIED: partial(_by_command, ["cp", "-a"]),
        "rsync -a": partial(_by_command, ["rsync", "-a"]),
        _READ: _read_alone,
        _DIGESTS: partial(_digests_alone, _THREADS, scan),
        **{f"product, {strategy.value}": partial(_by_strategy, strategy, _THREADS, scan) for strategy in Strategy},
    }


async def _timed(way: Way, source: Path, copy: Path, *, cold: bool) -> Spent:
    forget()
    if not cold:
        await _read_alone(source, copy)
    copy.mkdir()
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


def _ratio(found: dict[str, list[Spent]], what: str, to: str = _COPIED) -> Ratio:
    return ratio([run.wall for run in found[what]], [run.wall for run in found[to]])


def _row(found: dict[str, list[Spent]], what: str) -> list[str]:
    walls, busy = ([getattr(run, kind) for run in found[what]] for kind in ("wall", "busy"))
    of_cp = [run.busy for run in found[_COPIED]]
    return [
        what,
        f"{median(walls):.2f} s",
        str(_ratio(found, what)),
        str(_ratio(found, what, _READ)),
        f"{median(busy):.2f} s",
        str(ratio(busy, of_cp)),
    ]


def _claim(title: str, found: dict[str, list[Spent]], *, cold: bool) -> Claim:
    """Warm, beside `cp -a`; cold, beside what the disk takes to read the source."""
    base, most = (_READ, _MOST_COLD) if cold else (_COPIED, _MOST_WARM)
    best = min(
        (what for what in found if what.startswith("product")), key=lambda what: _ratio(found, what, base).middle
    )
    reached = _ratio(found, best, base)
    busy = median(run.busy for run in found[best])
    others = ", ".join(f"{what} {_ratio(found, what, base).middle:.2f}" for what in (_COPIED, _DIGESTS) if what != base)
    return Claim(
        f"copy, {title}: {best}, with its digests",
        f"<= {most} x {'the disk' if cold else '`cp -a`'}",
        f"{median(run.wall for run in found[best]):.2f} s",
        str(reached),
        None if reached.middle <= most else f"of the same baseline: {others}; on a processor {busy:.2f} s",
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
        for cold in (False, True) if order.full and CAN_FORGET else (False,):
            title = f"{shape.title}, {'cold' if cold else 'warm'}"
            if order.only not in title:
                continue
            found = await _compared(shape, order, cold=cold)
            claims.append(_claim(title, found, cold=cold))
            heads = (title, "time", "/ cp -a", f"/ {_READ}", "processor", "/ cp -a")
            tables.append(table(heads, [_row(found, what) for what in found]))
            order.tell(tables[-1])
    body = "\n\n".join(tables)
    about = f""""warm": the source was read right before; "cold": nothing is in memory, which only root can see to.
{FORGOTTEN} {_THREADS} threads, in `{tempfile.gettempdir()}`."""
    return Findings(claims, f"{about}\n\n{body}\n{_BOUNDS}")


BENCHMARK = Benchmark("copies", "Copying", _measure, versions=("rsync",))
