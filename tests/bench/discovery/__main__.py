"""Discovery beside `find` and `du`; `python -m tests.bench.discovery --write docs/benchmarks.md` writes the section."""

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tests.support.service import running_service

_HEADING = "## Discovery"
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


_CASES = (
    Case(1_000, 100_000, 0),
    Case(50, 5_000, 500),
    Case(50, 5_000, 2_000),
    Case(1_000, 100_000, 500, bare=False),
    Case(1_000, 100_000, 2_000, bare=False),
)


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds, each the median of all runs."""

    case: Case
    bare: float | None
    full: float
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


def find_and_du(base: Path, environment: dict[str, str]) -> float:
    """The seconds it takes to tell sizes, times and numbers of files with the system's own commands."""
    began = time.perf_counter()
    finding = ["find", str(base), "-mindepth", "3", "-printf", "%y %s %T@ %p\\n"]
    for argv in (finding, ["du", "-ab", "-d3", str(base)]):
        subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def measured(case: Case, base: Path, layer: Path, *, runs: int, threads: int) -> Line:
    environment = dict(os.environ)
    if case.microseconds:
        slow = {"LD_PRELOAD": str(layer), "SLOW_BELOW": str(base), "SLOW_MICROSECONDS": str(case.microseconds)}
        environment.update(slow)
    bare, walks = [], []
    for _ in range(runs):
        if case.bare:
            bare.append(find_and_du(base, environment))
        argv = [sys.executable, "-m", "tests.bench.discovery.walker", str(base), str(threads)]
        walks.append(json.loads(subprocess.run(argv, env=environment, stdout=subprocess.PIPE, check=True).stdout))
    assert all(walk["files"] == case.files for walk in walks), walks

    def of(key: str) -> float:
        return median(float(walk[key]) for walk in walks)

    return Line(case, median(bare) if bare else None, of("full"), of("again"), of("peak_mb"))


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


def row(line: Line) -> str:
    case = line.case
    bare = "" if line.bare is None else f"{line.bare:.2f} s"
    ratio = "" if line.bare is None else f"{line.full / line.bare:.2f}"
    added = f"{case.microseconds / 1000:g} ms" if case.microseconds else "nothing"
    return (
        f"| {case.folders:,} | {case.files:,} | {added} | {bare} | {line.full:.2f} s | {ratio} | {line.again:.2f} s "
        f"| {line.peak_mb:.0f} MB |"
    )


def section(lines: list[Line], cached: tuple[float, float], *, runs: int, threads: int) -> str:
    rows = "\n".join(map(row, lines))
    command = "`.venv/bin/python -m tests.bench.discovery --write docs/benchmarks.md`"
    machine = f"{platform.machine()}, {os.cpu_count()} processors, load average {os.getloadavg()[2]:.1f}"
    return f"""{_HEADING}

{command} writes this section.
Taken on {datetime.now(UTC):%Y-%m-%d}: {machine} over the last 15 minutes (other programs
included); Python {platform.python_version()}; median of {runs} interleaved runs, warm cache, {threads} threads.

Baseline: `find -printf` of type, size, time and path, and `du -ab`, which together tell what discovery does. "Added" is
what a preloaded library makes every look-up, opening and listing wait, many at once, as a NAS does. Behind it find and
du are measured on fewer files, because they ask for one thing after the other. "Again" is the next scan of the same
share when nothing came or went: one look at each directory.

| folders | files | added | find + du | discovery | ratio | again | peak memory |
|---|---|---|---|---|---|---|---|
{rows}

`GET /api/folders` from the cache, {_CASES[0].folders:,} folders: median {cached[0]:.1f} ms, at most {cached[1]:.1f} ms.

What bounds it: on a local disk the `lstat` of every file and Python's work for it, which threads share but little;
behind a slow NAS the requests, divided by `[discovery] threads`.
"""


def replace_in(path: Path, text: str) -> None:
    """Put the section in the place of the one of its heading, or at the end."""
    old = path.read_text("utf-8")
    found = re.search(rf"^{_HEADING}\n.*?(?=^## |\Z)", old, re.MULTILINE | re.DOTALL)
    after = old[found.end() :] if found else ""
    parts = [old[: found.start()] if found else old.rstrip("\n") + "\n\n", text, "\n" if after else "", after]
    path.write_text("".join(parts), "utf-8")


def _measure_all(root: Path, tell: Callable[[str], None], *, runs: int, threads: int) -> str:
    layer = root / "slow.so"
    compiler = shutil.which("cc")
    assert compiler is not None, "a C compiler is needed for the slow layer"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", layer, _SOURCE, "-ldl"], check=True)
    trees: dict[int, Path] = {}
    lines = []
    for case in _CASES:
        if case.files not in trees:
            trees[case.files] = plant(root / f"share {case.files}", case)
        lines.append(measured(case, trees[case.files], layer, runs=runs, threads=threads))
        tell(row(lines[-1]))
    cached = asyncio.run(cached_ms(root / "service", Case(1_000, 2_000, 0)))
    return section(lines, cached, runs=runs, threads=threads)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.discovery", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--write", type=Path, help="put the figures into this file, in place of those there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-discovery-") as root:
        text = _measure_all(Path(root), print, runs=arguments.runs, threads=arguments.threads)
    print(text)
    if arguments.write:
        replace_in(arguments.write, text)


if __name__ == "__main__":
    main()
