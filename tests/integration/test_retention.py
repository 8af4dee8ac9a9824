"""What failed jobs left on the local disk goes after a while; what may be the only copy of something never does."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.db.switches import Switches
from cs_archiver.domain.states import JobStatus
from cs_archiver.domain.switches import Switch
from cs_archiver.errors import Halted
from cs_archiver.stages.places import Places
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.workers.retention import Retention
from tests.integration.test_queue import bring_to, proven
from tests.support.jobs import submit

AT_ONCE = timedelta(0)


class House:
    def __init__(self, root: Path, database: Database) -> None:
        self.failed = root / "failed"
        self.failed.mkdir()
        places = Places(root / "nas", root, root / "temp", root / "archives", self.failed, "/")
        self.queue = Queue(database)
        self.switches = Switches(database, {})
        self.retention = Retention(Jobs(database), SetAside(places), self.switches, keep=AT_ONCE)

    def leave(self, job_id: str) -> Path:
        folder = self.failed / job_id
        (folder / "found").mkdir(parents=True)
        for name in ("error.log", "a.tar.7z", "2-a.tar.7z", "a.tar.7z.partial", "found/a.tar.7z", "notes"):
            (folder / name).write_text("kept")
        return folder

    def left(self, folder: Path) -> list[str]:
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "cs.db", read_connections=2)
    yield database
    await database.close()


@pytest.fixture
def house(tmp_path: Path, database: Database) -> House:
    return House(tmp_path, database)


async def test_what_a_failed_job_left_is_removed_but_not_what_was_found_in_its_way(
    house: House, database: Database
) -> None:
    job = await bring_to(house.queue, await submit(database), JobStatus.UPLOADING)
    await house.queue.move(job, JobStatus.FAILED)
    folder = house.leave(job.id)
    await house.retention.look(AT_ONCE)
    assert house.left(folder) == ["found/a.tar.7z", "notes"]


async def test_an_empty_folder_goes_too(house: House, database: Database) -> None:
    job = await submit(database)
    await house.queue.move(job, JobStatus.CANCELLED)
    (house.failed / job.id).mkdir()
    (house.failed / job.id / "error.log").write_text("why")
    await house.retention.look(AT_ONCE)
    assert list(house.failed.iterdir()) == []


async def test_nothing_of_a_job_whose_deletion_had_begun_is_removed(house: House, database: Database) -> None:
    job = await house.queue.move(await proven(database, house.queue), JobStatus.DELETING_SOURCE)
    await house.queue.move(job, JobStatus.FAILED)
    folder = house.leave(job.id)
    await house.retention.look(AT_ONCE)
    assert "a.tar.7z" in house.left(folder)


async def test_a_completed_job_needs_nothing_any_more(house: House, database: Database) -> None:
    job = await house.queue.move(await proven(database, house.queue), JobStatus.DELETING_SOURCE)
    await house.queue.move(job, JobStatus.COMPLETED)
    folder = house.leave(job.id)
    await house.retention.look(AT_ONCE)
    assert house.left(folder) == ["found/a.tar.7z", "notes"]


async def test_the_time_is_kept_and_running_unknown_and_foreign_things_are_left_alone(
    house: House, database: Database
) -> None:
    recent = await submit(database, "recent")
    await house.queue.move(recent, JobStatus.FAILED)
    folders = [house.leave(recent.id)]
    await house.retention.look(timedelta(days=1))
    running = await bring_to(house.queue, await submit(database, "running"), JobStatus.UPLOADING)
    (house.failed / recent.id).rename(house.failed / "not an id")
    folders = [
        house.failed / "not an id",
        house.leave(running.id),
        house.leave("0" * 8 + "-0000-4000-8000-" + "0" * 12),
    ]
    await house.retention.look(AT_ONCE)
    assert [len(house.left(folder)) for folder in folders] == [6, 6, 6]


async def test_nothing_is_removed_while_deletions_are_paused(house: House, database: Database) -> None:
    job = await submit(database)
    await house.queue.move(job, JobStatus.FAILED)
    folder = house.leave(job.id)
    before = house.left(folder)
    await house.switches.pause(Switch.DELETIONS, by="ann")
    with pytest.raises(Halted):
        await house.retention.look(AT_ONCE)
    assert house.left(folder) == before
    await house.switches.resume(Switch.DELETIONS)
    await house.retention.look(AT_ONCE)
    assert house.left(folder) != before
