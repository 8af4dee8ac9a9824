"""A backup in the place of the database: only a sound one, all of it, and nothing of what was there is lost."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db import schema
from cs_archiver.db.copies import CopyFailed, Unsuitable, inspect
from cs_archiver.db.database import Database
from cs_archiver.db.restore import restore
from cs_archiver.db.troubles import DatabaseUnusable
from cs_archiver.db.upgrade import UpgradeFailed, upgrade_copy
from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.threads import Work
from tests.support.databases import but_for_the_restore, of_version_1, rows_of, tables_of, version_of
from tests.support.nobody import as_nobody


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


def as_restored(backup: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All that a restore of it brings: a backup of an older version is upgraded."""
    upgraded = Path(shutil.copy(backup, backup.with_name("upgraded.db")))
    upgrade_copy(upgraded, schema.MIGRATIONS)
    return but_for_the_restore(tables_of(upgraded))


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
        restore(database, backup, Work(), by="ann")
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
        restore(database, named, Work(), by="ann")


def test_what_was_there_is_kept_with_all_that_stood_in_its_wal(database: Path, backup: Path) -> None:
    wanted = as_restored(backup)
    crashed = sqlite3.connect(database)
    crashed.execute("PRAGMA wal_autocheckpoint = 0")
    crashed.execute("UPDATE jobs SET current_operation = 'committed last'")
    crashed.commit()
    before = tables_of(database)
    kept = restore(database, backup, Work(), by="ann").kept
    assert kept is not None
    assert but_for_the_restore(tables_of(database)) == wanted, "nothing of the old -wal was played into it"
    assert tables_of(kept) == before != wanted
    assert database.stat().st_mode & 0o777 == 0o600
    crashed.close()


def test_two_restores_keep_what_each_replaced(database: Path, backup: Path) -> None:
    before = tables_of(database)
    first, second = (restore(database, backup, Work(), by="ann").kept for _ in range(2))
    assert first is not None
    assert second is not None
    assert tables_of(first) == before
    assert but_for_the_restore(tables_of(second)) == as_restored(backup)
    restore(database, first, Work(), by="ann")
    assert but_for_the_restore(tables_of(database)) == as_restored(first), "and any of them can be put back"


def test_a_link_to_the_database_stays_a_link(database: Path, backup: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(database)
    restore(link, backup, Work(), by="ann")
    assert link.is_symlink()
    assert but_for_the_restore(tables_of(database)) == as_restored(backup)


def test_where_no_database_was_the_backup_becomes_it(database: Path, backup: Path) -> None:
    database.unlink()
    assert restore(database, backup, Work(), by="ann").kept is None
    assert but_for_the_restore(tables_of(database)) == as_restored(backup)


def test_without_room_nothing_is_changed(database: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cs_archiver.db.copies.free_bytes", lambda path: 1000)
    before = tables_of(database)
    with pytest.raises(CopyFailed, match="no room"):
        restore(database, backup, Work(), by="ann")
    assert tables_of(database) == before


def test_nobody_is_signed_in_after_a_restore(database: Path, backup: Path) -> None:
    """A session that was ended since the backup was made must not count again."""
    assert rows_of(backup, "sessions")
    restore(database, backup, Work(), by="ann")
    assert rows_of(database, "sessions") == []


@pytest.mark.parametrize("present", ["paused", "older", "damaged", "missing"])
def test_whatever_was_there_everything_is_paused_after_a_restore(database: Path, backup: Path, present: str) -> None:
    upgrade_copy(backup, schema.MIGRATIONS)
    with closing(sqlite3.connect(backup)) as connection, connection:
        connection.execute("INSERT INTO switches VALUES ('transfer_paused', '2026-01-01T00:00:00.000Z', 'bob')")
    if present == "paused":
        upgrade_copy(database, schema.MIGRATIONS)
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("INSERT INTO switches VALUES ('deletions_paused', '2026-01-02T00:00:00.000Z', 'kim')")
    elif present == "damaged":
        database.write_bytes(b"\xa5" * 8192)
    elif present == "missing":
        database.unlink()
    restore(database, backup, Work(), by="ann")
    assert version_of(database) == schema.VERSION
    said = {(name, by) for name, _, by in rows_of(database, "switches")}
    assert said == {("local_paused", "ann"), ("transfer_paused", "bob"), ("deletions_paused", "ann")}
    assert rows_of(database, "audit")[-1][3:6] == ("database_restore", str(backup), "by ann")


def test_a_backup_that_cannot_be_upgraded_is_refused_and_the_database_stays(
    database: Path, backup: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step = tmp_path / "0002_step.sql"
    step.write_text("no SQL;\n")
    monkeypatch.setattr(schema, "MIGRATIONS", [schema.Migration(2, step)])
    before = tables_of(database)
    with pytest.raises(UpgradeFailed, match="cannot be upgraded to schema version 2"):
        restore(database, backup, Work(), by="ann")
    assert tables_of(database) == before
    assert os.listdir(database.parent) == ["cs.db"]


async def test_nobody_works_on_the_database_before_an_interrupted_restore_is_finished(database: Path) -> None:
    of_version_1(database.with_name(".cs.db.restored"))
    with pytest.raises(DatabaseUnusable, match="a backup is about to take its place"):
        await Database.open(database, read_connections=1)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_this_user_may_not_read_is_not_called_damaged(what: str) -> None:
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        (folder := Path(parent) / "state").mkdir(mode=0o755)
        file = of_version_1(folder / "cs.db")
        (file if what == "file" else folder).chmod(0o600)
        with as_nobody(), pytest.raises(Unsuitable, match=r"cs\.db: Permission denied; run this as the user") as caught:
            inspect(file, Work())
    assert "damaged" not in str(caught.value)
