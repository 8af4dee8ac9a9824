"""Decisions, data loss 7: what lies at the destination is never overwritten, unless it is a leftover of ours."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.answers import PERMISSION_DENIED
from cs_archiver.sandbox.faults import Fail, Outcome, Overlay
from tests.support.service import Service, query, running_service
from tests.support.tampering import Kept, Wrapper, files_in, held_at_globus, held_at_the_verification, plant

FOREIGN = b"an archive that somebody else put there"
NEW_VERSION = {"on_existing": "new_version"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path, MAX_UPLOAD_RETRIES="0") as running:
        yield running


def put_at_destination(service: Service, folder: Path, version: str = "") -> Path:
    path = service.place.archive_of(folder, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(FOREIGN)
    return path


async def refusal_of(service: Service, folder: Path, **more: str) -> str:
    """The detail of the 409 with which asking for this folder is answered."""
    await service.discover()
    status, body = await service.call("POST", "/api/jobs", json={"folder_path": str(folder), **more})
    assert (status, body["type"]) == (409, "/problems/destination-exists"), body
    return str(body["detail"])


def use_again(folder: Path) -> None:
    """As a person does who puts new material into an archived folder."""
    for entry in list(folder.iterdir()):
        entry.unlink()
    plant(folder, "new material.mov", "and more.mov")


async def test_a_foreign_archive_refuses_the_job(service: Service) -> None:
    folder = plant(service.place.folder())
    foreign = put_at_destination(service, folder)

    assert "already holds a file that is not ours" in await refusal_of(service, folder)

    assert (await service.call("GET", "/api/jobs"))[1] == []
    assert foreign.read_bytes() == FOREIGN


async def test_a_job_that_was_asked_for_while_globus_was_silent_looks_itself_before_it_copies(
    service: Service, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    foreign = put_at_destination(service, folder)
    service.sandbox.faults.add(Operation.STAT, PERMISSION_DENIED)

    job = await service.archive(folder)

    assert job["status"] == "failed"
    assert "already holds a file that is not ours" in job["error_message"]
    assert "Copying" not in "\n".join(await service.log_of(job["job_id"]))
    assert list((service.place.storage / "temp").iterdir()) == []
    assert (foreign.read_bytes(), kept.losses()) == (FOREIGN, [])


async def test_new_versions_take_the_first_free_name(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    first = Kept(folder, tmp_path / "copies 2")
    foreign = put_at_destination(service, folder)

    second = await service.archive(folder, **NEW_VERSION)
    use_again(folder)
    later = Kept(folder, tmp_path / "copies 3")
    third = await service.archive(folder, **NEW_VERSION)

    assert [second["status"], third["status"]] == ["completed", "completed"]
    assert second["globus_destination_path"] == "/Production/2024/Project_Alpha.v2.tar.7z"
    assert third["globus_destination_path"] == "/Production/2024/Project_Alpha.v3.tar.7z"
    assert foreign.read_bytes() == FOREIGN
    assert first.losses_in(service.place.archive_of(folder, ".v2"), tmp_path / "v2") == []
    assert later.losses_in(service.place.archive_of(folder, ".v3"), tmp_path / "v3") == []


async def test_what_was_sent_to_a_name_that_somebody_took_since_does_not_count_for_the_next_version(
    service: Service, tmp_path: Path
) -> None:
    """Packed anew, the archive is the very same: only the destination tells the two apart."""
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    async with held_at_the_verification(service, folder, **NEW_VERSION) as job_id:
        (service.place.storage / "archives" / "Production" / "2024" / "Project_Alpha.tar.7z").unlink()
        foreign = put_at_destination(service, folder)
    assert "is gone before the upload was verified" in (await service.until(job_id, "failed"))["error_message"]

    assert (await service.call("POST", f"/api/jobs/{job_id}/retry"))[0] == 200
    job = await service.until(job_id)

    assert (job["status"], job["globus_destination_path"]) == ("completed", "/Production/2024/Project_Alpha.v2.tar.7z")
    assert query(service, "SELECT count(DISTINCT archive_sha256), count(*) FROM uploads WHERE compares IS NULL") == [
        (1, 2)
    ]
    assert foreign.read_bytes() == FOREIGN
    assert kept.losses_in(service.place.archive_of(folder, ".v2"), tmp_path / "scratch") == []


async def test_a_verified_archive_keeps_its_name_even_when_its_file_was_moved_away(
    service: Service, tmp_path: Path
) -> None:
    folder = plant(service.place.folder())
    await service.archive(folder)
    service.place.archive_of(folder).rename(tmp_path / "moved away")
    use_again(folder)

    assert "holds the verified archive of job" in await refusal_of(service, folder)
    job = await service.archive(folder, **NEW_VERSION)

    assert job["globus_destination_path"] == "/Production/2024/Project_Alpha.v2.tar.7z"
    assert files_in(service.place.remote) == ["Production/2024/Project_Alpha.v2.tar.7z"]


async def test_a_leftover_of_an_upload_of_ours_that_failed_is_replaced(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    service.sandbox.faults.add(Operation.RUN, Outcome("TRUNCATED"))
    assert (await service.archive(folder))["status"] == "failed"
    assert service.place.archive_of(folder).exists()

    assert (await service.archive(folder))["status"] == "completed"

    assert kept.losses_in(service.place.archive_of(folder), tmp_path / "scratch") == []


async def test_what_globus_tells_no_time_of_is_never_taken_for_a_leftover(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    service.sandbox.faults.add(Operation.STAT, Overlay(without=("last_modified",)), times=None)
    service.sandbox.faults.add(Operation.RUN, Outcome("TRUNCATED"))
    assert (await service.archive(folder))["status"] == "failed"
    there = service.place.archive_of(folder)
    foreign = b"x" * there.stat().st_size
    there.write_bytes(foreign)

    assert "already holds a file that is not ours" in await refusal_of(service, folder)
    assert (await service.archive(folder, **NEW_VERSION))["status"] == "completed"

    assert there.read_bytes() == foreign
    assert kept.losses_in(service.place.archive_of(folder, ".v2"), tmp_path / "scratch") == []


async def test_a_foreign_archive_that_appears_while_the_job_packs_is_not_overwritten(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(service.place.folder())
    kept = Kept(folder, tmp_path / "copies")
    appears = service.place.archive_of(folder)
    lines = f'mkdir -p "{appears.parent}"; printf %s "{FOREIGN.decode()}" > "{appears}"'
    Wrapper(monkeypatch, tmp_path / "bin", "7z", verb="a").set(before=lines)

    job = await service.archive(folder)

    assert job["status"] == "failed"
    assert "already holds a file that is not ours" in job["error_message"]
    assert (appears.read_bytes(), kept.losses()) == (FOREIGN, [])
    assert service.sandbox.tasks == {}


async def test_a_foreign_archive_put_where_an_upload_of_ours_once_failed_is_not_overwritten(
    service: Service,
) -> None:
    folder = plant(service.place.folder())
    service.sandbox.faults.add(Operation.RUN, Fail())
    assert (await service.archive(folder))["status"] == "failed"
    foreign = put_at_destination(service, folder)

    await service.discover()
    status, body = await service.call("POST", "/api/jobs", json={"folder_path": str(folder)})
    if status == 201:
        await service.until(body["job_id"])

    assert foreign.read_bytes() == FOREIGN


async def test_a_new_version_does_not_take_the_place_of_another_folder_that_is_under_way(
    service: Service, tmp_path: Path
) -> None:
    folder, named_like_it = plant(service.place.folder("Take")), plant(service.place.folder("Take.v2"))
    kept = Kept(named_like_it, tmp_path / "copies")
    put_at_destination(service, folder)
    async with held_at_globus(service, named_like_it) as job_id:
        second = await service.until(
            await service.submit(folder, **NEW_VERSION), "completed", "failed", "awaiting_upload"
        )
        assert files_in(service.place.storage / "failed") == [], second["error_message"]

    assert (await service.until(job_id))["status"] == "completed"
    assert kept.losses_in(service.place.archive_of(named_like_it), tmp_path / "scratch") == []
