"""Decisions, data loss 9: an upload counts only if every sign says so; in any doubt the source is kept."""

import json
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cs_archiver.sandbox import CollectionTraits, Operation, Sandbox
from cs_archiver.sandbox.faults import CancelByAdmin, Fail, Outcome, Overlay, TaskEffect
from tests.support.service import (
    DESTINATION,
    SOURCE,
    Place,
    Service,
    query,
    running_service,
    sandbox_settings,
    service_in,
    uploads,
)
from tests.support.tampering import Kept, files_in, held_at_globus, held_at_the_verification, plant, until_told

ARCHIVE = "Production/2024/Project_Alpha.tar.7z"

LIES: dict[str, tuple[TaskEffect, str]] = {
    "the file is not there": (
        Outcome("MISSING"),
        "remote file: expected a file 'Project_Alpha.tar.7z', found not there",
    ),
    "half of the file is there": (Outcome("TRUNCATED"), "remote size: expected"),
    "the file was skipped": (Outcome("SKIPPED"), "task files_skipped: expected 0, found 1"),
    "the file was left out for an error": (
        Outcome("SKIPPED_ERRORS"),
        "task subtasks_skipped_errors: expected 0, found 1",
    ),
    "nothing says which file it was": (
        Outcome("HISTORY_DELETED"),
        "files Globus lists as transferred: expected 1, found 0",
    ),
    "one bit of it is another": (Outcome("FLIPPED_BIT"), "comparison files_transferred: expected 0, found 1"),
    "nothing was verified": (Outcome("VERIFY_OFF"), "task verify_checksum: expected True, found False"),
}
FAILURES: dict[str, tuple[TaskEffect, str]] = {
    "it failed": (Fail("PERMISSION_DENIED", "permission denied"), "PERMISSION_DENIED: permission denied"),
    "it was cancelled": (CancelByAdmin(), "CANCELED"),
}
TROUBLES = LIES | FAILURES


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path, MAX_UPLOAD_RETRIES="1") as running:
        yield running


async def test_what_an_earlier_attempt_left_is_sent_again_although_it_is_equal(service: Service) -> None:
    """A file that is skipped proves nothing: the job would never get beyond its verification."""
    service.sandbox.faults.add(Operation.RUN, Outcome("HISTORY_DELETED"), match="CS Archiver job")
    job = await service.archive(plant(service.place.folder()))
    assert job["status"] == "completed", job
    first, second, _comparison = service.sandbox.tasks.values()
    assert (first.label or "").startswith(f"CS Archiver job {job['job_id']}")
    assert (second.label or "").startswith(f"CS Archiver job {job['job_id']}")
    assert len(second.transferred) == 1


async def test_a_job_whose_archive_is_verified_in_another_collection_sends_nothing_to_the_one_set_since(
    tmp_path: Path,
) -> None:
    place, other = Place(tmp_path).make(), str(uuid4())
    (tmp_path / "elsewhere").mkdir()
    folder = plant(place.folder())
    kept = Kept(folder, tmp_path / "copies")
    collections = {**sandbox_settings(place).collections, other: tmp_path / "elsewhere"}
    async with Sandbox(replace(sandbox_settings(place), collections=collections)) as sandbox:
        async with service_in(place, sandbox) as service:
            async with held_at_globus(service, folder) as job_id:
                (folder / "added.mov").write_text("not in the archive\n")
            assert (await service.until(job_id))["status"] == "failed"
            (folder / "added.mov").unlink()
        async with service_in(place, sandbox, GLOBUS_DESTINATION_ENDPOINT=other) as service:
            await service.call("POST", f"/api/jobs/{job_id}/retry")
            job = await service.until(job_id)
            assert job["status"] == "failed"
            assert f"verified in the Globus collection {DESTINATION}" in job["error_message"]
            assert files_in(tmp_path / "elsewhere") == []
            assert files_in(folder) == ["one.mov", "sub/three.mov", "sub/two.mov"]
        async with service_in(place, sandbox) as service:
            await service.call("POST", f"/api/jobs/{job_id}/retry")
            assert (await service.until(job_id))["status"] == "completed"
    assert kept.losses_in(place.archive_of(folder), tmp_path / "scratch") == []


