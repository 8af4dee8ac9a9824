"""The canonical jobs of the kill sweep: what lies in the folder, how it is copied, what its user does meanwhile.

A job is brought to its end over as many lives of the service as it takes; between them, and at the end, everything
that may never happen is looked for.
"""

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Fail, Hold
from tests.faults.kill_points import Point, Watch
from tests.faults.oracle import Oracle
from tests.faults.process import MakeWatch, ServiceProcess
from tests.support.glance import Glance
from tests.support.service import FINAL, Place, environment, sandbox_settings
from tests.support.trees import AWKWARD_NAMES

_BY_RSYNC = {"COPY_SMALL_BELOW_GB": "0"}
_BY_DD = {**_BY_RSYNC, "COPY_MEDIUM_BELOW_GB": "0"}
_BY_THREADS = {**_BY_DD, "COPY_LARGE_BELOW_GB": "0", "COPY_THREADS": "4"}
_MOST_LIVES = 4
_LOOK_SECONDS = 0.03

Plant = Callable[[Path], None]
Moment = Callable[["World"], bool]


@dataclass(frozen=True, slots=True)
class CanonicalJob:
    """`before`: an earlier life was killed at this moment; `user` is what its user does besides waiting."""

    plant: Plant
    settings: dict[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ("Project_Alpha",)
    before: Moment | None = None
    fails_with: str = "^$"
    is_cancelled: bool = False


def plant_one_file(folder: Path) -> None:
    (folder / "only.mov").write_bytes(os.urandom(30_000))


def plant_few(folder: Path) -> None:
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / "empty").mkdir()
    for number in range(4):
        (folder / "sub" / f"{number} -x *.mov").write_bytes(os.urandom(40_000))
    (folder / "sub" / "deeper" / "notes.txt").write_text("text " * 2000)
    (folder / "link").symlink_to("sub/deeper")


def plant_tree(folder: Path) -> None:
    """50 files with odd names, in sub-folders, among them hard links; links beside them."""
    root = os.fsencode(folder)
    for number, name in enumerate(AWKWARD_NAMES):
        with open(os.path.join(root, name), "xb") as file:
            file.write(b"content %d " % number * (number + 1))
    for number in range(22):
        path = folder / f"reel {number % 3}" / f"take {number % 2}" / f"{number}.mov"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(2_000 + number))
    os.link(folder / "reel 0" / "take 0" / "0.mov", folder / "second name")
    os.link(folder / "reel 1" / "take 1" / "1.mov", folder / "reel 2" / "second name")
    (folder / "empty").mkdir()
    (folder / "link to a folder").symlink_to("reel 1")
    (folder / "reel 1" / "dangling").symlink_to("nowhere")


def plant_large(folder: Path) -> None:
    """Files that dd copies, and a few that it does not."""
    plant_few(folder)
    for number in range(2):
        (folder / f"{number}.bin").write_bytes(os.urandom(1_000) * 1_100)


def plant_wide(folder: Path) -> None:
    """More files than one thread deletes at a time where the calls wait, as they do under the watch."""
    for number in range(150):
        path = folder / f"reel {number % 3}" / f"{number:03}.mov"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(100))
    for number in range(0, 12, 3):
        os.link(folder / "reel 0" / f"{number:03}.mov", folder / "reel 1" / f"second name of {number}")


