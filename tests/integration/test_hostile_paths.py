"""Only folders of the list can be archived: no other string is accepted, and nothing is touched for one."""

import json
import os
import unicodedata
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults.scale import pick
from tests.support.api import Api, running_api
from tests.support.hostile_paths import hostile_path
from tests.support.tally import Count

SHARDS = 4
STRINGS = pick(500, 100_000)
BULK = 100
ROUTES = ("/api/jobs", "/api/jobs/preview")
NFC, NFD = (unicodedata.normalize(form, "Café Ünïcode") for form in ("NFC", "NFD"))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    _plant(tmp_path)
    async with running_api(tmp_path) as running:
        yield running


def _plant(tmp_path: Path) -> None:
    """Beside the folders of the list: secrets next to the NAS, and links to them and to the folders from everywhere."""
    nas, secret = tmp_path / "nas", tmp_path / "secret" / "2024" / "Canary"
    secret.mkdir(parents=True)
    for name in ("one.mov", "two.mov"):
        (secret / name).write_text("not to be touched")
    (tmp_path / "alias").symlink_to(nas)
    shelf = nas / "Production" / "2024"
    for name in (NFC, "Percent %2e%2e", "lower", "[abc]", "100%_sure", "-sdel", "with space "):
        folder = shelf / name
        folder.mkdir(parents=True)
        (folder / "one.mov").write_text("one")
        (folder / "two.mov").write_text("two")
        (folder / "link").symlink_to(secret)
    (nas / "Linked").symlink_to(tmp_path / "secret")
    (nas / "Production" / "Linked").symlink_to(tmp_path / "secret" / "2024")
    (shelf / "Canary").symlink_to(secret)
    (shelf / ".hidden").mkdir()
    (shelf / "@Recycle").mkdir()
    for path in sorted((tmp_path / "secret").rglob("*")):
        os.utime(path, ns=(1, 2))  # read before it was changed: reading it now would show


def _state(root: Path, *, with_reading: bool) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for path in (root, *sorted(root.rglob("*"))):
        status = path.lstat()
        times = (status.st_mtime_ns, status.st_ctime_ns, *([status.st_atime_ns] if with_reading else []))
        found[str(path)] = (status.st_mode, status.st_ino, status.st_size, times)
    return found


def _of_secret(tmp_path: Path) -> dict[str, tuple[Any, ...]]:
    """Also when it was last read, but for the folders, which this look reads itself."""
    root = tmp_path / "secret"
    files = [path for path in root.rglob("*") if path.is_file()]
    reads = {f"{path} read": (path.stat().st_atime_ns,) for path in files}
    return {**_state(root, with_reading=False), **reads}


def _seeds(api: Api, listed: list[str]) -> list[str]:
    nas = str(api.nas)
    beside = str(api.nas.parent)
    return [
        *listed * 3,
        *(unicodedata.normalize(form, path) for path in listed for form in ("NFD", "NFKD")),
        f"{nas}/Production/2024/Canary",
        f"{nas}/Production/Linked/Canary",
        f"{nas}/Linked/2024/Canary",
        f"{nas}/Production/2023/Old",
        f"{nas}/Production/2024/.hidden",
        f"{nas}/Production/2024/@Recycle",
        f"{nas}/Production/2024",
        nas,
        f"{beside}/secret/2024/Canary",
        f"{beside}/alias/Production/2024/Alpha",
        f"{beside}/archiver.db",
        f"{nas}/../secret/2024/Canary",
        f"{nas}/Production/2024/{NFC}/link",
        "/proc/self/cwd/Production/2024",
    ]


def _strings(api: Api, listed: list[str], *, shard: int) -> Iterator[str]:
    random, seeds = Random(f"hostile paths {shard}"), _seeds(api, listed)
    left = STRINGS // SHARDS
    while left:
        path = hostile_path(random, seeds)
        if path not in listed:
            left -= 1
            yield path


async def _ask(api: Api, route: str, body: bytes) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {api.tokens['ann']}", "Content-Type": "application/json"}
    async with api.client.post(route, data=body, headers=headers) as response:
        return response.status, await response.json(content_type=None)


def _is_refusal(status: int, answer: Any) -> bool:
    return 400 <= status < 500 and str(answer["type"]).startswith("/problems/") and answer["status"] == status


