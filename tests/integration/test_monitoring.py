"""What monitors ask: whether the service can work, and its figures, which are counted and never made up."""

import asyncio
import re
import shutil
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from cs_archiver import config
from cs_archiver.db import tables, tallies
from cs_archiver.domain.access import Scope
from cs_archiver.domain.events import Retried
from cs_archiver.domain.retry import Operation
from cs_archiver.domain.states import JobStatus
from cs_archiver.errors import NeedsOperator
from cs_archiver.services import readiness
from cs_archiver.services.host_checks import HostChecks
from cs_archiver.tools.globus_threads import Tally
from cs_archiver.tools.process import Processes
from tests.integration.test_queue import proven
from tests.support.api import PASSWORD, Api, refusal_of, running_api, settings_of_api
from tests.support.live import listening

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
LOOPBACK = ("127.0.0.0/8", "::1/128")
WAY = [
    JobStatus.COPYING, JobStatus.COMPRESSING, JobStatus.VERIFYING, JobStatus.AWAITING_UPLOAD, JobStatus.UPLOADING,
    JobStatus.UPLOAD_VERIFYING,
]  # fmt: skip


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def _always_looked_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_FRESH_SECONDS", 0.0)


async def figures(api: Api) -> dict[str, float]:
    """Every sample by its name and labels, as they are written."""
    text = await (await api.call("GET", "/metrics")).text()
    families = text_string_to_metric_families(text)
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


async def move(api: Api, job_id: str, *way: JobStatus, **changes: Any) -> None:
    for status in way:
        await api.queue.move(await api.queue.get(job_id), status, changes)


async def test_figures_are_in_both_formats_and_keep_the_conventions(api: Api) -> None:
    await api.submit("Alpha")
    plain = await api.call("GET", "/metrics")
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    modern = await api.call("GET", "/metrics", headers={"Accept": OPENMETRICS})
    assert modern.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    parsed = openmetrics.text_string_to_metric_families(await modern.text())  # type: ignore[no-untyped-call]
    strict = {family.name: family for family in parsed}
    families = list(text_string_to_metric_families(await plain.text()))
    ours = [family for family in families if not family.name.startswith("process_")]
    assert {family.name.removesuffix("_total") for family in families} == set(strict)
    assert len(ours) >= 20
    for family in ours:
        assert re.fullmatch(r"csarchiver_[a-z]+(_[a-z]+)*", family.name)
        assert len(family.documentation.split()) >= 4, family.name
        assert family.type in {"counter", "gauge", "histogram"}
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb|gb|percent|counter|gauge|created)\b", family.name)
        names = {sample.name for sample in family.samples}
        assert all(name.endswith("_total") is (family.type == "counter") for name in names), names
        assert not any("id" in sample.labels or "job" in sample.labels for sample in family.samples)


@pytest.mark.parametrize("kind", ["application/openmetrics-text", "text/plain"])
@pytest.mark.parametrize("version", ["abc", "1..0", "2.x", "-"])
async def test_version_of_the_format_that_is_none_asks_for_nothing(api: Api, kind: str, version: str) -> None:
    response = await api.call("GET", "/metrics", headers={"Accept": f"{kind};version={version}"})
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "csarchiver_jobs" in await response.text()


async def test_states_are_counted_and_age_is_that_of_the_first_in_line(api: Api) -> None:
    assert (await figures(api))["csarchiver_queue_oldest_age_seconds[copy_compress]"] == 0
    ids = [(await api.submit(name))["job_id"] for name in ("Alpha", "Beta", "Gamma")]
    await move(api, ids[0], JobStatus.COPYING, current_operation="Held: the NAS is away")
    async with api.database.write() as connection:
        old = tables.jobs.update().where(tables.jobs.c.id == ids[1])
        await connection.execute(old.values(created_at="2026-01-01T00:00:00.000Z"))
    found = await figures(api)
    assert found["csarchiver_jobs[queued]"] == 2
    assert found["csarchiver_jobs[copying]"] == 1
    assert found["csarchiver_jobs[completed]"] == 0
    assert found["csarchiver_jobs_held"] == 1
    assert found["csarchiver_queue_oldest_age_seconds[copy_compress]"] > 86400
    assert found["csarchiver_queue_oldest_age_seconds[upload]"] == 0


