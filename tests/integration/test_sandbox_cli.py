"""The real, unmodified globus-cli against the sandbox."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.sandbox import DEMO_CLIENT_ID, CollectionTraits
from cs_archiver.sandbox.faults import Hold, Operation
from tests.support.globus_cli import PROGRAM, Finished, GlobusCli
from tests.support.globus_sandbox import DESTINATION, SOURCE, Site, running_site

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason=f"{PROGRAM} is missing: make a virtual environment there from .ci/globus-cli.lock"
)


class Terminal:
    """A site and the CLI beside it."""

    def __init__(self, site: Site, home: Path) -> None:
        self.site = site
        self._cli = GlobusCli(site.sandbox.url, home)

    async def globus(self, *arguments: str, exit_code: int = 0) -> Finished:
        outcome = await asyncio.to_thread(self._cli, *arguments)
        assert outcome.exit_code == exit_code, outcome
        return outcome

    async def shown(self, *arguments: str) -> Any:
        return (await self.globus(*arguments, "--format", "json")).document


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with running_site(tmp_path) as site:
        site.make_file("x.tar", b"hello")
        yield Terminal(site, tmp_path)


async def test_cli_knows_who_it_is(terminal: Terminal) -> None:
    assert (await terminal.globus("whoami")).output.strip() == f"{DEMO_CLIENT_ID}@clients.auth.globus.org"


async def test_cli_lists_stats_makes_renames_and_removes(terminal: Terminal) -> None:
    made = await terminal.globus("mkdir", f"{SOURCE}:/new folder")
    assert "successfully" in made.output
    await terminal.globus("rename", SOURCE, "/x.tar", "/new folder/y.tar")
    listed = await terminal.globus("ls", f"{SOURCE}:/new folder", "--filter", "~*.tar")
    assert listed.output.split() == ["y.tar"]
    long = await terminal.globus("ls", "--long", f"{SOURCE}:/new folder/")
    assert "y.tar" in long.output
    found = await terminal.shown("stat", f"{SOURCE}:/new folder/y.tar")
    assert (found["type"], found["size"]) == ("file", 5)
    absent = await terminal.globus("stat", f"{SOURCE}:/x.tar")
    assert "Nothing found at /x.tar" in absent.output
    await terminal.globus("rm", "--recursive", f"{SOURCE}:/new folder")
    assert not (terminal.site.source / "new folder").exists()


async def test_cli_transfers_waits_and_shows_the_evidence(terminal: Terminal) -> None:
    submission_id = (await terminal.globus("task", "generate-submission-id")).output.strip()
    submit = ("transfer", f"{SOURCE}:/x.tar", f"{DESTINATION}:/in/x.tar", "--submission-id", submission_id)
    task_id = (await terminal.shown(*submit, "--label", "by hand", "--deadline", "2099-12-01"))["task_id"]
    await terminal.globus("task", "wait", task_id, "--polling-interval", "1", "--timeout", "20")
    assert (terminal.site.destination / "in/x.tar").read_bytes() == b"hello"
    assert "SUCCEEDED" in (await terminal.globus("task", "show", task_id)).output
    [row] = (await terminal.shown("task", "show", "-t", task_id))["DATA"]
    assert (row["destination_path"], row["size"], row["checksum_algorithm"]) == ("/in/x.tar", 5, "MD5")
    again = await terminal.shown(*submit)
    assert (again["code"], again["task_id"]) == ("Duplicate", task_id)
    listed = await terminal.globus("task", "list")
    assert task_id in listed.output
    assert "by hand" in listed.output
    events = await terminal.globus("task", "event-list", task_id)
    assert "STARTED" in events.output


async def test_cli_sees_and_cancels_a_task_that_cannot_go_on(terminal: Terminal) -> None:
    terminal.site.sandbox.faults.add(Operation.RUN, Hold("FAULTING", code="AUTH", description="auth"))
    task_id = (await terminal.shown("transfer", f"{SOURCE}:/x.tar", f"{DESTINATION}:/x.tar"))["task_id"]
    shown = await terminal.globus("task", "show", task_id)
    assert "AUTH" in shown.output
    events = await terminal.globus("task", "event-list", "--filter-errors", task_id)
    assert "AUTH" in events.output
    conflict = await terminal.globus("transfer", f"{SOURCE}:/x.tar", f"{DESTINATION}:/x.tar", exit_code=1)
    assert "Conflict" in conflict.errors
    cancelled = await terminal.globus("task", "cancel", task_id)
    assert "cancelled successfully" in cancelled.output
    await terminal.globus("task", "wait", task_id, exit_code=1)


async def test_cli_shows_collections_and_speaks_the_bare_api(terminal: Terminal) -> None:
    shown = await terminal.globus("endpoint", "show", SOURCE)
    assert "source" in shown.output
    answer = await terminal.shown("api", "transfer", "GET", f"/v0.10/endpoint/{DESTINATION}")
    assert answer["entity_type"] == "GCP_mapped_collection"
    rows = await terminal.shown("api", "transfer", "GET", "/v0.10/task_list", "--query-param", "limit=5")
    assert rows["total"] == 0
    error = await terminal.globus("ls", f"{SOURCE}:/none", exit_code=1)
    assert "ClientError.NotFound" in error.errors


async def test_cli_gives_its_consent_by_itself(tmp_path: Path) -> None:
    mapped = CollectionTraits(entity_type="GCSv5_mapped_collection")
    async with running_site(tmp_path, source_traits=mapped) as site:
        site.make_file("x.tar")
        listed = await Terminal(site, tmp_path).globus("ls", f"{SOURCE}:/")
    assert listed.output.split() == ["x.tar"]
