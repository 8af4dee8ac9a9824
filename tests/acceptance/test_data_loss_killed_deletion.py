"""SIGKILL of a service whose threads are deleting a source side by side: nothing is lost, and the next one goes on."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cs_archiver.sandbox import Sandbox
from tests.faults.oracle import Oracle
from tests.support.service import Place, environment, pause_by_command, sandbox_settings, service_in
from tests.support.tampering import eventually, files_in, plant, until_told

FILES = 300
# Looks and deletions wait, as on a NAS, so that several threads are let in; after some calls all stand still.
SLOW_SERVICE = """
import itertools, os, pathlib, sys, threading, time
*arguments, calls, told = sys.argv[1:]
unlink, counted, at_work = os.unlink, itertools.count(1), set()
def slow(name, *, dir_fd=None):
    if dir_fd is not None:
        time.sleep(0.005)
        at_work.add(threading.get_ident())
        if next(counted) > int(calls):
            pathlib.Path(told).write_text(str(len(at_work)))
            time.sleep(3600)
    unlink(name, dir_fd=dir_fd)
os.unlink = slow
from cs_archiver.cli import main
main(arguments)
"""


@asynccontextmanager
async def slow_service(place: Place, url: str, calls: int, told: Path) -> AsyncIterator[None]:
    """Killed at the end; `told` says how many threads were deleting when that many calls had been made."""
    argv = ["serve", "--config", str(place.root / "config.toml"), str(calls), str(told)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLOW_SERVICE, *argv, stdout=DEVNULL, stderr=DEVNULL,
        env={**os.environ, **environment(place, url)},
    )  # fmt: skip
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("calls", [60, 250])
async def test_a_service_killed_while_its_threads_delete_loses_nothing_and_the_next_one_finishes(
    tmp_path: Path, calls: int
) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder(), *(f"sub{number % 7}/{number:03}.mov" for number in range(FILES)))
    (folder / "sub0" / "second name.mov").hardlink_to(folder / "sub1" / "001.mov")
    oracle = Oracle(folder)
    async with Sandbox(sandbox_settings(place)) as sandbox:
        async with service_in(place, sandbox) as service:
            await service.call("PUT", "/api/system/switches/deletions", json={"paused": True})
            await service.discover()
            job_id = await service.submit(folder)
            await until_told(service, job_id, "All deletions are paused")
        await asyncio.to_thread(pause_by_command, place, "deletions", resume=True)
        told = tmp_path / "threads at work"
        async with slow_service(place, sandbox.url, calls, told):
            await eventually(lambda: told.exists() and told.read_text() != "", what="the deletion at work")
            await asyncio.sleep(0.1)  # until all of them stand still
        assert int(told.read_text()) > 2
        assert 0 <= len(files_in(folder)) - (FILES + 1 - calls) < 10  # some calls are of names of our own
        assert oracle.losses(place.remote) == []
        async with service_in(place, sandbox) as service:
            assert (await service.until(job_id))["status"] == "completed"
    assert oracle.is_archived_and_gone(place.remote)
