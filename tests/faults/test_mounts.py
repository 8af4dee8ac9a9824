"""The NAS goes away, errs, hangs or is another one, at every step of a job: the worker waits, and goes on by itself.

The NAS is a real folder shown through a file system of our own (hanging_fuse.py), bound to the mount point. A job is
stopped when a worker takes it up in each of its states, and at the N-th request the service makes to the NAS; there
the trouble begins. Seen each time: the job is held and says why, the source and what lies under the mount point
are untouched, and when the NAS is back the job ends by itself with everything archived.
"""

import asyncio
import contextlib
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cs_archiver.sandbox import Sandbox
from tests.faults.mounts import (
    BOUNDARIES,
    Boundary,
    Served,
    bind,
    make_read_only,
    mount,
    need_mounts,
    served,
    some,
    unmount,
)
from tests.faults.oracle import Oracle
from tests.support.service import FINAL, Place, Service, environment, sandbox_settings, service_in
from tests.support.tally import Count

pytestmark = pytest.mark.timeout(120)

PATIENCE = {"QNAP_TIMEOUT_SECONDS": "1"}
ANSWER_SECONDS = 5.0
STOP_SECONDS = 30.0
HELD_SECONDS = 20.0  # shorter than the longest hang, which ends by itself then
ERRORS = {"stale": errno.ESTALE, "disconnected": errno.ENOTCONN, "host down": errno.EHOSTDOWN}


@pytest.fixture(autouse=True)
def _mounts() -> None:
    need_mounts(fuse=True)


def plant(folder: Path, content: str) -> Path:
    (folder / "sub" / "empty").mkdir(parents=True)
    for number in range(5):
        (folder / "sub" / f"{number}.mov").write_text(f"{content} {number}\n" * 4000)
    (folder / "notes.txt").write_text(content)
    (folder / "link").symlink_to("sub")
    return folder


class World:
    """A NAS that can get into trouble. `folder` is where a user sees the source, `oracle` looks at the disk itself."""

    def __init__(self, root: Path, server: Served) -> None:
        self.place = Place(root)
        self.server = server
        self.share = root / "share"
        self.twin = root / "twin"
        self.folder = self.place.nas / "Production" / "2024" / "Project_Alpha"
        relative = self.folder.relative_to(self.place.nas)
        self.oracle = Oracle(plant(root / "disk" / relative, "ours"))
        self.oracle_of_twin = Oracle(plant(self.twin / relative, "of another NAS"))

    async def begin(self, trouble: str) -> None:
        nas = self.place.nas
        if trouble in ("unmounted", "back as another device"):
            unmount(nas)
        elif trouble == "empty disk over it":
            mount("empty", nas, "tmpfs", options="size=1m")
        elif trouble == "empty disk over the folder":
            mount("empty", self.folder, "tmpfs", options="size=1m")
        elif trouble == "another NAS":
            bind(self.twin, nas)
        elif trouble == "read-only":
            make_read_only(nas)
        elif trouble == "hanging":
            await self.server.hang()
        else:
            await self.server.fail(ERRORS[trouble])

    async def end(self, trouble: str) -> None:
        nas = self.place.nas
        if trouble == "unmounted":
            bind(self.share, nas)
        elif trouble == "back as another device":
            bind(self.share.with_name("share again"), nas)
        elif trouble.startswith("empty disk"):
            where = nas if trouble == "empty disk over it" else self.folder
            assert os.listdir(where) == []
            unmount(where)
        elif trouble == "another NAS":
            unmount(nas)
        elif trouble == "read-only":
            make_read_only(nas, really=False)
        else:
            await self.server.heal()

    def left_over(self) -> list[Path]:
        temp = self.place.storage / "temp"
        return [*(temp.iterdir() if temp.exists() else ()), *self.place.storage.rglob("*.partial")]

    def require_done(self) -> None:
        assert self.oracle.losses(self.place.remote) == []
        assert self.oracle.is_archived_and_gone(self.place.remote)
        assert self.left_over() == []


@asynccontextmanager
async def a_world(root: Path) -> AsyncIterator[World]:
    place = Place(root).make()
    async with served(root / "disk", root / "share") as server, served(root / "disk", root / "share again"):
        bind(root / "share", place.nas)
        try:
            yield World(root, server)
        finally:
            await server.heal()
            with contextlib.suppress(OSError):  # a test that failed may leave any number of mounts there
                while True:
                    unmount(place.nas)
        assert os.listdir(place.nas) == []  # nothing was ever written under the mount point


@asynccontextmanager
async def a_service(world: World) -> AsyncIterator[Service]:
    """Healed before the service ends: only the tests about stopping may keep it from ending."""
    async with (
        Sandbox(sandbox_settings(world.place)) as sandbox,
        service_in(world.place, sandbox, **PATIENCE) as service,
    ):
        try:
            yield service
        finally:
            await world.server.heal()


