"""The audit trail: every change and every attempt at one is in it, truly, and for good."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DatabaseError
from yarl import URL

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.audit import Audit, Deed, Wanted, _page_of
from cs_archiver.db.queue import Queue
from cs_archiver.domain.access import Scope
from cs_archiver.domain.states import JobStatus
from cs_archiver.server import keys
from cs_archiver.server.route import Route, Who
from cs_archiver.server.routes import ROUTES
from tests.integration.test_queue import proven
from tests.support.api import PASSWORD, Api, address_of, running_api

NEW_PASSWORD = "seven lamps in the harbour"
UNSAFE = [route for route in ROUTES if route.method != "GET"]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


async def _trail(api: Api, query: str = "") -> list[dict[str, Any]]:
    """The oldest first."""
    lines: list[dict[str, Any]] = await api.get(f"/api/audit{query}", username="root")
    return lines[::-1]


async def _login(api: Api, username: str, password: str) -> Any:
    return await api.call("POST", "/api/auth/login", token="", json={"username": username, "password": password})


# The second step of a sign-in names an account only by what the first step gave: test_page_second_factor.py.
@pytest.mark.parametrize("route", [route for route in UNSAFE if route.path != "/login/code"], ids=_name)
async def test_each_route_that_is_not_safe_is_in_the_trail_with_what_came_of_it(api: Api, route: Route) -> None:
    options: dict[str, Any] = {"json": {"username": "ann", "password": "a guess"}} if route.who is Who.ANYONE else {}
    if route.takes_form and route.who is Who.ANYONE:
        options = {"data": options.pop("json")}
    headers = {"X-Request-Id": "this-one"}
    response = await api.call(route.method, address_of(route), username="ann", headers=headers, **options)
    problem = "ok" if response.ok else (await response.json(content_type=None))["type"].removeprefix("/problems/")
    (line,) = await _trail(api)
    assert (line["action"], line["result"], line["request_id"]) == (
        route.deed or route.operation_id,
        problem,
        "this-one",
    )
    assert line["user"] == (None if route.who is Who.ANYONE else "ann")
    assert line["address"] == "127.0.0.1"
    assert line["at"] <= now_text()


async def test_what_only_looks_and_what_comes_from_nobody_leaves_no_trace(api: Api) -> None:
    for path in ("/api/queue", "/api/users", "/api/jobs", "/api/nothing"):
        await api.call("GET", path)
    for route in UNSAFE:
        if route.who is not Who.ANYONE:
            await api.call(route.method, address_of(route), token="garbage")
    assert await _trail(api) == []


async def test_what_is_no_sign_in_is_in_the_log_and_adds_nothing_to_the_trail(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    sound = {"username": "ann", "password": "a guess"}
    elsewhere = {"Origin": "https://elsewhere.test"}
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("/api/auth/login", {"json": {"x": 1}}),
        ("/api/auth/login", {"json": {**sound, "x": 1}}),
        ("/api/auth/login?x=1", {"json": sound}),
        ("/api/auth/login", {"data": b"{", "headers": {"Content-Type": "application/json"}}),
        ("/api/auth/login", {"data": b"no JSON"}),
        ("/api/auth/login", {"json": {**sound, "cookie": True}, "headers": elsewhere}),
        ("/login", {"data": {"x": "1"}}),
        ("/login", {"json": sound}),
        ("/login", {"data": sound, "headers": elsewhere}),
        ("/login/code", {"data": {"ticket": "none", "code": "123456"}}),
        ("/login/code", {"data": {"ticket": "none"}}),
    ]
    with caplog.at_level(logging.INFO, "cs_archiver.server.access_log"):
        for path, options in attempts:
            response = await api.call("POST", path, token="", **options)
            assert 400 <= response.status < 500, path
    assert len([line for line in caplog.messages if line.startswith("POST ")]) == len(attempts)
    assert await _trail(api) == []


async def test_sign_ins_are_noted_with_the_account_but_never_with_what_was_typed(api: Api) -> None:
    await _login(api, "ANN", PASSWORD)
    await _login(api, "ann", "a guess")
    await _login(api, "my password, in the wrong field", "a guess")
    lines = await _trail(api)
    assert [(line["user"], line["target"], line["result"]) for line in lines] == [
        ("ann", "ann", "ok"),
        (None, "ann", "login-failed"),
        (None, "an unknown name", "login-failed"),
    ]


async def test_knocking_on_while_held_up_is_noted_once(api: Api) -> None:
    for _ in range(12):
        await _login(api, "ann", "a guess")
    results = [line["result"] for line in await _trail(api)]
    assert results == ["login-failed"] * 5 + ["too-many-attempts"]


async def test_names_say_what_was_done_to_whom_and_by_what(api: Api) -> None:
    administer = await api.personal_token_of("root", Scope.ADMIN)
    wish = {"username": "bob", "password": NEW_PASSWORD}
    added = await api.call("POST", "/api/users", token=administer, json=wish)
    user = added.headers["Location"]
    await api.call("POST", f"{user}/password", username="root", json={"new_password": NEW_PASSWORD})
    await api.call("DELETE", user, username="ann")
    await api.call("DELETE", user, username="root")
    created = await api.call("POST", "/api/auth/tokens", json={"name": "report", "scope": "read"})
    await api.call("DELETE", created.headers["Location"])
    lines = [[line[key] for key in ("user", "action", "target", "detail", "result")] for line in await _trail(api)]
    assert lines == [
        ["root", "users_add", "bob", "with token-1", "ok"],
        ["root", "users_reset_password", "bob", None, "ok"],
        ["ann", "users_remove", user.rpartition("/")[2], None, "admins-only"],
        ["root", "users_remove", "bob", None, "ok"],
        ["ann", "tokens_create", "report (read)", None, "ok"],
        ["ann", "tokens_revoke", created.headers["Location"].rpartition("/")[2], None, "ok"],
    ]


async def test_nothing_secret_is_in_the_trail(api: Api) -> None:
    token = await api.token_of("ann")
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    await api.call("POST", "/api/auth/password", token=token, json=body)
    await _login(api, "ann", NEW_PASSWORD)
    text = str(await _trail(api))
    for secret in (PASSWORD, NEW_PASSWORD, token):
        assert secret not in text


_SPELLINGS = {
    "as it is": lambda token: token,
    "encoded": lambda token: f"%{ord(token[0]):02x}{token[1:]}",
    "all of it encoded": lambda token: "".join(f"%{byte:02X}" for byte in token.encode()),
    "in capitals": str.upper,
    "its beginning": lambda token: token[:20] if token.startswith("csa_") else token[:50],
    "with something before it": lambda token: f"x{token}",
}


@pytest.mark.parametrize("spelled", _SPELLINGS.values(), ids=_SPELLINGS)
async def test_a_token_in_the_place_of_its_id_is_in_no_line_of_trail_and_log(
    api: Api, spelled: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    personal = await api.personal_token_of("ann", Scope.READ)
    addresses = [route.path for route in UNSAFE if "_id}" in route.path]
    with caplog.at_level(logging.INFO):
        for token in (personal, await api.token_of("ann")):
            for address in (*addresses, "/api/nothing/{some_id}"):
                path = re.sub("{.*}", spelled(token), address)
                method = "DELETE" if address.startswith("/api") else "POST"
                await api.call(method, URL(path, encoded=True), username="root")
    lines = await _trail(api)
    assert {line["target"][-3:] for line in lines} == {"***"}
    assert len(lines) > len(addresses)
    for token in (personal, await api.token_of("ann")):
        for secret in (spelled(token)[5:], token[5:15]):
            assert secret not in caplog.text
            assert secret not in str(lines)
    assert "DELETE /api/nothing/" in caplog.text


async def test_jobs_are_noted_with_their_folder_or_their_id(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    await api.call("DELETE", f"/api/jobs/{job_id}")
    await api.call("POST", f"/api/jobs/{job_id}/retry")
    lines = [[line[key] for key in ("action", "target", "result")] for line in await _trail(api)]
    assert lines == [
        ["jobs_submit", api.folder("Alpha"), "ok"],
        ["jobs_cancel", job_id, "ok"],
        ["jobs_retry", job_id, "not-failed"],
    ]


@pytest.mark.parametrize(
    ("end", "action", "result"),
    [
        (JobStatus.COMPLETED, "source_deleted", "ok"),
        (JobStatus.FAILED, "source_deletion_stopped", "source-changed"),
    ],
)
async def test_deletion_of_a_source_is_noted_in_the_transaction_that_allows_it(
    api: Api, end: JobStatus, action: str, result: str
) -> None:
    queue = Queue(api.database)
    job = await queue.move(await proven(api.database, queue), JobStatus.DELETING_SOURCE)
    changes = {"error_problem": result} if end is JobStatus.FAILED else {}
    await queue.move(await queue.get(job.id), end, changes)
    begun, ended = await _trail(api)
    assert [begun["action"], ended["action"]] == ["source_deletion_begun", action]
    assert [begun["result"], ended["result"]] == ["ok", result]
    for line in (begun, ended):
        assert line["user"] == job.created_by
        assert line["target"] == job.source_path
        assert f"job {job.id}" in line["detail"]
        assert f"SHA-256 {(await queue.get(job.id)).archive_sha256}" in line["detail"]


async def test_trail_is_paged_and_filtered(api: Api) -> None:
    audit = Audit(api.database)
    for n in range(5):
        await audit.add(Deed("jobs_submit", "ok", username="ann" if n % 2 else "root", target=f"folder {n}"))
    await audit.add(Deed("users_add", "ok", username="root", target="Ann"))
    response = await api.call("GET", "/api/audit?limit=2&offset=2", username="root")
    assert [line["target"] for line in await response.json()] == ["folder 3", "folder 2"]
    assert response.headers["X-Total-Count"] == "6"
    assert 'rel="next"' in response.headers["Link"]
    beyond = await api.call("GET", "/api/audit?limit=2&offset=99", username="root")
    assert 'limit=2&offset=4>; rel="prev"' in beyond.headers["Link"]
    assert [line["target"] for line in await _trail(api, "?user=ann")] == ["folder 1", "folder 3", "Ann"]
    assert [line["target"] for line in await _trail(api, "?user=ann&action=users_add")] == ["Ann"]
    assert await _trail(api, "?user=nobody") == []


async def test_every_page_of_the_trail_follows_the_one_before_also_as_it_grows(api: Api) -> None:
    audit = Audit(api.database)
    for number in range(17):
        who = "ann" if number % 3 else "bob"
        await audit.add(
            Deed("jobs_submit" if number % 2 else "users_add", "ok", username=who, target=f"folder {number}")
        )
    for grown in range(3):
        for wanted, mine in (
            (Wanted(), list(range(17 + grown))),
            (Wanted(username="ANN"), [n for n in range(17 + grown) if n % 3]),
            (Wanted(action="jobs_submit"), [n for n in range(17 + grown) if n % 2]),
            (Wanted(username="bob", action="users_add"), [n for n in range(17 + grown) if not n % 3 and not n % 2]),
            (Wanted(words="folder 1"), [n for n in range(17 + grown) if str(n).startswith("1")]),
        ):
            for limit in (1, 4, 50):
                pages = [await audit.page(wanted, limit=limit, offset=start) for start in range(0, 24, limit)]
                assert {total for _, total in pages} == {len(mine)}
                targets = [line.deed.target for lines, _ in pages for line in lines]
                assert targets == [f"folder {number}" for number in reversed(mine)]
        number = 17 + grown
        who = "ann" if number % 3 else "bob"
        await audit.add(
            Deed("jobs_submit" if number % 2 else "users_add", "ok", username=who, target=f"folder {number}")
        )


async def test_the_trail_is_walked_in_the_order_of_an_index(api: Api) -> None:
    async with api.database.read() as connection:
        for wanted in (Wanted(), Wanted(username="ann"), Wanted(action="a"), Wanted(username="ann", action="a")):
            statement = str(_page_of(wanted, newest_first=True).compile(dialect=sqlite.dialect()))
            values = ("a",) * statement.count("?")
            rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            plan = [step for *_, step in rows]
            assert "USE TEMP B-TREE FOR ORDER BY" not in plan, (wanted, plan)
            if wanted.username is not None:
                assert [step for step in plan if "audit_by_username" in step and "audit_by_target" not in step]


async def test_trail_is_shown_from_a_moment_on(api: Api) -> None:
    await Audit(api.database).add(Deed("users_add", "ok"))
    for since, count in (
        ("2026-01-01T00:00:00Z", 1),
        ("2026-01-01T00:00:00.123456-05:00", 1),
        ("9000-01-01T00:00:00Z", 0),
    ):
        assert len(await _trail(api, f"?since={since}")) == count, since
    for since in (
        "yesterday",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "",
        "0001-01-01T00:00:00+14:00",
        "99999",
        "2026-W01-1T00:00:00Z",
    ):
        response = await api.call("GET", "/api/audit", username="root", params={"since": since})
        assert response.status == 422, since
        assert (await response.json(content_type=None))["errors"][0]["pointer"] == "?since"


@pytest.mark.parametrize("change", ["update", "delete"])
async def test_lines_cannot_be_changed_or_removed(api: Api, change: str) -> None:
    await Audit(api.database).add(Deed("users_add", "ok"))
    statement = tables.audit.update().values(result="not ok") if change == "update" else tables.audit.delete()
    with pytest.raises(DatabaseError, match="append-only"):
        async with api.database.write() as connection:
            await connection.execute(statement)
    assert [line["result"] for line in await _trail(api)] == ["ok"]


async def test_what_the_service_broke_off_when_it_stopped_is_noted_as_interrupted(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: asyncio.Future[asyncio.Task[Any] | None] = asyncio.get_running_loop().create_future()

    async def never_ends(*_args: object, **_more: object) -> None:
        begun.set_result(asyncio.current_task())
        await asyncio.Event().wait()

    monkeypatch.setattr(api.client.app[keys.SUBMISSIONS], "submit", never_ends)
    asked = asyncio.create_task(api.call("POST", "/api/jobs", json={"folder_path": api.folder("Alpha")}))
    async with asyncio.timeout(10):
        handling = await begun
        assert handling is not None
        handling.cancel()
        await asyncio.wait({handling})
    with pytest.raises(ClientError):
        await asked
    (line,) = await _trail(api)
    assert [line[key] for key in ("user", "action", "target", "result")] == [
        "ann",
        "jobs_submit",
        api.folder("Alpha"),
        "interrupted",
    ]


async def test_what_cannot_be_noted_stands_in_the_log_and_the_answer_stays_true(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    async with api.database.write() as connection:
        await connection.exec_driver_sql("DROP TABLE audit")
        await connection.exec_driver_sql("CREATE VIEW audit AS SELECT 1 AS id")
    with caplog.at_level(logging.ERROR):
        response = await api.call("POST", "/api/auth/tokens", json={"name": "report", "scope": "read"})
    assert response.status == 201
    assert "not in the audit trail" in caplog.text
    assert "tokens_create" in caplog.text
