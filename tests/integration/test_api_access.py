"""Who may call what, and what every answer has: generated from the URL table, so that no route is forgotten."""

import asyncio
import json
import logging
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
import pytest_asyncio
from aiohttp import ClientPayloadError

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.accounts import Accounts
from cs_archiver.db.jobs import Jobs
from cs_archiver.domain.access import Scope
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.states import JobStatus
from cs_archiver.logs.lines import OneLine
from cs_archiver.server.parsing import FORM_TYPE
from cs_archiver.server.route import Route, Who
from cs_archiver.server.routes import ROUTES
from cs_archiver.services.checks import Checks
from cs_archiver.services.ended_jobs import EndedJobs
from cs_archiver.services.folders import FolderService
from cs_archiver.services.preview import Previews
from tests.support import jobs
from tests.support.api import FOR_MONITORS, SECRET, Api, address_of, refusal_of, running_api

API_ROUTES = [route for route in ROUTES if route.path.startswith(("/api/", "/ws/", "/metrics"))]
BODYLESS_ROUTES = [route for route in API_ROUTES if route.body is None]
CLOSED_ROUTES = [route for route in ROUTES if route.who is not Who.ANYONE]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """One server for all of these: whoever calls gets a session, a token or an account of its own."""
    async with running_api(tmp_path_factory.mktemp("access")) as running:
        yield running


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def _somebody() -> str:
    return f"somebody-{uuid.uuid4().hex[:12]}"


