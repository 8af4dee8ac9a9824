"""One running service with two folders: jobs are followed as a user would, and judged by the oracle."""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from globus_sdk.transport import requests as sdk_requests

from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Effect
from tests.faults.globus_faults import ALPHA
from tests.faults.oracle import Oracle
from tests.support.service import FINAL, Service, running_service
from tests.support.tampering import plant

MOST_RETRIES = 6  # a few times and a few more
SECONDS = 30.0


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK sleeps a fiftieth of what it would between its own tries."""
    slower = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 50))
    monkeypatch.setattr(sdk_requests, "time", slower)


def executed(sandbox: Sandbox, name: str = ALPHA) -> int:
    """How many tasks really moved an archive of this name; one that only compared has moved nothing."""
    moved = [row for task in sandbox.tasks.values() for row in task.transferred]
    return sum(row.item.destination_path.endswith(name) for row in moved)


_usual: dict[str, int] = {}


async def usual_calls(root: Path, operation: Operation, match: str) -> int:
    """How often an undisturbed job of Project_Alpha makes calls that match; counted once in each process."""
    key = f"{operation} {match}"
    if key not in _usual:
        async with running_service(root) as service:
            world = World(service)
            await service.discover()
            await world.completed("Project_Alpha", await world.submit("Project_Alpha"))
            _usual[key] = sum(
                request.operation is operation and match in f"{request.path} {request.query}"
                for request in service.sandbox.journal
            )
    return _usual[key]


class World:
    """Two folders of a running service, each with its oracle."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.place = service.place
        self.folders = {name: plant(service.place.folder(name)) for name in ("Project_Alpha", "Project_Beta")}
        self.oracles = {name: Oracle(folder) for name, folder in self.folders.items()}
        self.failures: list[str] = []
        self.lets_go = False  # end what is held or hanging at Globus while jobs are followed

    def struck(self, operation: Operation, effect: Effect) -> int:
        return self.service.sandbox.faults.fired.count((operation, effect))

    async def submit(self, name: str, **more: str) -> str:
        return await self.service.submit(self.folders[name], **more)

    async def follow(self, job_id: str, enough: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
        """The job once it is `enough`, completed or cancelled; a failed one is retried, as its user would."""

        def is_enough(job: dict[str, Any]) -> bool:
            if self.lets_go:
                self.service.sandbox.faults.release()
            return job["status"] in FINAL or (enough is not None and enough(job))

        async with asyncio.timeout(SECONDS):
            while True:
                job = await self.service.watched(job_id, is_enough)
                if job["status"] != "failed" or (enough is not None and enough(job)):
                    return job
                await self._retry(job)

    async def until_final_or(self, job_id: str, holds: Callable[[], bool]) -> None:
        """Look on, without retrying, until this holds or the job has ended."""
        await self.service.watched(job_id, lambda job: holds() or job["status"] in FINAL, seconds=SECONDS)

    async def completed(self, name: str, job_id: str) -> None:
        job = await self.follow(job_id)
        assert job["status"] == "completed", job
        assert self.oracles[name].is_archived_and_gone(self.place.remote), f"{name}: {job}"

    async def _retry(self, job: dict[str, Any]) -> None:
        self.failures.append(str(job["error_message"]))
        assert len(self.failures) <= MOST_RETRIES, f"retrying does not help: {self.failures}"
        status, body = await self.service.call("POST", f"/api/jobs/{job['job_id']}/retry")
        assert status == 200, f"{job['error_message']}\n{body}"

    async def said(self, job_id: str, told: str, *, quiet: bool) -> dict[str, Any]:
        """The job once it has ended, or waits and tells this; `quiet`: it may tell it while at work."""
        job: dict[str, Any] = {}
        try:
            async with asyncio.timeout(SECONDS):
                while job.get("status") not in FINAL:
                    job = await self.service.job(job_id)
                    operation = str(job["current_operation"])
                    if re.search(told, operation) and (quiet or operation.startswith("Held: ")):
                        break
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"never waits and tells {told!r}: {job}") from None
        return job

    def losses(self) -> list[str]:
        return [line for oracle in self.oracles.values() for line in oracle.losses(self.place.remote)]
