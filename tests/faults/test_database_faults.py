"""The database is locked, unwritable, moved away, damaged or an old backup: nothing unproven is deleted or overwritten.

While it cannot be used no source is touched, `GET /api/system/status` says "database unhealthy", and when it is mended
the job goes on by itself; a damaged file is refused at the start. Writes fail by a file system of our own
(hanging_fuse.py) under the database, at each state and at the N-th write; locks are held by another process; damage is
random, with its seed in the name of the case, and held against SQLite's own verdict.

Old backups: a copy is made after every commit while a user's story goes to its end; then one of them is put back and
the service started. Every archive at the destination must keep its bytes, through what the restored jobs do, through a
retry, and through later jobs of the same folder.
"""

import asyncio
import errno
import hashlib
import os
import random
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cs_archiver import app
from cs_archiver.db.database import Database
from cs_archiver.errors import ArchiverError
from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Fail, Hold, Outcome
from tests.faults.mounts import BOUNDARIES, Boundary, bind, make_read_only, need_mounts, served, some, unmount
from tests.faults.oracle import Oracle
from tests.faults.scale import pick
from tests.support.service import FINAL, Place, Service, sandbox_settings, settings_of
from tests.support.tally import Count
from tests.support.tampering import until_at_work

pytestmark = pytest.mark.timeout(120)

TOLD_SECONDS = 20.0


