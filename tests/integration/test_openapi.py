"""The description of the API: sound in itself, true of the server, and the same for programs, people and the shell."""

import json
import re
import shlex
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pyotp
import pytest
from click.testing import CliRunner
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from cs_archiver.cli import main
from cs_archiver.domain.notices import Message
from cs_archiver.domain.states import JobStatus
from cs_archiver.server.contract.base import Body
from cs_archiver.server.contract.job_logs import LogsQuery
from cs_archiver.server.contract.job_search import JobsQuery
from cs_archiver.server.docs import operations
from cs_archiver.server.files import static_files
from cs_archiver.server.openapi import document
from cs_archiver.server.problem_names import PROBLEMS, SUBMIT, problems_of
from cs_archiver.server.route import Route
from cs_archiver.server.routes import API, ROUTES
from tests.support.api import ANY_PATH, PASSWORD, Api, running_api
from tests.support.live import listening
from tests.support.reach import Reach

DOCUMENT = document(ROUTES)
DESCRIBED = [route for route in ROUTES if route.path.startswith("/api/") or route.is_for_monitors]


class Taking:
    """A place that takes every message."""

    name = "1 (everything)"

    async def send(self, _message: Message) -> None:
        return None


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path, notifiers=[Taking()]) as running:
        yield running


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _values(part: Any, key: str) -> Iterator[Any]:
    """Every value of this key, at any depth."""
    if isinstance(part, dict):
        yield from ([part[key]] if key in part else [])
        for inner in part.values():
            yield from _values(inner, key)
    elif isinstance(part, list):
        for inner in part:
            yield from _values(inner, key)


def _resolved(ref: str) -> Any:
    found: Any = DOCUMENT
    for step in ref.removeprefix("#/").split("/"):
        found = found[step]
    return found


def _name(route: Route) -> str:
    return route.operation_id


def test_the_document_is_valid_openapi_3_1() -> None:
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)


def test_every_reference_leads_somewhere_and_every_shape_is_referred_to() -> None:
    refs = set(_values(DOCUMENT, "$ref"))
    assert refs
    for ref in refs:
        assert isinstance(_resolved(ref), dict), ref
    assert {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]} <= refs


def test_every_operation_has_what_openapi_asks_for() -> None:
    for path, method, operation in _operations():
        named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), path
        assert all(parameter["required"] for parameter in operation["parameters"] if parameter["in"] == "path")
        places = [(parameter["in"], parameter["name"]) for parameter in operation["parameters"]]
        assert len(set(places)) == len(places)
        assert all("schema" in parameter for parameter in operation["parameters"])
        assert method in {"post", "put", "patch"} or "requestBody" not in operation
        assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
        assert operation["summary"]
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert response["description"]
            assert ("content" in response) is (status != "204")


def test_operations_and_shapes_are_told_apart_by_name() -> None:
    ids = [operation["operationId"] for _, _, operation in _operations()]
    assert len(set(ids)) == len(ids)
    assert all(
        re.fullmatch(r"[A-Za-z]+", name) for name in DOCUMENT["components"]["schemas"]
    )  # two of one name get more
    assert all(tag["description"] for tag in DOCUMENT["tags"])


def test_every_route_of_the_api_is_described_with_its_role() -> None:
    described = {(method.upper(), path): operation for path, method, operation in _operations()}
    assert set(described) == {(route.method, route.path) for route in DESCRIBED}
    for route in DESCRIBED:
        scopes = [] if route.scope is None else [route.scope]
        security = described[route.method, route.path]["security"]
        assert security == ([] if route.who == "anyone" else [{"bearer": scopes}, {"cookie": []}])
        assert str(route.status) in described[route.method, route.path]["responses"]


def test_every_problem_of_the_table_is_known_and_every_known_one_is_in_the_table() -> None:
    declared = {name for route in ROUTES for name in route.problems}
    assert declared <= set(PROBLEMS)
    assert {name for route in ROUTES for name in problems_of(route)} | ANY_PATH | {"admins-only"} == set(PROBLEMS)


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_handler_takes_the_query_and_the_body_that_the_table_names(route: Route) -> None:
    hints = get_type_hints(route.handler)
    (call,) = [hint for name, hint in hints.items() if name != "return"]
    assert get_args(call) == (route.query or NoneType, route.body or NoneType)


