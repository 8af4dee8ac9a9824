"""Decisions, data loss 9: a transfer counts only if every sign of it does; otherwise the source stays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.service import Service, running_service
from tests.support.tampering import Kept, plant

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.faults import Overlay


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path, MAX_UPLOAD_RETRIES="1") as running:
        yield running


async def test_probe_stat(service: Service, tmp_path: Path) -> None:
    folder = plant(service.place.folder())
    (folder / "noise").write_bytes(__import__("os").urandom(100_000))
    kept = Kept(folder, tmp_path / "copies")
    service.sandbox.faults.add(Operation.STAT, Overlay({"size": 100_100}), times=None, skip=3)
    job = await service.archive(folder)
    print(job, await service.log_of(job["job_id"]))
    assert kept.losses() == []