async def test_every_move_is_counted_once_with_its_bytes_whoever_made_it(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    await move(api, job_id, *WAY, archive_size_bytes=700)
    await move(api, job_id, JobStatus.FAILED)
    other = (await api.submit("Beta"))["job_id"]
    assert (await api.call("DELETE", f"/api/jobs/{other}")).status == 204
    for _ in range(2):  # the second time nothing is new
        found = await figures(api)
        assert found["csarchiver_copied_bytes_total"] == 1536
        assert found["csarchiver_archived_bytes_total"] == 700
        assert found["csarchiver_uploaded_bytes_total"] == 700
        assert found["csarchiver_freed_bytes_total"] == 0
        assert found["csarchiver_jobs_finished_total[failed]"] == 1
        assert found["csarchiver_jobs_finished_total[cancelled]"] == 1
        assert found["csarchiver_jobs_finished_total[completed]"] == 0
        assert found["csarchiver_stage_duration_seconds_count[queued]"] == 2
        assert found["csarchiver_stage_duration_seconds_count[uploading]"] == 1
        assert found["csarchiver_stage_duration_seconds_count[deleting_source]"] == 0
        assert 0 <= found["csarchiver_stage_duration_seconds_sum[copying]"] < 60


async def test_what_a_completed_job_freed_is_the_size_of_its_folder_and_not_of_its_archive(api: Api) -> None:
    job = await proven(api.database, api.queue)
    assert job.folder_size_bytes != job.archive_size_bytes
    await move(api, job.id, JobStatus.DELETING_SOURCE)
    assert (await figures(api))["csarchiver_freed_bytes_total"] == 0
    await move(api, job.id, JobStatus.COMPLETED)
    found = await figures(api)
    assert found["csarchiver_freed_bytes_total"] == job.folder_size_bytes
    assert found["csarchiver_jobs_finished_total[completed]"] == 1


async def test_many_moves_between_two_scrapes_are_all_counted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "_MOVES", tallies._MOVES.limit(2))
    job_id = (await api.submit("Alpha"))["job_id"]
    await move(api, job_id, *WAY)
    found = await figures(api)
    assert (
        sum(value for name, value in found.items() if name.startswith("csarchiver_stage_duration_seconds_count")) == 6
    )