@pytest.mark.parametrize("body", [route.body for route in API if route.body], ids=lambda body: body.__name__)
def test_example_of_a_body_is_accepted_by_its_model(body: type[Body]) -> None:
    examples = body.model_json_schema()["examples"]
    assert examples
    for example in examples:
        body.model_validate_json(json.dumps(example))


def test_example_of_a_problem_is_one() -> None:
    problem = DOCUMENT["components"]["schemas"]["Problem"]
    for example in DOCUMENT["components"]["examples"].values():
        assert set(problem["required"]) <= set(example["value"])


def test_routes_that_take_the_same_parameters_can_share_the_model() -> None:
    routes = [replace(route, query=JobsQuery) if route.query is LogsQuery else route for route in ROUTES]
    paths = document(routes)["paths"]
    in_query = [
        [parameter for parameter in paths[path]["get"]["parameters"] if parameter["in"] == "query"]
        for path in ("/api/jobs", "/api/jobs/{job_id}/logs")
    ]
    assert in_query[0] == in_query[1] != []


def test_bounds_of_the_parameters_are_described() -> None:
    for path, _, operation in _operations():
        for parameter in operation["parameters"]:
            if parameter["schema"].get("type") == "integer":
                assert {"minimum", "maximum"} <= set(parameter["schema"]), (path, parameter["name"])
    (limit,) = [
        parameter
        for parameter in _resolved("#/paths")["/api/jobs"]["get"]["parameters"]
        if parameter["name"] == "limit"
    ]
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}


async def test_server_gives_the_document_and_says_when_it_is_the_one_the_client_has(api: Api) -> None:
    response = await api.call("GET", "/api/openapi.json", token="")
    assert await response.json() == DOCUMENT
    assert response.headers["Cache-Control"] == "no-cache"
    tag = response.headers["ETag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        again = await api.call("GET", "/api/openapi.json", token="", headers={"If-None-Match": known})
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag), known
    for unknown in ('"other"', "nonsense", ""):
        again = await api.call("GET", "/api/openapi.json", token="", headers={"If-None-Match": unknown})
        assert again.status == 200, unknown


def test_command_prints_the_same_document_without_any_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QNAP_BASE_PATH", "/nowhere")
    printed = CliRunner().invoke(main, ["openapi"])
    assert printed.exit_code == 0
    assert json.loads(printed.output) == DOCUMENT
    assert list(tmp_path.iterdir()) == []


async def test_real_answers_of_every_route_are_as_described(api: Api) -> None:
    await _call_every_route(api)
    assert api.answered >= {route.operation_id for route in API}


# What these routes tell in their answer, or only compare with.
_TOLD_OTHERWISE = {
    "monitoring_ready": {"database-unhealthy", "not-authenticated"},
    "job_wishes_bulk": {*SUBMIT},
    "job_wishes_preview": {"already-queued", "destination-exists"},
    "jobs_retry": {"archive-missing"},
}
_NOT_CALLED = {"live_jobs"}


async def test_no_route_can_be_refused_for_what_it_does_not_declare(tmp_path: Path) -> None:
    """By what the functions that ran for it could raise, though they did not now: as of a NAS that hangs."""
    with Reach.watching() as reach:
        async with running_api(tmp_path, notifiers=[Taking()]) as api:
            api.reach = reach
            await _call_every_route(api)
    reached = {route: found for route, found in reach.problems.items() if route in API}
    assert {route.operation_id for route in reached} == {route.operation_id for route in API} - _NOT_CALLED
    for route, found in reached.items():
        told = _TOLD_OTHERWISE.get(route.operation_id, set())
        assert told <= found.keys(), f"{route.operation_id} needs fewer exceptions"
        assert not _undeclared(route, found) - told, found
    submit = next(route for route in reached if route.operation_id == "jobs_submit")
    for name in ("nas-unreachable", "already-archived", "job-not-accepted"):
        forgotten = replace(submit, problems=tuple(set(submit.problems) - {name}))
        assert _undeclared(forgotten, reached[submit]) == {name}, "this test could not fail"


