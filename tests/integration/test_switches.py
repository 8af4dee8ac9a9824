"""Pausing through the API, on the pages without scripts, and by command beside a service that runs."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cs_archiver.cli import main
from cs_archiver.db.switches import Switches
from cs_archiver.domain.access import Scope
from cs_archiver.domain.states import JobStatus
from cs_archiver.domain.switches import DELETIONS_PAUSED, WORKER_PAUSED, Switch
from tests.support.api import Api, refusal_of, running_api
from tests.support.databases import of_today
from tests.support.service import Place, environment
from tests.support.visitor import Visitor

PATH = "/api/system/switches"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _change(api: Api, name: str, *, paused: bool, **options: Any) -> dict[str, Any]:
    response = await api.call("PUT", f"{PATH}/{name}", json={"paused": paused}, **options)
    assert response.status == 200, await response.text()
    document: dict[str, Any] = await response.json()
    return document


async def test_nothing_is_paused_at_first_and_each_switch_says_what_it_does(api: Api) -> None:
    lines = await api.get(PATH)
    assert [line["name"] for line in lines] == ["copy_compress", "upload", "deletions"]
    assert {line["paused"] for line in lines} == {False}
    assert all(line["effect"] and line["since"] is None and line["by"] is None for line in lines)
    assert (await api.get("/api/system/status"))["switches"] == lines


async def test_a_pause_is_durable_names_who_came_first_and_stands_in_the_audit_trail(api: Api) -> None:
    first = await _change(api, "deletions", paused=True)
    assert (first["paused"], first["by"]) == (True, "ann")
    assert await _change(api, "deletions", paused=True, username="root") == first
    assert (await Switches.read_from(api.database)).paused[Switch.DELETIONS].by == "ann"
    assert (await api.get("/api/system/status"))["warnings"] == [
        f"All deletions are paused by ann since {first['since'][:16].replace('T', ' ')} UTC."
    ]
    resumed = await _change(api, "deletions", paused=False, username="root")
    assert (resumed["paused"], resumed["by"]) == (False, None)
    assert (await Switches.read_from(api.database)).paused == {}
    trail = await api.get("/api/audit?action=switches_change", username="root")
    assert [(line["user"], line["target"], line["result"]) for line in trail] == [
        ("root", "deletions: resume", "ok"),
        ("root", "deletions: pause", "ok"),
        ("ann", "deletions: pause", "ok"),
    ]


async def test_only_administrators_may_have_deletions_go_on_again(api: Api) -> None:
    await _change(api, "deletions", paused=True)
    await refusal_of(await api.call("PUT", f"{PATH}/deletions", json={"paused": False}), 403, "admins-only")
    narrow = await api.personal_token_of("root", Scope.OPERATE)
    await refusal_of(
        await api.call("PUT", f"{PATH}/deletions", json={"paused": False}, token=narrow), 403, "admins-only"
    )
    assert (await api.get(PATH))[2]["paused"] is True
    wide = await api.personal_token_of("root", Scope.ADMIN)
    assert (await _change(api, "deletions", paused=False, token=wide))["paused"] is False
    for name in ("copy_compress", "upload"):
        await _change(api, name, paused=True, username="root")
        assert (await _change(api, name, paused=False))["paused"] is False


async def test_what_is_no_switch_or_no_wish_is_refused(api: Api) -> None:
    await refusal_of(await api.call("PUT", f"{PATH}/everything", json={"paused": True}), 404, "switch-not-found")
    for body in ({}, {"paused": "yes"}, {"paused": True, "until": "noon"}):
        await refusal_of(await api.call("PUT", f"{PATH}/upload", json=body), 422, "invalid-value")


async def test_pages_say_what_is_paused_and_have_a_form_to_end_it(api: Api) -> None:
    ann, root = Visitor(api, await api.token_of("ann")), Visitor(api, await api.token_of("root"))
    page = await ann.get("/queue")
    assert page.texts("#switches button") == ["Pause archiving", "Pause transfer", "Pause all deletions"]
    assert page.texts("#pauses aside p") == []
    for name in ("upload", "deletions"):
        page = await ann.submit(page, f"/queue/switches/{name}/pause")
    assert "All deletions are paused, also after a restart, until somebody resumes." in page.text
    assert page.texts("#switches button") == ["Pause archiving", "Resume transfer"]
    assert "An administrator can resume." in page.text
    banners = (await ann.get("/folders")).texts("#pauses aside p")
    assert [banner.split(" by ann since ")[0] for banner in banners] == [
        "The transfer to Globus is paused",
        "All deletions are paused",
    ]
    page = await ann.submit(page, "/queue/switches/upload/resume")
    assert "The transfer to Globus goes on." in page.text
    page = await root.submit(await root.get("/queue"), "/queue/switches/deletions/resume")
    assert page.texts("#pauses aside p") == []
    await ann.post("/queue/switches/everything/pause", {}, status=404)
    page = await ann.submit(await ann.get("/queue"), "/queue/switches/deletions/pause")
    refused = await ann.post("/queue/switches/deletions/resume", {}, status=403)
    assert "Only an administrator may have deletions go on again." in refused.text
    assert refused.texts("#pauses aside p")


async def test_lanes_say_what_a_paused_worker_is_at(api: Api) -> None:
    ann = Visitor(api, await api.token_of("ann"))
    for name in ("copy_compress", "upload"):
        await _change(api, name, paused=True)
    assert (await ann.get("/queue")).texts("#lanes .doing") == ["Paused", "Paused"]
    job = await api.queue.get((await api.submit("Alpha"))["job_id"])
    page = await ann.get("/queue")
    assert page.texts("#lanes .doing") == ["Paused", "Paused"]
    assert "Not yet: Alpha" in page.text
    job = await api.queue.move(job, JobStatus.COPYING)
    page = await ann.get("/queue")
    assert page.texts("#lanes .doing") == ["Working", "Paused"]
    assert "The step in hand goes on to its end; then this worker waits." in page.text
    for problem in (WORKER_PAUSED, DELETIONS_PAUSED):
        job = await api.queue.checkpoint(job, current_operation="Paused by ann", error_problem=problem)
        page = await ann.get("/queue")
        assert page.texts("#lanes .doing") == ["Paused", "Paused"]
        assert "Paused by ann" in page.text


@pytest.fixture(name="place")
def _place(place: Place) -> Place:
    of_today(place.database)
    return place


def _command(place: Place, *arguments: str) -> Result:
    config = place.root / "config.toml"
    config.touch()
    env = environment(place, "http://127.0.0.1:9/")
    return CliRunner().invoke(main, [*arguments, "--config", str(config)], env=env)


def _rows(place: Place, statement: str) -> list[Any]:
    with closing(sqlite3.connect(place.database)) as connection:
        return connection.execute(statement).fetchall()


def test_it_is_paused_and_resumed_from_the_host(place: Place) -> None:
    paused = _command(place, "pause", "deletions")
    assert paused.exit_code == 0
    assert paused.output.startswith("All deletions are paused by ")
    assert "(on the host) since 2" in paused.output
    assert _rows(place, "SELECT name FROM switches") == [("deletions_paused",)]
    assert _command(place, "pause", "deletions").output == paused.output
    resumed = _command(place, "resume", "deletions")
    assert (resumed.exit_code, resumed.output) == (0, "Deletions go on.\n")
    assert _rows(place, "SELECT name FROM switches") == []
    trail = _rows(place, "SELECT action, target, result, username, substr(detail, 1, 15) FROM audit ORDER BY id")
    assert trail == [
        ("switches_change", f"deletions: {what}", "ok", None, "on the host, as")
        for what in ("pause", "pause", "resume")
    ]


def test_nothing_else_can_be_paused_and_no_database_is_made(place: Place, tmp_path: Path) -> None:
    assert _command(place, "pause", "everything").exit_code == 2
    empty = Place(tmp_path / "empty").make()
    assert _command(empty, "pause", "upload").exit_code == 2
    assert list(empty.database.parent.iterdir()) == []


async def test_what_another_process_changed_is_noticed_and_told(place: Place, api: Api) -> None:
    switches, changed = await Switches.read_from(api.database), asyncio.Event()
    watch = asyncio.create_task(switches.watch(changed.set))
    other = await Switches.read_from(api.database)
    await other.pause(Switch.LOCAL, by="somebody else")
    async with asyncio.timeout(20):
        await changed.wait()
    assert switches.paused[Switch.LOCAL].by == "somebody else"
    watch.cancel()
    await asyncio.wait({watch})
