"""What the checks conclude from what was found; and that each has its time, whatever it looks at."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from cs_archiver.domain import checks
from cs_archiver.domain.checks import BackupFacts, Checked, DatabaseFacts, Finding, Mount, NasFacts, Verdict
from cs_archiver.errors import NeedsOperator
from cs_archiver.services.checks import Checks, Look, on_thread

ROOT = Mount("/", "ext4", is_read_only=False)
DISK = Mount("/storage", "xfs", is_read_only=False)
SHARE = Mount("/mnt/qnap", "nfs4", is_read_only=False)
GB = 1024**3


def a_check(verdict: Verdict, advice: str = "", name: str = "nas") -> Checked:
    return Checked(name, "NAS folder", Finding(verdict, "something", advice), "2026-01-01T00:00:00.000Z")


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        (None, Verdict.FAILED),
        ((16, 2), Verdict.FAILED),
        ((23, 0), Verdict.FAILED),
        ((23, 1), Verdict.WARNING),
        ((25, 0), Verdict.WARNING),
        ((25, 1), Verdict.OK),
        ((26, 2), Verdict.OK),
    ],
)
def test_an_old_7_zip_is_warned_of_and_one_that_cannot_be_trusted_fails(
    version: tuple[int, int] | None, verdict: Verdict
) -> None:
    finding = checks.seven_zip(version)
    assert finding.verdict is verdict
    assert ("25.01 or newer" in finding.advice) is (verdict is not Verdict.OK)


def test_versions_are_written_as_the_tools_write_them() -> None:
    assert "23.01" in checks.seven_zip((23, 1)).found
    assert "3.2.7" in checks.rsync((3, 2, 7)).found
    assert "9.1" in checks.dd((9, 1)).found


@pytest.mark.parametrize(
    ("version", "verdict"),
    [((3, 4, 0), Verdict.WARNING), ((3, 2, 7), Verdict.WARNING), ((3, 4, 1), Verdict.OK), ((3, 10), Verdict.OK)],
)
def test_an_old_rsync_is_warned_of(version: tuple[int, ...], verdict: Verdict) -> None:
    assert checks.rsync(version).verdict is verdict


@pytest.mark.parametrize(
    ("version", "verdict"), [(None, Verdict.WARNING), ((8, 23), Verdict.WARNING), ((8, 24), Verdict.OK)]
)
def test_another_dd_is_warned_of(version: tuple[int, ...] | None, verdict: Verdict) -> None:
    assert checks.dd(version).verdict is verdict


def test_checks_made_as_root_are_said_to_show_little() -> None:
    assert checks.user("root", is_root=True).verdict is Verdict.WARNING
    assert checks.user("archiver", is_root=False) == Finding(Verdict.OK, "made as archiver")


@pytest.mark.parametrize(
    ("facts", "verdict", "said"),
    [
        (NasFacts(SHARE, DISK, is_empty=False, sampled=5, closed=[]), Verdict.OK, "nfs4"),
        (NasFacts(ROOT, DISK, is_empty=True, sampled=0, closed=[]), Verdict.FAILED, "empty"),
        (NasFacts(DISK, DISK, is_empty=True, sampled=0, closed=[]), Verdict.FAILED, "empty"),
        (NasFacts(SHARE, DISK, is_empty=True, sampled=0, closed=[]), Verdict.WARNING, "empty"),
        (NasFacts(ROOT, ROOT, is_empty=False, sampled=5, closed=[]), Verdict.WARNING, "no mount of its own"),
        (NasFacts(SHARE, DISK, is_empty=False, sampled=5, closed=["/mnt/a/b/c"]), Verdict.WARNING, "1 of 5"),
        (NasFacts(SHARE._replace(is_read_only=True), DISK, False, 5, []), Verdict.FAILED, "read-only"),
    ],
)
def test_nas_that_is_not_mounted_or_not_writable_is_noticed(facts: NasFacts, verdict: Verdict, said: str) -> None:
    finding = checks.nas(facts)
    assert finding.verdict is verdict
    assert said in finding.found
    assert bool(finding.advice) is (verdict is not Verdict.OK)


def test_storage_on_a_network_or_read_only_is_noticed() -> None:
    assert checks.storage(DISK).verdict is Verdict.OK
    assert checks.storage(SHARE).verdict is Verdict.WARNING
    assert checks.storage(DISK._replace(is_read_only=True)).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("free", "other", "verdict"),
    [
        (50 * GB, 2 * GB, Verdict.OK),
        (19 * GB, 2 * GB, Verdict.WARNING),
        (10 * GB - 1, 2 * GB, Verdict.FAILED),
        (50 * GB, GB - 1, Verdict.WARNING),
    ],
)
def test_too_little_space_for_any_job_fails_and_little_is_warned_of(free: int, other: int, verdict: Verdict) -> None:
    finding = checks.space(free_bytes=free, total_bytes=100 * GB, min_free_gb=10, others=[("the log", other)])
    assert finding.verdict is verdict


@pytest.mark.parametrize(
    ("differs", "verdict", "said"),
    [
        ({}, Verdict.OK, "it answers, schema version 1"),
        ({"is_whole": True}, Verdict.OK, "sound"),
        ({"known": 2}, Verdict.OK, "2 after the next start"),
        ({"version": None}, Verdict.OK, "none yet"),
        ({"version": 2}, Verdict.FAILED, "this program knows 1"),
        ({"damage": "row 3 missing from index"}, Verdict.FAILED, "row 3 missing"),
        ({"mount": SHARE}, Verdict.FAILED, "it lies on"),
        ({"mount": Mount("/mnt", "cifs", is_read_only=False)}, Verdict.FAILED, "cifs"),
        ({"is_private": False}, Verdict.WARNING, "others than its owner may read it"),
        ({"is_shown": True}, Verdict.WARNING, "the source collection shows"),
        ({"is_shown": True, "version": None}, Verdict.WARNING, "the source collection shows"),
        ({"is_private": False, "version": 2}, Verdict.FAILED, "this program knows 1"),
    ],
)
def test_database_is_judged_by_where_it_lies_what_it_is_and_who_may_read_it(
    differs: dict[str, Any], verdict: Verdict, said: str
) -> None:
    finding = checks.database(DatabaseFacts(DISK, 1, version=1)._replace(**differs))
    assert (finding.verdict, said in finding.found) == (verdict, True), finding
    assert bool(finding.advice) is (verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("differs", "verdict", "said"),
    [
        ({"newest_days": 1.02}, Verdict.OK, "24 hours old"),
        ({"newest_days": 5}, Verdict.WARNING, "5 days old"),
        ({}, Verdict.OK, "no nightly one was made yet"),
        ({"in_use_days": 1}, Verdict.OK, "no nightly one was made yet"),
        ({"in_use_days": 3}, Verdict.WARNING, "no nightly one was made yet"),
        ({"in_use_days": 3, "are_nightly": False}, Verdict.OK, "[backup] keep is 0"),
        ({"obstacle": "this user may not write there", "are_nightly": False}, Verdict.FAILED, "may not write"),
        ({"missing_bytes": 1, "newest_days": 1}, Verdict.FAILED, "no room"),
        ({"missing_bytes": -1, "newest_days": 1}, Verdict.OK, "24 hours old"),
    ],
)
def test_backups_that_cannot_be_made_or_are_not_made_are_noticed(
    differs: dict[str, Any], verdict: Verdict, said: str
) -> None:
    finding = checks.backups(BackupFacts("/b", are_nightly=True)._replace(**differs))
    assert (finding.verdict, said in finding.found) == (verdict, True), finding
    assert bool(finding.advice) is (verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("globus", "verdict", "said"),
    [
        (1000.0, Verdict.OK, ""),
        (938.5, Verdict.OK, ""),
        (1062.0, Verdict.OK, ""),
        (900.0, Verdict.WARNING, "ahead of"),
        (1200.0, Verdict.WARNING, "behind"),
        (None, Verdict.UNKNOWN, ""),
    ],
)
def test_clock_more_than_a_minute_off_is_warned_of(globus: float | None, verdict: Verdict, said: str) -> None:
    finding = checks.clock(asked_at=999.0, answered_at=1002.0, globus=globus)
    assert finding.verdict is verdict
    assert said in finding.found


def test_all_is_well_only_if_nothing_failed_and_nothing_is_unknown() -> None:
    fine = [a_check(Verdict.OK), a_check(Verdict.WARNING, "do this")]
    assert checks.all_is_well(fine)
    assert not checks.all_is_well([*fine, a_check(Verdict.FAILED)])
    assert not checks.all_is_well([*fine, a_check(Verdict.UNKNOWN)])


def test_what_only_follows_from_another_check_is_no_trouble_of_its_own() -> None:
    assert a_check(Verdict.FAILED).is_trouble
    assert a_check(Verdict.UNKNOWN, "check the mount").is_trouble
    assert not a_check(Verdict.UNKNOWN).is_trouble
    assert not a_check(Verdict.WARNING, "do this").is_trouble


async def _look(make: "Sequence[Finding] | BaseException") -> Finding:
    if isinstance(make, BaseException):
        raise make
    return make[0]


@pytest.mark.parametrize(
    ("error", "verdict", "found", "advice"),
    [
        (NeedsOperator("7z is missing; install it"), Verdict.FAILED, "7z is missing", "install it"),
        (NeedsOperator("7z is missing"), Verdict.FAILED, "7z is missing", "look"),
        (OSError(5, "Input/output error", "/mnt"), Verdict.FAILED, "Input/output error", "look"),
        (ValueError("a defect"), Verdict.UNKNOWN, "the check itself failed (ValueError)", "see the log"),
    ],
)
async def test_whatever_goes_wrong_in_a_check_is_its_result(
    error: Exception, verdict: Verdict, found: str, advice: str
) -> None:
    checked = await Look("tool", "Tool", lambda: _look(error), "look").checked(5)
    assert checked.finding.verdict is verdict
    assert found in checked.finding.found
    assert checked.finding.advice == advice


async def test_a_look_that_hangs_is_left_after_its_time_and_never_made_twice() -> None:
    released, calls = threading.Event(), []

    def hang() -> Finding:
        calls.append(1)
        released.wait(30)
        return Finding(Verdict.OK, "there")

    look = Look("nas", "NAS folder", on_thread(hang), "check the mount")
    try:
        for _ in range(3):
            checked = await look.checked(0.05)
            assert checked.finding == (Verdict.UNKNOWN, "no answer within 0.05 s", "check the mount")
            assert checked.is_trouble
        assert len(calls) == 1
    finally:
        released.set()
    assert (await look.checked(20)).finding == (Verdict.OK, "there", "")


async def test_who_asks_while_a_round_is_made_gets_its_results() -> None:
    rounds: list[bool] = []
    go_on = asyncio.Event()

    async def make_round(is_thorough: bool) -> list[Checked]:
        rounds.append(is_thorough)
        await go_on.wait()
        return [a_check(Verdict.FAILED, "mount it")]

    service = Checks(make_round)
    assert service.latest == ()
    asked = [asyncio.create_task(service.renew()) for _ in range(3)]
    go_on.set()
    results = await asyncio.gather(*asked)
    assert rounds == [True]
    assert all(result == service.latest for result in results)
    assert [check.title for check in service.troubles] == ["NAS folder"]
    await service.close()


async def test_checks_are_renewed_in_the_background_and_a_new_trouble_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = asyncio.Event()
    rounds = 0

    async def make_round(_is_thorough: bool) -> list[Checked]:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            seen.set()
        return [a_check(Verdict.FAILED, f"mount it, says round {rounds}")]

    service = Checks(make_round).start(0.001)
    async with asyncio.timeout(20):
        await seen.wait()
    await service.close()
    assert [record.message for record in caplog.records] == ["check: NAS folder: something; mount it, says round 1."]