async def test_what_happened_before_the_start_is_not_counted(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        await move(api, (await api.submit("Alpha"))["job_id"], JobStatus.FAILED)
        marks = await tallies.marks(api.database)
        assert await tallies.moves_after(api.database, marks.history) == []
        assert len(await tallies.moves_after(api.database, 0)) == 1


async def test_sign_ins_retries_and_clients_are_counted(api: Api) -> None:
    for password in ("wrong", PASSWORD, "wrong again"):
        await api.call("POST", "/api/auth/login", token="", json={"username": "ann", "password": password})
    for _ in range(2):
        api.bus.publish(Retried("a job", Operation.UPLOAD))
    async with listening(api):
        found = await figures(api)
        assert found["csarchiver_websocket_clients"] == 1
    found = await figures(api)  # what was counted once is not counted again
    assert found["csarchiver_login_failures_total"] == 2
    assert found["csarchiver_retries_total[upload]"] == 2
    assert found["csarchiver_retries_total[connection_error]"] == 0
    assert found["csarchiver_database_size_bytes"] > 4096
    assert found["csarchiver_last_backup_timestamp_seconds"] == 0
    api.database.last_backup = datetime(2026, 3, 5, 2, tzinfo=UTC)
    assert (await figures(api))["csarchiver_last_backup_timestamp_seconds"] == 1772676000
    assert 0 < found["csarchiver_storage_free_bytes"] < found["csarchiver_storage_size_bytes"]
    assert found["process_resident_memory_bytes"] > 1e6


def test_questions_to_globus_and_faults_of_its_tasks_are_handed_over_once() -> None:
    tally = Tally()
    for result in ("ok", "ok", "globus-unreachable"):
        tally.note(result)
    for task, faults in (("a", 2), ("b", 1), ("a", 5), ("a", 5), ("c", None), ("c", "many")):
        tally.note_faults(task, faults)
    assert tally.take() == ({"ok": 2, "globus-unreachable": 1}, 6)
    for number in range(1000):
        tally.note_faults(str(number), 1)
    assert tally.take() == ({}, 1000)
    assert len(tally._faults_of) <= 100


async def test_without_a_token_only_the_addresses_of_monitors_may_read_the_figures(tmp_path: Path) -> None:
    async with running_api(tmp_path / "closed") as api:
        await refusal_of(await api.call("GET", "/metrics", token=""), 401, "not-authenticated")
        token = await api.personal_token_of("ann", Scope.READ)
        assert (await api.call("GET", "/metrics", token=token)).status == 200
        await refusal_of(await api.call("GET", "/metrics", username="new"), 403, "password-change-required")
    async with running_api(tmp_path / "open", monitors=LOOPBACK) as api:
        assert (await api.call("GET", "/metrics", token="")).status == 200
    async with running_api(tmp_path / "elsewhere", monitors=("192.0.2.0/24",)) as api:
        await refusal_of(await api.call("GET", "/metrics", token=""), 401, "not-authenticated")


async def test_whoever_comes_through_a_proxy_is_no_monitor_unless_the_proxy_says_so(tmp_path: Path) -> None:
    passed_on = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "archiver.test"}
    async with running_api(tmp_path / "unknown proxy", monitors=LOOPBACK) as api:
        for headers in (passed_on, {"Forwarded": "for=198.51.100.7"}, {"X-Real-IP": "198.51.100.7"}):
            refused = await api.call("GET", "/metrics", token="", headers=headers)
            await refusal_of(refused, 401, "not-authenticated")
    monitor = (*LOOPBACK, "192.0.2.9")
    async with running_api(tmp_path / "trusted proxy", monitors=monitor, trusted_proxies=("127.0.0.1",)) as api:
        refused = await api.call("GET", "/metrics", token="", headers=passed_on)
        await refusal_of(refused, 401, "not-authenticated")
        told = {**passed_on, "X-Forwarded-For": "192.0.2.9"}
        assert (await api.call("GET", "/metrics", token="", headers=told)).status == 200


async def test_counting_the_states_reads_nothing_but_an_index(api: Api) -> None:
    async with api.database.read() as connection:
        for query in (tallies._OLDEST, tallies._REFUSED, tallies._MOVES):
            statement = str(query.compile(compile_kwargs={"literal_binds": False}))
            names = re.findall(r":(\w+)", statement)
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", dict.fromkeys(names, 1))
            for *_, step in plan:
                assert not re.match(r"SCAN (?!.*COVERING INDEX)", step), (statement, step)


async def checks(api: Api, **options: Any) -> dict[str, tuple[str, str | None, str | None]]:
    """What /api/ready says of each check: the verdict, what was found, and what to do."""
    response = await api.call("GET", "/api/ready", **options)
    document = await response.json(content_type=None)
    found = {check["name"]: (check["verdict"], check["found"], check["advice"]) for check in document["checks"]}
    troubles = {name for name, (verdict, *_) in found.items() if verdict in {"failed", "unknown"}}
    assert response.status == (503 if troubles else 200)
    if troubles:
        assert document["type"] == "/problems/not-ready"
        assert all(name in document["detail"] for name in troubles)
    return found


async def test_all_is_well_and_what_was_found_is_told_to_users_alone(api: Api) -> None:
    found = await checks(api, token="")
    assert set(found) == {"database", "workers", "storage", "space", "nas", "seven_zip", "held_jobs"}
    assert {verdict for verdict, *_ in found.values()} <= {"ok", "warning"}
    assert {told for _, *details in found.values() for told in details} == {None}
    found = await checks(api)
    assert found["database"] == ("ok", "it can be written", "")
    assert all(what for _, what, _ in found.values())


