"""A job in any state lives through an upgrade of the database, and through the restore of a backup that is too old.

The backups are made, and put back, by the product's own hands while a job is held in each state; afterwards every
archive keeps its bytes, through what the restored jobs do, through a retry, and through later jobs of the same folder.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cs_archiver.db import schema
from cs_archiver.db.backups import Backups, Kind
from cs_archiver.db.restore import restore
from cs_archiver.tools.threads import Work, in_thread
from tests.acceptance.test_pausing import switch, until_said
from tests.faults.mounts import BOUNDARIES, Boundary
from tests.faults.test_database_faults import (
    World,
    a_world,
    require_completes,
    require_old_database_does_no_harm,
    submitted,
)
from tests.support.databases import as_version_1, layout_of, of_version_1, paused_in, version_of
from tests.support.tally import Count

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("state", BOUNDARIES)
async def test_a_job_goes_on_after_an_upgrade_from_the_first_version(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    boundary = Boundary(monkeypatch, state)
    async with a_world(root) as world:
        async with world.service() as service:
            job_id = await submitted(service, world)
            await boundary.reached()
        boundary.release()
        database = world.place.database
        as_version_1(database)
        assert version_of(database) == 1
        assert layout_of(database) == layout_of(of_version_1(root / "frozen.db"))
        async with world.service() as service:
            assert version_of(database) == schema.VERSION
            await require_completes(world, service, job_id)
        (backup,) = (database.parent / "backups").iterdir()
        assert version_of(backup) == 1
    count("jobs upgraded")


@pytest.mark.parametrize("state", BOUNDARIES)
async def test_a_backup_that_is_restored_runs_no_job_twice_and_overwrites_no_archive(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    def by_the_product(world: World, backup: Path) -> None:
        restore(world.place.database, backup, Work(), by="ann")
        with closing(sqlite3.connect(world.place.database)) as connection, connection:
            connection.execute("DELETE FROM switches")  # the administrator has looked at the queue, and lets it go on

    monkeypatch.setattr(World, "replace_database", by_the_product)
    boundary = Boundary(monkeypatch, state)
    async with a_world(root) as world:
        backups = Backups(world.place.database, "")
        async with world.service() as service:
            job_id = await submitted(service, world)
            await boundary.reached()
            backup = await in_thread(lambda work: backups.make(Kind.NIGHTLY, work))
            boundary.release()
            job = await service.until(job_id)
            assert job["status"] == "completed", job
        await require_old_database_does_no_harm(world, backup)
        assert len(list(world.place.database.parent.glob("cs_archiver.replaced.*.db"))) == 1
    count("old databases restored")


SAID = {"upload": "The transfer to Globus is paused by ann", "deletions": "All deletions are paused by ann"}


@pytest.mark.parametrize(
    ("state", "waits_for"),
    [("upload_verifying", ["upload", "deletions"]), ("deleting_source", ["deletions", "upload"])],
)
async def test_after_a_restore_nothing_is_deleted_until_somebody_lets_deletions_go_on(
    root: Path, count: Count, monkeypatch: pytest.MonkeyPatch, state: str, waits_for: list[str]
) -> None:
    boundary = Boundary(monkeypatch, state)
    async with a_world(root) as world:
        backups = Backups(world.place.database, "")
        async with world.service() as service:
            job_id = await submitted(service, world)
            await boundary.reached()
            backup = await in_thread(lambda work: backups.make(Kind.NIGHTLY, work))
            await switch(service, "deletions", paused=True)
        boundary.release()
        assert paused_in(backup) == set()
        restore(world.place.database, backup, Work(), by="ann")
        async with world.service() as service:
            for name in waits_for:
                await until_said(service, job_id, SAID[name])
                assert world.oracle.missing() == []
                await switch(service, name, paused=False)
            await require_completes(world, service, job_id)
    count("pauses kept by a restore")
