"""Discovery beside `find` and `du`, local and behind a layer that makes every operation wait, as a NAS does."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.frame.benchmark import Benchmark, Claim, Findings, Order
from tests.bench.frame.document import table
from tests.bench.frame.rounds import Ratio, command, in_turns, ratio
from tests.support.service import running_service

_THREADS = 32  # as by default
_OLD = time.time() - 2 * 3600  # of every file: what was changed just now is never taken over
_SOURCE = Path(__file__).with_name("slow.c")
_CACHED_LOOKS = 50


@dataclass(frozen=True, slots=True)
class Case:
    """`microseconds` are added to every operation. Without `bare`, find and du are left out: they take too long."""

    folders: int
    files: int
    microseconds: int
    bare: bool = True


_FULL = (
    Case(1_000, 100_000, 0),
    Case(50, 5_000, 500),
    Case(50, 5_000, 2_000),
    Case(1_000, 100_000, 500, bare=False),
    Case(1_000, 100_000, 2_000, bare=False),
)
_QUICK = (
    Case(1_000, 20_000, 0),
    Case(20, 1_000, 500),
    Case(20, 1_000, 2_000),
    Case(1_000, 20_000, 500, bare=False),
)


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds, each the median of all rounds."""

    case: Case
    bare: float | None
    full: float
    ratio: Ratio | None
    alone: float
    again: float
    peak_mb: float


def plant(base: Path, case: Case) -> Path:
    """Folders with three sub-folders each, and the files spread over them."""
    each = case.files // case.folders
    for number in range(case.folders):
        folder = base / f"Category {number % 10}" / f"Subcategory {number // 10 % 10}" / f"Folder {number:05d}"
        places = [folder, folder / "media", folder / "media" / "raw", folder / "documents"]
        for place in places:
            place.mkdir(parents=True)
        for file in range(each):
            path = places[file % 4] / f"clip {file:06d}.mov"
            path.write_bytes(b"x" * (file % 7 + 1))
            os.utime(path, (_OLD, _OLD))
        for place in places:
            os.utime(place, (_OLD, _OLD))
    return base


async def find_and_du(base: Path, environment: dict[str, str]) -> float:
    """The seconds it takes to tell sizes, times and numbers of files with the system's own commands."""
    finding = ["find", base, "-mindepth", "3", "-printf", "%y %s %T@ %p\\n"]
    counting = ["du", "-ab", "-d3", base]
    took = [await command(*argv, env=environment, stdout=subprocess.DEVNULL) for argv in (finding, counting)]
    return sum(one.wall for one in took)


async def walk(base: Path, environment: dict[str, str]) -> dict[str, Any]:
    argv = [sys.executable, "-m", "tests.bench.discovery.walker", str(base), str(_THREADS)]
    process = await asyncio.create_subprocess_exec(*argv, env=environment, stdout=subprocess.PIPE)
    told, _ = await process.communicate()
    found: dict[str, Any] = json.loads(told)
    return found


async def measured(case: Case, base: Path, layer: Path, rounds: int) -> Line:
    environment = dict(os.environ)
    if case.microseconds:
        slow = {"LD_PRELOAD": str(layer), "SLOW_BELOW": str(base), "SLOW_MICROSECONDS": str(case.microseconds)}
        environment.update(slow)

    async def bare() -> dict[str, Any]:
        return {"full": await find_and_du(base, environment)} if case.bare else {}

    async def product() -> dict[str, Any]:
        return await walk(base, environment)

    found = await in_turns(rounds, {"bare": bare, "product": product})
    walks = found["product"]
    assert all(one["files"] == case.files for one in walks), walks

    def of(key: str) -> list[float]:
        return [float(one[key]) for one in walks]

    times = [float(one["full"]) for one in found["bare"]] if case.bare else []
    compared = ratio(of("full"), times) if times else None
    of_bare = median(times) if times else None
    return Line(
        case, of_bare, median(of("full")), compared, *(median(of(key)) for key in ("alone", "again", "peak_mb"))
    )


async def cached_ms(root: Path, case: Case) -> tuple[float, float]:
    """What GET /api/folders takes from the cache: the median, and the most."""
    async with running_service(root) as service:
        await asyncio.to_thread(plant, service.place.nas, case)
        assert len(await service.discover()) == case.folders
        taken = []
        for _ in range(_CACHED_LOOKS):
            began = time.perf_counter()
            async with service.session.get(f"{service.address}/api/folders") as answer:
                await answer.read()
            taken.append((time.perf_counter() - began) * 1000)
    return median(taken), max(taken)


