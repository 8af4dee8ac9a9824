"""How the sandbox runs tasks: cancel, deadline, queue, faults, checksums, comparing."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import globus_sdk
import pytest

from cs_archiver.sandbox import CollectionTraits
from cs_archiver.sandbox.faults import Hold, Operation, SlowCancel
from tests.support.globus_sandbox import (
    DESTINATION,
    SOURCE,
    Site,
    refused,
    running_site,
    transfer,
)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as running:
        running.make_file()
        yield running


# Cancel, deadline, queue ---------------------------------------------------------------------------------------


async def test_cancel_ends_the_task_and_a_second_one_says_so(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    task_id = await site.submit()
    codes = [(await site.run(lambda client: client.cancel_task(task_id)))["code"] for _ in range(2)]
    task = await site.task(task_id)
    assert codes == ["Canceled", "TaskComplete"]
    assert (task["status"], task["fatal_error"]["code"], task["subtasks_canceled"]) == ("FAILED", "CANCELED", 2)


async def test_cancel_that_takes_its_time_is_accepted_first(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    site.sandbox.faults.add(Operation.RUN, SlowCancel())
    task_id = await site.submit()
    assert (await site.run(lambda client: client.cancel_task(task_id)))["code"] == "CancelAccepted"
    assert (await site.task(task_id))["status"] == "ACTIVE"
    site.sandbox.faults.clear()
    await site.finished(task_id)


async def test_cancel_in_the_middle_leaves_a_partial_file_and_stops_writing(tmp_path: Path) -> None:
    async with running_site(tmp_path, rate_bytes_per_second=400_000) as site:
        site.make_file(content=bytes(4_000_000))
        task_id = await site.submit()
        await site.task_when(task_id, lambda task: task["bytes_transferred"] > 0)
        assert (await site.run(lambda client: client.cancel_task(task_id)))["code"] == "Canceled"
        size_bytes = (site.destination / "x.tar").stat().st_size
        assert 0 < size_bytes < 4_000_000
        assert (await site.task(task_id))["bytes_transferred"] == size_bytes


@pytest.mark.parametrize(
    "deadline",
    [
        "2020-01-01 00:00:00",
        "2020-01-01T00:00:00",
        "2020-01-01T00:00:00Z",
        "2020-01-01T00:00:00+00:00",
        "2020-01-01 00:00:00.123456+00:00",
    ],
)
async def test_deadline_in_every_form_ends_the_task_as_expired(site: Site, deadline: str) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    task = await site.done(transfer(deadline=deadline))
    assert (task["status"], task["fatal_error"]["code"], task["subtasks_expired"]) == ("FAILED", "EXPIRED", 2)


async def test_deadline_and_label_of_a_running_task_can_be_changed(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    task_id = await site.submit()
    changes = {"DATA_TYPE": "task", "label": "new", "deadline": "2020-01-01T00:00:00"}
    await site.run(lambda client: client.update_task(task_id, changes))
    task = await site.finished(task_id)
    assert (task["label"], task["fatal_error"]["code"]) == ("new", "EXPIRED")
    error = await refused(site, lambda client: client.update_task(task_id, changes))
    assert error.http_status == 409


async def test_tasks_beyond_the_limit_wait_as_queued(tmp_path: Path) -> None:
    async with running_site(tmp_path, max_active_tasks=1) as site:
        for name in ("a", "b"):
            site.make_file(name)
        site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        first = await site.submit(transfer("a"))
        second = await site.submit(transfer("b"))
        await site.task_when(first, lambda task: task["nice_status"] == "OK")
        queued = await site.task(second)
        assert (queued["status"], queued["nice_status"], queued["is_ok"]) == ("ACTIVE", "Queued", True)
        await site.run(lambda client: client.cancel_task(first))
        assert (await site.finished(second))["status"] == "SUCCEEDED"


async def test_rate_is_shared_by_all_running_tasks(tmp_path: Path) -> None:
    async with running_site(tmp_path, rate_bytes_per_second=1_000_000) as site:
        for name in ("a", "b"):
            site.make_file(name, bytes(200_000))
        start = asyncio.get_running_loop().time()
        tasks = [await site.submit(transfer(name)) for name in ("a", "b")]
        for task_id in tasks:
            await site.finished(task_id)
        assert asyncio.get_running_loop().time() - start >= 0.39


# Faults that are part of life, checksums, comparing ------------------------------------------------------------


async def test_missing_source_file_keeps_the_task_active_until_it_appears(site: Site) -> None:
    task_id = await site.submit(transfer("late.tar"))
    task = await site.task_when(task_id, lambda task: task["faults"] > 1)
    assert (task["status"], task["is_ok"], task["nice_status"]) == ("ACTIVE", False, "FILE_NOT_FOUND")
    events = await site.run(lambda client: client.task_event_list(task_id, query_params={"filter": "is_error:1"}))
    assert {event["code"] for event in events["DATA"]} == {"FILE_NOT_FOUND"}
    assert events["total"] >= 2
    early = await refused(site, lambda client: client.task_successful_transfers(task_id))
    assert (early.http_status, early.code) == (400, "ClientError.BadRequest")
    site.make_file("late.tar")
    assert (await site.finished(task_id))["status"] == "SUCCEEDED"


async def test_missing_source_file_is_left_out_when_errors_are_to_be_skipped(site: Site) -> None:
    task = await site.done(transfer("never.tar", skip_source_errors=True))
    assert (task["status"], task["subtasks_skipped_errors"], task["files_transferred"]) == ("SUCCEEDED", 1, 0)
    skipped = await site.run(lambda client: client.task_skipped_errors(task["task_id"]))
    assert [row["error_code"] for row in skipped["DATA"]] == ["FILE_NOT_FOUND"]


async def test_external_checksum_mismatch_fails_the_task(site: Site) -> None:
    task = await site.done(transfer(digest="0" * 64))
    assert (task["status"], task["fatal_error"]["code"]) == ("FAILED", "EXTERNAL_CHECKSUM_MISMATCH")
    assert await site.rows(task["task_id"]) == []


async def test_external_checksum_is_checked_even_when_both_files_are_alike(site: Site) -> None:
    (site.destination / "x.tar").write_bytes((site.source / "x.tar").read_bytes())
    task = await site.done(transfer(digest="0" * 64, sync_level=3))
    assert task["fatal_error"]["code"] == "EXTERNAL_CHECKSUM_MISMATCH"


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("MD5", "5d41402abc4b2a76b9719d911017c592"),
        ("SHA1", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"),
        ("SHA256", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
        (
            "SHA512",
            "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca7"
            "2323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043",
        ),
    ],
)
async def test_external_checksums_of_all_algorithms_are_checked(site: Site, algorithm: str, digest: str) -> None:
    site.make_file("hello", b"hello")
    data = globus_sdk.TransferData(SOURCE, DESTINATION)
    data.add_item("/hello", "/hello", external_checksum=digest.upper(), checksum_algorithm=algorithm)
    task = await site.done(data)
    [row] = await site.rows(task["task_id"])
    assert (row["checksum"], row["checksum_algorithm"]) == (digest, algorithm)


@pytest.mark.parametrize(
    ("level", "existing", "age_seconds", "skipped"),
    [
        (0, b"anything", 0, True),
        (1, b"SAME SIZE", 0, True),
        (1, b"other size", 0, False),
        (2, b"SAME SIZE", -60, True),
        (2, b"SAME SIZE", 60, False),
        (3, b"SAME SIZE", 0, False),
        (3, b"same size", 0, True),
        (None, b"same size", 0, False),
    ],
)
async def test_sync_level_decides_what_is_copied(
    site: Site, level: int | None, existing: bytes, age_seconds: int, skipped: bool
) -> None:
    site.make_file("x.tar", b"same size")
    target = site.destination / "x.tar"
    target.write_bytes(existing)
    modified = (site.source / "x.tar").stat().st_mtime
    os.utime(target, (modified - age_seconds, modified - age_seconds))
    task = await site.done(transfer(sync_level=level) if level is not None else transfer())
    assert (task["files_skipped"], task["files_transferred"]) == ((1, 0) if skipped else (0, 1))
    assert (task["bytes_checksummed"] > 0) is (level == 3)
    assert target.read_bytes() == (existing if skipped else b"same size")
    assert len(await site.rows(task["task_id"])) == (0 if skipped else 1)


async def test_timestamp_is_kept_when_asked_for(site: Site) -> None:
    os.utime(site.source / "x.tar", ns=(1_000_000_007, 2_000_000_009))
    await site.done(transfer(preserve_timestamp=True))
    assert (site.destination / "x.tar").stat().st_mtime_ns == 2_000_000_009


async def test_source_that_grows_meanwhile_is_copied_again(tmp_path: Path) -> None:
    async with running_site(tmp_path, rate_bytes_per_second=500_000) as site:
        site.make_file(content=bytes(200_000))
        task_id = await site.submit()
        await site.task_when(task_id, lambda task: task["bytes_transferred"] > 0)
        site.make_file(content=b"1" * 200_001)
        task = await site.finished(task_id)
        events = [event["code"] for event in site.sandbox.tasks[task_id].events]
    assert task["faults"] == events.count("FILE_SIZE_CHANGED") == 1
    assert (site.destination / "x.tar").read_bytes() == b"1" * 200_001


async def test_evidence_of_many_files_comes_in_pages(site: Site) -> None:
    data = globus_sdk.TransferData(SOURCE, DESTINATION)
    for number in range(150):
        data.add_item("/x.tar", f"/{number}")
    task = await site.done(data)
    rows = await site.run(lambda client: list(client.paginated.task_successful_transfers(task["task_id"]).items()))
    assert (task["files"], task["files_transferred"], task["subtasks_succeeded"]) == (150, 150, 300)
    assert [row["destination_path"] for row in rows] == [f"/{number}" for number in range(150)]


async def test_file_is_never_copied_onto_itself(site: Site) -> None:
    content = (site.source / "x.tar").read_bytes()
    data = globus_sdk.TransferData(SOURCE, SOURCE)
    data.add_item("/x.tar", "/link")
    (site.source / "link").symlink_to("x.tar")
    assert (await site.done(data))["fatal_error"]["code"] == "INVALID_PATH_NAME"
    assert (site.source / "x.tar").read_bytes() == content


async def test_disabled_verification_checks_nothing(tmp_path: Path) -> None:
    traits = CollectionTraits(disable_verify=True)
    async with running_site(tmp_path, destination_traits=traits) as site:
        site.make_file()
        document = await site.run(lambda client: client.get_endpoint(DESTINATION))
        assert document["disable_verify"] is True
        task = await site.done(transfer(digest="0" * 64, verify_checksum=True))
        [row] = await site.rows(task["task_id"])
        assert (task["status"], row["checksum"]) == ("SUCCEEDED", None)


async def test_forced_verification_checks_although_nobody_asked(tmp_path: Path) -> None:
    async with running_site(tmp_path, source_traits=CollectionTraits(force_verify=True)) as site:
        site.make_file()
        task = await site.done()
        [row] = await site.rows(task["task_id"])
        assert task["verify_checksum"] is True
        assert row["checksum_algorithm"] == "MD5"


async def test_disconnected_collection_faults_until_it_is_back(site: Site) -> None:
    collection = site.sandbox.collections[DESTINATION]
    collection.traits = replace(collection.traits, gcp_connected=False)
    error = await refused(site, lambda client: client.operation_ls(DESTINATION, "/"))
    assert (error.http_status, error.code) == (502, "ExternalError.DirListingFailed.GCDisconnected")
    task_id = await site.submit()
    await site.task_when(task_id, lambda task: task["nice_status"] == "GC_NOT_CONNECTED")
    collection.traits = replace(collection.traits, gcp_connected=True)
    assert (await site.finished(task_id))["status"] == "SUCCEEDED"