def evidence_of(service: Service, job_id: str) -> list[tuple[int, list[dict[str, Any]]]]:
    rows = query(service, "SELECT passed, checks FROM verifications WHERE job_id = ? ORDER BY id", job_id)
    return [(passed, json.loads(checks)) for passed, checks in rows]


def failed_checks(checks: list[dict[str, Any]]) -> list[str]:
    return [
        f"{check['name']}: expected {check['expected']}, found {check['found']}"
        for check in checks
        if not check["passed"]
    ]


def is_sound(archive: Path) -> bool:
    return subprocess.run(["7z", "t", "-t7z", "--", archive], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_the_source_is_kept_when_globus_says_again_and_again_that(
    trouble: str, service: Service, tmp_path: Path
) -> None:
    effect, told = TROUBLES[trouble]
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    service.sandbox.faults.add(Operation.RUN, effect, times=None)

    job = await service.archive(folder)

    assert job["status"] == "failed"
    assert told in job["error_message"]
    assert kept.losses() == []
    assert len(uploads(service.sandbox)) == 2
    evidence = evidence_of(service, job["job_id"])
    assert [passed for passed, _ in evidence] == ([0, 0] if trouble in LIES else [])
    assert all(any(told in line for line in failed_checks(checks)) for _, checks in evidence)


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_second_upload_makes_good_that_once(trouble: str, service: Service, tmp_path: Path) -> None:
    effect, _ = TROUBLES[trouble]
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    service.sandbox.faults.add(Operation.RUN, effect)

    job = await service.archive(folder)

    assert job["status"] == "completed", job
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []
    [*before, (passed, checks)] = evidence_of(service, job["job_id"])
    assert [passed for passed, _ in before] == ([0] if trouble in LIES else [])
    assert (passed, failed_checks(checks)) == (1, [])
    assert {check["number"] for check in checks} == {1, 2, 3}
    size = f"{job['archive_size_bytes']} bytes"
    assert {"number": 3, "name": "remote size", "expected": size, "found": size, "passed": True} in checks


async def test_an_older_file_that_was_left_in_place_is_no_upload(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    service.sandbox.faults.add(Operation.RUN, Outcome("TRUNCATED"))
    service.sandbox.faults.add(Operation.RUN, Outcome("STALE"), skip=1)

    job = await service.archive(folder)

    assert job["status"] == "failed"
    assert "remote size: expected" in job["error_message"]
    assert kept.losses() == []


async def test_what_is_damaged_on_its_way_arrives_whole_in_the_end(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    service.sandbox.faults.add(Operation.RUN, Outcome("CORRUPT_IN_FLIGHT"))

    job = await service.archive(folder)

    assert job["status"] == "completed"
    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


async def test_one_byte_too_few_transferred_is_within_the_tolerance_and_refused_all_the_same(
    service: Service, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    async with held_at_globus(service, folder) as job_id:
        size = (service.place.storage / "archives" / ARCHIVE).stat().st_size
        service.sandbox.faults.add(Operation.TASK, Overlay({"bytes_transferred": size - 1}), times=None)
        service.sandbox.faults.add(Operation.STAT, Overlay({"size": size - 1}), times=None)

    job = await service.until(job_id)

    log = await service.log_of(job_id)
    assert job["status"] == "failed"
    assert f"task bytes_transferred: expected {size}, found {size - 1}" in job["error_message"]
    assert f"WARNING remote size differs: expected {size} bytes, found {size - 1} bytes" in log
    assert kept.losses() == []


async def test_a_remote_file_that_lacks_its_last_byte_never_costs_the_source(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    arrived = service.place.archive_of(folder)
    async with held_at_the_verification(service, folder) as job_id:
        os.truncate(arrived, arrived.stat().st_size - 1)

    await service.until(job_id)

    assert is_sound(arrived) or kept.losses() == []


@pytest.mark.parametrize("compare_again", ["true", "false"])
async def test_a_file_that_is_not_the_one_the_upload_left_costs_no_source_although_it_is_equal(
    tmp_path: Path, compare_again: str
) -> None:
    """Its time is another: somebody put it there, and may do so again."""
    async with running_service(tmp_path, VERIFICATION_COMPARE_AGAIN=compare_again) as service:
        folder = plant(service.place.folder())
        kept = Kept(folder, tmp_path / "copies")
        async with held_at_the_verification(service, folder) as job_id:
            arrived = service.place.archive_of(folder)
            status = arrived.stat()
            os.utime(arrived, (status.st_atime, status.st_mtime + 3600))

        job = await service.until(job_id)

        assert job["status"] == "failed"
        assert kept.losses() == []
        [(passed, checks)] = evidence_of(service, job_id)
        assert passed == 0
        assert [line.partition(":")[0] for line in failed_checks(checks)] == ["remote file as the upload left it"]


async def test_a_collection_that_verifies_nothing_holds_the_job_before_it_copies(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    folder = plant(place.folder())
    kept = Kept(folder, tmp_path / "copies")
    traits = {DESTINATION: CollectionTraits(display_name="Tape", disable_verify=True)}
    async with (
        Sandbox(sandbox_settings(place, traits=traits)) as sandbox,
        service_in(place, sandbox) as service,
    ):
        await service.discover()
        job_id = await service.submit(folder)

        log = await until_told(service, job_id, "'Tape' has checksum verification switched off")

        assert "Copying" not in log
        assert (await service.job(job_id))["status"] == "queued"
        assert (kept.losses(), os.listdir(place.storage / "temp")) == ([], [])


async def test_a_collection_that_stops_verifying_during_the_upload_costs_no_source(
    service: Service, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    async with held_at_globus(service, folder) as job_id:
        off = Overlay({"disable_verify": True})
        service.sandbox.faults.add(Operation.ENDPOINT, off, times=None, match=SOURCE)

    job = await service.until(job_id)

    assert job["status"] == "failed"
    assert "collections with checksums switched off: expected" in job["error_message"]
    assert kept.losses() == []


@pytest.mark.parametrize("checksum", ["SHA256", "none"])
async def test_a_local_archive_that_changed_since_it_was_verified_costs_no_source(
    checksum: str, tmp_path: Path
) -> None:
    overrides = {"MAX_UPLOAD_RETRIES": "1", "GLOBUS_EXTERNAL_CHECKSUM": checksum}
    async with running_service(tmp_path, **overrides) as service:
        folder = plant(service.place.folder())
        kept = Kept(folder, tmp_path / "copies")
        async with held_at_globus(service, folder) as job_id:
            with (service.place.storage / "archives" / ARCHIVE).open("r+b") as archive:
                archive.seek(40)
                archive.write(b"XXXX")

        job = await service.until(job_id)

        assert job["status"] == "failed"
        refused = "EXTERNAL_CHECKSUM_MISMATCH" if checksum == "SHA256" else "local archive SHA-256: expected"
        assert refused in job["error_message"]
        assert kept.losses() == []


async def test_globus_is_asked_to_verify_against_the_archives_own_sha256(service: Service) -> None:
    folder = plant(service.place.folder())

    job = await service.archive(folder)

    sent = next(request.body for request in service.sandbox.journal if request.operation is Operation.TRANSFER)
    [(digest,)] = query(service, "SELECT archive_sha256 FROM archives WHERE job_id = ?", job["job_id"])
    assert (sent["verify_checksum"], sent["skip_source_errors"]) == (True, False)
    assert (sent["DATA"][0]["external_checksum"], sent["DATA"][0]["checksum_algorithm"]) == (digest, "SHA256")
    assert files_in(service.place.remote) == [ARCHIVE]
