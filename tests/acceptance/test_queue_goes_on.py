"""A job in trouble does not stop those behind it, and trouble of all of them fails none: it waits, and says so once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice, permutations
from pathlib import Path

from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.answers import AUTHENTICATION_FAILED, PERMISSION_DENIED, error
from cs_archiver.sandbox.faults import Answer, Hold
from tests.support.service import (
    CLIENT_ID,
    CLIENT_SECRET,
    Place,
    Service,
    running_service,
    sandbox_settings,
    service_in,
)
from tests.support.tampering import Kept, eventually, files_in, held_at_globus, plant, until_at_work, until_told

NEW_CLIENT = {"GLOBUS_CLIENT_ID": "5c000000-0000-4000-8000-00000000c22e", "GLOBUS_CLIENT_SECRET": "another secret"}
NO_NAS = "is not there: check the NAS mount; nothing is deleted"


async def submitted(service: Service, count: int) -> list[str]:
    folders = [plant(service.place.folder(f"Project_{number}")) for number in range(count)]
    await service.discover()
    return [await service.submit(folder) for folder in folders]


async def states_of(service: Service, jobs: list[str]) -> list[str]:
    return [(await service.job(job_id))["status"] for job_id in jobs]


async def require_all_complete(service: Service, jobs: list[str]) -> None:
    for job_id in jobs:
        assert (await service.until(job_id))["status"] == "completed"


@asynccontextmanager
async def world_of_two_clients(root: Path) -> AsyncIterator[tuple[Place, Sandbox]]:
    place = Place(root).make()
    clients = {CLIENT_ID: CLIENT_SECRET, NEW_CLIENT["GLOBUS_CLIENT_ID"]: NEW_CLIENT["GLOBUS_CLIENT_SECRET"]}
    async with Sandbox(replace(sandbox_settings(place), clients=clients)) as sandbox:
        yield place, sandbox


async def leave_one_uploading(service: Service, jobs: list[str]) -> None:
    """The first is uploading, and known at Globus, when the service ends; the others are on their way there."""
    async with asyncio.timeout(20):
        while not (await service.job(jobs[0]))["globus_task_id"]:
            await asyncio.sleep(0.02)
    await until_at_work(service.sandbox)


async def test_an_upload_of_a_globus_client_that_was_replaced_is_cancelled_and_the_next_one_completes(
    tmp_path: Path,
) -> None:
    async with world_of_two_clients(tmp_path) as (place, sandbox):
        sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        async with service_in(place, sandbox) as service:
            jobs = await submitted(service, 2)
            await leave_one_uploading(service, jobs)
            kept = Kept(place.folder("Project_0"), tmp_path / "copies")
        async with service_in(place, sandbox, **NEW_CLIENT) as service:
            assert (await service.call("DELETE", f"/api/jobs/{jobs[0]}"))[0] == 204

            await service.until(jobs[0], "cancelled")
            assert (await service.until(jobs[1]))["status"] == "completed"
            await until_told(service, jobs[0], "it may go on writing to /Production/2024/Project_0.tar.7z")
            # Nothing else is ever sent to where it may be writing.
            wish = {"folder_path": str(place.folder("Project_0"))}
            status, refused = await service.call("POST", "/api/jobs", json=wish)
            assert (status, refused["type"]) == (409, "/problems/destination-exists")
            assert f"a task of job {jobs[0]} may still be writing" in refused["detail"]
    assert kept.losses() == []


async def test_an_upload_of_a_globus_client_that_was_replaced_fails_and_says_how_to_archive_the_folder(
    tmp_path: Path,
) -> None:
    async with world_of_two_clients(tmp_path) as (place, sandbox):
        sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        async with service_in(place, sandbox) as service:
            [job_id] = await submitted(service, 1)
            await leave_one_uploading(service, [job_id])
            folder = place.folder("Project_0")
            kept = Kept(folder, tmp_path / "copies")
        async with service_in(place, sandbox, **NEW_CLIENT) as service:
            failed = await service.until(job_id, "failed")
            assert "on_existing=new_version" in failed["error_message"]

            job = await service.archive(folder, on_existing="new_version")

            assert (job["status"], job["globus_destination_path"]) == (
                "completed",
                "/Production/2024/Project_0.v2.tar.7z",
            )
    assert kept.losses_in(place.archive_of(folder, ".v2"), tmp_path / "scratch") == []


async def test_a_job_whose_submission_is_refused_is_retried_and_cancelled_and_the_next_one_completes(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service:
        refusal = error(400, "ClientError.BadRequest", "deadline in the past")
        service.sandbox.faults.add(Operation.TRANSFER, refusal, times=None, match="Project_0")
        jobs = await submitted(service, 2)
        assert "deadline in the past" in (await service.until(jobs[0], "failed"))["error_message"]
        assert (await service.until(jobs[1]))["status"] == "completed"
        behind = plant(service.place.folder("Behind"))
        await service.discover()
        gone = service.place.nas.rename(tmp_path / "unmounted")  # holds it in the queue

        assert (await service.call("POST", f"/api/jobs/{jobs[0]}/retry"))[0] == 200
        assert (await service.call("DELETE", f"/api/jobs/{jobs[0]}"))[0] == 204

        await service.until(jobs[0], "cancelled")
        gone.rename(service.place.nas)
        assert (await service.until(await service.submit(behind)))["status"] == "completed"
        assert files_in(service.place.folder("Project_0")) == ["one.mov", "sub/three.mov", "sub/two.mov"]


async def test_no_job_fails_while_the_nas_is_not_mounted_and_its_mount_point_holds_a_note(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        base = service.place.nas
        async with held_at_globus(service, plant(service.place.folder("First"))) as first:
            jobs = [first, *await submitted(service, 3)]
            await service.until(jobs[1], "awaiting_upload")
            away = base.rename(tmp_path / "away")
            base.mkdir()
            (base / "NOT_MOUNTED").touch()
        await until_told(service, first, NO_NAS)
        assert "failed" not in await states_of(service, jobs)

        (base / "NOT_MOUNTED").unlink()
        base.rmdir()
        away.rename(base)

        await require_all_complete(service, jobs)


# A 503 would keep the SDK itself busy for seconds.
NO_TRANSFERS = Answer(521, "<html>Web server is down</html>")


async def test_when_globus_takes_no_transfers_but_answers_otherwise_one_job_fails_at_most(tmp_path: Path) -> None:
    async with running_service(tmp_path, MAX_CONNECTION_ERROR_RETRIES="0") as service:
        faults = service.sandbox.faults
        faults.add(Operation.TRANSFER, PERMISSION_DENIED, times=None)  # waited for: so all are packed before it begins
        first, *others = await submitted(service, 3)
        for job_id in others:
            await service.until(job_id, "awaiting_upload")
        faults.clear()
        faults.add(Operation.TRANSFER, NO_TRANSFERS, times=None)
        await service.until(first, "failed")

        await until_told(service, others[0], "Held: Globus does not do its work")

        assert "failed" not in await states_of(service, others)
        faults.clear()
        await require_all_complete(service, others)


async def test_when_globus_takes_no_transfers_the_jobs_that_are_admitted_meanwhile_do_not_fail_either(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path, MAX_CONNECTION_ERROR_RETRIES="0") as service:
        service.sandbox.faults.add(Operation.TRANSFER, NO_TRANSFERS, times=None)
        folders = [plant(service.place.folder(name)) for name in ("First", "Second", "Third")]
        await service.discover()
        await service.until(await service.submit(folders[0]), "failed")
        others = [await service.submit(folder) for folder in folders[1:]]

        await service.until(others[1], "awaiting_upload", "uploading")
        await eventually(lambda: len(service.sandbox.faults.fired) > 5, what="more attempts")

        assert "failed" not in await states_of(service, others)
        service.sandbox.faults.clear()
        await require_all_complete(service, others)


async def test_a_secret_that_is_revoked_holds_every_job_until_it_is_given_back(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        faults = service.sandbox.faults
        faults.add(Operation.RUN, Hold("STUCK"))
        jobs = await submitted(service, 5)
        await service.until(jobs[1], "awaiting_upload")
        faults.fired.clear()
        for operation in set(Operation) - {Operation.RUN}:
            faults.add(operation, AUTHENTICATION_FAILED, times=None)
        log = await until_told(service, jobs[0], "Held: ")
        refused = len(faults.fired)
        await eventually(lambda: len(faults.fired) > refused + 10, what="more looks than there are retries")
        assert "failed" not in await states_of(service, jobs)
        assert log.count("Held: ") == 1

        faults.clear()

        await require_all_complete(service, jobs)


async def test_a_wait_in_which_only_the_request_id_of_globus_changes_is_told_once(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        faults = service.sandbox.faults
        for letters in islice(permutations("abcdef"), 200):
            body = {"code": "PermissionDenied", "message": "Permission denied", "resource": "/"}
            faults.add(Operation.STAT, Answer(403, {**body, "request_id": "".join(letters)}))
        [job_id] = await submitted(service, 1)
        await until_told(service, job_id, "Held: ")
        await eventually(lambda: len(faults.fired) > 10, what="more looks")
        assert len([line for line in await service.log_of(job_id) if "Held: " in line]) == 1

        faults.clear()

        assert (await service.until(job_id))["status"] == "completed"
