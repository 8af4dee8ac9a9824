"""One job through the product, and the bare commands that do the same, each told step by step."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from cs_archiver.clock import from_text
from cs_archiver.sandbox.copying import RateLimit, copy_file, digests_of_both
from tests.bench.frame.disk import forget
from tests.bench.frame.rounds import command, in_turns, spent
from tests.bench.planted import Case
from tests.support.service import FINAL, Place, Service, query, running_service

SCRIPT = "script"
_LOOK_SECONDS = 0.02
_MOST_SECONDS = 7200
# The commands of the requirements, nothing else: no proof of the copy, no look at the source before it is deleted.
# After each it says when it was done. The copy goes where the product's does, after the test.
_COMMANDS = """
set -e
done_at() { echo $EPOCHREALTIME >> "$2/times"; }
rsync -a "$1/" "$2/copy/"; done_at "$@"
7z a -t7z -mx1 -mmt=on -bso0 -bsp0 "$2/archive.7z" "$2/copy"; done_at "$@"
7z t -bso0 -bsp0 "$2/archive.7z"; rm -r "$2/copy"; done_at "$@"
cp "$2/archive.7z" "$2/remote.7z"; done_at "$@"
cmp "$2/archive.7z" "$2/remote.7z"; done_at "$@"
rm -r "$1" "$2/archive.7z"; done_at "$@"
"""
COPY, PACK, TEST, UPLOAD, COMPARE, DELETE = "copy", "pack", "test", "Globus uploads", "Globus compares", "delete"
_OF_SCRIPT = (COPY, PACK, TEST, UPLOAD, COMPARE, DELETE)
# Each step of a job, and the line of its log that ends it.
_OF_PRODUCT = (
    ("wait, scan", "Copying from the NAS"),
    (COPY, "Copy complete"),
    (PACK, "Compression complete"),
    (TEST, "Temporary copy removed"),
    ("ask Globus", "Globus accepted the transfer"),
    (UPLOAD, "Upload complete"),
    ("hash archive again", "Comparing the destination"),
    (COMPARE, "Verification 1/3"),
    ("read source again", "Source is unchanged"),
    (DELETE, "Job completed"),
)
STEPS = tuple(step for step, _ in _OF_PRODUCT)


class Run(NamedTuple):
    """Seconds, of them on a processor, the archive's size in bytes, and the seconds of each step."""

    seconds: float
    processor: float
    size: int
    steps: Mapping[str, float]
    sandbox: Mapping[str, float]
    """What the sandbox's own copy and checksums take without the product, by step; of the script's runs only."""


async def measured(case: Case, ways: Mapping[str, Mapping[str, str]], rounds: int) -> dict[str, list[Run]]:
    """The script, and the product with the settings of each of the `ways`, in turns."""
    with tempfile.TemporaryDirectory(prefix="bench-pipeline-") as name:
        root = Path(name)
        original = root / "original"
        original.mkdir()
        case.plant(original)
        async with AsyncExitStack() as stack:
            sides: dict[str, Callable[[], Awaitable[Run]]] = {SCRIPT: lambda: _by_script(original, root)}
            for way, settings in ways.items():
                # As by default: that Globus is asked often at first is what is measured.
                values = {"UPLOAD_TASK_POLL_INTERVAL_SECONDS": "60", **settings}
                service = await stack.enter_async_context(running_service(Place(root / way).root, **values))
                sides[way] = _by_turns(original, service)
            return await in_turns(rounds, sides)


def _by_turns(original: Path, service: Service) -> Callable[[], Awaitable[Run]]:
    numbers = iter(range(1_000_000))
    return lambda: _by_product(original, service, next(numbers))


async def _by_script(original: Path, root: Path) -> Run:
    scratch = root / SCRIPT
    folder = await _fresh(original, scratch / original.name)
    began = time.time()
    took = await command("bash", "-c", _COMMANDS, "bash", folder, scratch)
    size = (scratch / "remote.7z").stat().st_size
    ends = [began, *map(float, (scratch / "times").read_text().split())]
    steps = {step: after - before for step, (before, after) in zip(_OF_SCRIPT, pairwise(ends), strict=True)}
    sandbox = await asyncio.to_thread(_by_sandbox, scratch / "remote.7z", scratch / "again.7z")
    shutil.rmtree(scratch)
    return Run(took.wall, took.busy, size, steps, sandbox)


def _by_sandbox(archive: Path, copy: Path) -> dict[str, float]:
    stopping, paths = threading.Event(), (str(archive), str(copy))
    times = [time.perf_counter()]
    copy_file(*paths, rate=RateLimit(None), stopping=stopping, progress=lambda _size: None)
    for _ in (UPLOAD, COMPARE):
        digests_of_both(*paths, "SHA256", stopping)
        times.append(time.perf_counter())
    return {step: after - before for step, (before, after) in zip((UPLOAD, COMPARE), pairwise(times), strict=True)}


async def _by_product(original: Path, service: Service, number: int) -> Run:
    folder = service.place.folder(f"Measured {number}")
    await _fresh(original, folder)
    await service.discover()
    with spent() as took:
        began = time.time()
        job_id = await service.submit(folder)
        await _ended(service, job_id)
    lines = query(service, "SELECT message, timestamp FROM job_logs WHERE job_id = ? ORDER BY id", job_id)
    ends = [_time_of(end, lines) for _, end in _OF_PRODUCT]
    archive = service.place.archive_of(folder)
    size = archive.stat().st_size
    archive.unlink()
    steps = {step: after - before for step, (before, after) in zip(STEPS, pairwise([began, *ends]), strict=True)}
    return Run(ends[-1] - began, took.busy, size, steps, {})


def _time_of(beginning: str, lines: list[tuple[str, str]]) -> float:
    return next(from_text(at).timestamp() for message, at in lines if message.startswith(beginning))


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