async def _none_accepted_in_bulk(api: Api, paths: list[str], count: Count) -> None:
    """Those that are no text for a body of their own make the whole list wrong, so they go alone."""
    status, answer = await _ask(api, "/api/jobs/bulk", json.dumps({"folder_paths": paths}).encode())
    if status == 200:
        assert [outcome["folder_path"] for outcome in answer] == paths
        assert all(outcome["job"] is None for outcome in answer), answer
        assert all(_is_refusal(outcome["status"], outcome["problem"]) for outcome in answer), answer
        count("hostile paths refused among several", len(paths))
    elif len(paths) == 1:
        assert _is_refusal(status, answer), (status, answer)
        count("hostile paths refused among several")
    else:
        middle = len(paths) // 2
        await _none_accepted_in_bulk(api, paths[:middle], count)
        await _none_accepted_in_bulk(api, paths[middle:], count)


@pytest.mark.timeout(pick(180, 7200))
@pytest.mark.parametrize("shard", range(SHARDS))
async def test_no_string_but_the_path_of_a_listed_folder_is_accepted(
    api: Api, tmp_path: Path, shard: int, count: Count
) -> None:
    listed = [folder["path"] for folder in await api.get("/api/folders")]
    assert len(listed) == 11
    before = _of_secret(tmp_path), _state(api.nas, with_reading=False)
    batch: list[str] = []
    for path in _strings(api, listed, shard=shard):
        for route in ROUTES:
            status, answer = await _ask(api, route, json.dumps({"folder_path": path}).encode())
            assert _is_refusal(status, answer), (route, path, status, answer)
        count("hostile paths refused, as a wish and as a preview")
        batch.append(path)
        if len(batch) == BULK:
            await _none_accepted_in_bulk(api, batch, count)
            batch = []
    if batch:
        await _none_accepted_in_bulk(api, batch, count)
    assert await api.get("/api/jobs") == []
    assert (_of_secret(tmp_path), _state(api.nas, with_reading=False)) == before
    assert {folder["path"] for folder in await api.get("/api/folders")} == set(listed)


@pytest.mark.parametrize("route", [*ROUTES, "/api/jobs/bulk"])
async def test_bytes_that_are_no_text_are_no_path(api: Api, route: str) -> None:
    listed = [folder["path"].encode() for folder in await api.get("/api/folders")]
    spoiled = [path.replace(b"/", b"\xc0\xaf") for path in listed]
    spoiled += [path.replace(b"2024", b"\xc0\xae\xc0\xae") for path in listed]
    spoiled += [path + odd for path in listed for odd in (b"\xff", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x00")]
    for path in spoiled:
        body = b'{"folder_paths": ["%b"]}' if route.endswith("bulk") else b'{"folder_path": "%b"}'
        status, answer = await _ask(api, route, body % path)
        assert status == 400, (path, status, answer)
        status, answer = await _ask(api, route, (body % path).decode("latin-1").encode("utf-16"))
        assert status == 400, (path, status, answer)


async def test_every_listed_folder_is_accepted_exactly_as_it_is_listed(api: Api) -> None:
    for folder in await api.get("/api/folders"):
        body = json.dumps({"folder_path": folder["path"]}).encode()
        statuses = [(await _ask(api, route, body))[0] for route in ("/api/jobs/preview", "/api/jobs")]
        assert statuses == [200, 201], folder["path"]


async def test_folder_replaced_by_a_link_after_the_scan_is_not_entered(api: Api, tmp_path: Path) -> None:
    await api.get("/api/folders")
    secret = tmp_path / "secret" / "2024" / "Canary"
    before = _of_secret(tmp_path)
    alpha = api.nas / "Production" / "2024" / "Alpha"
    alpha.rename(tmp_path / "moved")
    alpha.symlink_to(secret)
    for route in ROUTES:
        status, answer = await _ask(api, route, json.dumps({"folder_path": str(alpha)}).encode())
        assert _is_refusal(status, answer), (route, status, answer)
    shelf = api.nas / "Production" / "2024"
    shelf.rename(tmp_path / "shelf")
    shelf.symlink_to(tmp_path / "shelf")
    for route in ROUTES:
        status, answer = await _ask(api, route, json.dumps({"folder_path": api.folder("Beta")}).encode())
        assert _is_refusal(status, answer), (route, status, answer)
    assert _of_secret(tmp_path) == before
