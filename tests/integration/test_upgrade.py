"""An older database becomes one like a new one, with every row, after a backup; or nothing is done."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db import schema
from cs_archiver.db.backups import Backups, Kind, nights_of
from cs_archiver.db.copies import CopyFailed, inspect
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.schema import Migration
from cs_archiver.db.troubles import DatabaseUnusable
from cs_archiver.db.upgrade import UpgradeFailed, upgrade
from cs_archiver.domain.states import JobStatus
from cs_archiver.resources import resource
from cs_archiver.tools.threads import Work
from tests.support.databases import layout_of, of_version_1, rows_of, tables_of, version_of

Script = Callable[[int, str], Migration]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return of_version_1(tmp_path / "cs.db")


@pytest.fixture
def script(tmp_path: Path) -> Script:
    def write(version: int, text: str) -> Migration:
        path = tmp_path / f"{version:04}_step.sql"
        path.write_text(text)
        return Migration(version, path)

    return write


async def opened(path: Path) -> None:
    database = await Database.open(path, read_connections=1, backups=Backups(path, ""))
    await database.close()


def backups_beside(path: Path) -> list[Path]:
    folder = path.parent / "backups"
    return sorted(folder.iterdir()) if folder.exists() else []


async def test_an_upgraded_database_is_laid_out_exactly_as_a_new_one(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    await opened(old)
    await opened(new)
    assert layout_of(old) == layout_of(new)
    assert version_of(old) == version_of(new) == schema.VERSION
    for fixed in ("job_states", "job_moves"):
        assert rows_of(old, fixed) == rows_of(new, fixed)


async def test_an_upgrade_keeps_every_row_and_jobs_in_every_state(old: Path) -> None:
    before = tables_of(old)
    assert {JobStatus(row[9]) for row in before["jobs"]} == set(JobStatus)
    await opened(old)
    after = tables_of(old)
    assert {name: _without_new_columns(after[name], before[name]) for name in before} == before
    database = await Database.open(old, read_connections=1)
    counts = await Jobs(database).counts()
    await database.close()
    assert counts == dict.fromkeys(JobStatus, 1)


def _without_new_columns(rows: list[tuple[Any, ...]], before: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted((row[: len(before[0])] for row in rows), key=repr) if before else rows


async def test_a_checked_backup_of_what_was_there_is_made_first_for_its_owner_alone(old: Path) -> None:
    before = tables_of(old)
    await opened(old)
    (backup,) = backups_beside(old)
    assert backup.name.startswith("cs.upgrade.v1.")
    assert backup.stat().st_mode & 0o777 == 0o600
    assert backup.parent.stat().st_mode & 0o777 == 0o700
    assert tables_of(backup) == before
    assert inspect(backup, Work()) == (1, 11, 3)


async def test_a_database_of_this_version_is_neither_upgraded_nor_backed_up(tmp_path: Path) -> None:
    await opened(tmp_path / "cs.db")
    await opened(tmp_path / "cs.db")
    assert backups_beside(tmp_path / "cs.db") == []


async def test_without_room_for_the_backup_nothing_is_changed(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tables_of(old)
    monkeypatch.setattr("cs_archiver.db.copies.free_bytes", lambda path: 1000)
    with pytest.raises(CopyFailed, match="no room for a copy"):
        await opened(old)
    assert (version_of(old), tables_of(old), backups_beside(old)) == (1, before, [])


async def test_a_program_beside_the_service_does_not_upgrade_its_database(old: Path) -> None:
    with pytest.raises(DatabaseUnusable, match=r"has schema version 1, this program needs \d+: start the service"):
        await Database.open(old, read_connections=1)
    assert version_of(old) == 1


async def test_a_newer_schema_is_refused_and_left_alone(old: Path) -> None:
    await opened(old)
    with closing(sqlite3.connect(old)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    before = tables_of(old)
    with pytest.raises(DatabaseUnusable, match="start the newer program, or restore a backup"):
        await opened(old)
    assert (version_of(old), tables_of(old)) == (schema.VERSION + 1, before)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("CREATE TABLE one (a TEXT);\nCREATE TABLE one (a TEXT);\n", "table one already exists"),
        ("CREATE TABLE one (a TEXT);\nDELETE FROM manifests;\n", "would refer to one of manifests that is gone"),
        ("CREATE TABLE one (a TEXT);\nUPDATE archives SET job_id = 'another';\n", "the catalogue does not change"),
    ],
)
def test_a_step_that_fails_is_undone_whole_and_the_one_before_it_stays(
    old: Path, script: Script, text: str, why: str
) -> None:
    before = tables_of(old)
    steps = [script(2, "CREATE TABLE two (a TEXT) STRICT;\n"), script(3, text)]
    with pytest.raises(UpgradeFailed, match=f"schema version 3 .*{why}.*start the older program with the backup"):
        upgrade(old, Backups(old, ""), steps)
    assert version_of(old) == 2
    assert tables_of(old) == {**before, "two": []}
    mended = [steps[0], script(3, "CREATE TABLE three (a TEXT) STRICT;\n")]
    upgrade(old, Backups(old, ""), mended)
    assert version_of(old) == 3
    assert tables_of(old) == {**before, "two": [], "three": []}


def test_rebuilding_a_table_takes_no_rows_of_others_along(old: Path, script: Script) -> None:
    logs = rows_of(old, "job_logs")
    with closing(sqlite3.connect(old)) as connection:
        (made,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'jobs'").fetchone()
    rebuilt = made.replace("CREATE TABLE jobs", "CREATE TABLE jobs_new")
    moved = "INSERT INTO jobs_new SELECT * FROM jobs;\nDROP TABLE jobs;\nALTER TABLE jobs_new RENAME TO jobs;\n"
    upgrade(old, Backups(old, ""), [script(2, f"PRAGMA legacy_alter_table = ON;\n{rebuilt};\n{moved}")])
    assert len(rows_of(old, "jobs")) == 11
    assert rows_of(old, "job_logs") == logs != []


def test_an_upgrade_that_fails_at_every_start_fills_no_disk_and_keeps_what_was_there_before_it(
    old: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = iter(f"20260115T0230{second:02}Z" for second in range(60))
    monkeypatch.setattr("cs_archiver.db.backups.name_of_moment", lambda moment: next(stamps))
    good = tables_of(old)
    for _ in range(8):
        with pytest.raises(UpgradeFailed):
            upgrade(old, Backups(old, ""), [script(2, "CREATE TABLE two (a TEXT);\n"), script(3, "no SQL;\n")])
    # Version 1 once, before the step that went well, and version 2 at each of the starts after it.
    assert [path.name[3:] for path in backups_beside(old)] == [
        "upgrade.v1.20260115T023000Z.db", "upgrade.v2.20260115T023001Z.db", "upgrade.v2.20260115T023007Z.db",
    ]  # fmt: skip
    assert tables_of(backups_beside(old)[0]) == good


def test_a_wrong_clock_does_not_take_the_backup_that_was_just_made(
    old: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = iter(["20260115T023000Z", "20990101T000000Z", "20260115T024000Z"])
    monkeypatch.setattr("cs_archiver.db.backups.name_of_moment", lambda moment: next(stamps))
    for _ in range(3):
        with pytest.raises(UpgradeFailed):
            upgrade(old, Backups(old, ""), [script(2, "no SQL;\n")])
    made = [path.name.split(".")[3][:8] for path in backups_beside(old)]
    assert made == ["20260115", "20260115", "20990101"]


def test_the_migrations_are_numbered_one_after_the_other_and_end_at_the_schema() -> None:
    assert [migration.version for migration in schema.MIGRATIONS] == list(range(2, schema.VERSION + 1))
    assert resource("schema.sql").read_text().rstrip().endswith(f"PRAGMA user_version = {schema.VERSION};")


def test_backups_are_told_apart_by_their_names_and_others_are_left_alone(old: Path) -> None:
    backups, now = Backups(old, ""), datetime.now(UTC)
    assert nights_of(backups.nightly(), now) == ([], [])
    made = [backups.make(kind, Work()) for kind in (Kind.NIGHTLY, Kind.MANUAL)]
    foreign = [made[0].with_name(name) for name in ("cs.nightly.db", "other.nightly.v1.20260101T000000Z.db", "notes")]
    for path in foreign:
        path.touch()
    (found,) = nights_of(backups.nightly(), now).past
    assert (found.path, found.version) == (made[0], 1)
    backups.remove([found])
    assert sorted(made[0].parent.iterdir()) == sorted([made[1], *foreign])