class World:
    """One NAS with the folders of a canonical job, one Globus, and the service, time and again."""

    def __init__(self, root: Path, job: CanonicalJob, sandbox: Sandbox, place: Place, *, port: int) -> None:
        self.job = job
        self.place = place
        self.sandbox = sandbox
        self.lives = 0
        self._done = False
        self.folders = {name: place.folder(name) for name in job.folders}
        for folder in self.folders.values():
            job.plant(folder)
        self.oracles = {name: Oracle(folder) for name, folder in self.folders.items()}
        self.root = root
        self.environment = environment(place, sandbox.url, **job.settings, PORT=str(port))
        if job.is_cancelled:
            sandbox.faults.add(Operation.RUN, Hold("STUCK"), times=None)
        elif job.fails_with != "^$":
            sandbox.faults.add(Operation.RUN, Fail(), times=1)

    async def live(self, watched: MakeWatch | None = None, *, strace: tuple[str, ...] = ()) -> ServiceProcess:
        """One life, to the end of all jobs or its own; afterwards nothing of it is left, and nothing is lost."""
        self.lives += 1
        service = ServiceProcess(self.environment, self.root)
        try:
            if await service.start(watched, strace=strace):
                await self.use(service)
            else:
                assert strace or (service.watch is not None and service.watch.victims), service.printed
        finally:
            await service.bury()
        assert self.losses() == []
        assert "database is older" not in service.printed  # nobody put another in its place
        return service

    async def live_to_the_end(self) -> None:
        while not self.is_done():
            assert self.lives < _MOST_LIVES, f"not done after {self.lives} lives"
            await self.live()

    def watched(self, point: Point | None, *, blow: Callable[[int], bool] | None = None) -> MakeWatch:
        return lambda listener, pid: Watch(listener, pid, self.root, point=point, blow=blow)

    async def be_killed_before(self) -> None:
        """The earlier life, for jobs that are to be found half done."""
        moment = self.job.before
        if moment is not None:
            service = await self.live(
                lambda listener, pid: Watch(listener, pid, self.root, moment=lambda: moment(self))
            )
            assert service.watch is not None
            assert service.returncode == -signal.SIGKILL
            assert service.watch.victims == [("service", service.pid)]

    def is_done(self) -> bool:
        return self._done

    def losses(self) -> list[str]:
        return [loss for oracle in self.oracles.values() for loss in oracle.losses(self.place.remote)]

    async def use(self, service: ServiceProcess) -> None:
        """What a user does, over and over: ask for what is not there, retry what failed, until all is over."""
        asked: set[str] = set()
        jobs: dict[str, dict[str, Any]] = {}
        with Glance(self.place.database) as glance:
            try:
                async with asyncio.timeout(60):
                    while service.returncode is None and not self._done:
                        jobs = {row["folder_name"]: row for row in reversed(glance.jobs())}
                        for name, folder in self.folders.items():
                            await self._act(service, folder, jobs.get(name), asked)
                        self._done = all(self._is_over(jobs.get(name)) for name in self.folders)
                        await asyncio.sleep(_LOOK_SECONDS)
            except TimeoutError:
                raise AssertionError(f"neither done nor dead: {jobs}") from None

    def _is_over(self, row: dict[str, Any] | None) -> bool:
        return row is not None and row["status"] == ("cancelled" if self.job.is_cancelled else "completed")

    async def _act(self, service: ServiceProcess, folder: Path, row: dict[str, Any] | None, asked: set[str]) -> None:
        if row is None:
            if folder.name not in asked:
                await service.call("GET", "/api/folders?refresh=true")
            asked.add(folder.name)
            await service.call("POST", "/api/jobs", json={"folder_path": str(folder)})
        elif row["status"] == "failed":
            self._require_told(service, row)
            await service.call("POST", f"/api/jobs/{row['job_id']}/retry")
        elif self.job.is_cancelled and any(not task.is_queued for task in self.sandbox.tasks.values()):
            await service.call("DELETE", f"/api/jobs/{row['job_id']}")
        else:
            assert row["status"] not in FINAL or self._is_over(row), row

    def _require_told(self, service: ServiceProcess, row: dict[str, Any]) -> None:
        """A job may fail by what the canonical job fails with, or because its tool dies each time it is started."""
        watch, reason = service.watch, row["error_message"]
        if watch is not None and watch.point is not None and watch.point.each and watch.victims:
            watch.disarm()
            assert re.search("SIGKILL|exit code", reason), row
        else:
            assert re.search(self.job.fails_with, reason), row

    def require_all_well(self) -> None:
        """At the end of every run, whatever happened in between."""
        storage = self.place.storage
        for path, oracle in ((folder, self.oracles[name]) for name, folder in self.folders.items()):
            if self.job.is_cancelled:
                assert oracle.missing() == []
                assert oracle.archives(self.place.remote) == []
            else:
                assert oracle.is_archived_and_gone(self.place.remote), os.listdir(path)
                assert self._sent(path) == 1
        assert list((storage / "temp").iterdir()) == []
        # Neither archives nor parts of them; what a failed job left stays in failed/ for people to look at.
        files = [str(path.relative_to(storage)) for path in storage.rglob("*") if path.is_file()]
        left = [path for path in files if not path.startswith(("failed/", ".cs-archiver."))]
        assert left == [], f"orphaned files: {left}"
        assert not any(task.is_unfinished for task in self.sandbox.tasks.values())

    def _sent(self, folder: Path) -> int:
        """How often Globus really transferred the archive of a folder."""
        name = f"/{folder.name}.tar.7z"
        tasks = self.sandbox.tasks.values()
        return sum(row.item.destination_path.endswith(name) for task in tasks for row in task.transferred)