def _row(line: Line) -> list[str]:
    case = line.case
    return [
        f"{case.folders:,}",
        f"{case.files:,}",
        f"{case.microseconds / 1000:g} ms" if case.microseconds else "nothing",
        "" if line.bare is None else f"{line.bare:.2f} s",
        f"{line.full:.2f} s",
        "" if line.ratio is None else str(line.ratio),
        "" if case.microseconds else f"{line.alone:.2f} s",
        f"{line.again:.2f} s",
        f"{line.peak_mb:.0f} MB",
    ]


def _claims(lines: list[Line], cached: tuple[float, float]) -> list[Claim]:
    local, slow = lines[0], next(line for line in lines if line.case.microseconds == 500 and not line.case.bare)
    what = f"{local.case.folders:,} folders, {local.case.files:,} files"
    assert local.ratio is not None
    assert local.bare is not None
    return [
        Claim(
            f"discovery of {what}, local",
            "<= 0.8 x `find` + `du`",
            f"{local.full:.2f} s against {local.bare:.2f} s",
            str(local.ratio),
            None
            if local.ratio.middle <= 0.8
            else f"`lstat` by Python alone {local.alone:.2f} s, what it does with it {local.full - local.alone:.2f} s",
        ),
        Claim(
            f"discovery of {what}, each operation 0.5 ms slower",
            "< 5 s",
            f"{slow.full:.2f} s",
            "",
            None if slow.full < 5 else "the requests, divided by `[discovery] threads`",
        ),
        Claim(
            "the same again, nothing changed: local, and 0.5 ms slower",
            "< 1 s",
            f"{local.again:.2f} s, {slow.again:.2f} s",
            f"{local.again / local.full:.2f}, {slow.again / slow.full:.2f} of the first time",
            None if max(local.again, slow.again) < 1 else "one look at each directory",
        ),
        Claim(
            "`GET /api/folders`, 1,000 folders, from the cache",
            "< 20 ms",
            f"median {cached[0]:.1f} ms, at most {cached[1]:.1f} ms",
            "",
            None if cached[0] < 20 else "the rows of all folders, turned into JSON",
        ),
    ]


_HEADS = ("folders", "files", "added", "find + du", "discovery", "ratio", "Python alone", "again", "peak memory")


def _body(lines: list[Line], cached: tuple[float, float]) -> str:
    return f"""Baseline: `find -printf` of type, size, time and path, and `du -ab`, which together tell what discovery
does. "Added" is what a preloaded library makes every look-up, opening and listing wait, many at once, as a NAS does.
Behind it find and du are measured on fewer files, because they ask for one thing after the other. "Again" is the next
scan of the same share when nothing came or went: one look at each directory. Warm cache, {_THREADS} threads.

{table(_HEADS, map(_row, lines))}

`GET /api/folders` from the cache, 1,000 folders: median {cached[0]:.1f} ms, at most {cached[1]:.1f} ms.

What bounds it: on a local disk the `lstat` of every file and Python's work for it, which one thread does as fast as
many: "Python alone" is one that does nothing with what it is told. Behind a slow NAS it is the requests, divided by
`[discovery] threads`."""


async def _measure(order: Order) -> Findings:
    compiler = shutil.which("gcc")
    assert compiler is not None, "a C compiler is needed for the slow layer"
    with tempfile.TemporaryDirectory(prefix="bench-discovery-") as name:
        root = Path(name)
        layer = root / "slow.so"
        await command(compiler, "-O2", "-shared", "-fPIC", "-o", layer, _SOURCE, "-ldl")
        trees: dict[int, Path] = {}
        lines = []
        for case in _FULL if order.full else _QUICK:
            if case.files not in trees:
                trees[case.files] = plant(root / f"share {case.files}", case)
            lines.append(await measured(case, trees[case.files], layer, order.rounds))
            order.tell(" | ".join(_row(lines[-1])))
        cached = await cached_ms(root / "service", Case(1_000, 2_000, 0))
    return Findings(_claims(lines, cached), _body(lines, cached))


BENCHMARK = Benchmark("discovery", "Discovery", _measure, versions=("findutils", "coreutils"))