async def _signed(api: Api, *, key: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    """A token like one of ann's sessions, but for these claims."""
    claims = jwt.decode(await api.token_of("ann"), options={"verify_signature": False})
    return jwt.encode({**claims, **changes}, key, algorithm=algorithm)


async def _revoked(api: Api) -> str:
    token = await api.token_of("ann")
    await api.accounts.logout(await api.accounts.authenticate(token))
    return token


async def _of_a_deleted_user(api: Api) -> str:
    await api.add_user(name := _somebody(), is_admin=True)
    token = await api.token_of(name)
    async with api.database.write() as connection:
        await connection.execute(tables.users.delete().where(tables.users.c.username == name))
    return token


async def _text(text: str) -> str:
    return text


def _refused(_route: Route) -> str:
    return "not-authenticated"


def _of_newcomer(route: Route) -> str | None:
    return None if route.who is Who.NEWCOMER else "password-change-required"


def _of_user(route: Route) -> str | None:
    return "admins-only" if route.who is Who.ADMIN else None


def _of_admin(_route: Route) -> str | None:
    return None


def _with_token(scope: Scope, of_its_user: Callable[[Route], str | None]) -> Callable[[Route], str | None]:
    def refusal(route: Route) -> str | None:
        if (of_the_user := of_its_user(route)) is not None:
            return of_the_user
        if route.scope is None:
            return "token-not-accepted"
        return None if scope.includes(route.scope) else "scope-too-narrow"

    return refusal


def _long_after(of_its_user: Callable[[Route], str | None]) -> Callable[[Route], str | None]:
    return lambda route: of_its_user(route) or ("reauthentication-required" if route.is_sensitive else None)


async def _signed_in_long_ago(api: Api) -> str:
    token = await api.token_of("root")
    jti = (await api.accounts.authenticate(token)).credential
    async with api.database.write() as connection:
        long_ago = tables.sessions.update().where(tables.sessions.c.jti == jti)
        await connection.execute(long_ago.values(created_at=now_text(after=-timedelta(minutes=16))))
    return token


async def _of_a_newcomer(api: Api) -> str:
    await api.add_user(name := _somebody())
    token = await api.personal_token_of(name, Scope.OPERATE)
    async with api.database.write() as connection:
        named = tables.users.c.username == name
        await connection.execute(tables.users.update().where(named).values(must_change_password=1))
    return token


async def _token_expired(api: Api) -> str:
    token = await api.personal_token_of("root", Scope.ADMIN)
    async with api.database.write() as connection:
        await connection.execute(tables.api_tokens.update().values(expires_at="2026-01-01T00:00:00.000Z"))
    return token


async def _token_revoked(api: Api) -> str:
    token = await api.personal_token_of("root", Scope.ADMIN)
    async with api.database.write() as connection:
        await connection.execute(tables.api_tokens.delete())
    return token


async def _token_of_a_deleted_user(api: Api) -> str:
    await api.add_user(name := _somebody(), is_admin=True)
    token = await api.personal_token_of(name, Scope.ADMIN)
    async with api.database.write() as connection:
        await connection.execute(tables.users.delete().where(tables.users.c.username == name))
    return token


# Who calls: how such a caller gets its token, and the problem a closed route answers with, or None if it admits.
CALLERS: dict[str, tuple[Callable[[Api], Awaitable[str]], Callable[[Route], str | None]]] = {
    "no token": (lambda api: _text(""), _refused),
    "garbage": (lambda api: _text("garbage"), _refused),
    "alg none": (lambda api: _signed(api, key="", algorithm="none"), _refused),
    "another key": (lambda api: _signed(api, key=SECRET[::-1]), _refused),
    "expired": (lambda api: _signed(api, exp=datetime.now(UTC) - timedelta(hours=1)), _refused),
    "wrong audience": (lambda api: _signed(api, aud="another-service"), _refused),
    "wrong issuer": (lambda api: _signed(api, iss="another-service"), _refused),
    "revoked": (_revoked, _refused),
    "deleted user": (_of_a_deleted_user, _refused),
    "newcomer": (lambda api: api.token_of("new"), _of_newcomer),
    "newcomer who is admin": (lambda api: api.token_of("newadmin"), _of_newcomer),
    "user": (lambda api: api.token_of("ann"), _of_user),
    "user, signed anew": (lambda api: _signed(api), _of_user),  # so the forgeries above fail for their one difference
    "admin": (lambda api: api.token_of("root"), _of_admin),
    "admin who signed in long ago": (_signed_in_long_ago, _long_after(_of_admin)),
    "token of no kind": (lambda api: _text("csa_" + "A" * 43), _refused),
    "token expired": (_token_expired, _refused),
    "token revoked": (_token_revoked, _refused),
    "token of a deleted user": (_token_of_a_deleted_user, _refused),
    "token of a newcomer": (_of_a_newcomer, _with_token(Scope.OPERATE, _of_newcomer)),
    "user's token to read": (lambda api: api.personal_token_of("ann", Scope.READ), _with_token(Scope.READ, _of_user)),
    "user's token to operate": (
        lambda api: api.personal_token_of("ann", Scope.OPERATE),
        _with_token(Scope.OPERATE, _of_user),
    ),
    "admin's token to read": (
        lambda api: api.personal_token_of("root", Scope.READ),
        _with_token(Scope.READ, _of_admin),
    ),
    "admin's token to operate": (
        lambda api: api.personal_token_of("root", Scope.OPERATE),
        _with_token(Scope.OPERATE, _of_admin),
    ),
    "admin's token to administer": (
        lambda api: api.personal_token_of("root", Scope.ADMIN),
        _with_token(Scope.ADMIN, _of_admin),
    ),
}


@pytest.mark.parametrize("route", ROUTES, ids=_name)
async def test_each_route_admits_exactly_those_the_table_names(api: Api, route: Route) -> None:
    for caller, (token_for, expected) in CALLERS.items():
        problem = None if route.who is Who.ANYONE else expected(route)
        token = await token_for(api)
        if route.method == "GET":
            head = await api.call("HEAD", address_of(route), token=token)
            assert (head.status in {401, 403}) is (problem is not None), caller
        response = await api.call(route.method, address_of(route), token=token)
        if problem is None:
            assert response.status not in {401, 403}, (caller, await response.text())
        else:
            refused = 401 if problem == "not-authenticated" else 403
            await refusal_of(response, refused, problem)
            assert response.headers.get("WWW-Authenticate") == ("Bearer" if refused == 401 else None), caller


async def test_administrator_without_the_second_factor_that_is_needed_is_admitted_nowhere_else(tmp_path: Path) -> None:
    async with running_api(tmp_path, admins_need_factor=True) as api:
        token, personal = await api.token_of("root"), await api.personal_token_of("root", Scope.ADMIN)
        for route in [route for route in CLOSED_ROUTES if route.who in {Who.USER, Who.ADMIN}]:
            for shown in (token, personal):
                response = await api.call(route.method, address_of(route), token=shown)
                await refusal_of(response, 403, "second-factor-needed")
        for route in [route for route in CLOSED_ROUTES if route.who is Who.ENROLLING]:
            response = await api.call(route.method, address_of(route), token=token)
            assert response.status not in {401, 403}, _name(route)


async def test_the_address_of_a_monitor_opens_what_is_for_monitors_and_nothing_else(tmp_path: Path) -> None:
    async with running_api(tmp_path, monitors=("127.0.0.0/8", "::1/128")) as api:
        for route in CLOSED_ROUTES:
            for caller in ("no token", "garbage", "newcomer", "user", "user's token to read"):
                token_for, expected = CALLERS[caller]
                problem = None if _name(route) in FOR_MONITORS else expected(route)
                response = await api.call(route.method, address_of(route), token=await token_for(api))
                if problem is None:
                    assert response.status not in {401, 403}, (caller, _name(route))
                else:
                    await refusal_of(response, 401 if problem == "not-authenticated" else 403, problem)


@pytest.mark.parametrize("route", CLOSED_ROUTES, ids=_name)
async def test_each_route_admits_by_cookie_exactly_those_it_admits_by_token(api: Api, route: Route) -> None:
    for caller, (token_for, expected) in CALLERS.items():
        token = await token_for(api)
        problem = expected(route)
        headers = {"Cookie": f"csa={token}", "Origin": str(api.client.make_url("/")).rstrip("/")}
        response = await api.call(route.method, address_of(route), token="", headers=headers)
        if problem is None:
            assert response.status not in {401, 403}, (caller, await response.text())
        else:
            await refusal_of(response, 401 if problem == "not-authenticated" else 403, problem)


@pytest.mark.parametrize("route", CLOSED_ROUTES, ids=_name)
async def test_with_a_cookie_other_sites_can_change_nothing(api: Api, route: Route) -> None:
    cookie = f"csa={await api.token_of('root')}"
    for headers in (
        {},
        {"Origin": "https://elsewhere.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"X-CSRF-Token": "guessed"},
    ):
        response = await api.call(route.method, address_of(route), token="", headers={"Cookie": cookie, **headers})
        if route.method == "GET":
            assert response.status not in {401, 403}, headers
        else:
            await refusal_of(response, 403, "cross-site-request")


async def test_the_application_answers_at_what_stands_in_the_table_and_nowhere_else(api: Api) -> None:
    answered = [
        (route.method, "" if route.resource is None else route.resource.canonical)
        for route in api.client.app.router.routes()
        if route.method != "HEAD"
    ]
    assert sorted(answered) == sorted((route.method, route.path.replace(":.+", "")) for route in ROUTES)
    assert len(set(answered)) == len(answered)


@pytest.mark.parametrize("route", CLOSED_ROUTES, ids=_name)
async def test_query_and_body_are_not_looked_at_before_the_token(api: Api, route: Route) -> None:
    response = await api.call(route.method, address_of(route), token="", params={"no": "such"}, data=b"{")
    await refusal_of(response, 401, "not-authenticated")


@pytest.mark.parametrize("route", API_ROUTES, ids=_name)
async def test_unknown_query_parameter_is_refused_by_name(api: Api, route: Route) -> None:
    token = await api.token_of("root")
    response = await api.call(route.method, address_of(route), token=token, params={"colour": "red"})
    document = await refusal_of(response, 422, "invalid-value")
    assert document["errors"] == [{"pointer": "?colour", "detail": "not known here"}]


@pytest.mark.parametrize("route", BODYLESS_ROUTES, ids=_name)
async def test_body_where_none_is_taken_is_refused_by_the_names_of_its_fields(api: Api, route: Route) -> None:
    token = await api.token_of("root")
    called_json = {"Content-Type": "application/json"}
    for body, pointer in ({"colour": "red"}, "#/colour"), (["red"], "#"), (None, "#"):
        data = json.dumps(body)
        response = await api.call(route.method, address_of(route), token=token, data=data, headers=called_json)
        document = await refusal_of(response, 422, "invalid-value")
        assert [error["pointer"] for error in document["errors"]] == [pointer], body
    response = await api.call(route.method, address_of(route), token=token, data=b"{", headers=called_json)
    await refusal_of(response, 400, "malformed-json")
    as_a_form = await api.call(route.method, address_of(route), token=token, data={"colour": "red"})
    await refusal_of(as_a_form, 415, "unsupported-media-type")


@pytest.mark.parametrize("route", BODYLESS_ROUTES, ids=_name)
@pytest.mark.parametrize("body", [b"", b"{}", b" {} \n"])
async def test_body_that_says_nothing_is_let_pass(api: Api, route: Route, body: bytes) -> None:
    token = await api.token_of("root")
    response = await api.call(route.method, address_of(route), token=token, data=body)
    assert response.status not in {400, 413, 415, 422}, await response.text()


async def test_pages_for_people_look_at_no_body(api: Api) -> None:
    response = await api.call("GET", "/login", token="", data={"colour": "red"})
    assert response.status == 200


async def _ended_meanwhile(api: Api, jti: str, whole: bytes) -> AsyncIterator[bytes]:
    """A body of which the rest comes once its sender was admitted, and has signed out elsewhere."""
    yield whole[:1]
    async with asyncio.timeout(10):
        while jti not in api.accounts.use._used:  # what is done last when somebody is admitted
            await asyncio.sleep(0.005)
    user = await Accounts(api.database).by_name("root")
    assert user is not None
    await api.accounts.end_session(user, jti)
    yield whole[1:]


@pytest.mark.parametrize(
    "route", [route for route in API_ROUTES if route in CLOSED_ROUTES and not route.takes_token_in_query], ids=_name
)
async def test_who_is_signed_out_before_the_body_is_whole_does_nothing(api: Api, route: Route) -> None:
    token = await api.token_of("root")
    jti = (await api.accounts.authenticate(token)).credential
    extra: Any = {} if route.body is None else route.body.model_config["json_schema_extra"]
    example = extra.get("examples", [{}])[0]
    data = _ended_meanwhile(api, jti, json.dumps(example).encode())
    response = await api.call(
        route.method, address_of(route), token=token, data=data, headers={"Content-Type": "application/json"}
    )
    await refusal_of(response, 401, "not-authenticated")


async def test_a_form_does_nothing_either_for_who_is_signed_out_before_it_is_whole(api: Api) -> None:
    token = await api.token_of("root")
    jti = (await api.accounts.authenticate(token)).credential
    wish = {"username": (name := _somebody()), "password": "a few words that keep apart", "is_admin": "1"}
    data = _ended_meanwhile(api, jti, urlencode(wish).encode())
    response = await api.call("POST", "/admin/users", token=token, data=data, headers={"Content-Type": FORM_TYPE})
    await refusal_of(response, 401, "not-authenticated")
    assert await Accounts(api.database).by_name(name) is None


@pytest.mark.parametrize(
    ("what_lasts", "call"),
    [
        ((FolderService, "scan"), ("GET", "/api/folders", "params", {"refresh": "true"})),
        ((Previews, "of"), ("POST", "/api/jobs/preview", "json", {"folder_path": "Alpha"})),
        ((Previews, "of"), ("GET", "/folders/archive", "params", {"path": "Alpha"})),
        ((Previews, "of"), ("POST", "/folders/plan", "data", {"path": "Alpha"})),
        ((Checks, "renew"), ("POST", "/api/system/checks", "params", {})),
    ],
    ids=["scan", "preview", "preview as a page", "several previews as a page", "checks"],
)
async def test_who_is_signed_out_while_an_answer_is_made_is_not_given_it(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    what_lasts: tuple[type, str],
    call: tuple[str, str, str, dict[str, str]],
) -> None:
    token = await api.token_of("ann")
    caller = await api.accounts.authenticate(token)
    lasting = getattr(*what_lasts)

    async def lasts_longer_than_the_session(*arguments: Any, **options: Any) -> Any:
        done = await lasting(*arguments, **options)
        await api.accounts.logout(caller)
        return done

    monkeypatch.setattr(*what_lasts, lasts_longer_than_the_session)
    method, path, kind, values = call
    options: dict[str, Any] = {
        kind: {name: api.folder(text) if "path" in name else text for name, text in values.items()}
    }
    await refusal_of(await api.call(method, path, token=token, **options), 401, "not-authenticated")


@pytest.mark.parametrize(
    ("pieces", "path"),
    [
        ((Jobs, "log_in_batches"), "/api/jobs/{}/logs"),
        ((Jobs, "log_in_batches"), "/jobs/{}/log.txt"),
        ((EndedJobs, "batches"), "/history/export.csv"),
    ],
    ids=["log", "log of the page", "history"],
)
@pytest.mark.parametrize("is_signed_out", [True, False])
async def test_a_download_is_cut_short_for_who_is_signed_out_meanwhile(
    api: Api, monkeypatch: pytest.MonkeyPatch, pieces: tuple[type, str], path: str, *, is_signed_out: bool
) -> None:
    job = await jobs.submit(api.database, name := _somebody())
    await api.queue.move(job, JobStatus.FAILED)
    second = await jobs.submit(api.database, f"{name} 2")
    await api.queue.move(second, JobStatus.FAILED)
    await Jobs(api.database).log_all(job.id, [(LogLevel.INFO, "one"), (LogLevel.INFO, "two"), (LogLevel.INFO, "last")])
    monkeypatch.setattr("cs_archiver.db.jobs._BATCH", 1)
    monkeypatch.setattr("cs_archiver.db.ended_jobs._BATCH", 1)
    caller = await api.accounts.authenticate(token := await api.token_of("ann"))
    given = getattr(*pieces)

    async def outlasts_the_session(*arguments: Any, **options: Any) -> AsyncIterator[Any]:
        async for piece in given(*arguments, **options):
            yield piece
            if is_signed_out:
                await api.accounts.logout(caller)

    monkeypatch.setattr(*pieces, outlasts_the_session)
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/plain, text/csv"}
    response = await api.client.get(path.format(job.id), headers=headers)
    assert response.status == 200
    if is_signed_out:
        with pytest.raises(ClientPayloadError):
            await response.read()
    else:
        assert ("last" if path.startswith(("/api", "/jobs")) else job.id) in await response.text()


@pytest.mark.parametrize("route", API_ROUTES, ids=_name)
async def test_other_methods_are_refused_with_those_that_are_understood(api: Api, route: Route) -> None:
    response = await api.call("PATCH", address_of(route))
    await refusal_of(response, 405, "method-not-allowed")
    known = {other.method for other in ROUTES if other.path == route.path}
    assert known <= set(response.headers["Allow"].split(","))
    assert "PATCH" not in response.headers["Allow"]


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/nothing", "/api/jobs/", "/api/%00"])
async def test_paths_that_are_not_there_are_not_found(api: Api, path: str) -> None:
    await refusal_of(await api.call("GET", path, token=""), 404, "not-found")


PATHS = ["/", "/api/docs", "/static/docs.css", "/api/health", "/api/queue", "/api/nothing"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", [None, ""], ids=["signed in", "not signed in"])
async def test_every_answer_has_the_protective_headers(api: Api, path: str, token: str | None) -> None:
    headers = (await api.call("GET", path, token=token)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Server"] == "cs-archiver"
    assert len(headers["X-Request-Id"]) == 32
    assert "Strict-Transport-Security" not in headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["trusted-types"] == "'none'"
    assert {source for name in ("script-src", "style-src", "connect-src") for source in policy[name].split()} == {
        "'self'"
    }
    assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_says_what_it_is_and_in_which_letters(api: Api, path: str) -> None:
    response = await api.call("GET", path, allow_redirects=False)
    if not await response.read():
        return
    assert response.headers["Content-Type"] in {
        "text/html; charset=utf-8",
        "text/css; charset=utf-8",
        "application/json; charset=utf-8",
        "application/problem+json; charset=utf-8",
    }


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["https://elsewhere.test", "null"])
async def test_pages_of_other_sites_may_read_no_answer(api: Api, path: str, origin: str) -> None:
    for method, asked in (("GET", {}), ("OPTIONS", {"Access-Control-Request-Method": "POST"})):
        response = await api.call(method, path, headers={"Origin": origin, **asked})
        assert [name for name in response.headers if name.lower().startswith("access-control-")] == []


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_is_kept_by_a_cache_but_what_holds_no_data(api: Api, path: str) -> None:
    response = await api.call("GET", path)
    expected = "no-cache" if path in {"/api/docs", "/static/docs.css"} else "no-store"
    assert response.headers["Cache-Control"] == expected


async def test_browsers_are_held_to_https_only_where_that_is_the_address(tmp_path: Path) -> None:
    for url, held in (("https://archiver.test", True), ("http://archiver.test", False)):
        async with running_api(tmp_path / url[:5], public_url=url) as api:
            for path in ("/", "/api/nothing"):
                headers = (await api.call("GET", path)).headers
                assert headers.get("Strict-Transport-Security", "").startswith("max-age=") is held


async def test_each_request_is_one_line_in_the_log_without_its_query(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    secret = await api.token_of("ann")
    caplog.handler.setFormatter(OneLine())
    with caplog.at_level(logging.INFO, "cs_archiver.server.access_log"):
        await api.call("GET", f"/api/queue?token={secret}", headers={"X-Request-Id": "find-me"})
        await api.call("GET", "/api/%0Anothing", token="")
    lines = [line.partition(" cs_archiver.server.access_log ")[2] for line in caplog.text.splitlines()]
    assert re.fullmatch(r"user=ann request=find-me GET /api/queue 422 \d+ ms from=127\.0\.0\.1", lines[0])
    assert re.fullmatch(r"request=[0-9a-f]{32} GET /api/%0Anothing 404 \d+ ms from=127\.0\.0\.1", lines[1])
    assert len(lines) == 2
    assert secret not in caplog.text


async def test_who_is_refused_stands_in_the_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(OneLine())
    with caplog.at_level(logging.INFO, "cs_archiver.server.access_log"):
        await api.call("GET", "/api/audit")
        await api.call("GET", "/api/audit", token="garbage")
    lines = [line.partition(" cs_archiver.server.access_log ")[2] for line in caplog.text.splitlines()]
    assert re.match(r"user=ann request=\w+ GET /api/audit 403 ", lines[0])
    assert re.match(r"request=\w+ GET /api/audit 401 ", lines[1])


async def test_request_id_of_a_proxy_is_kept_and_nonsense_is_not(api: Api) -> None:
    kept = await api.call("GET", "/api/health", headers={"X-Request-Id": "proxy-1.2_3"})
    assert kept.headers["X-Request-Id"] == "proxy-1.2_3"
    for nonsense in ("a b", "x" * 65, "<script>", ""):
        response = await api.call("GET", "/api/health", headers={"X-Request-Id": nonsense})
        assert response.headers["X-Request-Id"] != nonsense


async def test_head_is_answered_like_get_without_the_body(api: Api) -> None:
    assert (await api.call("HEAD", "/api/queue")).status == 200
    assert (await api.call("HEAD", "/api/queue", token="")).status == 401
    assert (await api.call("HEAD", "/api/nothing")).status == 404


async def test_other_kinds_of_error_are_problems_too(api: Api) -> None:
    document = await refusal_of(await api.call("GET", "/api/no/such?x=1"), 404, "not-found")
    assert document["title"] == "Not found"
    assert document["instance"] == "/api/no/such"