class World:
    """A source folder, its judge, a Globus sandbox that outlives the service, and the database of the service."""

    def __init__(self, root: Path, sandbox: Sandbox) -> None:
        self.place = Place(root)
        self.sandbox = sandbox
        self.workers: asyncio.Task[None] | None = None
        self.folder = self.place.folder()
        (self.folder / "sub" / "empty").mkdir(parents=True)
        for number in range(4):
            (self.folder / "sub" / f"{number}.mov").write_text(f"take {number}\n" * 3000)
        self.oracle = Oracle(self.folder)

    @asynccontextmanager
    async def service(self, **overrides: str) -> AsyncIterator[Service]:
        overrides = {"MAX_UPLOAD_RETRIES": "1", **overrides}
        settings = settings_of(self.place, self.sandbox.url, **overrides)
        async with app.running(settings) as (address, self.workers), aiohttp.ClientSession() as session:
            service = Service(self.place, self.sandbox, address, session)
            await service.sign_in()
            yield service

    def require_done(self) -> None:
        assert self.oracle.losses(self.place.remote) == []
        assert self.oracle.is_archived_and_gone(self.place.remote)
        self.require_tidy()

    def require_tidy(self) -> None:
        temp = self.place.storage / "temp"
        assert [*(temp.iterdir() if temp.exists() else ()), *self.place.storage.rglob("*.partial")] == []

    def digests(self) -> dict[str, str]:
        """Every file at the destination."""
        files = (path for path in self.place.remote.rglob("*") if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def require_kept(self, before: dict[str, str]) -> None:
        now = self.digests()
        assert {path: now.get(path) for path in before} == before
        assert self.oracle.losses(self.place.remote) == []

    def replace_database(self, backup: Path) -> None:
        for path in self.place.database.parent.glob(self.place.database.name + "*"):
            path.unlink()
        shutil.copyfile(backup, self.place.database)


@asynccontextmanager
async def a_world(root: Path) -> AsyncIterator[World]:
    async with Sandbox(sandbox_settings(Place(root).make())) as sandbox:
        yield World(root, sandbox)


def copy_of_database(database: Path, target: Path, *, vacuum: bool) -> Path:
    """As an administrator makes one of a running service."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as source:
        if vacuum:
            source.execute("VACUUM INTO ?", (str(target),))
        else:
            with closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
    return target


def is_healthy(database: Path) -> bool:
    """The verdict of SQLite itself, on a copy."""
    copy = database.with_name("copy to look at")
    shutil.copyfile(database, copy)
    try:
        with closing(sqlite3.connect(copy)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError:
        return False
    finally:
        copy.unlink()


async def is_told(service: Service) -> bool:
    _, body = await service.call("GET", "/api/system/status")
    return "database" in (text := str(body).lower()) and "unhealthy" in text


async def require_told_and_kept(world: World, service: Service, *, kept: bool = True) -> None:
    """The status says so, and from then on nothing more is deleted; `kept`: nothing was before either."""
    async with asyncio.timeout(TOLD_SECONDS):
        while not await is_told(service):
            await asyncio.sleep(0.05)
    missing = world.oracle.missing()
    for _ in range(3):  # each asks the database, which may take its time to answer when it is locked
        assert await is_told(service)
    assert world.oracle.missing() == missing
    assert world.oracle.losses(world.place.remote) == []
    assert missing == [] or not kept


async def submitted(service: Service, world: World) -> str:
    await service.discover()
    return await service.submit(world.folder)


async def require_completes(world: World, service: Service, job_id: str) -> None:
    job = await service.until(job_id)
    assert job["status"] == "completed", job
    world.require_done()


ERRORS = {"read-only": errno.EROFS, "broken": errno.EIO, "full": errno.ENOSPC}
WRITES = 40  # one job makes a few more
AT_STATES = [(error, state, 0) for error in ERRORS for state in BOUNDARIES]
AT_WRITES = [(error, "queued", number) for error in ERRORS for number in range(1, WRITES, 2)]


@pytest.mark.parametrize(("error", "state", "number"), some(AT_STATES, 3) + some(AT_WRITES, 3))
async def test_while_the_database_cannot_be_written_nothing_is_deleted(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, error: str, state: str, number: int
) -> None:
    need_mounts(fuse=True)
    boundary = Boundary(monkeypatch, state)
    async with served(root / "disk", root / "state") as disk, a_world(root) as world, world.service() as service:
        job_id = await submitted(service, world)
        await boundary.reached()
        await disk.fail(ERRORS[error], world.place.database.name, world.place.database.name + "-wal", after=number)
        boundary.release()
        assert await disk.fired()
        await require_told_and_kept(world, service, kept=number == 0)
        await disk.heal()
        await require_completes(world, service, job_id)
    count("database faults survived")


HOLDER = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE'); print(flush=True); input()"
)


@pytest.mark.parametrize("state", some(BOUNDARIES, 1))
async def test_while_another_process_locks_the_database_nothing_is_deleted(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    boundary = Boundary(monkeypatch, state)
    async with a_world(root) as world, world.service() as service:
        job_id = await submitted(service, world)
        await boundary.reached()
        pipe = asyncio.subprocess.PIPE
        argv = (sys.executable, "-c", HOLDER, str(world.place.database))
        holder = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"\n"
        boundary.release()
        await require_told_and_kept(world, service)
        await holder.communicate(b"\n")
        await require_completes(world, service, job_id)
    count("database faults survived")


MOVED = [(state, what) for state in BOUNDARIES for what in ("", "all")]


@pytest.mark.parametrize(("state", "what"), some(MOVED, 2))
async def test_while_the_database_is_moved_away_nothing_is_deleted(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, state: str, what: str
) -> None:
    boundary = Boundary(monkeypatch, state)
    async with a_world(root) as world, world.service() as service:
        job_id = await submitted(service, world)
        await boundary.reached()
        database = world.place.database
        moved = [path for path in (database, *database.parent.glob(f"{database.name}-*")) if what or path == database]
        away = root / "away"
        away.mkdir()
        for path in moved:
            path.rename(away / path.name)
        boundary.release()
        await require_told_and_kept(world, service)
        for path in moved:
            path.unlink(missing_ok=True)
            (away / path.name).rename(path)
        await require_completes(world, service, job_id)
    count("database faults survived")


def damage(database: Path, seed: int) -> None:
    """Spoil the file in one of the ways in which files are spoilt."""
    source = random.Random(seed)
    before = database.read_bytes()
    content = bytearray(before)
    while content == before:
        _spoil(content, source)
    descriptor = os.open(database, os.O_WRONLY)
    try:
        os.pwrite(descriptor, content, 0)
        os.truncate(descriptor, len(content))
    finally:
        os.close(descriptor)


def _spoil(content: bytearray, source: random.Random) -> None:
    kind = source.choice(("page", "zeros", "bits", "cut", "head"))
    page = source.randrange(len(content) // 4096) * 4096
    if kind in ("page", "zeros"):
        content[page : page + 4096] = source.randbytes(4096) if kind == "page" else bytes(4096)
    elif kind == "bits":
        for _ in range(source.randrange(1, 20)):
            content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    elif kind == "cut":
        del content[page + source.choice((0, 100, 4095)) :]
    else:
        content[:16] = source.randbytes(16)


async def until_settled(world: World, service: Service) -> list[dict[str, Any]]:
    """The jobs, once each has ended or waits and says why; none when the service said why it does nothing."""
    async with asyncio.timeout(60):
        while True:
            status, jobs = await service.call("GET", "/api/jobs")
            stopped = world.workers is not None and world.workers.done()
            if stopped or await is_told(service):
                return []
            assert status == 200, jobs
            if all(job["status"] in FINAL or _says_why(job) for job in jobs):
                return list(jobs)
            await asyncio.sleep(0.02)


def _says_why(job: dict[str, Any]) -> bool:
    return str(job["current_operation"]).startswith(("Held: ", "Waiting for disk space"))


async def require_refused_or_right(world: World) -> None:
    """A start on what may be damaged: refused with a reason, and always when SQLite says it is damaged."""
    healthy = is_healthy(world.place.database)
    try:
        async with world.service() as service:
            assert healthy, "a damaged database was accepted"
            jobs = await until_settled(world, service)
    except ArchiverError as refusal:
        assert any(word in str(refusal) for word in ("restore", "database")), refusal  # noqa: PT017
        jobs = []
    assert world.oracle.losses(world.place.remote) == []
    for job in jobs:
        assert job["status"] != "completed" or world.oracle.is_archived_and_gone(world.place.remote), job


@pytest.mark.parametrize("seed", range(pick(4, 160)))
async def test_a_damaged_database_is_refused_at_the_start_or_does_no_harm(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    boundary = Boundary(monkeypatch, BOUNDARIES[seed % len(BOUNDARIES)])
    async with a_world(root) as world:
        async with world.service() as service:
            await submitted(service, world)
            await boundary.reached()
        boundary.release()
        backup = copy_of_database(world.place.database, root / "backups" / "good.db", vacuum=False)
        damage(world.place.database, seed)
        await require_refused_or_right(world)
        await require_goes_on_with(world, backup)
    count("database faults survived")


async def require_goes_on_with(world: World, backup: Path) -> None:
    """The advice of every refusal: restore the last backup. The job then ends, or says why it does not."""
    archives = world.digests() if world.oracle.missing() else {}
    world.replace_database(backup)
    async with world.service() as service:
        jobs = await until_settled(world, service)
        assert jobs, "the restored database was not taken"
        world.require_kept(archives)
        assert all(job["status"] == "completed" or job["error_message"] or _says_why(job) for job in jobs), jobs
        if not archives:
            assert jobs[0]["status"] == "completed", jobs
            world.require_done()


RUNNING = [(state, seed) for seed in range(9) for state in BOUNDARIES]


@pytest.mark.parametrize(("state", "seed"), some(RUNNING, 3))
async def test_a_database_damaged_while_the_service_runs_does_no_harm(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, state: str, seed: int
) -> None:
    boundary = Boundary(monkeypatch, state)
    async with a_world(root) as world:
        async with world.service() as service:
            await submitted(service, world)
            await boundary.reached()
            backup = copy_of_database(world.place.database, root / "backups" / "good.db", vacuum=True)
            damage(world.place.database, seed)
            boundary.release()
            await until_settled(world, service)
            assert world.oracle.losses(world.place.remote) == []
        await require_refused_or_right(world)
        await require_goes_on_with(world, backup)
    count("database faults survived")


@pytest.mark.parametrize("state", some(BOUNDARIES, 1))
async def test_a_database_that_is_read_only_at_the_start_is_refused_until_it_is_mended(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    need_mounts()
    boundary = Boundary(monkeypatch, state)
    async with a_world(root) as world:
        async with world.service() as service:
            job_id = await submitted(service, world)
            await boundary.reached()
        boundary.release()
        folder = world.place.database.parent
        bind(folder, folder)
        try:
            make_read_only(folder)
            with pytest.raises(ArchiverError, match=str(folder)):
                async with world.service():
                    pass
        finally:
            unmount(folder)
        assert world.oracle.missing() == []
        async with world.service() as service:
            await require_completes(world, service, job_id)
    count("database faults survived")


# Stories: what happens from before the job existed until the old backup is put back.


async def archived(world: World, service: Service) -> None:
    job = await service.archive(world.folder)
    assert job["status"] == "completed", job


async def archived_at_the_second_upload(world: World, service: Service) -> None:
    world.sandbox.faults.add(Operation.RUN, Fail())
    await archived(world, service)
    assert len(world.sandbox.faults.fired) == 1


async def archived_after_a_bad_upload(world: World, service: Service) -> None:
    world.sandbox.faults.add(Operation.RUN, Outcome("FLIPPED_BIT"))
    world.sandbox.faults.add(Operation.RUN, Outcome("TRUNCATED"))
    job = await service.archive(world.folder)
    if job["status"] == "failed":
        await service.call("POST", f"/api/jobs/{job['job_id']}/retry")
        job = await service.until(job["job_id"])
    assert job["status"] == "completed", job


async def failed_then_retried(world: World, service: Service) -> None:
    world.sandbox.faults.add(Operation.RUN, Fail(), times=2)
    job = await service.archive(world.folder)
    assert job["status"] == "failed", job
    await service.call("POST", f"/api/jobs/{job['job_id']}/retry")
    job = await service.until(job["job_id"])
    assert job["status"] == "completed", job


async def cancelled_then_archived(world: World, service: Service) -> None:
    world.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    job_id = await submitted(service, world)
    await service.until(job_id, "uploading")
    await until_at_work(world.sandbox)
    await service.call("DELETE", f"/api/jobs/{job_id}")
    assert (await service.until(job_id))["status"] == "cancelled"
    world.sandbox.faults.clear()
    await archived(world, service)


async def archived_then_filled(world: World, service: Service) -> None:
    await archived(world, service)
    fill(world, "after.mov")


async def archived_twice(world: World, service: Service) -> None:
    await archived_then_filled(world, service)
    await service.discover()
    job = await service.until(await service.submit(world.folder, on_existing="new_version"))
    assert job["status"] == "completed", job


async def asked_for_a_new_version(world: World, service: Service) -> None:
    await service.discover()
    job = await service.until(await service.submit(world.folder, on_existing="new_version"))
    assert job["status"] == "completed", job


def fill(world: World, name: str) -> None:
    """Somebody clears the folder of its marker and puts something new there: the old content is only archived now."""
    for marker in world.folder.glob("*-ARCHIVED-TO-GLOBUS.txt"):
        marker.unlink()
    (world.folder / name).write_text(f"new content of {name}\n" * 500)
    world.oracle.note(name)


STORIES: dict[Callable[[World, Service], Awaitable[None]], int] = {  # with how many commits each makes at least
    archived: 28,
    archived_at_the_second_upload: 32,
    archived_after_a_bad_upload: 38,
    failed_then_retried: 43,
    cancelled_then_archived: 46,  # fewer where the cancel comes before the answer of Globus is stored
    archived_then_filled: 28,
    archived_twice: 55,
    asked_for_a_new_version: 28,
}


class Backups:
    """One before anything is asked for, and one after every commit, in turn by either way of SQLite."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, database: Path, folder: Path) -> None:
        self.made: list[Path] = []
        self._database = database
        self._folder = folder
        self.make()
        real = Database.write

        @asynccontextmanager
        async def write(its: Database) -> AsyncIterator[Any]:
            async with real(its) as connection:
                yield connection
            self.make()

        monkeypatch.setattr(Database, "write", write)

    def make(self) -> None:
        number = len(self.made)
        target = self._folder / f"{number}.db"
        self.made.append(copy_of_database(self._database, target, vacuum=number % 2 == 1))


# Counted from the begin, and from the end (negative), so that neither is left out when a story grows.
BACKUPS = [
    pytest.param(story, number, id=f"{story.__name__}{number:+}")
    for story, commits in STORIES.items()
    for number in range(commits // 2 - commits, commits // 2)
]


@pytest.mark.parametrize(("story", "number"), some(BACKUPS, 12))
async def test_an_old_backup_overwrites_no_archive_and_deletes_nothing_unproven(
    root: Path,
    count: Count,
    monkeypatch: pytest.MonkeyPatch,
    story: Callable[[World, Service], Awaitable[None]],
    number: int,
) -> None:
    async with a_world(root) as world:
        with monkeypatch.context() as patch:
            async with world.service() as service:
                backups = Backups(patch, world.place.database, root / "backups")
                await story(world, service)
        assert len(backups.made) > STORIES[story], "some of its backups are taken twice"
        await require_old_database_does_no_harm(world, backups.made[number])
    count("old databases restored")


async def test_the_archive_of_a_later_upload_is_no_leftover_of_an_earlier_one_that_failed(
    root: Path, count: Count
) -> None:
    """The backup was made while the first upload ran; it failed, the second was verified, and the source deleted."""
    async with a_world(root) as world:
        async with world.service() as service:
            world.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
            world.sandbox.faults.add(Operation.RUN, Fail())
            job_id = await submitted(service, world)
            await service.until(job_id, "uploading")
            await until_at_work(world.sandbox)
            async with asyncio.timeout(20):
                while not (await service.job(job_id))["globus_task_id"]:
                    await asyncio.sleep(0.02)
            backup = copy_of_database(world.place.database, root / "backups" / "while uploading.db", vacuum=False)
            world.sandbox.faults.release()
            assert (await service.until(job_id))["status"] == "completed"
            assert [task.status for task in world.sandbox.tasks.values()][:2] == ["FAILED", "SUCCEEDED"]
        await require_old_database_does_no_harm(world, backup)
    count("old databases restored")


async def require_old_database_does_no_harm(world: World, backup: Path) -> None:
    good = world.digests()
    holds_marker_only = os.listdir(world.folder) == [marker_of(world.folder)]
    world.replace_database(backup)
    async with world.service() as service:
        await settle(world, service, good)
        for job in (await service.call("GET", "/api/jobs"))[1]:
            if job["status"] == "failed":  # a user who sees it tries again, some refusals apart
                await service.call("POST", f"/api/jobs/{job['job_id']}/retry")
        await settle(world, service, good)
        if holds_marker_only:
            assert world.digests() == good, "an archive of nothing but a marker was made"
        await later_jobs(world, service, good)
    world.require_tidy()


async def settle(world: World, service: Service, good: dict[str, str]) -> None:
    """The restored jobs end, or wait and say why; every archive keeps its bytes."""
    jobs = await until_settled(world, service)
    world.require_kept(good)
    for job in jobs:
        assert job["status"] != "failed" or job["error_message"], job
        if job["status"] == "completed":
            path = (await service.job(job["job_id"]))["globus_destination_path"]
            assert (world.place.remote / path.lstrip("/")).exists(), job


async def later_jobs(world: World, service: Service, good: dict[str, str]) -> None:
    """The same folder is used again, and archived again: by a name that is taken, then as a version."""
    for job in (await service.call("GET", "/api/jobs"))[1]:
        if job["status"] not in FINAL:
            status, body = await service.call("DELETE", f"/api/jobs/{job['job_id']}")
            assert status < 300, (job, body)
            await service.until(job["job_id"])
    fill(world, "later.mov")
    await service.discover()
    wish = {"folder_path": str(world.folder), "on_existing": "fail"}
    status, body = await service.call("POST", "/api/jobs", json=wish)
    if status == 201:
        body = await service.until(body["job_id"])
        assert body["status"] == "failed", body
        assert "the destination" in body["error_message"], body
    else:
        assert (status, body["type"]) == (409, "/problems/destination-exists"), body
    world.require_kept(good)
    job = await service.until(await service.submit(world.folder, on_existing="new_version"))
    assert job["status"] == "completed", job
    world.require_kept(good)
    assert os.listdir(world.folder) == [marker_of(world.folder)]


def marker_of(folder: Path) -> str:
    return f"{folder.name}-ARCHIVED-TO-GLOBUS.txt"


async def test_an_archive_that_was_verified_after_the_backup_is_no_leftover(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup knows of everything that was sent, and not that it was verified, nor that its source was deleted."""
    async with a_world(root) as world:
        with monkeypatch.context() as patch:
            async with world.service() as service:
                backups = Backups(patch, world.place.database, root / "backups")
                await archived(world, service)
        await require_old_database_does_no_harm(world, [made for made in backups.made if not verifications(made)][-1])
    count("old databases restored")


def verifications(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM verifications").fetchone()[0])
