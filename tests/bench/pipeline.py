"""One job through the product beside a shell script of the bare commands, in turns. `--help` tells more."""

import argparse
import asyncio
import os
import platform
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from cs_archiver.clock import from_text
from tests.bench.load.report import replace_in
from tests.support.service import Place, Service, query, running_service

STAGES = ("queued", "copying", "compressing", "verifying", "uploading", "upload_verifying", "deleting_source")
_WORDS = [word * 2 for word in ("scene", "take", "lens", "camera", "sound", "light", "colour", "grade", "cut", "reel")]
# The commands of the requirements, nothing else: no proof of the copy, no look at the source before it is deleted.
_SCRIPT = """
set -e
rsync -a "$1/" "$2/copy/"
7z a -t7z -mx1 -mmt=on -bso0 -bsp0 "$2/archive.7z" "$2/copy"
7z t -bso0 -bsp0 "$2/archive.7z"
cp "$2/archive.7z" "$2/remote.7z"
cmp "$2/archive.7z" "$2/remote.7z"
rm -r "$1" "$2/copy" "$2/archive.7z"
"""

_HEADING = "## The pipeline"

_BOUNDS = """
What bounds it: in `fast`, 7-Zip, and that both sides share; what the product adds is a cost for each job (durable
commits, two Globus tasks and their polling) and one for each file (six scans, two readings, a row of the manifest, a
look before the deletion). The smaller the folder and the quicker the compression, the more these weigh.
`auto` compresses what shrinks by at least 1 % in samples, so it gains nothing on text and nearly all of it on media.
"""

Content = Callable[[random.Random, int], bytes]


def media(source: random.Random, size: int) -> bytes:
    return source.randbytes(size)


def text(source: random.Random, size: int) -> bytes:
    lines = []
    left = size
    while left > 0:
        words = source.choices(_WORDS, k=8)
        lines.append(f"{source.randrange(10**9)};{' '.join(words)};{source.random():.6f}\n".encode())
        left -= len(lines[-1])
    return b"".join(lines)[:size]


@dataclass(frozen=True, slots=True)
class Case:
    """A folder of so many files of that size; each tenth is text in a mix."""

    name: str
    files: int
    size: int
    is_media: Callable[[int], bool]

    def plant(self, folder: Path) -> None:
        source = random.Random(7)
        sample = text(source, 1 << 20)
        for number in range(self.files):
            path = folder / f"{number // 500:03d}" / f"{number:06d}"
            path.parent.mkdir(exist_ok=True)
            if self.is_media(number):
                path.with_suffix(".mxf").write_bytes(media(source, self.size))
            else:
                path.with_suffix(".xml").write_bytes(_text(source, sample, self.size))

    @property
    def megabytes(self) -> float:
        return self.files * self.size / 1e6