def _undeclared(route: Route, found: Collection[str]) -> set[str]:
    return set(found) - {*problems_of(route), *ANY_PATH}


async def _call_every_route(api: Api) -> None:
    """Each call is held against its model by `Api.call`; a new route must get a call here."""
    alpha = (await api.submit("Alpha"))["job_id"]
    beta = (await api.submit("Beta"))["job_id"]
    await api.submit("Gamma")
    await api.queue.move(await api.queue.get(alpha), JobStatus.COPYING)
    await api.queue.move(await api.queue.get(beta), JobStatus.FAILED, {"error_message": "It failed."})
    assert (await api.call("GET", "/api/docs")).status == 200
    assert (await api.call("GET", "/metrics")).status == 200
    async with listening(api):
        pass
    for path in (
        "/api/folders/scan",
        "/api/openapi.json",
        "/api/health",
        "/api/ready",
        "/api/version",
        "/api/system/status",
        "/api/system/switches",
        "/api/queue",
        "/api/auth/me",
    ):
        await api.get(path)
    for path in (
        "/api/folders",
        "/api/folders/left-out",
        "/api/folders/scan",
        "/api/jobs",
        f"/api/jobs/{alpha}/history",
    ):
        assert await api.get(path), path
    assert (await api.call("DELETE", "/api/folders/scan")).status == 204
    assert await api.get("/api/folders?refresh=full")
    assert await api.get(f"/api/jobs/{alpha}/logs")
    assert (await api.call("GET", f"/api/jobs/{alpha}/logs", headers={"Accept": "text/plain"})).status == 200
    await api.get(f"/api/jobs/{alpha}/files")
    await api.get(f"/api/jobs/{alpha}", params={"wait": "1"})
    folder = {"folder_path": api.folder("Alpha")}
    assert (await api.call("POST", "/api/jobs/preview", json=folder)).status == 200
    folders = {"folder_paths": [api.folder("Alpha"), api.folder("Æther #1 <b>")]}
    assert (await api.call("POST", "/api/jobs/bulk", json=folders)).status == 200
    assert (await api.call("DELETE", "/api/jobs/completed")).status == 200
    assert (await api.call("POST", "/api/system/checks")).status == 200
    assert (await api.call("POST", "/api/notifications/test", username="root")).status == 200
    for job_id in (alpha, beta):
        await api.get(f"/api/jobs/{job_id}")
    assert (await api.call("PUT", "/api/system/switches/upload", json={"paused": True})).status == 200
    assert (await api.call("POST", f"/api/jobs/{beta}/retry")).status == 200
    assert (await api.call("DELETE", f"/api/jobs/{beta}")).status == 204
    login = await api.call("POST", "/api/auth/login", token="", json={"username": "ann", "password": PASSWORD})
    token = (await login.json())["access_token"]
    await _call_what_concerns_accounts(api, token)
    body = {"current_password": PASSWORD, "new_password": "seven lamps in the harbour"}
    changed = await api.call("POST", "/api/auth/password", token=token, json=body)
    token = (await changed.json())["access_token"]
    assert (await api.call("POST", "/api/auth/logout", token=token)).status == 204


async def _call_what_concerns_second_factors(api: Api) -> None:
    await api.add_user("kim")
    path, token = "/api/auth/second-factor", await api.token_of("kim")
    kim = await api.get("/api/auth/me", token=token)
    for off, by in ((path, token), (f"/api/users/{kim['id']}/second-factor", await api.token_of("root"))):
        begun = await (await api.call("POST", path, token=token)).json()
        body = {"code": pyotp.TOTP(begun["secret"]).now()}
        assert (await api.call("POST", f"{path}/confirm", token=token, json=body)).status == 200
        assert (await api.call("POST", f"{path}/recovery-codes", token=token)).status == 200
        assert (await api.get(path, token=token))["enabled"]
        assert (await api.call("DELETE", off, token=by)).status == 204


