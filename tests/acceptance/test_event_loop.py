"""While a real job runs, the event loop is never held up: people see the dashboard move and can stop a job."""

import asyncio
import gc
import os
import time
from pathlib import Path

import pytest

from cs_archiver.app import rare_collections
from tests.support.loop_watch import LoopWatch, watched_loop
from tests.support.service import Service, running_service

LONGEST_SECONDS = 0.050


@pytest.mark.timeout(300)  # of three jobs
async def test_the_loop_is_never_blocked_for_50_ms_while_a_job_runs(tmp_path: Path) -> None:
    """What blocks it does so in every job; what a busy machine does to one job it does not do to three."""
    async with running_service(tmp_path) as service:
        with rare_collections():
            watch = await watched_job(service, "First")
            for name in ("Second", "Third"):
                if watch.longest[0][0] >= LONGEST_SECONDS:
                    watch = await watched_job(service, name)
    assert watch.longest[0][0] < LONGEST_SECONDS, watch.longest


async def watched_job(service: Service, name: str) -> LoopWatch:
    folder = service.place.folder(name)
    for number in range(20):
        (folder / f"folder {number}").mkdir()
        for file in range(150):
            (folder / f"folder {number}" / f"file {file}").write_bytes(os.urandom(700))
    (folder / "large.mov").write_bytes(os.urandom(30_000_000))
    await service.discover()
    with watched_loop() as watch:
        job = await service.until(await service.submit(folder))
    assert job["status"] == "completed", job
    assert watch.turns > 1000
    return watch


async def test_the_watch_sees_a_blocked_loop() -> None:
    begun = time.thread_time()
    with watched_loop() as watch:
        await asyncio.sleep(0)
        while time.thread_time() - begun < 0.06:  # blocking is what this test is about
            pass
        await asyncio.sleep(0)
    assert watch.longest[0][0] >= LONGEST_SECONDS


def test_a_service_that_ended_leaves_the_collector_as_it_was() -> None:
    before = gc.get_threshold()
    gc.unfreeze()
    with rare_collections():
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() != before
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, before)
