"""Several folders asked for at once, each answered for itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db import tables
from cs_archiver.domain.access import Scope, always
from cs_archiver.domain.events import JobUpdate
from cs_archiver.domain.folders import Folder
from cs_archiver.domain.job import Job
from cs_archiver.services.folders import FolderService
from cs_archiver.services.submissions import Submissions
from tests.support.api import BASE_PATH, Api, refusal_of, running_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _ask(api: Api, *paths: str, **more: Any) -> list[dict[str, Any]]:
    response = await api.call("POST", "/api/jobs/bulk", json={"folder_paths": list(paths), **more})
    assert response.status == 200, await response.text()
    outcomes: list[dict[str, Any]] = await response.json()
    assert [outcome["folder_path"] for outcome in outcomes] == list(paths)
    return outcomes


async def test_each_folder_is_answered_as_if_it_had_been_asked_for_alone(api: Api) -> None:
    first = await api.submit("Beta")
    paths = [
        api.folder("Alpha"),
        api.folder("Beta"),
        api.folder("Nothing"),
        str(api.nas / "Production" / "2023" / "Old"),
        api.folder("linked"),
        api.folder("Alpha"),
        api.folder("Gamma"),
    ]
    outcomes = await _ask(api, *paths)
    assert [outcome["status"] for outcome in outcomes] == [201, 409, 404, 409, 404, 409, 201]
    for outcome in outcomes:
        assert set(outcome) == {"folder_path", "status", "job", "problem"}
        assert (outcome["job"] is None) is (outcome["problem"] is not None)
    assert set(outcomes[0]["job"]) == {"job_id", "status", "folder_name", "created_at"}
    problem = outcomes[1]["problem"]
    assert {key: problem[key] for key in ("type", "status", "job_id", "job_url", "instance")} == {
        "type": "/problems/already-queued",
        "status": 409,
        "job_id": first["job_id"],
        "job_url": f"/api/jobs/{first['job_id']}",
        "instance": "/api/jobs/bulk",
    }
    assert [outcome["problem"]["type"].rpartition("/")[2] for outcome in outcomes if outcome["problem"]] == [
        "already-queued",
        "folder-not-found",
        "already-archived",
        "folder-not-found",
        "already-queued",
    ]
    queued = (await api.get("/api/queue"))["queued_jobs"]
    assert [job["folder_name"] for job in queued] == ["Beta", "Alpha", "Gamma"]


async def test_each_folder_is_in_the_trail_with_what_came_of_it(api: Api) -> None:
    token = await api.personal_token_of("ann", Scope.OPERATE)
    paths = [api.folder("Alpha"), "/etc", api.folder("Alpha"), api.folder("Gamma")]
    response = await api.call("POST", "/api/jobs/bulk", token=token, json={"folder_paths": paths})
    trail = (await api.get("/api/audit", username="root"))[::-1]
    assert [(line["target"], line["result"]) for line in trail] == [
        (api.folder("Alpha"), "ok"),
        ("/etc", "folder-not-found"),
        (api.folder("Alpha"), "already-queued"),
        (api.folder("Gamma"), "ok"),
    ]
    for line in trail:
        assert (line["action"], line["user"], line["detail"]) == ("job_wishes_bulk", "ann", "with token-1")
        assert line["request_id"] == response.headers["X-Request-Id"]


async def test_list_that_is_refused_whole_is_one_line_of_the_trail(api: Api) -> None:
    await api.call("POST", "/api/jobs/bulk", json={"folder_paths": []})
    (line,) = await api.get("/api/audit", username="root")
    assert (line["target"], line["result"]) == (None, "invalid-value")


async def test_folders_join_the_queue_in_the_order_of_the_list_and_everybody_hears_of_each(api: Api) -> None:
    names = ["Gamma", "Æther #1 <b>", "Alpha", "Beta"]
    with api.bus.subscribe() as events:
        outcomes = await _ask(api, *map(api.folder, names))
        heard = [events.get_nowait() for _ in range(events.qsize())]
    queued = (await api.get("/api/queue"))["queued_jobs"]
    assert [job["folder_name"] for job in queued] == names
    told = [event.job_id for event in heard if isinstance(event, JobUpdate)]
    assert told == [outcome["job"]["job_id"] for outcome in outcomes]


async def test_what_to_do_with_archives_that_exist_holds_for_all(api: Api) -> None:
    api.destination.taken[f"{BASE_PATH}/Production/2024/Alpha.tar.7z"] = "A file is there"
    (outcome,) = await _ask(api, api.folder("Alpha"))
    assert outcome["problem"]["type"] == "/problems/destination-exists"
    (outcome,) = await _ask(api, api.folder("Alpha"), on_existing="new_version")
    assert outcome["status"] == 201


async def test_nas_out_of_reach_is_said_for_each_folder(api: Api) -> None:
    api.nas.rename(api.nas.with_name("gone"))
    outcomes = await _ask(api, api.folder("Alpha"), api.folder("Beta"))
    assert {(outcome["status"], outcome["problem"]["type"]) for outcome in outcomes} == {
        (503, "/problems/source-unavailable")
    }


async def test_many_calls_at_once_make_one_job_for_each_folder(api: Api) -> None:
    token = await api.token_of("ann")
    body = {"folder_paths": [api.folder(name) for name in ("Alpha", "Beta", "Gamma")]}
    calls = [api.call("POST", "/api/jobs/bulk", token=token, json=body) for _ in range(8)]
    statuses = [outcome["status"] for response in await asyncio.gather(*calls) for outcome in await response.json()]
    assert sorted(statuses) == [201] * 3 + [409] * 21


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/folder_paths"),
        ({"folder_paths": []}, "#/folder_paths"),
        ({"folder_paths": ["/a"] * 201}, "#/folder_paths"),
        ({"folder_paths": "/a"}, "#/folder_paths"),
        ({"folder_paths": ["/a", ""]}, "#/folder_paths/1"),
        ({"folder_paths": ["/a", "/b", "/c\0"]}, "#/folder_paths/2"),
        ({"folder_paths": [None]}, "#/folder_paths/0"),
        ({"folder_paths": ["x" * 4097]}, "#/folder_paths/0"),
        ({"folder_paths": ["/a"], "on_existing": "replace"}, "#/on_existing"),
        ({"folder_paths": ["/a"], "folder_path": "/a"}, "#/folder_path"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_list_that_is_wrong_in_itself_is_refused_whole(api: Api, body: Any, pointer: str) -> None:
    document = await refusal_of(await api.call("POST", "/api/jobs/bulk", json=body), 422, "invalid-value")
    assert [error["pointer"] for error in document["errors"]] == [pointer]
    good = {"folder_paths": [api.folder("Alpha"), "/c\0"]}
    await refusal_of(await api.call("POST", "/api/jobs/bulk", json=good), 422, "invalid-value")
    assert (await api.get("/api/queue"))["queued_jobs"] == []


async def test_two_hundred_folders_fit(api: Api) -> None:
    body = {"folder_paths": [f"{api.folder('Nothing')}-{number}" for number in range(200)]}
    assert len(json.dumps(body)) < 64 * 1024
    outcomes = await _ask(api, *body["folder_paths"])
    assert {outcome["status"] for outcome in outcomes} == {404}


@pytest.mark.parametrize(
    ("path", "wish"), [("/api/jobs", {"folder_path": "Alpha"}), ("/api/jobs/bulk", {"folder_paths": ["Alpha", "Beta"]})]
)
async def test_who_is_deleted_while_a_wish_is_looked_at_is_granted_none(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, wish: dict[str, Any]
) -> None:
    await api.add_user("mallory")
    token, users = await api.token_of("mallory"), api.user_service
    look = FolderService.require_listed

    async def is_overtaken(self: FolderService, folder_path: str) -> Folder:
        found = await look(self, folder_path)
        if "mallory" in {user.username for user in await users.listed()}:
            await users.remove(await users.named("mallory"), always, by=await users.named("root"))
        return found

    monkeypatch.setattr(FolderService, "require_listed", is_overtaken)
    named = {
        name: api.folder(value) if isinstance(value, str) else list(map(api.folder, value))
        for name, value in wish.items()
    }
    await refusal_of(await api.call("POST", path, token=token, json=named), 401, "not-authenticated")
    assert await api.get("/api/jobs") == []


async def test_who_is_signed_out_in_the_middle_is_told_which_folders_were_taken(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.add_user("mallory")
    token, users = await api.token_of("mallory"), api.user_service
    append = Submissions._append

    async def then_is_deleted(self: Submissions, *wish: Any) -> Job:
        job = await append(self, *wish)
        await users.remove(await users.named("mallory"), always, by=await users.named("root"))
        return job

    monkeypatch.setattr(Submissions, "_append", then_is_deleted)
    paths = list(map(api.folder, ("Alpha", "Beta", "Gamma")))
    response = await api.call("POST", "/api/jobs/bulk", token=token, json={"folder_paths": paths})
    assert [outcome["status"] for outcome in await response.json()] == [201, 401, 401]
    assert [job["folder_name"] for job in await api.get("/api/jobs")] == ["Alpha"]
    lines = await api.get("/api/audit", username="root", params={"action": "job_wishes_bulk"})
    assert {(line["target"], line["result"]) for line in lines} == {
        (paths[0], "ok"),
        (paths[1], "not-authenticated"),
        (paths[2], "not-authenticated"),
    }


@pytest.mark.timeout(30)
async def test_a_personal_token_of_which_a_use_is_due_holds_up_nobody(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = {"name": "script", "scope": "operate", "expires_in_days": 1}
    made = await api.call("POST", "/api/auth/tokens", json=wish)
    token = (await made.json())["token"]
    look = FolderService.require_listed

    async def takes_minutes(self: FolderService, folder_path: str) -> Folder:
        async with api.database.write() as connection:
            await connection.execute(tables.api_tokens.update().values(last_used_at="2020-01-01T00:00:00.000Z"))
        return await look(self, folder_path)

    monkeypatch.setattr(FolderService, "require_listed", takes_minutes)
    response = await api.call("POST", "/api/jobs", token=token, json={"folder_path": api.folder("Alpha")})
    assert response.status == 201, await response.text()
