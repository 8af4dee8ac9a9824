"""The database as a file: who may read it, and what is said of one that cannot be opened."""

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cs_archiver.db import database as module
from cs_archiver.db.backups import Backups
from cs_archiver.db.copies import CopyFailed, copy
from cs_archiver.db.database import Database, DatabaseFull
from cs_archiver.db.soundness import Soundness, begun_early
from cs_archiver.db.troubles import DatabaseUnusable, advice_on
from cs_archiver.tools.threads import Work
from tests.support.databases import of_today, of_version_1
from tests.support.jobs import submit


async def test_a_new_database_is_for_its_owner_alone_with_all_that_lies_beside_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        database = await Database.open(tmp_path / "cs.db", read_connections=1)
        await submit(database)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        await database.close()
    finally:
        os.umask(before)
    assert modes == {"cs.db": 0o600, "cs.db-wal": 0o600, "cs.db-shm": 0o600}


async def test_a_database_that_is_locked_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WRITER_PRAGMAS", ("busy_timeout = 10",))
    with closing(sqlite3.connect(tmp_path / "cs.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnusable, match="another program has locked it") as caught:
            await Database.open(tmp_path / "cs.db", read_connections=1)
    assert "restore" not in str(caught.value)


async def test_a_disk_without_room_for_a_new_database_is_called_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WRITER_PRAGMAS", (*module._WRITER_PRAGMAS, "max_page_count = 5"))
    with pytest.raises(DatabaseUnusable, match=r"is full.*make room on its disk") as caught:
        await Database.open(tmp_path / "cs.db", read_connections=1)
    assert "may read" not in str(caught.value)


async def test_a_disk_that_fills_up_under_the_service_is_called_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WRITER_PRAGMAS", (*module._WRITER_PRAGMAS, "max_page_count = 1"))
    database = await Database.open(of_today(tmp_path / "cs.db"), read_connections=1)
    with pytest.raises(DatabaseFull, match=r"is full.*make room on its disk; nothing is deleted") as caught:
        await submit(database, current_operation="x" * 10_000)
    await database.close()
    assert "permission" not in str(caught.value)


async def test_a_copy_for_which_the_disk_has_no_room_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("cs_archiver.db.copies.sync_file", refuse)
    with pytest.raises(CopyFailed, match=r"No space left on device: make room on its disk$"):
        copy(of_today(tmp_path / "cs.db"), tmp_path / "copy.db", Work())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cs.db"]


def test_the_advice_names_the_one_thing_that_helps() -> None:
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ENOENT)
    advice = {number: advice_on(OSError(number, os.strerror(number))) for number in numbers}
    assert [number for number in numbers if "make room" in advice[number]] == [errno.ENOSPC, errno.EDQUOT]
    assert [number for number in numbers if "sudo -u" in advice[number]] == [errno.EACCES, errno.EPERM]
    assert [number for number in numbers if "journalctl -k" in advice[number]] == [errno.EROFS, errno.EIO]
    assert not [number for number in numbers if "restore" in advice[number]]


async def test_a_folder_in_which_no_database_can_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match=r"cannot make the database .*/none/cs\.db: No such file or directory"):
        await Database.open(tmp_path / "none" / "cs.db", read_connections=1)


async def test_a_look_that_was_begun_before_the_file_was_locked_counts_and_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = of_today(tmp_path / "cs.db")
    early = Soundness(path)
    monkeypatch.setattr(module, "Soundness", None)
    database = await Database.open(path, read_connections=1, soundness=early)
    await database.require_sound()
    await submit(database)
    await database.close()


@pytest.mark.parametrize("how", ["written", "replaced", "upgraded"])
async def test_a_look_at_what_the_file_was_before_does_not_count(tmp_path: Path, how: str) -> None:
    path = of_version_1(tmp_path / "cs.db") if how == "upgraded" else of_today(tmp_path / "cs.db")
    early = Soundness(path)
    await early.require()
    if how == "written":
        damage(path)
    elif how == "replaced":
        damage(other := of_today(tmp_path / "other.db"))
        other.rename(path)
    database = await Database.open(path, read_connections=1, backups=Backups(path, ""), soundness=early)
    try:
        assert database._soundness is not early
        if how == "upgraded":
            await database.require_sound()
        else:
            with pytest.raises(DatabaseUnusable, match="damaged"):
                await database.require_sound()
    finally:
        await database.close()
        await early.close()


async def test_no_look_is_begun_at_what_a_crash_left_half_written(tmp_path: Path) -> None:
    path = of_today(tmp_path / "cs.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # as long as a new database is made
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO audit (at, action, result) VALUES ('', ?, 'ok')", [("x" * 500,)] * 200)
        crashed = tmp_path / "crashed.db"
        for end in ("", "-journal"):
            shutil.copyfile(f"{path}{end}", f"{crashed}{end}")
    too_early = Soundness(crashed)
    with pytest.raises(DatabaseUnusable, match="start the service once"):
        await too_early.require()
    await too_early.close()

    early = begun_early(crashed)
    database = await Database.open(crashed, read_connections=1, soundness=early)
    await submit(database)
    await database.close()
    assert early is None


async def test_a_look_that_nobody_waits_for_is_ended(tmp_path: Path) -> None:
    early = Soundness(of_today(tmp_path / "cs.db"))
    await early.close()
    await early.close()
    with pytest.raises(sqlite3.ProgrammingError):
        early._connection.execute("SELECT 1")


def damage(path: Path) -> None:
    """A page of an index, which no start reads by itself."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'audit_by_time'"
        page = connection.execute(query).fetchone()[0]
    with open(path, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
