"""The database as a file: who may read it, and what is said of one that cannot be opened."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cs_archiver.db import database as module
from cs_archiver.db.database import Database
from cs_archiver.db.schema import DatabaseUnusable
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
