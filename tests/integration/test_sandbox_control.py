"""The control endpoint of the sandbox, and requests meant to break it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import globus_sdk
import pytest

from cs_archiver.sandbox.answers import HTML_200
from cs_archiver.sandbox.faults import (
    Answer,
)
from tests.support.globus_sandbox import SOURCE, Site, running_site

CONTENT = b"archive bytes " * 4096


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as running:
        running.make_file(content=CONTENT)
        yield running


def authorization(client: globus_sdk.TransferClient) -> str:
    assert client.authorizer is not None
    header = client.authorizer.get_authorization_header()
    assert header is not None
    return header


async def test_faults_can_be_scripted_over_http(site: Site) -> None:
    control = f"{site.sandbox.url}/_sandbox/faults"
    documents: list[dict[str, Any]] = [
        {"operation": "task", "effect": "html_503", "times": None},
        {"operation": "stat", "effect": "answer", "with": {"status": 418, "body": {}}},
        {"operation": "run", "effect": "outcome", "with": {"kind": "MISSING"}, "match": "x.tar"},
    ]
    async with aiohttp.ClientSession() as session:
        for document in documents:
            async with session.post(control, json=document) as answer:
                assert answer.status == 201
        task_id = await site.submit()
        with pytest.raises(globus_sdk.TransferAPIError):
            await site.task(task_id)
        async with session.delete(control) as answer:
            assert answer.status == 200
        assert (await site.finished(task_id))["status"] == "SUCCEEDED"
        assert not (site.destination / "x.tar").exists()
        async with session.get(control) as answer:
            fired = (await answer.json())["fired"]
    assert [entry["operation"] for entry in fired] == ["run", "task"]
    assert not [entry for entry in site.sandbox.journal if entry.path.startswith("/_sandbox")]


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"operation": "nonsense", "effect": "html_503"},
        {"operation": "task", "effect": "nonsense"},
        {"operation": "task", "effect": "answer"},
        {"operation": "task", "effect": "answer", "with": {"color": 1}},
        {"operation": "task", "effect": "outcome", "with": {"kind": "MISSING"}},
        {"operation": "task", "effect": "html_503", "times": "often"},
        {"operation": "run", "effect": "outcome", "with": {"kind": "NONSENSE"}},
        {"operation": "run", "effect": "hold", "with": {"look": "STUCK", "seconds": "long"}},
        {"operation": "task", "effect": "answer", "with": {"status": "x", "body": {}}},
        {"operation": "task", "effect": "overlay", "with": {"members": 7}},
    ],
)
async def test_senseless_fault_is_refused_with_a_reason(site: Site, document: object) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{site.sandbox.url}/_sandbox/faults", json=document) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (400, "ClientError.BadRequest")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v0.10/transfer", b"\xff"),
        ("POST", "/v0.10/transfer", b"[" * 100_000),
        ("POST", "/v0.10/transfer", b"[]"),
        ("POST", "/v0.10/delete", b'{"DATA_TYPE":"delete"}'),
        ("POST", "/v0.10/transfer", json.dumps({"DATA_TYPE": "transfer", "submission_id": 7}).encode()),
        ("GET", "/v0.10/task_list?limit=-1", b""),
        ("GET", "/v0.10/task_list?limit=%C2%B2", b""),
        ("GET", "/v0.10/task_list?filter=status", b""),
        ("GET", "/v0.10/task/%00", b""),
        ("GET", f"/v0.10/operation/endpoint/{SOURCE}/ls?path=%00", b""),
        ("GET", f"/v0.10/operation/endpoint/{SOURCE}/stat?path=/{'x' * 5000}", b""),
        ("GET", f"/v0.10/operation/endpoint/{SOURCE}/ls?orderby=color", b""),
        ("POST", f"/v0.10/operation/endpoint/{SOURCE}/mkdir", b'{"path":"/\\ud800"}'),
        ("POST", f"/v0.10/operation/endpoint/{SOURCE}/mkdir", b'{"path":"/none/new"}'),
        ("POST", f"/v0.10/operation/endpoint/{SOURCE}/rename", b'{"old_path":"/x.tar"}'),
        ("POST", "/v2/oauth2/token", b"\xff&&=;"),
        ("GET", "/v0.10/unknown", b""),
    ],
)
async def test_no_request_is_an_internal_error(site: Site, method: str, path: str, body: bytes) -> None:
    token = await site.run(authorization)
    async with (
        aiohttp.ClientSession(headers={"Authorization": token}) as session,
        session.request(method, f"{site.sandbox.url}{path}", data=body) as answer,
    ):
        assert answer.status in {400, 401, 404, 502}


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic eDp5", "Basic ===", "Bearer"])
async def test_requests_without_a_good_token_are_refused(site: Site, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(f"{site.sandbox.url}/v0.10/submission_id") as answer:
            assert (answer.status, (await answer.json())["code"]) == (401, "AuthenticationFailed")
        async with session.post(f"{site.sandbox.url}/v2/oauth2/token", data={}) as answer:
            assert (answer.status, (await answer.json())["error"]) == (401, "invalid_client")


def test_answer_is_json_unless_it_is_text() -> None:
    assert isinstance(HTML_200.body, str)
    assert Answer(200, {}).headers == {}
