"""Users and the audit trail, without a script, for administrators alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cs_archiver.db import tables
from cs_archiver.server.pages.admin_words import ACTIONS
from cs_archiver.server.routes import ROUTES
from tests.support.api import PASSWORD, Api, running_api
from tests.support.visitor import Visitor

JOB = "5c000000-0000-4000-8000-000000000000"
NEW_PASSWORD = "seven lamps in the harbour"
PAGES = ("/admin/users", "/admin/users/new", "/admin/users/1/delete", "/admin/users/1/password", "/admin/audit")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture
async def root(api: Api) -> Visitor:
    return Visitor(api, await api.token_of("root"))


async def _id_of(api: Api, username: str) -> int:
    users = await api.get("/api/users", username="root")
    return next(int(user["id"]) for user in users if user["username"] == username)


async def _signs_in(api: Api, username: str, password: str) -> bool:
    credentials = {"username": username, "password": password}
    return (await api.call("POST", "/api/auth/login", token="", json=credentials)).status == 200


@pytest.mark.parametrize("path", PAGES)
async def test_others_are_told_that_this_is_for_administrators(api: Api, root: Visitor, path: str) -> None:
    assert (await root.get(path)).has(".menu-items a")
    page = await Visitor(api, await api.token_of("ann")).get(path, status=403)
    assert "For administrators only" in page.text
    assert "/admin" not in str(page.values("a", "href"))


async def test_users_are_listed_and_nobody_can_touch_their_own_account(api: Api, root: Visitor) -> None:
    page = await root.get("/admin/users")
    assert [name.split(" ")[0] for name in page.texts("td.name")] == ["ann", "root", "new", "newadmin"]
    assert page.texts(".own") == ["You"]
    mine = await _id_of(api, "root")
    assert not [link for link in page.values("td a", "href") if f"/{mine}/" in link]
    assert len([link for link in page.values("td a", "href") if "/delete" in link]) == 3


async def test_user_is_added(api: Api, root: Visitor) -> None:
    form = await root.get("/admin/users/new")
    page = await root.submit(form, "/admin/users", {"username": "kim", "password": NEW_PASSWORD})
    assert "kim can sign in now and is asked to choose another password at first." in page.text
    assert "kim Must choose another password" in page.texts("td.name")
    assert await _signs_in(api, "kim", NEW_PASSWORD)
    page = await root.post("/admin/users", {"username": "lee", "password": NEW_PASSWORD, "is_admin": "true"})
    assert "lee can sign in now." in page.text
    users = {user["username"]: user["is_admin"] for user in await api.get("/api/users", username="root")}
    assert (users["kim"], users["lee"]) == (False, True)
    (trail, *_) = await api.get("/api/audit?action=users_add", username="root")
    assert (trail["user"], trail["target"], trail["result"]) == ("root", "lee", "ok")


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        ({"username": "ANN"}, 409, "a user of the name ANN already"),
        ({"username": "<b>"}, 422, "1 to 64 letters"),
        ({"password": "short"}, 422, "at least 12 characters"),
        ({"password": "kimkimkimkim"}, 422, "among the first"),
    ],
)
async def test_refused_user_is_told_on_the_form_with_what_was_typed(
    root: Visitor, typed: dict[str, str], status: int, said: str
) -> None:
    fields = {"username": "kim", "password": NEW_PASSWORD, "is_admin": "true", **typed}
    page = await root.post("/admin/users", fields, status=status)
    assert said in page.texts(".alert")[0]
    assert page.values("#username", "value") == [fields["username"]]
    assert [page.has("#is-admin[checked]"), page.has("#must-change[checked]")] == [True, False]
    assert fields["password"] not in page.html


async def test_user_is_deleted_after_a_question(api: Api, root: Visitor) -> None:
    token = await api.token_of("ann")
    path = f"/admin/users/{await _id_of(api, 'ann')}/delete"
    question = await root.get(path)
    assert "Delete the account ann?" in question.text
    assert (await api.call("GET", "/api/queue", token=token)).status == 200  # to ask does nothing
    page = await root.submit(question, path)
    assert "The account ann is deleted" in page.text
    assert (await api.call("GET", "/api/queue", token=token)).status == 401
    assert "There is no such user." in (await root.get(path, status=404)).text
    assert "There is no such user." in (await root.post(path, {}, status=404)).text


async def test_own_account_and_the_last_administrator_cannot_be_deleted(api: Api, root: Visitor) -> None:
    mine = f"/admin/users/{await _id_of(api, 'root')}"
    for deed, fields in (("delete", {}), ("password", {"new_password": NEW_PASSWORD})):
        assert (await root.get(f"{mine}/{deed}")).values("form", "action") == ["/logout"]
        page = await root.post(f"{mine}/{deed}", fields, status=409)
        assert page.has(".alert")
    assert await _signs_in(api, "root", PASSWORD)
    other = Visitor(api, await api.token_of("root"))
    async with api.database.write() as connection:
        await connection.execute(tables.users.update().where(tables.users.c.username != "newadmin").values(is_admin=0))
    page = await other.post(f"/admin/users/{await _id_of_newadmin(api)}/delete", {}, status=403)
    assert "For administrators only" in page.text


async def _id_of_newadmin(api: Api) -> int:
    async with api.database.read() as connection:
        query = tables.users.select().where(tables.users.c.username == "newadmin")
        return int((await connection.execute(query)).one().id)


async def test_password_is_reset_and_must_be_changed(api: Api, root: Visitor) -> None:
    token = await api.token_of("ann")
    path = f"/admin/users/{await _id_of(api, 'ann')}/password"
    weak = await root.submit(await root.get(path), path, {"new_password": "password1234"}, status=422)
    assert "among the first that are tried" in weak.texts(".alert")[0]
    page = await root.submit(await root.get(path), path, {"new_password": NEW_PASSWORD})
    assert "ann has a new password" in page.text
    assert (await api.call("GET", "/api/queue", token=token)).status == 401
    assert await _signs_in(api, "ann", NEW_PASSWORD)
    results = [line["result"] for line in await api.get("/api/audit?action=users_reset_password", username="root")]
    assert results == ["ok", "weak-password"]


async def test_trail_is_told_in_words_and_narrowed_by_the_address(api: Api, root: Visitor) -> None:
    await root.post("/admin/users", {"username": "kim", "password": NEW_PASSWORD})
    await root.post("/admin/users", {"username": "kim", "password": NEW_PASSWORD}, status=409)
    evil = "<img src=x onerror=alert(1)>"
    ann = Visitor(api, await api.token_of("ann"))
    await ann.post("/settings/tokens", {"name": evil, "scope": "read", "expires_in_days": "7"})
    async with api.database.write() as connection:
        await connection.execute(
            tables.audit.insert().values(
                at="2026-01-02T23:30:00.000Z", action="source_deleted", target="/nas/<b>",
                detail=f"job {JOB}, SHA-256 abcdef", username="ann", result="ok",
            )
        )  # fmt: skip

    async def targets(query: str, cookies: dict[str, str] | None = None) -> list[str]:
        page = await root.get(f"/admin/audit{query}", cookies=cookies)
        assert "<img src=x" not in page.html
        return page.texts("#audit tbody td.detail")

    everything = [f"/nas/<b>job {JOB}, SHA-256 abcdef See the job", f"{evil} (read)", "kim", "kim"]
    for query, expected in {
        "": everything,
        "?user=ANN": everything[:2],
        "?user=kim": everything[2:],
        "?what=users_add&result=ok": ["kim"],
        "?result=refused": ["kim"],
        "?q=ABCDEF": everything[:1],
        "?q=%3Cimg": everything[1:2],
        "?since=2026-01-03": everything[1:],
        "?until=2026-01-02": everything[:1],
        "?since=2999-01-01": [],
        "?user=&what=&q=": everything,
        "?per=10&page=2": [],
    }.items():
        assert await targets(query) == expected, query
    there = {"csa_browser_zone": "Asia/Tokyo"}
    assert await targets("?until=2026-01-02", cookies=there) == []
    assert (await root.get("/admin/audit?q=abcdef")).values("#audit td a", "href") == [f"/jobs/{JOB}"]
    page = await root.get("/admin/audit?q=kim")
    assert page.texts("#audit tbody .tone-bad") == ["Refused"]
    assert page.values("#audit tbody .tone-bad", "title") == ["username-taken"]
    assert page.texts("#audit tbody .outcome .place") == ["There is a user of this name already."]
    assert "Add a user" in page.texts("#audit tbody tr")[0]


@pytest.mark.parametrize("query", ["result=maybe", "since=x", "page=-1", "q=%00", "user=a&user=b"])
async def test_wrong_filters_are_told_on_a_page(root: Visitor, query: str) -> None:
    assert query.partition("=")[0] in (await root.get(f"/admin/audit?{query}", status=422)).text


async def test_long_trail_is_paged(api: Api, root: Visitor) -> None:
    async with api.database.write() as connection:
        rows = [
            {"at": "2026-01-01T00:00:00.000Z", "action": "auth_login", "target": f"user {number}", "result": "ok"}
            for number in range(25)
        ]
        await connection.execute(tables.audit.insert(), rows)
    page = await root.get("/admin/audit?per=10&page=3&what=auth_login")
    assert page.texts("#audit tbody td.detail") == [f"user {number}" for number in range(4, -1, -1)]
    assert "/admin/audit?per=10&what=auth_login&page=2" in page.values(".pager a", "href")


def test_every_action_has_words() -> None:
    deeds = {route.deed or route.operation_id for route in ROUTES if not route.is_safe}
    elsewhere = {"source_deletion_begun", "source_deleted", "source_deletion_stopped", "database_restore"}
    assert set(ACTIONS) == deeds | elsewhere
