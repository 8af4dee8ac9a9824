"""What is left nowhere but in an archive on the local disk is kept, whatever other jobs of the folder come to.

That is so when somebody takes the archive at the destination away in the middle of the deletion that rests on it.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.faults import Fail
from tests.faults.conftest import Count
from tests.faults.oracle import Oracle
from tests.faults.test_lying_destinations import Unlinks, shelf_of_local_archives
from tests.support.service import Service, running_service
from tests.support.tampering import OF_ROOT_ALONE, immutable, plant

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def service(root: Path) -> AsyncIterator[Service]:
    async with running_service(root, MAX_UPLOAD_RETRIES="0") as running:
        yield running


async def failed_upload(service: Service, folder: Path) -> str:
    """A job that has come as far as its upload, and can be retried."""
    service.sandbox.faults.add(Operation.RUN, Fail())
    job = await service.archive(folder)
    assert job["status"] == "failed", job
    return str(job["job_id"])


@OF_ROOT_ALONE
async def test_cancelling_an_earlier_job_of_the_folder_leaves_the_only_copy_alone(
    service: Service, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive could not be set aside either: the folder for failed jobs took nothing."""
    folder = plant(service.place.folder())
    oracle = Oracle(folder)
    earlier = await failed_upload(service, folder)
    Unlinks(monkeypatch, 1, lambda: service.place.archive_of(folder).unlink())
    with immutable(service.place.storage / "failed"):
        job = await service.archive(folder)
    assert job["status"] == "failed", job
    assert oracle.missing() != []
    assert oracle.losses(service.place.remote) != []
    os.remove(folder / f"{folder.name}-ARCHIVED-TO-GLOBUS.txt")

    await service.call("PUT", "/api/system/switches/copy_compress", json={"paused": True})
    assert (await service.call("POST", f"/api/jobs/{earlier}/retry"))[0] == 200
    assert (await service.call("DELETE", f"/api/jobs/{earlier}"))[0] == 204

    await service.until(earlier, "cancelled")
    assert oracle.losses(shelf_of_local_archives(service.place)) == []
    count("only copies kept")
