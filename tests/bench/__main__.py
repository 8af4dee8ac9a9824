"""One folder through the whole product, beside a shell script of the bare commands (rsync, 7z a, 7z t, cp)."""

import argparse
import asyncio
import os
import platform
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from cs_archiver.clock import from_text
from cs_archiver.demo.compare import compare, extract
from tests.bench.gauges import Gauge, gauged, lateness
from tests.support.loop_watch import watched_loop
from tests.support.service import Place, Service, keep_copy, query, running_service

Builder = Callable[[Path], None]
STAGES = ("copying", "compressing", "verifying", "uploading", "upload_verifying", "deleting_source")


def many_small_files(count: int, *, size: int, flat: bool) -> Builder:
    """Files of `size` bytes, give or take three quarters; a thousand to a folder, or all in one."""

    def build(folder: Path) -> None:
        block = os.urandom(1 << 20)
        for number in range(count):
            sub = folder if flat else folder / f"{number // 1000:04d}"
            if number % 1000 == 0:
                sub.mkdir(exist_ok=True)
            start = number * 37 % (len(block) - 2 * size)
            (sub / f"frame {number:07d}.dpx").write_bytes(block[start : start + size // 4 + number % (3 * size // 2)])

    return build


def one_large_file(size_bytes: int) -> Builder:
    def build(folder: Path) -> None:
        with open(folder / "master.mov", "wb") as file:
            written = 0
            while written < size_bytes:
                written += file.write(os.urandom(min(1 << 20, size_bytes - written)))

    return build


def bare_commands(folder: Path, scratch: Path) -> float:
    """What the requirements' commands take by themselves, without any proof, in seconds."""
    copy, archive, remote = scratch / "copy", scratch / "bare.7z", scratch / "remote.7z"
    copy.mkdir(parents=True)
    started = time.perf_counter()
    for argv in (
        ["rsync", "-a", f"{folder}/", f"{copy}/"],
        ["7z", "a", "-t7z", "-mx1", "-mmt=on", "-bso0", "-bsp0", str(archive), str(copy)],
        ["7z", "t", "-bso0", "-bsp0", str(archive)],
        ["cp", str(archive), str(remote)],
        ["cmp", str(archive), str(remote)],
    ):
        subprocess.run(argv, check=True)
    seconds = time.perf_counter() - started
    shutil.rmtree(scratch)
    return seconds


async def through_the_product(root: Path, build: Builder, *, check: bool) -> None:
    place = Place(root)
    folder = place.folder("Measured")
    build(folder)
    print(f"{totals_of(folder)}; in {tempfile.gettempdir()}", flush=True)
    bare = bare_commands(folder, root / "bare")
    print(f"bare commands: {bare:.1f} s", flush=True)
    original = keep_copy(folder, root / "originals") if check else None
    async with running_service(root) as service:
        found = time.perf_counter()
        await service.discover()
        print(f"discovery: {time.perf_counter() - found:.2f} s")
        with watched_loop() as watch, gauged() as gauge:
            async with lateness() as late:
                job = await service.until(await service.submit(folder), seconds=7200)
        report(service, job["job_id"], bare, gauge)
        longest, what = watch.longest[0]
        print(f"state: {job['status']}; longest turn of the event loop: {longest * 1000:.0f} ms, of {what[:120]}")
        print(f"a timer of the event loop was late by {_spread(late.here)}; load average {os.getloadavg()[0]:.1f}")
        print(f"one of an idle program beside it, by {_spread(late.idle)}")
        print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", flush=True)
        if original is not None:
            extract(place.archive_of(folder), root / "restored")
            differences = compare(original, root / "restored" / folder.name)
            print(f"restored and compared: {'equal' if not differences else differences[:5]}")


def totals_of(folder: Path) -> str:
    files = size = 0
    for parent, _, names in os.walk(folder):
        files += len(names)
        size += sum(os.lstat(os.path.join(parent, name)).st_size for name in names)
    return f"{files} files, {size / 1e6:.0f} MB"


def report(service: Service, job_id: str, bare: float, gauge: Gauge) -> None:
    rows = query(service, "SELECT to_status, at FROM job_history WHERE job_id = ? ORDER BY id", job_id)
    times = [(status, from_text(at).timestamp()) for status, at in rows]
    for (status, begun), (_, ended) in pairwise(times):
        if status in STAGES:
            resident, own, tools = gauge.between(begun, ended)
            print(
                f"  {status:17s} {ended - begun:8.2f} s; processor {own:7.2f} s of its own, {tools:7.2f} s of its "
                f"tools; memory {resident / 1e6:4.0f} MB"
            )
    _, own, tools = gauge.between(times[0][1], times[-1][1])
    total = times[-1][1] - times[0][1]
    print(f"product: {total:.1f} s = {total / bare:.2f} x the bare commands; processor {own + tools:.1f} s")


def _spread(seconds: Sequence[float]) -> str:
    late = sorted(seconds)
    middle, most = late[len(late) // 2], late[len(late) * 99 // 100]
    return f"p50 {middle * 1000:.1f} ms, p99 {most * 1000:.1f} ms, at most {late[-1] * 1000:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="small files in one job (100000 in full), 0 for none")
    parser.add_argument("--file-bytes", type=int, default=4_600, help="of each of them, about")
    parser.add_argument("--flat", action="store_true", help="all of them in one folder, not a thousand to each")
    parser.add_argument("--megabytes", type=int, default=500, help="one large file (5000 in full), 0 for none")
    parser.add_argument("--no-check", action="store_true", help="do not restore and compare")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    builders: list[Builder] = []
    if arguments.files:
        builders.append(many_small_files(arguments.files, size=arguments.file_bytes, flat=arguments.flat))
    if arguments.megabytes:
        builders.append(one_large_file(arguments.megabytes * 1_000_000))
    for build in builders:
        with tempfile.TemporaryDirectory(prefix="bench-") as root:
            asyncio.run(through_the_product(Path(root), build, check=not arguments.no_check))


if __name__ == "__main__":
    main()