async def _call_what_concerns_accounts(api: Api, token: str) -> None:
    await api.get("/api/auth/csrf", token=token)
    sessions = await api.get("/api/auth/sessions", token=token)
    other = next(session for session in sessions if not session["current"])
    assert (await api.call("DELETE", f"/api/auth/sessions/{other['id']}", token=token)).status == 204
    created = await api.call("POST", "/api/auth/tokens", token=token, json={"name": "a report", "scope": "read"})
    assert created.status == 201
    assert await api.get("/api/auth/tokens", token=token)
    assert (await api.call("DELETE", created.headers["Location"], token=token)).status == 204
    wish = {"username": "bob", "password": "seven lamps in the harbour"}
    added = await api.call("POST", "/api/users", username="root", json=wish)
    assert added.status == 201
    user = added.headers["Location"]
    await _call_what_concerns_second_factors(api)
    body = {"new_password": "eight lamps in the harbour"}
    assert (await api.call("POST", f"{user}/password", username="root", json=body)).status == 204
    assert await api.get("/api/users", username="root")
    assert (await api.call("DELETE", user, username="root")).status == 204
    assert await api.get("/api/audit", username="root")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


async def test_page_has_every_operation_and_nothing_that_runs_or_comes_from_elsewhere(api: Api) -> None:
    response = await api.call("GET", "/api/docs", token="")
    page = _Page()
    page.feed(await response.text())
    assert not page.tags & {"script", "style", "iframe", "img", "form"}
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]
    links = {value for name, value in page.attributes if name in {"href", "src"} and value}
    ids = {value for name, value in page.attributes if name == "id"}
    here = {link for link in links if link.startswith("#")}
    assert {"/", "/api/openapi.json"} <= links - here
    assert {link.rpartition("/")[2] for link in links - here} == {"", "openapi.json", "docs.css", "favicon-idle.svg"}
    assert {link[1:] for link in here} <= ids
    assert {route.operation_id for route in DESCRIBED} <= ids
    assert set(DOCUMENT["components"]["schemas"]) <= ids
    for link in links - here - {"/"}:
        assert (await api.call("GET", link, token="")).status == 200


# What a sound request can be refused for when the values of its example are not those of this server.
_OF_EXAMPLES = {
    "login-failed", "wrong-password", "weak-password", "second-factor-off", "second-factor-not-begun", "invalid-value",
}  # fmt: skip


async def test_every_curl_line_on_the_page_is_understood_by_the_server(api: Api) -> None:
    for operation in operations(DOCUMENT):
        words = shlex.split(operation.curl)
        options = [words[place + 1] for place, word in enumerate(words) if word == "-H"]
        headers = dict(line.split(": ") for line in options)
        assert (headers.pop("Authorization", None) == "Bearer $TOKEN") is bool(operation.described["security"])
        address = next(word for word in words if word.startswith("$SERVER")).removeprefix("$SERVER")
        body = words[words.index("-d") + 1] if "-d" in words else None
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        response = await api.call(method, address, token=await api.token_of("root"), headers=headers, data=body)
        if not response.ok:
            problem = (await response.json(content_type=None))["type"].removeprefix("/problems/")
            assert problem.endswith("-not-found") or problem in _OF_EXAMPLES, operation.curl
            assert problem != "invalid-value" or "second-factor/confirm" in operation.curl


async def test_only_the_files_of_the_pages_are_served(api: Api) -> None:
    response = await api.call("GET", "/static/docs.css", token="")
    assert response.headers["Content-Type"] == "text/css; charset=utf-8"
    known = await api.call("GET", "/static/docs.css", token="", headers={"If-None-Match": response.headers["ETag"]})
    assert known.status == 304
    for path in (
        "../templates/base.html",
        "..%2Ftemplates%2Fbase.html",
        "%2e%2e/docs.css",
        "none.css",
        "",
        "docs.css/",
    ):
        assert (await api.call("GET", f"/static/{path}", token="")).status == 404, path


def test_files_of_other_kinds_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    for name in ("a.css", "vendor/b.js", "c.html", ".css", "LICENSE", "d.css.bak", "e.py"):
        (tmp_path / name).write_text(name)
    assert {name: file.media_type for name, file in static_files(tmp_path).files.items()} == {
        "a.css": "text/css",
        "vendor/b.js": "text/javascript",
    }
