"""The database as a file: who may read it, and what is said of one that cannot be opened."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cs_archiver.db import database as module
from cs_archiver.db.backups import Backups
from cs_archiver.db.database import Database
from cs_archiver.db.soundness import Soundness
from cs_archiver.db.troubles import DatabaseUnusable
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
