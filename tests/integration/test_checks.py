"""The checks of a whole installation: real tools, real folders, a real database, and the Globus sandbox."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import psutil
import pytest

from cs_archiver import app
from cs_archiver.db.backups import Backups, Kind
from cs_archiver.db.database import Database
from cs_archiver.domain.checks import Finding, Verdict, all_is_well
from cs_archiver.sandbox import CollectionTraits, Operation, Sandbox
from cs_archiver.sandbox.faults import Answer, Hang, Overlay
from cs_archiver.tools.threads import Work
from tests.support.nobody import as_nobody
from tests.support.service import DESTINATION, SOURCE, Place, sandbox_settings, settings_of

NAMES = [
    "configuration", "user", "seven_zip", "rsync", "dd", "nas", "storage", "space", "database", "backups",
    "first_account",
    "globus", "clock", "source_collection", "destination_collection", "path_mapping",
]  # fmt: skip
OF_GLOBUS = NAMES[11:]


@pytest.fixture(autouse=True)
def _a_production(place: Place) -> None:
    place.folder()


async def found(place: Place, sandbox: Sandbox, **overrides: str) -> dict[str, Finding]:
    overrides = {"CHECKS_TIMEOUT_SECONDS": "30", **overrides}
    checked = await app.checked_on_host(settings_of(place, sandbox.url, **overrides))
    assert [check.name for check in checked] == NAMES
    return {check.name: check.finding for check in checked}


def files_of(place: Place) -> list[str]:
    return sorted(str(path) for folder in (place.storage, place.remote, place.nas) for path in folder.rglob("*"))


def put_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


async def test_a_sound_installation_is_well_and_nothing_is_left_behind(place: Place, sandbox: Sandbox) -> None:
    (place.storage / "archives").mkdir()
    before = files_of(place)
    checked = await app.checked_on_host(settings_of(place, sandbox.url))
    assert all_is_well(checked), checked
    findings = {check.name: check.finding for check in checked}
    assert all(findings[name].verdict is Verdict.OK for name in OF_GLOBUS), findings
    assert str(place.storage / "archives") in findings["path_mapping"].found
    assert files_of(place) == before
    assert not place.database.exists()
    assert not sandbox.tasks


async def test_wrong_path_mapping_is_told(place: Place, sandbox: Sandbox) -> None:
    elsewhere = place.storage / "elsewhere"
    elsewhere.mkdir()
    findings = await found(place, sandbox, GLOBUS_SOURCE_BASE_PATH="/elsewhere")
    assert findings["source_collection"].verdict is Verdict.OK
    verdict, what, advice = findings["path_mapping"]
    assert verdict is Verdict.FAILED
    assert "is not seen in /elsewhere" in what
    assert "source_base_path" in advice
    assert list(place.storage.rglob(".cs-archiver-probe*")) == []
    findings = await found(place, sandbox, GLOBUS_SOURCE_BASE_PATH="/nowhere")
    assert findings["source_collection"].verdict is Verdict.FAILED


async def test_a_file_of_that_name_and_another_size_is_not_ours(place: Place, sandbox: Sandbox) -> None:
    sandbox.faults.add(Operation.STAT, Overlay(members={"type": "file", "size": 7}), times=None)
    assert (await found(place, sandbox))["path_mapping"].verdict is Verdict.FAILED


async def test_unplugged_collections_fail(place: Place) -> None:
    unplugged = CollectionTraits(gcp_connected=False)
    async with Sandbox(sandbox_settings(place, traits={SOURCE: unplugged, DESTINATION: unplugged})) as sandbox:
        findings = await found(place, sandbox)
    for name in ("source_collection", "destination_collection"):
        assert findings[name].verdict is Verdict.FAILED
        assert "not connected" in findings[name].found
        assert findings[name].advice
    assert findings["path_mapping"].verdict is Verdict.FAILED
    assert findings["globus"].verdict is Verdict.OK
    assert list(place.storage.iterdir()) == []


async def test_collection_without_verification_fails_and_a_missing_folder_is_warned_of(place: Place) -> None:
    traits = {DESTINATION: CollectionTraits(disable_verify=True)}
    async with Sandbox(sandbox_settings(place, traits=traits)) as sandbox:
        findings = await found(place, sandbox)
    assert findings["destination_collection"].verdict is Verdict.FAILED
    assert "ask its administrator" in findings["destination_collection"].advice
    async with Sandbox(sandbox_settings(place)) as sandbox:
        findings = await found(place, sandbox, GLOBUS_DESTINATION_BASE_PATH="/Archive")
        assert findings["destination_collection"].verdict is Verdict.WARNING
        (place.remote / "Archive").write_text("a file")
        findings = await found(place, sandbox, GLOBUS_DESTINATION_BASE_PATH="/Archive")
        assert findings["destination_collection"].verdict is Verdict.FAILED


async def test_wrong_secret_is_one_trouble_and_what_follows_from_it_is_none(place: Place, sandbox: Sandbox) -> None:
    settings = settings_of(place, sandbox.url, GLOBUS_CLIENT_SECRET="another secret")
    checked = await app.checked_on_host(settings)
    assert [check.name for check in checked if check.is_trouble] == ["globus"]
    assert not all_is_well(checked)
    findings = {check.name: check.finding for check in checked}
    assert "client id and secret" in findings["globus"].advice
    assert {findings[name].verdict for name in OF_GLOBUS[1:]} == {Verdict.UNKNOWN}
    assert "another secret" not in str(checked)


async def test_globus_out_of_reach_fails(place: Place, sandbox: Sandbox) -> None:
    await sandbox.stop()
    findings = await found(place, sandbox)
    assert findings["globus"].verdict is Verdict.FAILED
    assert "network" in findings["globus"].advice


@pytest.mark.parametrize("operation", [Operation.TOKEN, Operation.STAT])
async def test_globus_that_hangs_holds_up_nobody(place: Place, sandbox: Sandbox, operation: Operation) -> None:
    sandbox.faults.add(operation, Hang(), times=None)
    start = time.monotonic()
    findings = await found(place, sandbox, CHECKS_TIMEOUT_SECONDS="1")
    assert time.monotonic() - start < 10
    sandbox.faults.clear()
    hanging = "globus" if operation is Operation.TOKEN else "path_mapping"
    assert findings[hanging].verdict is Verdict.UNKNOWN
    assert findings[hanging].found == "no answer within 1 s"
    assert list(place.storage.rglob(".cs-archiver-probe*")) == []


async def test_clock_is_compared_with_that_of_globus(place: Place, sandbox: Sandbox) -> None:
    late = Answer(200, {"value": "x"}, {"Date": formatdate(time.time() - 300, usegmt=True)})
    sandbox.faults.add(Operation.SUBMISSION_ID, late, times=None)
    findings = await found(place, sandbox)
    assert findings["clock"].verdict is Verdict.WARNING
    assert "ahead of that of Globus" in findings["clock"].found


async def test_an_old_7_zip_on_the_path_is_warned_of(
    place: Place, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    banner = "7-Zip (z) 24.09 (x64) : Copyright (c) 1999-2024 Igor Pavlov : 2024-11-29"
    put_on_path(place.root / "bin", monkeypatch, "7z", f"echo; echo '{banner}'")
    put_on_path(place.root / "bin", monkeypatch, "rsync", "echo 'rsync  version 3.2.7  protocol version 31'")
    put_on_path(place.root / "bin", monkeypatch, "dd", "echo 'dd (busybox) 1.36'")
    findings = await found(place, sandbox)
    assert findings["seven_zip"][:2] == (Verdict.WARNING, "version 24.09, which has known security defects")
    assert findings["rsync"].verdict is Verdict.WARNING
    assert findings["dd"].verdict is Verdict.WARNING


async def test_a_newer_7_zip_is_fine_and_one_too_old_to_be_trusted_fails(
    place: Place, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_path(place.root / "bin", monkeypatch, "7z", "echo '7-Zip (z) 31.05 (x64)'")
    assert (await found(place, sandbox))["seven_zip"] == (Verdict.OK, "version 31.05", "")
    put_on_path(place.root / "bin", monkeypatch, "7z", "echo '7-Zip [64] 16.02'")
    assert (await found(place, sandbox))["seven_zip"].verdict is Verdict.FAILED


async def test_missing_tools_fail_with_the_package_to_install(
    place: Place, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(place.root / "empty"))
    findings = await found(place, sandbox)
    packages = {"seven_zip": "the package 7zip; p7zip-full on Debian 12", "rsync": "the package", "dd": "the package"}
    for name, package in packages.items():
        assert findings[name].verdict is Verdict.FAILED
        assert "not installed" in findings[name].found
        assert "install" in findings[name].advice
        assert package in findings[name].advice


async def test_tools_that_hang_are_ended_and_the_advice_is_not_to_install_them(
    place: Place, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = {"seven_zip": "7z", "rsync": "rsync", "dd": "dd"}
    for tool in tools.values():
        put_on_path(place.root / "bin", monkeypatch, tool, f"echo $$ > {place.root}/{tool}.pid; exec sleep 600")
    findings = await found(place, sandbox, CHECKS_TIMEOUT_SECONDS="2")
    for name, tool in tools.items():
        assert findings[name][:2] == (Verdict.UNKNOWN, "no answer within 2 s")
        assert "call it by hand" in findings[name].advice
        assert "install" not in findings[name].advice
        assert not psutil.pid_exists(int((place.root / f"{tool}.pid").read_text()))


async def test_a_nas_folder_that_is_empty_is_taken_for_one_that_is_not_mounted(place: Place, sandbox: Sandbox) -> None:
    assert (await found(place, sandbox))["nas"].verdict is Verdict.WARNING  # no mount of its own
    shutil.rmtree(place.nas)
    place.nas.mkdir()
    verdict, what, advice = (await found(place, sandbox))["nas"]
    assert (verdict, "empty" in what) == (Verdict.FAILED, True)
    assert "mount the NAS" in advice


@pytest.fixture
def open_place() -> Iterator[Place]:
    """Where permissions mean something, since its parents can be entered by everybody."""
    root = Path(tempfile.mkdtemp(prefix="checks-", dir="/tmp"))
    place = Place(root).make()
    place.folder()
    for path in (root, *root.rglob("*")):
        path.chmod(0o777)
    yield place
    shutil.rmtree(root)


async def test_folders_that_may_not_be_changed_are_told(open_place: Place) -> None:
    place = open_place
    async with Sandbox(sandbox_settings(place)) as sandbox:
        settings = settings_of(place, sandbox.url)
        place.storage.chmod(0o555)
        place.folder().chmod(0o555)
        with as_nobody():
            checked = await app.checked_on_host(settings)
    findings = {check.name: check.finding for check in checked}
    assert findings["storage"].verdict is Verdict.FAILED
    assert "[storage] base_path: expected a folder this user may write to" in findings["storage"].found
    assert findings["path_mapping"].verdict is Verdict.FAILED
    assert "Permission denied" in findings["path_mapping"].found
    assert findings["nas"].verdict is Verdict.WARNING
    assert str(place.folder()) in findings["nas"].found


async def test_damaged_database_fails_and_is_left_as_it_is(place: Place, sandbox: Sandbox) -> None:
    await (await Database.open(place.database, read_connections=1)).close()
    assert (await found(place, sandbox))["database"].verdict is Verdict.OK
    content = place.database.read_bytes()
    place.database.write_bytes(content[:4096] + os.urandom(8192) + content[12288:])
    damaged = place.database.read_bytes()
    verdict, _, advice = (await found(place, sandbox))["database"]
    assert verdict is Verdict.FAILED
    assert "restore the last backup" in advice
    assert place.database.read_bytes() == damaged


async def test_database_of_a_newer_program_fails(place: Place, sandbox: Sandbox) -> None:
    await (await Database.open(place.database, read_connections=1)).close()
    with closing(sqlite3.connect(place.database)) as connection:
        connection.execute("PRAGMA user_version = 999")
    verdict, what, advice = (await found(place, sandbox))["database"]
    assert (verdict, "999" in what, "newer program" in advice) == (Verdict.FAILED, True, True)


async def test_database_that_others_may_read_or_that_globus_shows_is_warned_of(place: Place, sandbox: Sandbox) -> None:
    await (await Database.open(place.database, read_connections=1)).close()
    place.database.chmod(0o640)
    verdict, what, advice = (await found(place, sandbox))["database"]
    assert (verdict, "others than its owner" in what, "chmod 0600" in advice) == (Verdict.WARNING, True, True)
    shown = f"sqlite:///{place.storage}/state/cs.db"
    (place.storage / "state").mkdir()
    verdict, what, advice = (await found(place, sandbox, DATABASE_URL=shown))["database"]
    assert (verdict, "the source collection shows" in what, "[database] url" in advice) == (Verdict.WARNING, True, True)


async def test_database_that_this_user_may_not_read_is_not_called_damaged(open_place: Place) -> None:
    place = open_place
    await (await Database.open(place.database, read_connections=1)).close()
    for look_at in (place.database, place.database.parent):
        async with Sandbox(sandbox_settings(place)) as sandbox:
            settings = settings_of(place, sandbox.url)
            look_at.chmod(0o600)
            with as_nobody():
                checked = await app.checked_on_host(settings)
        verdict, what, advice = {check.name: check.finding for check in checked}["database"]
        assert (verdict, what) == (Verdict.FAILED, f"{place.database}: Permission denied")
        assert "run this as the user of the service" in advice


async def test_looking_at_the_database_of_a_stopped_service_leaves_nothing(place: Place, sandbox: Sandbox) -> None:
    await (await Database.open(place.database, read_connections=1)).close()
    before = {path.name: path.read_bytes() for path in place.database.parent.iterdir()}
    await found(place, sandbox)
    assert {path.name: path.read_bytes() for path in place.database.parent.iterdir()} == before


async def test_a_probe_left_by_a_crash_is_removed_later_and_nothing_else_is(place: Place, sandbox: Sandbox) -> None:
    archives = place.storage / "archives"
    old, new = archives / ".cs-archiver-probe-check-old", archives / ".cs-archiver-probe-check-new"
    kept = [archives / "Production" / "Alpha.tar.7z", archives / ".cs-archiver-probe-5c", archives / "notes"]
    for path in (old, new, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    for path in (old, *kept):
        os.utime(path, (1, 1))
    await found(place, sandbox)
    assert not old.exists()
    assert all(path.exists() for path in (new, *kept))


async def test_two_rounds_at_once_do_not_disturb_each_other(place: Place, sandbox: Sandbox) -> None:
    rounds = await asyncio.gather(*(found(place, sandbox) for _ in range(2)))
    assert [findings["path_mapping"].verdict for findings in rounds] == [Verdict.OK, Verdict.OK]


async def test_first_password_is_warned_of_until_it_is_changed(place: Place, sandbox: Sandbox) -> None:
    assert (await found(place, sandbox))["first_account"].verdict is Verdict.OK
    settings = settings_of(place, sandbox.url, ADMIN_INITIAL_PASSWORD="")
    async with app.running(settings):
        finding = (await found(place, sandbox))["first_account"]
        assert (finding.verdict, finding.advice) == (Verdict.WARNING, "sign in as admin and choose another")
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("UPDATE users SET must_change_password = 0")
    assert (await found(place, sandbox))["first_account"].verdict is Verdict.OK


async def test_password_that_an_administrator_gave_is_not_the_one_that_everybody_knows(
    place: Place, sandbox: Sandbox
) -> None:
    async with app.running(settings_of(place, sandbox.url)):
        pass
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("UPDATE users SET must_change_password = 1")
    assert (await found(place, sandbox))["first_account"].verdict is Verdict.OK


async def test_secrets_in_a_configuration_file_that_others_may_read_are_warned_of(
    place: Place, sandbox: Sandbox
) -> None:
    file = place.root / "config.toml"
    for text, mode, verdict in (
        ('[globus]\nclient_secret = "hush"\n', 0o644, Verdict.WARNING),
        ('[globus]\nclient_secret = "hush"\n', 0o640, Verdict.OK),
        ("[server]\nport = 8000\n", 0o644, Verdict.OK),
    ):
        file.write_text(text)
        file.chmod(mode)
        assert (await found(place, sandbox))["configuration"].verdict is verdict, text


async def test_a_folder_of_backups_that_cannot_be_made_or_written_is_told(open_place: Place) -> None:
    place = open_place
    (place.root / "closed").mkdir(mode=0o755)
    (place.root / "file").touch()
    (place.root / "link").symlink_to(place.root / "nowhere")
    async with Sandbox(sandbox_settings(place)) as sandbox:
        for name, why in (
            ("new", None),
            ("deep/new", "nor can it be made in"),
            ("closed", "this user may not write there"),
            ("closed/new", "this user may not write there"),
            ("file", "it is no folder"),
            ("file/new", "Not a directory"),
            ("link", "a link that leads nowhere"),
        ):
            with as_nobody():
                verdict, what, advice = (await found(place, sandbox, BACKUP_FOLDER=str(place.root / name)))["backups"]
            assert (verdict, (why or "") in what) == (Verdict.FAILED if why else Verdict.OK, True), (name, what)
            assert ("[backup] folder" in advice) is (why is not None)
    assert not (place.root / "new").exists()


async def test_nightly_backups_that_are_late_are_told(place: Place, sandbox: Sandbox) -> None:
    async with app.running(settings_of(place, sandbox.url)):
        pass
    assert (await found(place, sandbox))["backups"][:2] == (
        Verdict.OK,
        f"no nightly one was made yet ({place.database.parent}/backups)",
    )
    backups, now = Backups(place.database, ""), datetime.now(UTC)
    for made_at, verdict, said in (
        (now - timedelta(days=3), Verdict.WARNING, "3 days old"),
        (now - timedelta(days=1), Verdict.OK, "24 hours old"),
        (now + timedelta(days=9), Verdict.OK, "24 hours old"),
    ):
        backups.make(Kind.NIGHTLY, Work(), at=made_at)
        finding = (await found(place, sandbox))["backups"]
        assert (finding.verdict, said in finding.found) == (verdict, True), finding
    shutil.rmtree(place.database.parent / "backups")
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("UPDATE users SET created_at = '2026-01-01T00:00:00.000Z'")
    verdict, what, advice = (await found(place, sandbox))["backups"]
    assert (verdict, "no nightly one" in what, "its log says why" in advice) == (Verdict.WARNING, True, True)


@pytest.mark.parametrize(
    ("variable", "value", "setting"),
    [("LOG_FILE", "{}/app.log", "[log] file"), ("DATABASE_URL", "sqlite:///{}/cs.db", "[database] url")],
)
async def test_space_names_the_setting_of_a_folder_that_is_missing(
    place: Place, sandbox: Sandbox, variable: str, value: str, setting: str
) -> None:
    missing = place.root / "none"
    missing.mkdir()
    settings = settings_of(place, sandbox.url, **{variable: value.format(missing)})
    missing.rmdir()
    findings = {check.name: check.finding for check in await app.checked_on_host(settings)}
    verdict, what, advice = findings["space"]
    assert (verdict, what) == (Verdict.FAILED, f"{missing}: No such file or directory")
    assert advice.startswith(f"check that the folder of {setting} is there")
