"""The list of folders, and the paths that no job is made for."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from cs_archiver.db import tables
from cs_archiver.domain.access import Scope
from tests.support.api import Api, refusal_of, running_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def test_listed_folder_has_exactly_these_keys(api: Api) -> None:
    folders = await api.get("/api/folders")
    alpha = next(folder for folder in folders if folder["name"] == "Alpha")
    modified_at = alpha.pop("modified_at")
    assert modified_at.endswith("Z")
    assert alpha == {
        "path": api.folder("Alpha"),
        "name": "Alpha",
        "level1": "Production",
        "level2": "2024",
        "size_bytes": 1536,
        "size_human": "1.50 KB",
        "file_count": 2,
        "is_archived": False,
    }


async def test_folders_that_cannot_be_archived_are_listed_apart_with_the_reason(api: Api) -> None:
    listed = {folder["name"] for folder in await api.get("/api/folders")}
    left_out = await api.get("/api/folders/left-out")
    assert listed == {"Alpha", "Beta", "Gamma", "Æther #1 <b>"}
    assert all(set(folder) == {"path", "name", "level1", "level2", "reason"} for folder in left_out)
    old = next(folder for folder in left_out if folder["name"] == "Old")
    assert "already archived" in old["reason"]
    assert {folder["name"] for folder in left_out} == {"Old", "Empty", "linked"}


@pytest.mark.parametrize("refresh", ["true", "1", "True", "false", "0", "full"])
async def test_refresh_is_a_boolean_or_full(api: Api, refresh: str) -> None:
    assert len(await api.get("/api/folders", params={"refresh": refresh})) == 4


@pytest.mark.parametrize(
    "query", ["refresh=FULL", "refresh=yes", "refresh=", "refresh=2", "refresh=1&refresh=0", "Refresh=1"]
)
async def test_anything_else_is_refused(api: Api, query: str) -> None:
    document = await refusal_of(await api.call("GET", f"/api/folders?{query}"), 422, "invalid-value")
    assert {error["pointer"] for error in document["errors"]} <= {"?refresh", "?Refresh"}


async def test_a_token_that_may_only_read_begins_no_scan(api: Api) -> None:
    (api.nas / "Production" / "2024" / "New").mkdir()
    (api.nas / "Production" / "2024" / "New" / "clip.mov").write_bytes(b"x")
    before = await api.get("/api/folders/scan")
    token = await api.personal_token_of("ann", Scope.READ)
    for refresh in ("true", "full"):
        response = await api.call("GET", f"/api/folders?refresh={refresh}", token=token)
        document = await refusal_of(response, 403, "scope-too-narrow")
        assert "scope operate" in document["detail"]
    for query in ("", "?refresh=false"):
        assert len(await api.get(f"/api/folders{query}", token=token)) == 4
    assert await api.get("/api/folders/scan") == before
    token = await api.personal_token_of("ann", Scope.OPERATE)
    assert len(await api.get("/api/folders?refresh=true", token=token)) == 5


async def test_refresh_finds_what_was_added_since(api: Api) -> None:
    await api.get("/api/folders")
    new = api.nas / "Production" / "2024" / "New"
    new.mkdir()
    (new / "clip.bin").write_bytes(b"12345")
    assert "New" not in {folder["name"] for folder in await api.get("/api/folders")}
    assert "New" in {folder["name"] for folder in await api.get("/api/folders", params={"refresh": "true"})}


async def test_full_refresh_sees_a_file_that_grew_in_place_and_stopping_needs_no_scan(api: Api) -> None:
    alpha = Path(api.folder("Alpha"))
    for path in [alpha, *alpha.rglob("*")]:
        os.utime(path, (1e9, 1e9))
    await api.get("/api/folders", params={"refresh": "true"})
    file = next(path for path in alpha.rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes() + b"x" * 1000)
    assert await _size_of_alpha(api, "true") == 1536
    assert await _size_of_alpha(api, "full") == 2536
    assert (await api.call("DELETE", "/api/folders/scan")).status == 204


async def _size_of_alpha(api: Api, refresh: str) -> int:
    folders = await api.get("/api/folders", params={"refresh": refresh})
    return int(next(folder for folder in folders if folder["name"] == "Alpha")["size_bytes"])


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("{nas}/Production/2024/Alpha/../Beta", 404, "folder-not-found"),
        ("{nas}/Production/2024/..", 404, "folder-not-found"),
        ("{nas}/../nas/Production/2024/Alpha", 404, "folder-not-found"),
        ("{nas}/Production/2024/Alpha/", 404, "folder-not-found"),
        ("{nas}/Production//Alpha", 404, "folder-not-found"),
        ("{nas}/Production/2024/linked", 404, "folder-not-found"),
        ("{nas}/Production/2024/Missing", 404, "folder-not-found"),
        ("{nas}/Production/2024", 404, "folder-not-found"),
        ("{nas}/Production/2024/Alpha/media", 404, "folder-not-found"),
        ("{nas}", 404, "folder-not-found"),
        ("{nas}extra/Production/2024/Alpha", 404, "folder-not-found"),
        ("/etc/passwd", 404, "folder-not-found"),
        ("/", 404, "folder-not-found"),
        ("Production/2024/Alpha", 404, "folder-not-found"),
        ("-sdel", 404, "folder-not-found"),
        ("x" * 4096, 404, "folder-not-found"),
        ("{nas}/Production/2023/Old", 409, "already-archived"),
        ("{nas}/Production/2023/Empty", 409, "nothing-to-archive"),
        ("{nas}/Production/2024/Alpha\0", 422, "invalid-value"),
        ("", 422, "invalid-value"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_path_that_is_no_listed_folder_makes_no_job(api: Api, path: str, status: int, problem: str) -> None:
    body = {"folder_path": path.replace("{nas}", str(api.nas))}
    await refusal_of(await api.call("POST", "/api/jobs", json=body), status, problem)
    assert (await api.get("/api/queue"))["queued_jobs"] == []


async def test_folder_that_appeared_after_the_last_scan_makes_no_job(api: Api) -> None:
    (api.nas / "Production" / "2024" / "New").mkdir()
    response = await api.call("POST", "/api/jobs", json={"folder_path": api.folder("New")})
    document = await refusal_of(response, 404, "folder-not-found")
    assert "refresh=true" in document["detail"]


async def test_nas_out_of_reach_is_not_ready_and_the_last_list_stays(api: Api) -> None:
    api.nas.rename(api.nas.with_name("gone"))
    await refusal_of(await api.call("GET", "/api/folders?refresh=true"), 503, "source-unavailable")
    response = await api.call("POST", "/api/jobs", json={"folder_path": api.folder("Alpha")})
    await refusal_of(response, 503, "source-unavailable")
    assert len(await api.get("/api/folders")) == 4


async def test_list_is_not_sent_again_to_whoever_has_it_until_it_is_another(api: Api) -> None:
    for path in ("/api/folders", "/api/folders/left-out"):
        first = await api.call("GET", path)
        tag, total = first.headers["ETag"], first.headers["X-Total-Count"]
        assert first.headers["Cache-Control"] == "no-store"
        known = await api.call("GET", path, headers={"If-None-Match": tag})
        assert (known.status, await known.read()) == (304, b"")
        assert (known.headers["ETag"], known.headers["X-Total-Count"]) == (tag, total)
        assert (await api.call("GET", path, headers={"If-None-Match": '"another"'})).status == 200
        assert (await api.call("GET", path, token="", headers={"If-None-Match": tag})).status == 401


@pytest.mark.parametrize("change", ["update", "insert", "delete"])
async def test_whatever_changes_the_list_is_seen_by_the_next_who_asks(api: Api, change: str) -> None:
    before = await api.call("GET", "/api/folders")
    names = {folder["name"] for folder in await before.json()}
    alpha = tables.folders.c.name == "Alpha"
    row = {"path": "/x", "level1": "", "level2": "", "name": "New", "size_bytes": 1, "file_count": 1}
    statement: Any = {
        "update": tables.folders.update().where(alpha).values(left_out="already archived"),
        "insert": tables.folders.insert().values(row),
        "delete": tables.folders.delete().where(alpha),
    }[change]
    async with api.database.write() as connection:
        await connection.execute(statement)
    after = await api.call("GET", "/api/folders", headers={"If-None-Match": before.headers["ETag"]})
    assert after.status == 200
    assert {folder["name"] for folder in await after.json()} ^ names == {"New" if change == "insert" else "Alpha"}


async def test_a_change_that_is_taken_back_is_never_seen(api: Api) -> None:
    before = await api.call("GET", "/api/folders")
    with pytest.raises(IntegrityError):
        await _begin_and_fail(api)
    assert (await api.call("GET", "/api/folders", headers={"If-None-Match": before.headers["ETag"]})).status == 304


async def _begin_and_fail(api: Api) -> None:
    async with api.database.write() as connection:
        await connection.execute(tables.folders.delete())
        await connection.execute(tables.folders.insert().values(path="/x"))  # lacks the rest


@pytest.mark.parametrize(("scope", "begins_one"), [(Scope.READ, False), (Scope.OPERATE, True)])
async def test_a_token_that_may_only_read_does_not_begin_the_first_scan_either(
    api: Api, scope: Scope, begins_one: bool
) -> None:
    async with api.database.write() as connection:
        for table in (tables.scans, tables.folders):
            await connection.execute(table.delete())
    token = await api.personal_token_of("ann", scope)
    assert bool(await api.get("/api/folders", token=token)) is begins_one
    last = (await api.get("/api/folders/scan", token=token))["last"]
    assert (last is not None) is begins_one