async def test_it_speaks_as_the_checks_of_the_whole_installation_do(api: Api, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "storage")
    settings = settings_of_api(tmp_path, api.nas, tmp_path / "storage")
    whole = {look.name: await look.checked(20) for look in HostChecks(settings, Processes()).looks(is_thorough=False)}
    found = await checks(api)
    shared = set(whole) & set(found)
    assert shared == {"database", "storage", "space", "nas", "seven_zip"}
    for name in ("storage", "space", "nas"):
        assert found[name] == whole[name].finding, "the same words, and the same judgement"
    assert (found["storage"][0], found["nas"][0]) == ("failed", "warning")


async def test_an_empty_or_missing_nas_folder_fails_and_only_users_read_why(api: Api) -> None:
    shutil.rmtree(api.nas)
    for somebody in ({"token": ""}, {"username": "new"}, {"token": "garbage"}):
        assert (await checks(api, **somebody))["nas"] == ("failed", None, None)
    verdict, what, _ = (await checks(api))["nas"]
    assert verdict == "failed"
    assert str(api.nas) in str(what)
    api.nas.mkdir()
    verdict, what, advice = (await checks(api))["nas"]
    assert verdict == "failed"
    assert "the folder is empty" in str(what)
    assert "mount the NAS there" in str(advice)


async def test_address_that_is_told_in_the_form_of_ipv6_is_that_of_the_monitor_all_the_same(tmp_path: Path) -> None:
    async with running_api(tmp_path, monitors=("10.0.0.7/32",), trusted_proxies=("127.0.0.1",)) as api:
        for address, status in (("::ffff:10.0.0.7", 200), ("::ffff:10.0.0.8", 401)):
            response = await api.call("GET", "/metrics", token="", headers={"X-Forwarded-For": address})
            assert response.status == status, address


async def test_monitors_read_why_without_signing_in(tmp_path: Path) -> None:
    async with running_api(tmp_path, monitors=LOOPBACK, storage=tmp_path / "gone") as api:
        assert "gone" in str((await checks(api, token=""))["storage"][1])


async def test_a_held_job_is_told_but_the_service_is_ready(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    await move(api, job_id, JobStatus.COPYING, current_operation="Held: Globus is out of reach")
    found = await checks(api)
    assert found["held_jobs"][:2] == ("warning", "Alpha: Held: Globus is out of reach")


async def test_a_database_that_cannot_be_written_fails(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse() -> None:
        raise NeedsOperator("the disk is read-only")

    monkeypatch.setattr(api.database, "require_writable", refuse)
    assert (await checks(api))["database"] == ("failed", "the disk is read-only", "check the disk of [database] url")


async def test_a_replaced_database_fails(api: Api, tmp_path: Path) -> None:
    (tmp_path / "archiver.db").rename(tmp_path / "moved.db")
    assert (await checks(api, token=""))["database"][0] == "failed"
    (tmp_path / "moved.db").rename(tmp_path / "archiver.db")
    assert (await checks(api, token=""))["database"][0] == "ok"


async def test_without_7z_it_is_not_ready(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert (await checks(api))["seven_zip"][0] == "failed"


async def test_a_nas_that_hangs_holds_up_nobody_and_one_thread(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, asked = threading.Event(), []

    def hang(*_: object) -> None:
        asked.append(1)
        answer.wait(30)

    monkeypatch.setattr(readiness, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(config, "check_nas", hang)
    try:
        for _ in range(3):
            verdict, what, advice = (await checks(api))["nas"]
            assert (verdict, what) == ("unknown", "no answer within 0.05 s")
            assert "the mount" in str(advice)
        assert len(asked) == 1
    finally:
        answer.set()


async def test_many_who_ask_at_once_make_it_look_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    monkeypatch.setattr(readiness, "_FRESH_SECONDS", 60.0)
    monkeypatch.setattr(config, "check_nas", looks.append)
    await asyncio.gather(*(checks(api, token="") for _ in range(5)))
    assert len(looks) == 1
