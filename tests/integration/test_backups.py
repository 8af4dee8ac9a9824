"""The nightly backup: when it is due, that it is sound and kept, and that nothing it meets disturbs a job."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from cs_archiver.db import schema
from cs_archiver.db.backups import Backups, Kind, name_of_moment
from cs_archiver.db.copies import CopyFailed, Unsuitable, copy, inspect
from cs_archiver.db.database import Database
from cs_archiver.db.switches import Switches
from cs_archiver.errors import JobError
from cs_archiver.services.checks import Checks
from cs_archiver.services.status import StatusService
from cs_archiver.tools.threads import Work, in_thread
from cs_archiver.workers.backups import NightlyBackups, last_hour
from tests.support.api import Installation
from tests.support.databases import tables_of
from tests.support.jobs import submit

ZONE = timezone(timedelta(hours=2))
NIGHT = datetime(2026, 3, 5, 2, 0, 1, tzinfo=ZONE)


class House:
    def __init__(self, folder: Path, database: Database) -> None:
        self.path = folder / "cs.db"
        self.folder = folder / "backups"
        self.database = database
        self.backups = Backups(self.path, "")

    def nightly(self, *, hour: int = 2, keep: int = 3) -> NightlyBackups:
        return NightlyBackups(self.database, self.backups, hour=hour, keep=keep)

    async def look(self, now: datetime, *, is_first_start: bool = False, keep: int = 3) -> list[str]:
        """The moments in the names of what is there then."""
        await self.nightly(keep=keep).look(now, is_first_start=is_first_start)
        return self.moments()

    def moments(self) -> list[str]:
        return sorted(name.split(".")[3] for name in os.listdir(self.folder)) if self.folder.exists() else []

    async def told(self) -> list[str]:
        status = StatusService(
            self.database,
            Checks(Installation().looked_at),
            await Switches.read_from(self.database),
            storage_path=self.path.parent,
            is_globus_sandbox=False,
            notices=[],
            of_notifications=list,
        )
        warnings = (await status.read()).warnings
        return [warning for warning in warnings if "backup" in warning]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    database = await Database.open(tmp_path / "cs.db", read_connections=2)
    yield House(tmp_path, database)
    await database.close()


@pytest.mark.parametrize(
    ("now", "hour", "expected"),
    [
        ((5, 2, 0), 2, (5, 2)),
        ((5, 1, 59), 2, (4, 2)),
        ((5, 23, 59), 0, (5, 0)),
        ((1, 0, 30), 23, (-1, 23)),
    ],
)
def test_the_last_time_it_was_that_hour(now: tuple[int, int, int], hour: int, expected: tuple[int, int]) -> None:
    day, at, minute = now
    found = last_hour(datetime(2026, 3, day, at, minute, 7, tzinfo=ZONE), hour)
    wanted = datetime(2026, 3, 1, expected[1], tzinfo=ZONE) + timedelta(days=expected[0] - 1)
    assert found == (wanted if expected[0] > 0 else datetime(2026, 2, 28, 23, tzinfo=ZONE))


async def test_one_backup_a_night_is_made_and_a_night_that_was_missed_is_made_up_for(house: House) -> None:
    first = name_of_moment(NIGHT)
    assert await house.look(NIGHT - timedelta(minutes=5), is_first_start=True) == [], "not as soon as it is installed"
    assert await house.look(NIGHT) == [first] == ["20260305T000001Z"]
    assert await house.look(NIGHT + timedelta(hours=23, minutes=59)) == [first]
    made_up = NIGHT + timedelta(days=3, hours=7)
    assert await house.look(made_up, is_first_start=True) == [first, name_of_moment(made_up)]


async def test_the_moment_of_the_newest_is_known(house: House) -> None:
    await house.look(NIGHT - timedelta(minutes=5), is_first_start=True)
    assert house.database.last_backup is None
    for _ in range(2):  # as it is made, and as its name tells
        await house.look(NIGHT)
        assert house.database.last_backup == NIGHT


async def test_a_backup_holds_what_was_committed_and_is_for_its_owner_alone(house: House) -> None:
    await submit(house.database)
    await house.look(NIGHT)
    (backup,) = house.folder.iterdir()
    assert tables_of(backup) == tables_of(house.path)
    assert (backup.stat().st_mode & 0o777, house.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert inspect(backup, Work()).jobs == 1


async def test_the_newest_are_kept_and_what_was_made_by_hand_stays(house: House) -> None:
    by_hand = house.backups.make(Kind.MANUAL, Work())
    nights = [NIGHT + timedelta(days=day) for day in range(5)]
    for night in nights:
        await house.look(night, keep=3)
    kept = [backup.name for backup in house.folder.iterdir() if backup != by_hand]
    assert sorted(name.split(".")[3] for name in kept) == [name_of_moment(night) for night in nights[2:]]
    assert by_hand.exists()


async def test_backups_that_a_wrong_clock_dated_ahead_hold_up_no_new_one_and_are_told(
    house: House,
) -> None:
    ahead = NIGHT + timedelta(days=400)
    for day in range(3):
        await house.look(ahead + timedelta(days=day), keep=3)
    wrong = house.moments()
    nights = [NIGHT + timedelta(days=day) for day in range(5)]
    for night in nights:
        assert name_of_moment(night) in await house.look(night, keep=3)
    assert house.moments() == [*(name_of_moment(night) for night in nights[2:]), *wrong]
    (warning,) = await house.told()
    assert warning.startswith("The clock of this machine is wrong, or was: 3 nightly backups of the database bear a ")
    assert wrong[-1] in warning
    for path in house.folder.iterdir():
        if path.name.split(".")[3] in wrong:
            path.unlink()
    assert len(await house.look(nights[-1] + timedelta(hours=1), keep=3)) == 3
    assert await house.told() == []


async def test_a_clock_set_back_a_little_makes_no_second_backup(house: House) -> None:
    await house.look(NIGHT)
    assert len(await house.look(NIGHT - timedelta(seconds=1))) == 1
    assert await house.told() == []


async def test_jobs_are_stored_while_a_backup_is_made(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    real = copy

    def slow(*args: object, **kwargs: object) -> None:
        asyncio.run_coroutine_threadsafe(submit(house.database, "meanwhile"), loop).result(10)
        real(*args, **kwargs)  # type: ignore[arg-type]
        asyncio.run_coroutine_threadsafe(submit(house.database, "and after"), loop).result(10)

    monkeypatch.setattr("cs_archiver.db.backups.copy", slow)
    await house.look(NIGHT)
    (backup,) = house.folder.iterdir()
    assert len(tables_of(backup)["jobs"]) == 1
    assert len(tables_of(house.path)["jobs"]) == 2


async def test_a_backup_for_which_there_is_no_room_is_told_and_the_next_one_ends_the_warning(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    (house.folder).mkdir()
    (
        house.folder / f"cs.nightly.v{schema.VERSION}.20200101T000000Z.db"
    ).touch()  # so that the start makes up for it at once
    with monkeypatch.context() as patch:
        patch.setattr("cs_archiver.db.copies.free_bytes", lambda path: 200 * 1024**2)
        running = asyncio.create_task(house.nightly().run())
        async with asyncio.timeout(10):
            while house.database.backup_trouble is None:
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})
    (warning,) = await house.told()
    assert warning.startswith("No backup of the database: no room for a copy of the database in ")
    assert warning.endswith(" MiB.")
    assert len(os.listdir(house.folder)) == 1, "nothing is left of the attempt, and nothing was removed for it"
    await house.look(NIGHT)
    assert await house.told() == []


async def test_a_folder_that_hangs_is_told_and_asked_once_until_it_answers(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, hanging, real = [], threading.Event(), os.listdir

    def hang(folder: Path) -> list[str]:
        asked.append(folder)
        hanging.wait(30)
        return real(folder)

    monkeypatch.setattr("cs_archiver.workers.backups._ANSWER_SECONDS", 0.1)
    monkeypatch.setattr("cs_archiver.workers.backups._LOOK_SECONDS", 0.1)
    house.folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("cs_archiver.db.backups.os.listdir", hang)
        nightly = house.nightly()
        async with asyncio.timeout(20):
            running = asyncio.create_task(nightly.run())
            while not await house.told():
                await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.wait({running})
            await submit(house.database)
            with pytest.raises(JobError, match="does not answer"):
                await nightly.look(NIGHT)
        (warning,) = await house.told()
        assert warning.startswith(f"No backup of the database: the folder of backups {house.folder} does not answer: ")
        assert "set [backup] folder to another" in warning
        assert [record.levelname for record in caplog.records if "does not answer" in record.getMessage()] == [
            "WARNING"
        ]
        assert len(asked) == 1
        hanging.set()
    await nightly.look(NIGHT)
    assert await house.told() == []
    assert len(house.moments()) == 1


@pytest.mark.parametrize("in_the_way", ["file", "nowhere"])
async def test_a_folder_that_cannot_be_used_is_told(house: House, in_the_way: str) -> None:
    if in_the_way == "file":
        house.folder.write_text("something else")
        backups = house.backups
    else:
        backups = Backups(house.path, str(house.path.parent / "not mounted" / "backups"))
    with pytest.raises(JobError, match="cannot use the folder of backups"):
        await NightlyBackups(house.database, backups, hour=2, keep=3).look(NIGHT)


async def test_the_copy_of_a_damaged_database_is_no_backup(house: House) -> None:
    for number in range(200):
        await submit(house.database, f"folder {number}")
    await house.database.close()
    content = bytearray(house.path.read_bytes())
    for place in range(4096 * 3, len(content), 4096):
        content[place + 8 : place + 72] = b"\xa5" * 64
    house.path.write_bytes(content)
    with pytest.raises(CopyFailed):
        house.backups.make(Kind.MANUAL, Work())
    with pytest.raises(Unsuitable, match="damaged"):
        inspect(house.path, Work())
    assert os.listdir(house.folder) == []


async def test_a_copy_that_is_not_sound_is_no_backup(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the disk of the backups stores something else than it was given."""

    def spoilt(path: bytes) -> None:
        with open(path, "r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * 2000)

    monkeypatch.setattr("cs_archiver.db.copies.sync_file", spoilt)
    with pytest.raises(CopyFailed, match="is not sound"):
        house.backups.make(Kind.NIGHTLY, Work())
    assert os.listdir(house.folder) == []


async def test_a_backup_that_is_told_to_stop_leaves_nothing(house: House) -> None:
    work = Work()
    async with house.database.write() as connection:
        rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        await connection.exec_driver_sql(
            f"INSERT INTO switches {rows} SELECT 'pause ' || i, hex(zeroblob(40)), 'x' FROM n"
        )
    work.stop()
    with pytest.raises(CopyFailed, match="interrupted"):
        await in_thread(lambda _work: house.backups.make(Kind.NIGHTLY, work))
    assert os.listdir(house.folder) == []


async def test_what_a_crash_left_half_written_is_given_up_by_the_next_backup(house: House) -> None:
    house.folder.mkdir()
    (house.folder / ".cs.nightly.partial").write_bytes(b"half of it")
    await house.look(NIGHT)
    assert os.listdir(house.folder) == [f"cs.nightly.v{schema.VERSION}.{name_of_moment(NIGHT)}.db"]


async def test_nothing_is_written_over_a_file(house: House, tmp_path: Path) -> None:
    there = tmp_path / "there.db"
    there.write_text("somebody's")
    with pytest.raises(CopyFailed, match="is there already"):
        copy(house.path, there, Work())
    assert there.read_text() == "somebody's"


async def test_with_none_to_keep_none_is_made(house: House) -> None:
    async with asyncio.timeout(5):
        await house.nightly(keep=0).run()
    assert not house.folder.exists()
