"""`cs-archiver db`: backed up while the service runs, checked, and put back once it is stopped."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cs_archiver.db import schema
from tests.acceptance.test_command_line import Started, run
from tests.support.databases import of_version_1, paused_in, rows_of, tables_of, version_of
from tests.support.service import NOWHERE, Place, environment


@pytest.fixture
def env(place: Place) -> dict[str, str]:
    return environment(place, NOWHERE)


@pytest.fixture
def started(env: dict[str, str]) -> Iterator[Started]:
    service = Started(env, "serve")
    yield service
    if service.process.poll() is None:
        service.process.kill()
    service.process.communicate()


def done(env: dict[str, str], *arguments: str) -> str:
    ended = run("db", *arguments, env=env)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout


def refused(env: dict[str, str], *arguments: str) -> str:
    ended = run("db", *arguments, env=env)
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_the_running_service_is_backed_up_and_checked_but_not_restored(
    started: Started, env: dict[str, str], place: Place, tmp_path: Path
) -> None:
    database = place.database
    assert "is sound: schema version" in done(env, "check")
    assert (database.parent / "cs_archiver.db-wal").exists(), "the service still has it open"
    backup = tmp_path / "by hand.db"
    assert done(env, "backup", str(backup)) == f"Backed up and checked: {backup}\n"
    assert backup.stat().st_mode & 0o777 == 0o600
    in_folder = Path(done(env, "backup").removeprefix("Backed up and checked: ").strip())
    assert in_folder.parent == database.parent / "backups"
    assert re.fullmatch(r"cs_archiver\.manual\.v\d+\.\d{8}T\d{6}Z\.db", in_folder.name)
    present = tables_of(database)
    assert tables_of(backup) == tables_of(in_folder) == present
    message = refused(env, "restore", str(backup))
    assert f"another CS Archiver (process {started.process.pid})" in message
    assert "stop it first" in message
    assert tables_of(database) == present
    assert started.process.poll() is None


def test_where_no_service_was_started_yet_each_command_says_so_in_one_line(env: dict[str, str]) -> None:
    for arguments in (["check"], ["backup"]):
        ended = run("db", *arguments, env=env)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "expected the database of a service that was started once, found none at" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_a_backup_takes_the_place_of_a_damaged_database_upgraded_and_with_everything_paused(
    env: dict[str, str], place: Place, tmp_path: Path
) -> None:
    backup = of_version_1(tmp_path / "backup.db")
    place.database.write_bytes(backup.read_bytes()[:4096] + b"\xa5" * 8192)
    assert "is damaged" in refused(env, "check")
    told = done(env, "restore", str(backup))
    assert "Everything is paused now, all deletions too" in told
    assert "`cs-archiver resume all`" in told
    assert f"Restored from {backup}: schema version 1, 11 jobs, 3 archives in the catalogue.\n" in told
    kept = Path(re.findall("The database before it is kept: (.*)", told)[0])
    assert kept.read_bytes().endswith(b"\xa5" * 8192)
    service = Started(env, "serve")
    code, errors = service.stop(signal.SIGTERM)
    assert code == 0, errors
    assert version_of(place.database) == schema.VERSION
    assert len(rows_of(place.database, "jobs")) == 11
    assert paused_in(place.database) == {"local_paused", "transfer_paused", "deletions_paused"}
    resumed = run("resume", "all", env=env)
    assert (resumed.returncode, len(resumed.stdout.splitlines())) == (0, 3), resumed
    assert paused_in(place.database) == set()


def test_a_restore_that_was_interrupted_is_finished_by_the_next_start(
    env: dict[str, str], place: Place, tmp_path: Path
) -> None:
    of_version_1(place.database.with_name(".cs_archiver.db.restored"))
    service = Started(env, "serve")
    code, errors = service.stop(signal.SIGTERM)
    assert code == 0
    assert "the restore of the database is finished" in errors
    assert len(rows_of(place.database, "jobs")) == 11


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_a_restore_makes_no_files_that_the_user_of_the_folder_could_not_use(
    env: dict[str, str], place: Place, tmp_path: Path
) -> None:
    backup = of_version_1(tmp_path / "backup.db")
    os.chown(place.database.parent, 12345, -1)
    assert "belongs to another user" in refused(env, "restore", str(backup))
    assert list(place.database.parent.iterdir()) == []
