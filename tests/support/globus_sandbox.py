"""A running sandbox with two collections, and the real globus-sdk connected to it."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
from globus_sdk.transport import RequestsTransport, RetryConfig

from cs_archiver.sandbox import (
    DEMO_CLIENT_ID,
    DEMO_CLIENT_SECRET,
    CollectionTraits,
    Sandbox,
    SandboxSettings,
)

SOURCE = "11111111-1111-4111-8111-111111111111"
DESTINATION = "22222222-2222-4222-8222-222222222222"
WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Site:
    """A sandbox with the folders behind its collections SOURCE and DESTINATION."""

    sandbox: Sandbox
    source: Path
    destination: Path

    def make_file(self, name: str = "x.tar", content: bytes = b"archive bytes " * 4096) -> str:
        """Writes a source file and returns its SHA-256 in hexadecimal."""
        (self.source / name).write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    async def run(self, work: Callable[[globus_sdk.TransferClient], Any], **options: Any) -> Any:
        """Calls `work` with a connected client in a thread, as the product does."""

        def connected() -> Any:
            with connect(self.sandbox.url, **options) as client:
                return work(client)

        return await asyncio.to_thread(connected)

    async def submit(self, data: globus_sdk.TransferData | None = None) -> str:
        """Submits and returns the task id."""
        task_id = (await self.run(lambda client: client.submit_transfer(data or transfer())))["task_id"]
        assert isinstance(task_id, str)
        return task_id

    async def task(self, task_id: str) -> dict[str, Any]:
        document: dict[str, Any] = (await self.run(lambda client: client.get_task(task_id))).data
        return document

    async def task_when(self, task_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The task document, once it meets the condition."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition(document := await self.task(task_id)):
            assert time.monotonic() < deadline, document
            await asyncio.sleep(0.01)
        return document

    async def finished(self, task_id: str) -> dict[str, Any]:
        return await self.task_when(task_id, lambda task: task["completion_time"] is not None)

    async def done(self, data: globus_sdk.TransferData | None = None) -> dict[str, Any]:
        """Submits and waits for the end."""
        return await self.finished(await self.submit(data))

    async def rows(self, task_id: str) -> list[dict[str, Any]]:
        answer = await self.run(lambda client: client.task_successful_transfers(task_id))
        return list(answer["DATA"])


@asynccontextmanager
async def running_site(
    folder: Path,
    *,
    source_traits: CollectionTraits | None = None,
    destination_traits: CollectionTraits | None = None,
    **settings: Any,
) -> AsyncIterator[Site]:
    source, destination = folder / "source", folder / "destination"
    source.mkdir()
    destination.mkdir()
    traits = {
        SOURCE: source_traits or CollectionTraits(),
        DESTINATION: destination_traits or CollectionTraits(),
    }
    collections = {SOURCE: source, DESTINATION: destination}
    options = {"fault_retry_seconds": 0.02} | settings
    async with Sandbox(SandboxSettings(collections, traits=traits, **options)) as sandbox:
        yield Site(sandbox, source, destination)


@contextmanager
def auth_client(url: str, secret: str = DEMO_CLIENT_SECRET) -> Iterator[globus_sdk.ConfidentialAppAuthClient]:
    with globus_sdk.ConfidentialAppAuthClient(
        DEMO_CLIENT_ID, secret, base_url=url, retry_config=RetryConfig(max_retries=0)
    ) as client:
        yield client


@contextmanager
def connect(url: str, *, max_retries: int = 0, timeout_seconds: float = 20) -> Iterator[globus_sdk.TransferClient]:
    """A TransferClient; with `max_retries` 0 every answer is seen as it was given."""
    with (
        auth_client(url) as auth,
        globus_sdk.TransferClient(
            authorizer=globus_sdk.ClientCredentialsAuthorizer(auth, globus_sdk.TransferClient.scopes.all),
            base_url=url,
            retry_config=RetryConfig(max_retries=max_retries, max_sleep=0),
            transport=RequestsTransport(http_timeout=timeout_seconds),
        ) as client,
    ):
        yield client


def transfer(
    name: str = "x.tar", destination: str | None = None, *, digest: str | None = None, **options: Any
) -> globus_sdk.TransferData:
    """A submission of one file, by default to the same name."""
    data = globus_sdk.TransferData(SOURCE, DESTINATION, **options)
    checks: dict[str, Any] = {"external_checksum": digest, "checksum_algorithm": "SHA256"} if digest else {}
    data.add_item(f"/{name}", destination or f"/{name}", **checks)
    return data


async def refused(site: Site, work: Callable[[globus_sdk.TransferClient], Any]) -> globus_sdk.TransferAPIError:
    """The error the sandbox answers `work` with; fails when it does not."""
    with pytest.raises(globus_sdk.TransferAPIError) as caught:
        await site.run(work)
    return caught.value
