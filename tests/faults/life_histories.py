"""What a user does with one folder, told so that it can be gone on with after any crash; and how it must end."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Fail, Hold
from tests.faults.life import Life
from tests.faults.oracle import Oracle
from tests.support.service import FINAL, Place, environment
from tests.support.tampering import plant, until_at_work


@dataclass
class World:
    """One folder, the Globus it goes to, and what its user was told so far."""

    place: Place
    sandbox: Sandbox
    folder: Path
    oracle: Oracle
    settings: dict[str, str]
    answers: dict[str, int] = field(default_factory=dict)

    @classmethod
    def planted(cls, root: Path, sandbox: Sandbox, settings: Mapping[str, str]) -> "World":
        """A few small files, a folder in the folder, an empty one, and a relative link."""
        place = Place(root)
        folder = plant(place.folder())
        (folder / "empty").mkdir()
        (folder / "link").symlink_to("sub/two.mov")
        return cls(place, sandbox, folder, Oracle(folder), environment(place, sandbox.url, **settings))

    @property
    def uploads(self) -> int:
        """How many Globus tasks really sent something."""
        return sum(bool(task.transferred) for task in self.sandbox.tasks.values())

    def assert_nothing_is_left(self) -> None:
        """No working copy, and no archive, whole or in part: nothing but what is kept on purpose."""
        left = os.listdir(self.place.storage / "temp")
        left += [path.name for path in (self.place.storage / "archives").rglob("*") if not path.is_dir()]
        left += [path.name for path in self.place.storage.rglob("*.partial")]
        assert left == [], left
        tasks = [task.status for task in self.sandbox.tasks.values()]
        assert set(tasks) <= {"SUCCEEDED", "FAILED"}, tasks


class History(Protocol):
    """A history is driven by each life anew, from wherever the last one left it."""

    settings: ClassVar[Mapping[str, str]]
    armed_from_the_start: ClassVar[bool]

    async def begin(self, world: World, life: Life) -> None:
        """What the first life does before its points are numbered, if they are not from the start."""

    async def go_on(self, world: World, life: Life) -> dict[str, Any] | None:
        """The job at its end; None when the life ended before."""

    async def judge(self, world: World, life: Life, job: dict[str, Any]) -> None:
        """Fails unless everything is as it must be in the end."""


async def submit(world: World, life: Life) -> None:
    await life.call("GET", "/api/folders?refresh=true")
    status, body = await life.call("POST", "/api/jobs", json={"folder_path": str(world.folder)})
    assert status in (0, 201), body


async def submit_unless_recorded(world: World, life: Life) -> None:
    if life.jobs() == []:
        await submit(world, life)


async def _hold_an_upload(world: World, life: Life, *effects: Fail) -> None:
    world.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    for effect in effects:
        world.sandbox.faults.add(Operation.RUN, effect)
    await submit(world, life)
    await life.until("uploading")
    await until_at_work(world.sandbox)


def _judge_archived(world: World, job: dict[str, Any]) -> None:
    losses = world.oracle.losses(world.place.remote)
    assert losses == [], losses
    assert job["status"] == "completed", job
    assert world.oracle.is_archived_and_gone(world.place.remote), os.listdir(world.folder)
    assert world.uploads == 1, world.uploads
    world.assert_nothing_is_left()


class Archived:
    """A folder is submitted and archived."""

    settings: ClassVar[Mapping[str, str]] = {}
    armed_from_the_start: ClassVar[bool] = True

    async def begin(self, world: World, life: Life) -> None:
        raise NotImplementedError

    async def go_on(self, world: World, life: Life) -> dict[str, Any] | None:
        await submit_unless_recorded(world, life)
        return await life.until(*FINAL)

    async def judge(self, world: World, life: Life, job: dict[str, Any]) -> None:
        _judge_archived(world, job)


class CancelledWhileUploading:
    """The upload is held at Globus and the user cancels; afterwards the folder is submitted again."""

    settings: ClassVar[Mapping[str, str]] = {}
    armed_from_the_start: ClassVar[bool] = False

    async def begin(self, world: World, life: Life) -> None:
        await _hold_an_upload(world, life)

    async def go_on(self, world: World, life: Life) -> dict[str, Any] | None:
        if world.answers.get("cancel") not in (200, 202, 204):
            job = await life.until("uploading", *FINAL)
            if job is None or job["status"] in FINAL:
                return job
            world.answers["cancel"], body = await life.call("DELETE", f"/api/jobs/{job['job_id']}")
            assert world.answers["cancel"] in (0, 200, 202, 204, 409), body
        return await life.until(*FINAL)

    async def judge(self, world: World, life: Life, job: dict[str, Any]) -> None:
        assert job["status"] == "cancelled", job
        assert world.oracle.missing() == []
        assert world.uploads == 0
        world.assert_nothing_is_left()
        await submit(world, life)
        again = await life.until(*FINAL)
        assert again is not None
        _judge_archived(world, again)


class FailedAndRetried:
    """Globus fails the task, and with it the job; the user retries it."""

    settings: ClassVar[Mapping[str, str]] = {"MAX_UPLOAD_RETRIES": "0"}
    armed_from_the_start: ClassVar[bool] = False

    async def begin(self, world: World, life: Life) -> None:
        await _hold_an_upload(world, life, Fail())

    async def go_on(self, world: World, life: Life) -> dict[str, Any] | None:
        world.sandbox.faults.release()
        job = await life.until(*FINAL)
        if job is None or job["status"] != "failed" or world.answers.get("retry") == 200:
            return job
        world.answers["retry"], body = await life.call("POST", f"/api/jobs/{job['job_id']}/retry")
        assert world.answers["retry"] in (0, 200), body
        return await life.until(*FINAL)

    async def judge(self, world: World, life: Life, job: dict[str, Any]) -> None:
        _judge_archived(world, job)


HISTORIES: dict[str, History] = {
    "archived": Archived(),
    "cancelled": CancelledWhileUploading(),
    "retried": FailedAndRetried(),
}