@asynccontextmanager
async def world_of(job: CanonicalJob, root: Path) -> AsyncIterator[World]:
    place = Place(root).make()
    with socket.socket() as reserved:  # no life may find its port taken: bound by us, only its service can listen on it
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        async with Sandbox(sandbox_settings(place)) as sandbox:
            yield World(root, job, sandbox, place, port=reserved.getsockname()[1])


def _is_copying(world: World) -> bool:
    return sum(path.is_file() for path in (world.place.storage / "temp").rglob("*")) >= 2


def _is_packed(world: World) -> bool:
    return any(path.stat().st_size for path in world.place.storage.rglob("*.partial"))


def _is_named(world: World) -> bool:
    return any((world.place.storage / "archives").rglob("*.tar.7z"))


def _is_submitted(world: World) -> bool:
    return bool(world.sandbox.tasks)


def _is_stored(world: World) -> bool:
    return any(task.transferred for task in world.sandbox.tasks.values()) and _is_named(world)


def _is_marked(world: World) -> bool:
    return any(path.name.endswith("-ARCHIVED-TO-GLOBUS.txt") for path in world.folders["Project_Alpha"].iterdir())


def _is_being_deleted(world: World) -> bool:
    return len(world.oracles["Project_Alpha"].missing()) >= 3


def _is_deleted_side_by_side(world: World) -> bool:
    return _is_marked(world) and sum(len(files) for _, _, files in os.walk(world.folders["Project_Alpha"])) < 75


def _is_deleted(world: World) -> bool:
    return _is_marked(world) and len(os.listdir(world.folders["Project_Alpha"])) == 1


JOBS = {
    "one": CanonicalJob(plant_one_file),
    "tree": CanonicalJob(plant_tree),
    "rsync": CanonicalJob(plant_few, _BY_RSYNC),
    "dd": CanonicalJob(plant_large, _BY_DD),
    "parallel": CanonicalJob(plant_tree, _BY_THREADS),
    "failed-and-retried": CanonicalJob(plant_few, {"MAX_UPLOAD_RETRIES": "0"}, fails_with="endpoint error"),
    "cancelled": CanonicalJob(plant_few, is_cancelled=True),
    "two": CanonicalJob(plant_one_file, folders=("Project_Alpha", "Project_Beta")),
    "again-copying": CanonicalJob(plant_few, before=_is_copying),
    "again-packing": CanonicalJob(plant_few, before=_is_packed),
    "again-named": CanonicalJob(plant_few, before=_is_named),
    "again-submitted": CanonicalJob(plant_few, before=_is_submitted),
    "again-stored": CanonicalJob(plant_few, before=_is_stored),
    "again-marked": CanonicalJob(plant_few, before=_is_marked),
    "again-deleting": CanonicalJob(plant_few, before=_is_being_deleted),
    "again-deleted": CanonicalJob(plant_few, before=_is_deleted),
    "wide": CanonicalJob(plant_wide, {"COPY_THREADS": "4"}),
    "again-wide": CanonicalJob(plant_wide, {"COPY_THREADS": "4"}, before=_is_deleted_side_by_side),
}
"""`again`: the recovery itself is killed, after a life that was killed at the named moment."""
