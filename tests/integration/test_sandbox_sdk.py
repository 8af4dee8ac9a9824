"""The real globus-sdk against the sandbox: the answers the product relies on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import globus_sdk
import pytest

from cs_archiver.sandbox import CollectionTraits, environment
from cs_archiver.sandbox.faults import Hold, LoseReply, Operation
from tests.support.globus_sandbox import (
    DESTINATION,
    SOURCE,
    Site,
    auth_client,
    refused,
    running_site,
    transfer,
)

MAPPED = CollectionTraits(entity_type="GCSv5_mapped_collection")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as running:
        running.make_file()
        yield running


def item(source: str, destination: str) -> dict[str, str]:
    return {"DATA_TYPE": "transfer_item", "source_path": source, "destination_path": destination}


# Auth ---------------------------------------------------------------------------------------------------------


async def test_wrong_secret_is_refused_as_globus_does(site: Site) -> None:
    def sign_in() -> None:
        with auth_client(site.sandbox.url, "wrong") as client:
            client.oauth2_client_credentials_tokens(globus_sdk.TransferClient.scopes.all)

    with pytest.raises(globus_sdk.AuthAPIError) as caught:
        await asyncio.to_thread(sign_in)
    assert (caught.value.http_status, caught.value.code) == (401, "UNAUTHORIZED")


async def test_expired_token_is_fetched_anew_and_the_call_goes_on(site: Site) -> None:
    def two_calls(client: globus_sdk.TransferClient) -> None:
        client.get_endpoint(SOURCE)
        site.sandbox.accounts.expire_tokens()
        client.get_endpoint(SOURCE)

    await site.run(two_calls, max_retries=1)
    assert [entry.operation for entry in site.sandbox.journal].count(Operation.TOKEN) == 2


@pytest.mark.parametrize(
    ("scope", "life_seconds", "status"),
    [
        (str(globus_sdk.TransferClient.scopes.all), 60, 200),
        (str(globus_sdk.TransferClient.scopes.all), 0, 401),
        ("openid", 60, 401),
    ],
)
async def test_token_counts_for_its_own_service_and_time(
    site: Site, monkeypatch: pytest.MonkeyPatch, scope: str, life_seconds: int, status: int
) -> None:
    monkeypatch.setattr("cs_archiver.sandbox.auth.TOKEN_LIFE_SECONDS", life_seconds)

    def use_token() -> int:
        with auth_client(site.sandbox.url) as auth:
            tokens = auth.oauth2_client_credentials_tokens(scope).data
        authorizer = globus_sdk.AccessTokenAuthorizer(tokens["access_token"])
        with globus_sdk.TransferClient(authorizer=authorizer, base_url=site.sandbox.url) as client:
            try:
                return client.get_submission_id().http_status
            except globus_sdk.TransferAPIError as error:
                return error.http_status

    assert await asyncio.to_thread(use_token) == status


async def test_userinfo_names_the_client(site: Site) -> None:
    def who() -> Any:
        with auth_client(site.sandbox.url) as client:
            authorizer = globus_sdk.ClientCredentialsAuthorizer(client, "openid profile email")
            with globus_sdk.AuthClient(authorizer=authorizer, base_url=site.sandbox.url) as auth:
                return auth.userinfo()

    assert (await asyncio.to_thread(who))["preferred_username"].endswith("@clients.auth.globus.org")


async def test_mapped_collection_wants_consent_and_the_old_token_works_after_it(tmp_path: Path) -> None:
    async with running_site(tmp_path, destination_traits=MAPPED) as site:
        site.make_file()

        def consent_then_submit(client: globus_sdk.TransferClient) -> list[str]:
            with pytest.raises(globus_sdk.TransferAPIError) as caught:
                client.operation_ls(DESTINATION, "/")
            with pytest.raises(globus_sdk.TransferAPIError, match="consent"):
                client.submit_transfer(transfer())
            scopes = caught.value.info.consent_required.required_scopes
            assert scopes is not None
            with auth_client(site.sandbox.url) as auth:
                auth.oauth2_client_credentials_tokens(requested_scopes=scopes)
            client.operation_ls(DESTINATION, "/")
            assert client.submit_transfer(transfer())["code"] == "Accepted"
            return scopes

        scopes = await site.run(consent_then_submit)
    assert scopes == [
        f"urn:globus:auth:scope:transfer.api.globus.org:all[*https://auth.globus.org/scopes/{DESTINATION}/data_access]"
    ]


async def test_data_access_scope_of_a_collection_without_it_is_unknown(site: Site) -> None:
    def ask() -> None:
        scope = globus_sdk.scopes.GCSCollectionScopes(SOURCE).data_access.with_optional(True)
        with auth_client(site.sandbox.url) as client:
            client.oauth2_client_credentials_tokens(globus_sdk.TransferClient.scopes.all.with_dependency(scope))

    with pytest.raises(globus_sdk.AuthAPIError, match="Unknown Scope"):
        await asyncio.to_thread(ask)


async def test_app_client_of_the_sdk_works_by_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(site.sandbox.url).items():
        monkeypatch.setenv(name, value)

    def listing() -> Any:
        client_id, secret = next(iter(site.sandbox.settings.clients.items()))
        config = globus_sdk.GlobusAppConfig(token_storage="memory")
        app = globus_sdk.ClientApp("test", client_id=client_id, client_secret=secret, config=config)
        with app, globus_sdk.TransferClient(app=app) as client:
            return client.operation_ls(SOURCE, "/").data

    assert [row["name"] for row in (await asyncio.to_thread(listing))["DATA"]] == ["x.tar"]


# Submitting ----------------------------------------------------------------------------------------------------


async def test_file_arrives_with_its_digest_in_the_evidence(site: Site) -> None:
    digest = site.make_file()
    name = "/new/folders/ü spaß +&#%?.tar"
    data = transfer(destination=name, digest=digest, verify_checksum=True, sync_level=3, label="job 1")
    task = await site.done(data)
    expected = {
        "status": "SUCCEEDED",
        "type": "TRANSFER",
        "label": "job 1",
        "files": 1,
        "files_transferred": 1,
        "files_skipped": 0,
        "bytes_transferred": 14 * 4096,
        "subtasks_succeeded": 2,
        "subtasks_total": 2,
        "is_ok": None,
        "nice_status": None,
        "fatal_error": None,
        "verify_checksum": True,
        "source_endpoint_id": SOURCE,
        "destination_endpoint_id": DESTINATION,
    }
    assert {key: task[key] for key in expected} == expected
    assert (site.destination / name[1:]).read_bytes() == (site.source / "x.tar").read_bytes()
    [row] = await site.rows(task["task_id"])
    assert (row["destination_path"], row["size"]) == (name, 14 * 4096)
    assert (row["checksum"], row["checksum_algorithm"]) == (digest, "SHA256")
    found = await site.run(lambda client: client.operation_stat(DESTINATION, name))
    assert (found["type"], found["size"]) == ("file", 14 * 4096)


async def test_lost_reply_ends_in_duplicate_with_the_same_task(site: Site) -> None:
    site.sandbox.faults.add(Operation.TRANSFER, LoseReply())
    answer = await site.run(lambda client: client.submit_transfer(transfer()), max_retries=1)
    assert answer["code"] == "Duplicate"
    assert list(site.sandbox.tasks) == [answer["task_id"]]


async def test_never_issued_submission_id_is_refused(site: Site) -> None:
    data = transfer(submission_id="7dd0904f-0000-4000-8000-000000000000")
    error = await refused(site, lambda client: client.submit_transfer(data))
    assert (error.http_status, error.code) == (400, "ClientError.BadRequest")


async def test_identical_paths_conflict_until_the_first_task_is_over(site: Site) -> None:
    site.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
    first = await site.submit()
    error = await refused(site, lambda client: client.submit_transfer(transfer()))
    assert (error.http_status, error.code) == (409, "Conflict")
    site.sandbox.faults.clear()
    await site.finished(first)
    assert (await site.done())["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"DATA": []}, 400, "ClientError.BadRequest.NoTransferItems"),
        ({"label": " x"}, 400, "ClientError.BadRequest"),
        ({"label": "x" * 129}, 400, "ClientError.BadRequest"),
        ({"deadline": "tomorrow"}, 400, "ClientError.BadRequest"),
        ({"sync_level": 4}, 400, "ClientError.BadRequest"),
        ({"sync_level": 1.0}, 400, "ClientError.BadRequest"),
        ({"verify_checksum": "yes"}, 400, "ClientError.BadRequest"),
        ({"source_endpoint": "33333333-3333-4333-8333-333333333333"}, 404, "EndpointNotFound"),
        ({"DATA": [item("/a", "/b/")]}, 400, None),
        ({"DATA": [item("a", "/b")]}, 400, None),
        (
            {"DATA": [item("/\ud800", "/b")]},
            400,
            None,
        ),
        ({"DATA": [7]}, 400, None),
    ],
)
async def test_wrong_submissions_are_refused_and_make_no_task(
    site: Site, change: dict[str, Any], status: int, code: str | None
) -> None:
    data = transfer()
    data["submission_id"] = (await site.run(lambda client: client.get_submission_id()))["value"]
    error = await refused(site, lambda client: client.post("/v0.10/transfer", data={**data, **change}))
    assert error.http_status == status
    assert code in {None, error.code}
    assert not site.sandbox.tasks