async def until_held_or_ended(service: Service, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(HELD_SECONDS):
        while True:
            job = await service.job(job_id)
            if job["status"] in FINAL or str(job["current_operation"]).startswith("Held: "):
                return job
            await asyncio.sleep(0.02)


async def require_waits_then_goes_on(world: World, service: Service, job_id: str, trouble: str) -> None:
    job = await until_held_or_ended(service, job_id)
    log = await service.log_of(job_id)
    assert world.oracle.losses(world.place.remote) == []
    # What is done with the NAS before the trouble begins need not notice it any more.
    assert job["status"] == "completed" or str(job["current_operation"]).startswith("Held: "), (job, log)
    if job["status"] != "completed":
        assert any(word in job["current_operation"] for word in ("NAS", "source", "marker")), job
    await world.end(trouble)
    job = await service.until(job_id)
    assert job["status"] == "completed", (job, await service.log_of(job_id))
    world.require_done()


WHOLE = (
    "unmounted",
    "back as another device",
    "empty disk over it",
    "read-only",
    "hanging",
    *ERRORS,
)
AT_BOUNDARIES = [(trouble, state) for trouble in WHOLE for state in BOUNDARIES]


@pytest.mark.parametrize(("trouble", "state"), some(AT_BOUNDARIES, 6))
async def test_a_job_waits_for_a_nas_in_trouble_at_each_state(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, trouble: str, state: str
) -> None:
    boundary = Boundary(monkeypatch, state)
    async with a_world(root) as world, a_service(world) as service:
        await service.discover()
        job_id = await service.submit(world.folder)
        await boundary.reached()
        await world.begin(trouble)
        boundary.release()
        await require_waits_then_goes_on(world, service, job_id, trouble)
    count("mount troubles survived")


REQUESTS = 630  # one job makes a few more; each is a look-up, an open, a read, a deletion...
MIDWAY = ("unmounted", "empty disk over it", "hanging", *ERRORS)
AT_REQUESTS = [(trouble, number) for trouble in MIDWAY for number in range(0, REQUESTS, 16)]


@pytest.mark.parametrize(("trouble", "number"), some(AT_REQUESTS, 6))
async def test_a_job_waits_for_a_nas_in_trouble_at_each_request(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, trouble: str, number: int
) -> None:
    async with a_world(root) as world, a_service(world) as service:
        job_id = await in_trouble_at_request(monkeypatch, world, service, trouble, number)
        await require_waits_then_goes_on(world, service, job_id, trouble)
    count("mount troubles survived")


async def in_trouble_at_request(
    monkeypatch: pytest.MonkeyPatch, world: World, service: Service, trouble: str, number: int
) -> str:
    """A job; the trouble begins at the `number`-th request that its workers make to the NAS."""
    start = Boundary(monkeypatch, "queued")
    await service.discover()
    job_id = await service.submit(world.folder)
    await start.reached()
    if trouble in ERRORS:
        await world.server.fail(ERRORS[trouble], after=number)
    else:
        await world.server.hang(after=number)
    start.release()
    assert await world.server.fired()
    if trouble in ("unmounted", "empty disk over it"):
        await world.begin(trouble)
        await world.server.heal()
    return job_id


REPLACED = [(trouble, state) for trouble in ("another NAS", "empty disk over the folder") for state in BOUNDARIES]


@pytest.mark.parametrize(("trouble", "state"), some(REPLACED, 4))
async def test_what_is_mounted_in_place_of_a_source_is_never_taken_for_it(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, trouble: str, state: str
) -> None:
    """A folder of the same name may have been put there by its owner: so the job may also fail, saying what it saw."""
    boundary = Boundary(monkeypatch, state)
    async with a_world(root) as world, a_service(world) as service:
        await service.discover()
        job_id = await service.submit(world.folder)
        await boundary.reached()
        await world.begin(trouble)
        boundary.release()
        job = await until_held_or_ended(service, job_id)
        assert world.oracle.missing() == []
        if trouble == "another NAS" and state in ("queued", "copying") and job["status"] == "completed":
            # Nothing was known of the first one yet: what was there when the job began is what it archived.
            assert world.oracle_of_twin.losses(world.place.remote) == []
            await world.end(trouble)
            return
        assert job["status"] != "completed", job
        assert world.oracle_of_twin.missing() == []
        await world.end(trouble)
        if job["status"] == "failed":
            assert any(word in job["error_message"] for word in ("file system", "not the one", "changed")), job
            status, body = await service.call("POST", f"/api/jobs/{job_id}/retry")
            assert status == 200, body
        assert (await service.until(job_id))["status"] == "completed"
        world.require_done()
    count("mount troubles survived")


# Each hang is in another part of the deletion: the look for the source, the marker, the entries, the look whether all
# is gone, the marker again. They strike at a request of a kind that nothing but the job makes.
IN_THE_DELETION = (
    (("lookup", 0), ("link", 0), ("unlink", 1), ("open", 0)),
    (("opendir", 1), ("rmdir", 0), ("open", 0)),  # the first one is of the question whether the NAS answers
    (("fsync", 0), ("lookup", 5), ("open", 0)),
    (("write", 0), ("fsyncdir", 1), ("lookup", 0), ("open", 0)),
    (("create", 0),),
)


@pytest.mark.parametrize("hangs", IN_THE_DELETION)
async def test_a_job_says_that_the_nas_hangs_at_each_kind_of_request_of_its_deletion(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, hangs: Sequence[tuple[str, int]]
) -> None:
    boundary = Boundary(monkeypatch, "deleting_source")
    async with a_world(root) as world, a_service(world) as service:
        await service.discover()
        job_id = await service.submit(world.folder)
        await boundary.reached()
        for number, (kind, after) in enumerate(hangs, 1):
            await world.server.hang(after=after, kind=kind)
            boundary.release()
            assert await world.server.fired()
            await until_told(service, job_id, "the NAS does not answer", number)
            job = await until_held_or_ended(service, job_id)
            assert job["status"] == "deleting_source", (job, await service.log_of(job_id))
            assert world.oracle.losses(world.place.remote) == []
        await world.server.heal()
        job = await service.until(job_id)
        assert job["status"] == "completed", (job, await service.log_of(job_id))
        await until_told(service, job_id, "The NAS answers again", len(hangs))
        world.require_done()
    count("mount troubles survived", len(hangs))


async def until_told(service: Service, job_id: str, what: str, times: int) -> None:
    """The job's log once it says so for the n-th time."""
    async with asyncio.timeout(HELD_SECONDS):
        while sum([what in line for line in await service.log_of(job_id)]) < times:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", some(range(0, REQUESTS, 20), 3))
async def test_a_job_can_be_cancelled_while_the_nas_hangs(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async with a_world(root) as world, a_service(world) as service:
        job_id = await in_trouble_at_request(monkeypatch, world, service, "hanging", number)
        async with asyncio.timeout(ANSWER_SECONDS):
            status, body = await service.call("DELETE", f"/api/jobs/{job_id}")
        async with asyncio.timeout(ANSWER_SECONDS):
            assert (await service.call("GET", "/api/system/status"))[0] == 200
        await until_held_or_ended(service, job_id)
        await world.server.heal()
        job = await service.until(job_id)
        if status == 409:  # the deletion had begun
            assert job["status"] == "completed", job
            world.require_done()
        else:
            assert status < 300, body
            assert job["status"] == "cancelled", job
            assert world.oracle.missing() == []
            assert world.left_over() == []
    count("mount troubles survived")


@pytest.mark.parametrize("number", some(range(110, REQUESTS + 90, 25), 2))
async def test_the_service_can_be_stopped_while_the_nas_hangs(root: Path, count: Count, number: int) -> None:
    async with a_world(root) as world, Sandbox(sandbox_settings(world.place)) as sandbox:
        env = environment(world.place, sandbox.url, **PATIENCE)
        async with a_process(env) as first, client_of(world, sandbox, env) as service:
            await service.discover()
            await world.server.hang(after=number)
            asking = asyncio.create_task(service.submit(world.folder))
            assert await world.server.fired()
            job_id = await asking
            first.send_signal(signal.SIGTERM)
            try:
                assert await asyncio.wait_for(first.wait(), STOP_SECONDS) == 0
            finally:
                await world.server.heal()
        assert world.oracle.losses(world.place.remote) == []
        async with a_process(env) as second, client_of(world, sandbox, env) as service:
            assert (await service.until(job_id))["status"] == "completed"
            second.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(second.wait(), STOP_SECONDS) == 0
        world.require_done()
    count("mount troubles survived")


@asynccontextmanager
async def a_process(env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as systemd would run it, once it is ready."""
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    argv = (sys.executable, "-m", "cs_archiver", "serve")
    process = await asyncio.create_subprocess_exec(
        *argv, env={**inherited, **env}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        assert b"is ready" in await asyncio.wait_for(process.stdout.readline(), 60)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def client_of(world: World, sandbox: Sandbox, env: dict[str, str]) -> AsyncIterator[Service]:
    async with aiohttp.ClientSession() as session:
        service = Service(world.place, sandbox, f"http://127.0.0.1:{env['PORT']}", session)
        await service.sign_in()
        yield service
