"""The checks of folders on real mounts: a NAS that is not there, read-only or hangs, and a disk without room."""

import time

import pytest

from cs_archiver import app
from cs_archiver.domain.checks import Finding, Verdict
from cs_archiver.pipeline import access_of
from cs_archiver.sandbox import Sandbox
from cs_archiver.services.all_checks import round_of
from cs_archiver.tools.process import Processes
from tests.faults.mounts import bind, make_read_only, mount, need_mounts, served, small_disk, unmount
from tests.support.service import Place, sandbox_settings, settings_of


@pytest.fixture(autouse=True)
def _a_share(place: Place) -> None:
    need_mounts()
    (place.root / "share" / "Production" / "2024" / "Alpha").mkdir(parents=True)


async def found(place: Place, sandbox: Sandbox, **overrides: str) -> dict[str, Finding]:
    checked = await app.checked_on_host(settings_of(place, sandbox.url, **overrides))
    return {check.name: check.finding for check in checked}


async def test_nas_is_fine_while_it_is_mounted_and_fails_when_it_is_not(place: Place, sandbox: Sandbox) -> None:
    mount("nas", place.nas, "tmpfs", options="size=1m")
    try:
        assert (await found(place, sandbox))["nas"].verdict is Verdict.WARNING  # mounted, and empty
        place.folder()
        assert (await found(place, sandbox))["nas"] == (Verdict.OK, f"tmpfs mounted at {place.nas}", "")
    finally:
        unmount(place.nas)
    verdict, what, advice = (await found(place, sandbox))["nas"]
    assert verdict is Verdict.FAILED
    assert "empty" in what
    assert "mount the NAS there" in advice


async def test_nas_that_is_mounted_read_only_fails(place: Place, sandbox: Sandbox) -> None:
    bind(place.root / "share", place.nas)
    try:
        make_read_only(place.nas)
        verdict, what, _ = (await found(place, sandbox))["nas"]
    finally:
        unmount(place.nas)
    assert (verdict, "read-only" in what) == (Verdict.FAILED, True)


async def test_nas_that_hangs_holds_up_no_other_check(place: Place, sandbox: Sandbox) -> None:
    need_mounts(fuse=True)
    async with served(place.root / "share", place.nas) as nas:
        settings = settings_of(place, sandbox.url, CHECKS_TIMEOUT_SECONDS="2")
        make_round = round_of(settings, access_of(settings), Processes())
        await nas.hang()
        start = time.monotonic()
        findings = {check.name: check.finding for check in await make_round(True)}
        assert time.monotonic() - start < 20
        assert findings["nas"][:2] == (Verdict.UNKNOWN, "no answer within 2 s")
        assert "the mount" in findings["nas"].advice
        assert [name for name, finding in findings.items() if finding.verdict is Verdict.UNKNOWN] == ["nas"]
        assert findings["configuration"].verdict is findings["storage"].verdict is Verdict.OK
        assert findings["seven_zip"].verdict is not Verdict.UNKNOWN
        assert findings["path_mapping"].verdict is Verdict.OK
        await nas.heal()
        findings = {check.name: check.finding for check in await make_round(True)}
        assert findings["nas"].verdict is Verdict.OK


async def test_disk_without_room_for_any_job_fails(place: Place) -> None:
    with small_disk(place.storage, 5_000_000):
        async with Sandbox(sandbox_settings(place)) as sandbox:
            findings = await found(place, sandbox)
    assert findings["space"].verdict is Verdict.FAILED
    assert "no job starts with less than 10.2 MiB" in findings["space"].found


async def test_disk_without_room_for_a_backup_is_told(place: Place, sandbox: Sandbox) -> None:
    with small_disk(place.root / "backups", 5_000_000):
        verdict, what, advice = (await found(place, sandbox, BACKUP_FOLDER=str(place.root / "backups" / "of_db")))[
            "backups"
        ]
    assert (verdict, "no room" in what, "251 MiB are missing" in what) == (Verdict.FAILED, True, True), what
    assert "make room" in advice


async def test_folders_of_storage_on_two_file_systems_fail(place: Place, sandbox: Sandbox) -> None:
    settings = settings_of(place, sandbox.url)
    with small_disk(place.storage / "temp", 1_000_000):
        checked = await app.checked_on_host(settings)
    storage = next(check.finding for check in checked if check.name == "storage")
    assert storage.verdict is Verdict.FAILED
    assert "[storage] temp_path: expected a folder on the file system of" in storage.found
