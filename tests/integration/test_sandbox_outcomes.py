"""Scripted trouble of tasks: held, failed, canceled, and success that is a lie."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.faults import (
    CancelByAdmin,
    Fail,
    Hold,
    Outcome,
)
from tests.support.globus_sandbox import Site, running_site, transfer

CONTENT = b"archive bytes " * 4096


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as running:
        running.make_file(content=CONTENT)
        yield running


@pytest.mark.parametrize(
    ("hold", "expected"),
    [
        (Hold("STUCK"), ("ACTIVE", True, "OK", False, 0)),
        (Hold("FAULTING", code="AUTH"), ("ACTIVE", False, "AUTH", False, 1)),
        (Hold("INACTIVE"), ("INACTIVE", True, "OK", False, 0)),
        (Hold("PAUSED"), ("ACTIVE", True, "OK", True, 0)),
    ],
)
async def test_held_task_shows_it_and_recovers(site: Site, hold: Hold, expected: tuple[Any, ...]) -> None:
    site.sandbox.faults.add(Operation.RUN, hold)
    task_id = await site.submit()
    members = ("status", "is_ok", "nice_status", "is_paused", "faults")
    await site.task_when(task_id, lambda task: tuple(task[name] for name in members) == expected)
    pause = await site.run(lambda client: client.task_pause_info(task_id))
    assert (pause["destination_pause_message"] is not None) is (hold.look == "PAUSED")
    site.sandbox.faults.clear()
    assert (await site.finished(task_id))["status"] == "SUCCEEDED"


async def test_task_held_for_seconds_recovers_by_itself(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("FAULTING", seconds=0.05))
    task = await site.done()
    assert (task["status"], task["faults"]) == ("SUCCEEDED", 1)


async def test_stuck_task_expires_at_its_deadline(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    task = await site.done(transfer(deadline="2020-01-01 00:00:00"))
    assert task["fatal_error"]["code"] == "EXPIRED"


async def test_administrator_cancels(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, CancelByAdmin("BOTH", "maintenance"))
    task = await site.done()
    assert (task["status"], task["canceled_by_admin"], task["fatal_error"]["code"]) == (
        "FAILED",
        "BOTH",
        "CANCELED",
    )
    assert task["canceled_by_admin_message"] == "maintenance"


async def test_task_fails_for_good(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, Fail("PERMISSION_DENIED", "permission denied"))
    task = await site.done()
    assert (task["status"], task["subtasks_failed"]) == ("FAILED", 2)
    assert task["fatal_error"] == {"code": "PERMISSION_DENIED", "description": "permission denied"}


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("MISSING", None),
        ("TRUNCATED", CONTENT[: len(CONTENT) // 2]),
        ("STALE", b"older"),
        ("SKIPPED", b"older"),
        ("SKIPPED_ERRORS", b"older"),
    ],
)
async def test_success_can_be_a_lie(site: Site, kind: Any, left: bytes | None) -> None:
    target = site.destination / "x.tar"
    target.write_bytes(b"older")
    site.sandbox.faults.add(Operation.RUN, Outcome(kind))
    task = await site.done(transfer(verify_checksum=True))
    assert (task["status"], task["verify_checksum"], task["is_ok"]) == ("SUCCEEDED", True, None)
    assert (target.read_bytes() if target.exists() else None) == left
    assert task["files_skipped"] == int(kind == "SKIPPED")
    assert task["subtasks_skipped_errors"] == int(kind == "SKIPPED_ERRORS")
    assert len(await site.rows(task["task_id"])) == int(not kind.startswith("SKIPPED"))


async def test_flipped_bit_keeps_the_size_and_the_verified_digest(site: Site) -> None:
    digest = site.make_file(content=CONTENT)
    site.sandbox.faults.add(Operation.RUN, Outcome("FLIPPED_BIT"))
    task = await site.done(transfer(digest=digest, verify_checksum=True))
    [row] = await site.rows(task["task_id"])
    stored = (site.destination / "x.tar").read_bytes()
    assert (task["status"], row["checksum"], len(stored)) == ("SUCCEEDED", digest, len(CONTENT))
    assert sum((a ^ b).bit_count() for a, b in zip(stored, CONTENT, strict=True)) == 1


async def test_corruption_in_flight_is_found_by_verification_and_sent_again(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, Outcome("CORRUPT_IN_FLIGHT"))
    task = await site.done(transfer(verify_checksum=True))
    assert (task["status"], task["faults"], task["bytes_transferred"]) == ("SUCCEEDED", 1, 2 * len(CONTENT))
    events = await site.run(lambda client: client.task_event_list(task["task_id"]))
    assert "VERIFY_CHECKSUM" in {event["code"] for event in events["DATA"]}
    assert (site.destination / "x.tar").read_bytes() == CONTENT


async def test_corruption_in_flight_stays_without_verification(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, Outcome("CORRUPT_IN_FLIGHT"), times=2)
    task = await site.done()
    assert (task["status"], task["faults"]) == ("SUCCEEDED", 0)
    assert (site.destination / "x.tar").read_bytes() != CONTENT
    [row] = await site.rows(task["task_id"])
    assert (row["size"], row["checksum"], row["checksum_algorithm"]) == (len(CONTENT), None, None)
    digest = site.make_file(content=CONTENT)
    failed = await site.done(transfer(digest=digest))
    assert failed["fatal_error"]["code"] == "EXTERNAL_CHECKSUM_MISMATCH"


async def test_verification_can_be_off_behind_the_submitters_back(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, Outcome("VERIFY_OFF"))
    task = await site.done(transfer(digest="0" * 64, verify_checksum=True))
    [row] = await site.rows(task["task_id"])
    assert (task["status"], task["verify_checksum"], row["checksum"]) == ("SUCCEEDED", False, None)


async def test_deleted_history_shows_neither_collections_nor_files(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, Outcome("HISTORY_DELETED"))
    task = await site.done()
    assert (task["history_deleted"], task["source_endpoint_id"], task["destination_endpoint_id"]) == (
        True,
        None,
        None,
    )
    assert await site.rows(task["task_id"]) == []


async def test_task_faults_match_by_label_or_file(site: Site) -> None:
    site.make_file("y.tar")
    site.sandbox.faults.add(Operation.RUN, Fail(), match="job-2")
    site.sandbox.faults.add(Operation.RUN, Fail(), match="/y.tar")
    submissions = [transfer(label="job-1"), transfer(label="job-2"), transfer("y.tar")]
    assert [(await site.done(data))["status"] for data in submissions] == ["SUCCEEDED", "FAILED", "FAILED"]
