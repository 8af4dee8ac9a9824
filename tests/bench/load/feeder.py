"""Keeps the workers busy: folder after folder is made and asked for, so that a job runs all the time."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.support.service import Service

_AT_ONCE = 10
_LOOK_SECONDS = 5
_FILES, _FILE_KIB = 200, 64
_BYSTANDERS = 500  # folders that nobody asks for


def make_folders(service: Service) -> list[str]:
    """Folders that can be archived and are left alone."""
    folders = [service.place.folder(f"Take {number:04d}", "Events", "2025") for number in range(_BYSTANDERS)]
    for folder in folders:
        (folder / "clip.mov").write_bytes(os.urandom(512))
    return [str(folder) for folder in folders]


@asynccontextmanager
async def working(service: Service) -> AsyncIterator[None]:
    """Jobs run inside. Raises what ended them."""
    feeding = asyncio.create_task(_feed(service))
    try:
        yield
    finally:
        if feeding.done():
            feeding.result()
        feeding.cancel()
        with suppress(asyncio.CancelledError):
            await feeding


async def _feed(service: Service) -> None:
    """Ten jobs are asked for at once, and the next ten when half of them have ended."""
    batch = 0
    while True:
        folders = [service.place.folder(f"Batch {batch} {number}") for number in range(_AT_ONCE)]
        for folder in folders:
            _fill(folder)
        await service.discover()
        jobs = [await service.submit(folder) for folder in folders]
        await _ended(service, jobs[_AT_ONCE // 2])
        batch += 1


def _fill(folder: Path) -> None:
    for number in range(_FILES):
        (folder / f"frame {number:05d}.dpx").write_bytes(os.urandom(1024) * _FILE_KIB)


async def _ended(service: Service, job_id: str) -> None:
    job = await service.until(job_id, seconds=600)
    assert job["status"] == "completed", job
