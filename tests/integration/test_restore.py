"""A backup in the place of the database: only a sound one, all of it, and nothing of what was there is lost."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cs_archiver.db import schema
from cs_archiver.db.copies import CopyFailed
from cs_archiver.db.database import Database
from cs_archiver.db.restore import restore
from cs_archiver.db.schema import DatabaseUnusable
from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.threads import Work
from tests.support.databases import of_version_1, tables_of


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return of_version_1(tmp_path / "state" / "cs.db")


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = of_version_1(tmp_path / "backup.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("UPDATE jobs SET current_operation = 'as in the backup'")
        connection.commit()
    return path


def spoil(backup: Path, how: str) -> None:
    if how == "damaged":
        content = bytearray(backup.read_bytes())
        content[4096:8192] = b"\xa5" * 4096
        backup.write_bytes(content)
    elif how == "newer":
        with closing(sqlite3.connect(backup)) as connection:
            connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    elif how == "foreign":
        backup.unlink()
        with closing(sqlite3.connect(backup)) as connection:
            connection.execute("CREATE TABLE notes (a)")
    elif how == "text":
        backup.write_text("no database at all, but long enough to be looked at" * 100)
    else:
        backup.unlink()


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("damaged", "is damaged"),
        ("newer", "start the newer program"),
        ("foreign", "no database of CS Archiver"),
        ("text", "no database of CS Archiver"),
        ("missing", "there is no such file"),
    ],
)
def test_what_is_no_sound_backup_is_refused_and_the_database_stays(
    database: Path, backup: Path, how: str, why: str
) -> None:
    before = tables_of(database)
    spoil(backup, how)
    with pytest.raises(NeedsOperator, match=why):
        restore(database, backup, Work())
    assert tables_of(database) == before
    assert os.listdir(database.parent) == ["cs.db"]


@pytest.mark.parametrize("link", ["", "hard", "symbolic"])
def test_the_database_is_no_backup_of_itself(database: Path, tmp_path: Path, link: str) -> None:
    named = tmp_path / "named" if link else database
    if link == "hard":
        named.hardlink_to(database)
    elif link:
        named.symlink_to(database)
    with pytest.raises(NeedsOperator, match="is the database itself"):
        restore(database, named, Work())


def test_what_was_there_is_kept_with_all_that_stood_in_its_wal(database: Path, backup: Path) -> None:
    wanted = tables_of(backup)
    crashed = sqlite3.connect(database)
    crashed.execute("PRAGMA wal_autocheckpoint = 0")
    crashed.execute("UPDATE jobs SET current_operation = 'committed last'")
    crashed.commit()
    before = tables_of(database)
    _facts, kept = restore(database, backup, Work())
    assert kept is not None
    assert tables_of(database) == wanted, "nothing of the old -wal was played into it"
    assert tables_of(kept) == before != wanted
    assert database.stat().st_mode & 0o777 == 0o600
    crashed.close()


def test_two_restores_keep_what_each_replaced(database: Path, backup: Path) -> None:
    before = tables_of(database)
    first, second = (restore(database, backup, Work())[1] for _ in range(2))
    assert first is not None
    assert second is not None
    assert (tables_of(first), tables_of(second)) == (before, tables_of(backup))
    restore(database, first, Work())
    assert tables_of(database) == before, "and any of them can be put back"


def test_a_link_to_the_database_stays_a_link(database: Path, backup: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(database)
    restore(link, backup, Work())
    assert link.is_symlink()
    assert tables_of(database) == tables_of(backup)


def test_where_no_database_was_the_backup_becomes_it(database: Path, backup: Path) -> None:
    database.unlink()
    assert restore(database, backup, Work())[1] is None
    assert tables_of(database) == tables_of(backup)


def test_without_room_nothing_is_changed(database: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cs_archiver.db.copies.free_bytes", lambda path: 1000)
    before = tables_of(database)
    with pytest.raises(CopyFailed, match="no room"):
        restore(database, backup, Work())
    assert tables_of(database) == before


async def test_nobody_works_on_the_database_before_an_interrupted_restore_is_finished(database: Path) -> None:
    of_version_1(database.with_name(".cs.db.restored"))
    with pytest.raises(DatabaseUnusable, match="a backup is about to take its place"):
        await Database.open(database, read_connections=1)
