"""Starting and stopping the sandbox, and its command."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import globus_sdk
import pytest

from cs_archiver.errors import ConfigError
from cs_archiver.sandbox import Sandbox, SandboxSettings
from cs_archiver.sandbox.command import parse_client, parse_collection, serve
from cs_archiver.sandbox.faults import Hold, Operation
from tests.support.globus_sandbox import (
    SOURCE,
    Site,
    connect,
    running_site,
    transfer,
)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as running:
        running.make_file()
        yield running


async def test_unfinished_task_goes_on_after_an_outage_at_the_same_address(tmp_path: Path) -> None:
    async with running_site(tmp_path, rate_bytes_per_second=400_000) as site:
        site.make_file(content=os.urandom(200_000))
        task_id = await site.submit()
        url = site.sandbox.url
        await site.sandbox.stop()
        with pytest.raises(globus_sdk.GlobusConnectionError):
            await site.task(task_id)
        await site.sandbox.start()
        assert site.sandbox.url == url
        assert (await site.finished(task_id))["status"] == "SUCCEEDED"
        assert (site.destination / "x.tar").read_bytes() == (site.source / "x.tar").read_bytes()


async def test_stop_leaves_no_task_behind(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with running_site(tmp_path, rate_bytes_per_second=10_000) as site:
        site.make_file(content=bytes(10_000_000))
        site.sandbox.faults.add(Operation.RUN, Hold("PAUSED"), match="b")
        for name in ("x.tar", "b", "c", "d", "e"):
            await site.submit(transfer(name))
    assert asyncio.all_tasks() == before


async def test_stop_in_the_middle_of_a_copy_is_reported_as_no_error(tmp_path: Path) -> None:
    async with running_site(tmp_path, rate_bytes_per_second=400_000) as site:
        site.make_file(content=bytes(10_000_000))
        await site.submit()
        while not list(site.destination.iterdir()):
            await asyncio.sleep(0.01)
        at_work = asyncio.all_tasks()
    assert [task for task in at_work if getattr(task, "_log_traceback")] == []  # noqa: B009  what the loop tells of


async def test_serve_announces_where_it_is_and_ends_when_cancelled(tmp_path: Path) -> None:
    lines: list[str] = []
    announced = asyncio.Event()

    def announce(line: str) -> None:
        lines.append(line)
        if line.startswith("collection"):
            announced.set()

    settings = SandboxSettings({SOURCE: tmp_path})
    running = asyncio.create_task(serve(settings, announce))
    await asyncio.wait_for(announced.wait(), 10)
    url = lines[0].rsplit(" ", 1)[1]

    def reach() -> Any:
        with connect(url) as client:
            return client.get_endpoint(SOURCE).data

    assert (await asyncio.to_thread(reach))["id"] == SOURCE
    assert f"export GLOBUS_SDK_SERVICE_URL_TRANSFER={url}/" in lines
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org", ""])
def test_hosts_that_are_not_loopback_are_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        SandboxSettings({SOURCE: tmp_path}, host=host)


async def test_taken_port_is_a_clear_error(site: Site, tmp_path: Path) -> None:
    port = int(site.sandbox.url.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=str(port)):
        await Sandbox(SandboxSettings({SOURCE: tmp_path}, port=port)).start()


def test_arguments_of_the_command_are_checked(tmp_path: Path) -> None:
    assert parse_collection(f"{SOURCE.upper()}={tmp_path}") == (SOURCE, tmp_path)
    assert parse_client("id:se:cret") == ("id", "se:cret")
    for text in (SOURCE, f"{SOURCE}=", f"no-uuid={tmp_path}", f"{SOURCE}={tmp_path}/none"):
        with pytest.raises(ConfigError, match="--collection"):
            parse_collection(text)
    for text in ("", "id", "id:", ":secret"):
        with pytest.raises(ConfigError, match="--client"):
            parse_client(text)
