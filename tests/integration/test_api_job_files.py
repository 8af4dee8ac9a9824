"""What a job's folder held when it was copied, name by name, whatever bytes the names are made of."""

import base64
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db import tables
from cs_archiver.db.catalogue import Catalogue
from cs_archiver.domain.manifest import Entry, EntryKind, totals
from cs_archiver.domain.states import JobStatus
from tests.support.api import Api, refusal_of, running_api

NANOSECONDS = 1_768_487_521_250_000_000
SHA = bytes(range(32))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


def _file(path: bytes, size: int = 5) -> Entry:
    return Entry(path, EntryKind.FILE, size, NANOSECONDS, 0o644, None, 7, SHA)


async def _job_with(api: Api, entries: Sequence[Entry], name: str = "Alpha") -> str:
    """A job that is copied, with this manifest."""
    job = await api.queue.get((await api.submit(name))["job_id"])
    job = await api.queue.move(job, JobStatus.COPYING, {"attempt": 1})
    manifest_id = await Catalogue(api.database).seal_manifest(job, entries, totals(entries))
    await api.queue.move(job, JobStatus.COMPRESSING, {"manifest_id": manifest_id})
    return job.id


async def _paths(api: Api, job_id: str, **params: Any) -> list[str]:
    return [entry["path"] for entry in await api.get(f"/api/jobs/{job_id}/files", params=params)]


async def test_each_kind_of_entry_has_exactly_these_keys(api: Api) -> None:
    link = Entry(b"sub/link", EntryKind.LINK, 7, NANOSECONDS, 0o777, b"../a\xff", 9, None)
    folder = Entry(b"sub", EntryKind.DIR, 0, NANOSECONDS, 0o2750, None, None, None)
    job_id = await _job_with(api, [_file(b"clip.mov", 1536), folder, link])
    moment = {"modified_at": "2026-01-15T14:32:01.000Z"}
    assert await api.get(f"/api/jobs/{job_id}/files") == [
        {
            "path": "clip.mov",
            "path_base64": "Y2xpcC5tb3Y=",
            "kind": "file",
            "size_bytes": 1536,
            **moment,
            "mode": "0644",
            "link_target": None,
            "link_target_base64": None,
            "sha256": SHA.hex(),
        },
        {
            "path": "sub",
            "path_base64": "c3Vi",
            "kind": "dir",
            "size_bytes": 0,
            **moment,
            "mode": "2750",
            "link_target": None,
            "link_target_base64": None,
            "sha256": None,
        },
        {
            "path": "sub/link",
            "path_base64": "c3ViL2xpbms=",
            "kind": "link",
            "size_bytes": 7,
            **moment,
            "mode": "0777",
            "link_target": "../a\\xff",
            "link_target_base64": "Li4vYf8=",
            "sha256": None,
        },
    ]


async def test_names_that_are_no_text_are_escaped_and_can_be_had_byte_for_byte(api: Api) -> None:
    names = [b"\xff\xfe.mov", b"a\nb", b"back\\slash", "Æther ümlaut".encode(), b"\xc3(", b"\x1b[31m", b"-sdel", b"a*b"]
    job_id = await _job_with(api, [_file(name) for name in names])
    entries = await api.get(f"/api/jobs/{job_id}/files")
    assert [base64.b64decode(entry["path_base64"]) for entry in entries] == sorted(names)
    assert {entry["path"] for entry in entries} == {
        "\\xff\\xfe.mov",
        "a\\nb",
        "back\\\\slash",
        "Æther ümlaut",
        "\\xc3(",
        "\\x1b[31m",
        "-sdel",
        "a*b",
    }


async def test_manifest_is_paged_in_the_order_of_paths(api: Api) -> None:
    job_id = await _job_with(api, [_file(b"%03d" % number) for number in range(250)])
    response = await api.call("GET", f"/api/jobs/{job_id}/files")
    assert response.headers["X-Total-Count"] == "250"
    assert {name: str(link["url"]).rpartition("?")[2] for name, link in response.links.items()} == {
        "first": "limit=100&offset=0",
        "last": "limit=100&offset=200",
        "next": "limit=100&offset=100",
    }
    pages = [await _paths(api, job_id, limit=100, offset=offset) for offset in (0, 100, 200, 300)]
    assert [path for page in pages for path in page] == [f"{number:03d}" for number in range(250)]


async def test_manifest_is_searched_by_path(api: Api) -> None:
    job_id = await _job_with(api, [_file(b"Media/Clip_1.mov"), _file(b"media/clip%.mov"), _file(b"notes\xff.txt")])
    assert await _paths(api, job_id, q="media/CLIP") == ["Media/Clip_1.mov", "media/clip%.mov"]
    assert await _paths(api, job_id, q="p_1") == ["Media/Clip_1.mov"]
    assert await _paths(api, job_id, q="%") == ["media/clip%.mov"]
    assert await _paths(api, job_id, q="notes") == ["notes\\xff.txt"]
    response = await api.call("GET", f"/api/jobs/{job_id}/files?q=mov&limit=1&offset=1")
    assert response.headers["X-Total-Count"] == "2"
    for query in ("q=", "q=%00", "q=" + "x" * 201, "limit=0", "offset=-1"):
        await refusal_of(await api.call("GET", f"/api/jobs/{job_id}/files?{query}"), 422, "invalid-value")


async def test_job_that_is_not_copied_yet_has_no_files_and_an_unknown_one_is_not_found(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    assert await api.get(f"/api/jobs/{job_id}/files") == []
    for unknown in ("0f0e0d0c-0b0a-4900-8800-070605040302", "completed", "%00"):
        await refusal_of(await api.call("GET", f"/api/jobs/{unknown}/files"), 404, "job-not-found")


async def test_manifest_of_an_earlier_attempt_is_not_shown(api: Api) -> None:
    job_id = await _job_with(api, [_file(b"first")])
    job = await api.queue.get(job_id)
    job = await api.queue.move(job, JobStatus.QUEUED)
    await api.queue.move(job, JobStatus.COPYING, {"attempt": 2, "manifest_id": None})
    assert await _paths(api, job_id) == []


async def test_entries_are_counted_once_for_each_search_of_a_manifest(api: Api) -> None:
    job_id = await _job_with(api, [_file(b"a.mov"), _file(b"b.mov"), _file(b"c.txt")])
    searches = (("", "3"), ("&q=mov", "2"), ("&q=none", "0"))
    for _ in range(2):
        for words, total in searches:
            for offset in (0, 1, 7):
                response = await api.call("GET", f"/api/jobs/{job_id}/files?limit=1&offset={offset}{words}")
                assert response.headers["X-Total-Count"] == total
        async with api.database.write() as connection:  # behind the back of the service, as nothing of it does
            await connection.execute(tables.manifest_entries.delete().where(tables.manifest_entries.c.path == b"b.mov"))
    other = await _job_with(api, [_file(b"d.mov")], name="Beta")
    response = await api.call("GET", f"/api/jobs/{other}/files?q=mov")
    assert response.headers["X-Total-Count"] == "1"