def _text(source: random.Random, sample: bytes, size: int) -> bytes:
    """Large files are pieces of one sample in an order of their own: to write them all would take longer than all."""
    if size <= len(sample) // 16:
        return text(source, size)
    pieces = [sample[start : start + 4096] for start in range(0, len(sample), 4096)]
    return b"".join(source.choices(pieces, k=size // 4096))


def cases(scale: float) -> list[Case]:
    kinds: dict[str, Callable[[int], bool]] = {
        "media": lambda _number: True,
        "text": lambda _number: False,
        "90 % media, 10 % text": lambda number: number % 10 != 0,
    }
    large, small = int(15_000_000 * scale), int(10_000 * scale)
    return [
        *(Case(f"{name}, 10 files of {large / 1e6:g} MB", 10, large, is_media) for name, is_media in kinds.items()),
        *(Case(f"{name}, {small:,} files of 10 kB", small, 10_000, is_media) for name, is_media in kinds.items()),
    ]


class Run(NamedTuple):
    """Seconds, of them on a processor, the archive's size in bytes, and the seconds of each state of the job."""

    seconds: float
    processor: float
    size: int
    stages: Mapping[str, float]


@contextmanager
def measured() -> Iterator[list[float]]:
    """Gives seconds, and seconds on a processor of this process and all that it started, once the block is over."""
    figures: list[float] = []
    busy, started = _processor_seconds(), time.perf_counter()
    yield figures
    figures += [time.perf_counter() - started, _processor_seconds() - busy]


def _processor_seconds() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


async def by_script(original: Path, root: Path) -> Run:
    scratch = root / "script"
    folder = _fresh(original, scratch / original.name)
    with measured() as figures:
        process = await asyncio.create_subprocess_exec("sh", "-c", _SCRIPT, "sh", folder, scratch)
        assert await process.wait() == 0
    size = (scratch / "remote.7z").stat().st_size
    shutil.rmtree(scratch)
    return Run(figures[0], figures[1], size, {})


async def by_product(original: Path, service: Service, number: int) -> Run:
    folder = service.place.folder(f"Measured {number}")
    _fresh(original, folder)
    await service.discover()
    with measured() as figures:
        job = await service.until(await service.submit(folder), seconds=3600)
    assert job["status"] == "completed", job
    rows = query(service, "SELECT to_status, at FROM job_history WHERE job_id = ? ORDER BY id", job["job_id"])
    times = [(status, from_text(at)) for status, at in rows]
    stages = {status: (after - at).total_seconds() for (status, at), (_, after) in pairwise(times)}
    archive = service.place.archive_of(folder)
    size = archive.stat().st_size
    archive.unlink()
    return Run(figures[0], figures[1], size, stages)


def _fresh(original: Path, folder: Path) -> Path:
    """A copy to be archived. What is still to be written of it must not slow down what is measured next."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "-T", original, folder], check=True)
    os.sync()
    return folder


async def measure(case: Case, modes: list[str], rounds: int) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {name: [] for name in ("script", *modes)}
    with tempfile.TemporaryDirectory(prefix="bench-pipeline-") as name:
        root = Path(name)
        original = root / "original"
        original.mkdir()
        case.plant(original)
        async with AsyncExitStack() as stack:
            services = {}
            for mode in modes:
                place = Place(root / mode)
                services[mode] = await stack.enter_async_context(running_service(place.root, COMPRESSION_MODE=mode))
            for number in range(rounds):
                found["script"].append(await by_script(original, root))
                for mode, service in services.items():
                    found[mode].append(await by_product(original, service, number))
    return found


def row_of(case: Case, found: dict[str, list[Run]]) -> str:
    script = found["script"]
    cells = [case.name, f"{case.megabytes:.0f} MB", f"{median(run.seconds for run in script):.2f} s"]
    for mode, runs in found.items():
        if mode != "script":
            pairs = list(zip(runs, script, strict=True))
            ratio = median(mine.seconds / base.seconds for mine, base in pairs)
            busy = median(mine.processor / base.processor for mine, base in pairs)
            cells += [f"{median(run.seconds for run in runs):.2f} s", f"{ratio:.2f}", f"{busy:.2f}"]
    if "auto" in found:
        cells.append(f"{median(run.size for run in found['auto']) / median(run.size for run in script):.3f}")
    runs = found[list(found)[1]]
    cells.append(", ".join(f"{median(run.stages.get(stage, 0.0) for run in runs):.2f}" for stage in STAGES))
    return "| " + " | ".join(cells) + " |"


def section_of(rows: list[str], modes: list[str], arguments: argparse.Namespace) -> str:
    sevenzip = subprocess.run(["7z"], capture_output=True, text=True, check=True).stdout.split("\n")[1].split(" : ")[0]
    rsync = subprocess.run(["rsync", "-V"], capture_output=True, text=True, check=True).stdout.split()[2]
    heads = [word for mode in modes for word in (f"`{mode}`", "/ script", "processor / script")]
    sizes = ["archive, auto / script"] if "auto" in modes else []
    head = ["Folder", "size", "script", *heads, *sizes, f"`{modes[0]}`: {', '.join(STAGES)}"]
    return (
        f"""{_HEADING}

`.venv/bin/python -m tests.bench.pipeline --write docs/benchmarks.md` writes this section: {arguments.rounds} rounds,
the script and the product in turns, medians; the ratios are the medians of the rounds' ratios. "processor" counts the
seconds that all processes together had a processor, which other programs lengthen too, but less. Taken on
{datetime.now(UTC):%Y-%m-%d}: {platform.machine()}, {os.cpu_count()} processors, load average {os.getloadavg()[2]:.1f}
over the last 15 minutes (this included); Python {platform.python_version()}, {sevenzip},
rsync {rsync}; in `{tempfile.gettempdir()}`, {_file_system()}, with `--scale {arguments.scale:g}`.

The script is `rsync -a`, `7z a -mx1 -mmt=on`, `7z t`, `cp` to the remote folder, `cmp`, `rm -r`, and nothing else. The
product does this too; besides it scans the source four times, hashes every file while it copies it and once more
before it deletes it, compares the archive's listing with the manifest, hashes the archive, has Globus (the sandbox)
compute checksums and compare both sides in a second task, makes everything durable, and deletes entry by entry.

| {" | ".join(head)} |
|{"---|" * len(head)}
"""
        + "".join(f"{row}\n" for row in rows)
        + _BOUNDS
    )


def _file_system() -> str:
    argv = ["stat", "-f", "-c", "%T", tempfile.gettempdir()]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pipeline", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="times 150 MB in large files, 100 MB in 10,000 small")
    parser.add_argument("--modes", default="fast,auto", help="of COMPRESSION_MODE, separated by commas")
    parser.add_argument("--only", default="", help="only folders that hold this in their name")
    parser.add_argument("--write", type=Path, help="put the figures into this file, in place of those there")
    arguments = parser.parse_args()
    modes = arguments.modes.split(",")
    rows = []
    for case in cases(arguments.scale):
        if arguments.only in case.name:
            rows.append(row_of(case, asyncio.run(measure(case, modes, arguments.rounds))))
            print(rows[-1], flush=True)
    section = section_of(rows, modes, arguments)
    print(section)
    if arguments.write:
        replace_in(arguments.write, section)


if __name__ == "__main__":
    main()
