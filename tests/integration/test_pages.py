"""Every page of the table: who is let in, where the others are led, and what pages must not hold."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientResponse
from yarl import URL

from cs_archiver.domain.states import JobStatus
from cs_archiver.server.pages.table import PAGES
from cs_archiver.server.route import Route, Who
from tests.support.api import PASSWORD, Api, address_of, running_api
from tests.support.databases import turns_of
from tests.support.pages import HTML, Parsed, parsed, send, show

CLOSED = [route for route in PAGES if route.who is not Who.ANYONE]
SHOWN = [route for route in PAGES if route.media == ("text/html",) and route.method == "GET" and "{" not in route.path]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def query_for(route: Route, api: Api) -> dict[str, str]:
    return {"/folders/archive": {"path": api.folder("Alpha")}}.get(route.path, {})


@pytest.mark.parametrize("route", CLOSED, ids=_name)
async def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(api: Api, route: Route) -> None:
    for cookie in ("", "csa=garbage"):
        address = f"{address_of(route)}?q=a%26b"
        headers = {**HTML, "Cookie": cookie}
        response = await api.call(route.method, address, token="", headers=headers)
        assert response.status == 303
        target = urlsplit(response.headers["Location"])
        assert target.path == "/login"
        given = parse_qs(target.query)
        assert given.get("next") == ([address] if route.method == "GET" else None)
        is_form = route.method == "POST"
        assert ("ended" in given, "undone" in given) == (is_form or bool(cookie), is_form)


async def test_form_sent_without_a_session_says_so_and_leads_back_to_its_page(api: Api) -> None:
    own = str(api.client.make_url("/")).rstrip("/")
    for referer, wanted in (
        (f"{own}/folders/archive?path=a%26b", "/folders/archive?path=a%26b"),
        (f"{own}/folders?sort=-size", "/folders?sort=-size"),
        (f"{own}/folders/plan", None),
        (f"{own}/folders/archive", None),
        (f"{own}//evil.test/", None),
        ("https://evil.test/folders", None),
        ("http://[", None),
    ):
        headers = {**HTML, "Referer": referer}
        response = await api.call("POST", "/folders/archive", token="", data={"path": "x"}, headers=headers)
        target = response.headers["Location"]
        assert parse_qs(urlsplit(target).query).get("next") == ([wanted] if wanted else None)
        assert "Your session has ended; nothing was done" in await (await show(api, target)).text()


@pytest.mark.parametrize("route", CLOSED, ids=_name)
async def test_who_must_change_the_password_is_led_there_and_to_nowhere_else(api: Api, route: Route) -> None:
    response = await api.call(route.method, address_of(route), username="newadmin", headers=HTML)
    location = response.headers.get("Location", "")
    assert location.startswith("/password") is (route.who is not Who.NEWCOMER)


@pytest.mark.parametrize("route", [route for route in CLOSED if route.who is Who.ADMIN], ids=_name)
async def test_pages_for_administrators_say_so_to_others(api: Api, route: Route) -> None:
    response = await api.call(route.method, address_of(route), username="ann", headers=HTML)
    assert response.status == 403
    assert "administrator" in await response.text()


@pytest.mark.parametrize("route", SHOWN, ids=_name)
async def test_page_holds_nothing_that_the_policy_forbids_and_leads_nowhere_else(api: Api, route: Route) -> None:
    response = await show(api, route.path, params=query_for(route, api))
    if response.status == 303:
        return  # it shows something only right after a form
    assert (response.status, response.content_type) == (200, "text/html"), await response.text()
    assert response.headers["Cache-Control"] == "no-store"
    page = Parsed(await response.text())
    for tag, attributes in page.tags:
        assert tag not in {"style", "iframe", "object", "embed", "base"}
        assert tag != "script" or attributes.get("src")
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
    for address in page.addresses():
        assert not urlsplit(address).netloc, address
    posts = [held for tag, held in page.tags if tag == "form" and held.get("method") == "post"]
    tokens = [held for tag, held in page.tags if tag == "input" and held.get("name") == "csrf"]
    assert len(tokens) == len(posts) or route.who is Who.ANYONE
    ids = [held["id"] for _, held in page.tags if "id" in held]
    assert len(ids) == len(set(ids)), ids


@pytest.mark.parametrize(
    ("path", "turns"),
    [("/folders", [1, 4]), ("/queue", [1, 5]), ("/history", [1, 5]), ("/jobs/{job_id}", [1, 8])],
)
async def test_page_people_leave_open_asks_the_database_twice_who_looks_and_all_that_it_shows(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, turns: list[int]
) -> None:
    job = await api.submit("Alpha")
    address = path.replace("{job_id}", job["job_id"])
    await show(api, address)  # what is made once for all who look is made now
    found = turns_of(monkeypatch)
    await show(api, address)
    assert found == turns


def test_pages_take_no_personal_tokens() -> None:
    assert {route.scope for route in PAGES} == {None}


async def test_sign_in_by_form(api: Api) -> None:
    form = {"username": "ann", "password": PASSWORD, "next": "/folders?q=x"}
    response = await send(api, "/login", form, username="")
    assert (response.status, response.headers["Location"]) == (303, "/folders?q=x")
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    assert (await api.call("GET", "/folders", token="", headers={**HTML, "Cookie": cookie})).status == 200
    (line,) = await api.get("/api/audit", username="root")
    assert (line["action"], line["target"], line["result"]) == ("auth_login", "ann", "ok")


async def test_failed_sign_in_shows_the_form_again_without_the_password(api: Api) -> None:
    secret = "a secret that is wrong"
    response = await send(api, "/login", {"username": '"><b>', "password": secret, "next": "/folders"}, username="")
    text = await response.text()
    assert response.status == 401
    assert "Set-Cookie" not in response.headers
    assert "is unknown or the password is wrong" in text
    assert secret not in text
    assert '"><b>' not in text
    assert Parsed(text).field("username") == '"><b>'
    assert Parsed(text).field("next") == "/folders"


async def test_waiting_time_is_told_on_the_form(api: Api) -> None:
    for _ in range(5):
        await send(api, "/login", {"username": "ann", "password": "wrong"}, username="")
    response = await send(api, "/login", {"username": "ann", "password": "wrong"}, username="")
    assert response.status == 429
    assert "try again in" in await response.text()


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
        "javascript:alert(1)", "evil", "/a//evil.example/..", "/../evil", "/%2e%2e/evil", "/\u00e9", "/a\r\nX: y", "",
    ],
)  # fmt: skip
async def test_next_page_is_one_of_ours(api: Api, target: str) -> None:
    form = {"username": "ann", "password": PASSWORD, "next": target}
    response = await send(api, "/login", form, username="")
    assert (response.status, response.headers["Location"]) == (303, "/folders")


async def test_other_sites_cannot_sign_a_browser_in_by_form(api: Api) -> None:
    form = {"username": "ann", "password": PASSWORD}
    response = await send(api, "/login", form, username="", headers={"Origin": "https://elsewhere.test"})
    assert response.status == 403
    assert "Set-Cookie" not in response.headers


async def test_sign_out_ends_the_session(api: Api) -> None:
    token = await api.token_of("ann")
    headers = {**HTML, "Cookie": f"csa={token}"}
    page = Parsed(await (await api.call("GET", "/folders", token="", headers=headers)).text())
    form = {"csrf": page.field("csrf")}
    response = await api.call("POST", "/logout", token="", data=form, headers=headers)
    assert (response.status, response.headers["Location"]) == (303, "/login")
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert (await api.call("GET", "/folders", token="", headers=headers)).status == 303


async def test_forced_change_of_the_password(api: Api) -> None:
    page = await show(api, "/password?next=/folders", username="new")
    assert "Choose one of your own" in await page.text()
    new = "seven lamps in the harbour"
    form = {"current_password": PASSWORD, "new_password": new, "repeated": new + "!", "next": "/folders"}
    response = await send(api, "/password", form, username="new")
    assert response.status == 422
    assert "not the same" in await response.text()
    response = await send(api, "/password", {**form, "repeated": new, "current_password": "x"}, username="new")
    assert (response.status, "not your present password" in await response.text()) == (422, True)
    response = await send(api, "/password", {**form, "repeated": new}, username="new")
    assert (response.status, response.headers["Location"]) == (303, "/folders")
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    assert (await api.call("GET", "/folders", token="", headers={**HTML, "Cookie": cookie})).status == 200


async def test_form_without_a_word_of_where_it_comes_from_needs_the_token_of_its_session(api: Api) -> None:
    token = await api.token_of("ann")
    headers = {**HTML, "Cookie": f"csa={token}"}
    own = Parsed(await (await api.call("GET", "/folders", token="", headers=headers)).text()).field("csrf")
    other = (await parsed(api, "/folders", username="root")).field("csrf")
    for shown, status in ((other, 403), ("", 403), ("\u00e9", 403), (own, 303)):
        response = await api.call("POST", "/folders/refresh", token="", data={"csrf": shown}, headers=headers)
        assert response.status == status, shown


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"path=%ff&csrf=", 400),
        (b"path=\xff", 400),
        (b"&".join(b"a=1" for _ in range(1001)), 400),
        (b"unknown=1", 422),
        (b"csrf=a&csrf=b", 422),
        (b"x" * (64 * 1024 + 1), 413),
    ],
)
async def test_form_that_makes_no_sense_is_refused_with_a_page(api: Api, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await send(api, "/folders/refresh", body, headers=headers)
    assert response.status == status
    assert response.content_type == "text/html"


async def test_form_sent_as_something_else_is_not_looked_at(api: Api) -> None:
    response = await send(api, "/folders/refresh", b"{}", headers={"Content-Type": "application/json"})
    assert response.status == 415


async def test_what_is_not_there_is_said_on_a_page_to_people_and_in_json_to_programs(api: Api) -> None:
    response = await show(api, "/nothing")
    text = await response.text()
    assert (response.status, response.content_type) == (404, "text/html")
    assert "There is no such page" in text
    assert 'href="/folders"' in text
    for path, accept in (("/nothing", "*/*"), ("/nothing", "application/json"), ("/api/nothing", HTML["Accept"])):
        programs = await api.call("GET", path, headers={"Accept": accept})
        assert (programs.status, programs.content_type) == (404, "application/problem+json")


async def test_wrong_parameters_and_methods_have_pages_too(api: Api) -> None:
    response = await show(api, "/folders?page=zero")
    assert response.status == 422
    assert "must be a whole number" in await response.text()
    response = await api.call("PUT", "/folders", headers=HTML)
    assert (response.status, response.content_type) == (405, "text/html")
    assert "GET" in response.headers["Allow"]


async def test_defect_is_a_page_with_the_number_of_the_request(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_given: object, **_more: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("cs_archiver.services.folders.FolderService.page", broken)
    response = await show(api, "/folders", headers={"X-Request-Id": "find-me"})
    text = await response.text()
    assert (response.status, response.content_type) == (500, "text/html")
    assert "find-me" in text
    assert "ZeroDivision" not in text


async def test_defect_of_the_page_itself_is_told_in_json(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_given: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("cs_archiver.services.jobs.JobService.failed_since", broken)
    headers = {"Cookie": f"csa={await api.token_of('ann')}"}
    response = await show(api, "/nothing", token="", headers=headers)
    assert (response.status, response.content_type) == (404, "application/problem+json")


async def test_message_after_a_form_is_said_once_to_the_one_who_sent_it(api: Api) -> None:
    headers = {
        **HTML,
        "Cookie": f"csa={await api.token_of('ann')}",
        "Origin": str(api.client.make_url("/")).rstrip("/"),
    }
    tabs = []
    for _ in range(2):
        response = await api.call("POST", "/folders/plan", token="", data={"csrf": ""}, headers=headers)
        tabs.append(response.headers["Location"])
    assert tabs[0] != tabs[1]
    said = "Select one folder or more"
    assert said not in await (await show(api, tabs[0], username="root")).text()
    for tab in reversed(tabs):
        assert said in await (await api.call("GET", tab, token="", headers=headers)).text()
        assert said not in await (await api.call("GET", tab, token="", headers=headers)).text()


async def test_failed_jobs_are_counted_in_the_header_until_they_were_seen(api: Api) -> None:
    job_id = (await api.submit("Alpha"))["job_id"]
    assert "0 failed" in (await parsed(api, "/folders")).text
    await api.queue.move(await api.queue.get(job_id), JobStatus.FAILED, {"error_message": "It failed."})
    assert "1 failed" in (await parsed(api, "/folders")).text
    seen = {"Cookie": "csa_seen=9999-01-01T00:00:00.000Z"}
    assert "0 failed" in (await parsed(api, "/folders", headers=seen)).text


async def test_looks_are_as_the_cookies_say_and_nonsense_counts_for_nothing(api: Api) -> None:
    chosen = "csa_theme=dark; csa_units=1000; csa_zone=utc; csa_browser_zone=Europe/Berlin"
    root = (await parsed(api, "/folders", headers={"Cookie": chosen})).tags[0][1]
    assert (root["data-bs-theme"], root["data-units"], root["data-zone"]) == ("dark", "1000", "UTC")
    nonsense = 'csa_theme="><b>; csa_units=7; csa_zone=mars; csa_browser_zone=../../etc/passwd'
    root = (await parsed(api, "/folders", headers={"Cookie": nonsense})).tags[0][1]
    assert (root["data-theme"], root.get("data-bs-theme"), root["data-units"], root["data-zone"]) == (
        "system", None, "1024", "",
    )  # fmt: skip


async def test_files_are_kept_for_ever_under_the_name_of_them_all_and_packed_for_who_can_unpack(api: Api) -> None:
    address = next(link for link in (await parsed(api, "/folders")).addresses() if link.endswith("app.css"))
    packed = await api.call("GET", address, token="")
    assert packed.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert packed.headers["Content-Encoding"] == "gzip"
    plain = await api.call("GET", address, token="", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert await plain.read() == await packed.read()
    assert plain.headers["ETag"] != packed.headers["ETag"]
    of_yesterday = f"/static/0123456789ab/{address.rpartition('/')[2]}"
    old = await api.call("GET", of_yesterday, token="")
    assert (old.status, old.headers["Cache-Control"]) == (200, "no-cache")
    module = address.replace("app.css", "app.js")
    for line in (await (await api.call("GET", module, token="")).text()).splitlines():
        if '"./' in line:
            imported = module.rpartition("/")[0] + "/" + line.split('"./')[1].split('"')[0]
            assert (await api.call("GET", imported, token="")).status == 200, line


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [("gzip", True), ("br;q=1, GZIP;q=0.5", True), ("gzip;q=0", False), ("br, gzip; q=0.000, *", False), ("", False)],
)
async def test_files_are_packed_for_who_takes_them_so(api: Api, accepted: str, is_packed: bool) -> None:
    response = await api.call("GET", "/api/openapi.json", token="", headers={"Accept-Encoding": accepted})
    assert response.headers.get("Content-Encoding") == ("gzip" if is_packed else None)
    assert response.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("is_stripped", [True, False], ids=["stripped", "passed on"])
async def test_all_of_it_works_below_a_path(tmp_path: Path, is_stripped: bool) -> None:
    async with running_api(tmp_path, public_url="https://tools.test/media/archiver") as api:
        base = "/media/archiver"
        before = "" if is_stripped else base

        async def get(path: str, token: str = "") -> ClientResponse:
            cookie = f"__Secure-csa={token}"
            return await api.call("GET", before + path, token="", headers={**HTML, "Cookie": cookie} if token else HTML)

        led = await get("/folders?sort=-size")
        assert led.headers["Location"] == f"{base}/login?next=%2Fmedia%2Farchiver%2Ffolders%3Fsort%3D-size"
        assert (await get("/")).headers["Location"] == f"{base}/folders"
        assert (await api.call("GET", base, token="", headers=HTML)).headers["Location"] == f"{base}/folders"
        form = {"username": "root", "password": PASSWORD, "next": f"{base}/folders?sort=-size"}
        headers = {**HTML, "Origin": "https://tools.test"}
        signed_in = await api.call("POST", f"{before}/login", token="", data=form, headers=headers)
        assert signed_in.headers["Location"] == f"{base}/folders?sort=-size"
        cookie = signed_in.headers["Set-Cookie"]
        assert "Path=/media/archiver;" in cookie
        token = cookie.removeprefix("__Secure-csa=").partition(";")[0]
        outside = await api.call(
            "POST", f"{before}/login", token="", data={**form, "next": "/elsewhere"}, headers=headers
        )
        assert outside.headers["Location"] == f"{base}/folders"
        for route in SHOWN:
            response = await api.call(
                "GET", before + route.path, token="", params=query_for(route, api),
                headers={**HTML, "Cookie": f"__Secure-csa={token}"},
            )  # fmt: skip
            if response.status == 303:  # it shows something only right after a form
                assert response.headers["Location"].startswith(f"{base}/"), route.path
                continue
            page = Parsed(await response.text())
            assert page.tags[0][1]["data-base"] == base
            for address in page.addresses():
                assert address.startswith((f"{base}/", "#", "?")), (route.path, address)
                if "/static/" in address:
                    assert (await get(address.removeprefix(base))).status == 200, address
        await _api_is_below_it_too(api, before, base)


async def _api_is_below_it_too(api: Api, before: str, base: str) -> None:
    body = {"folder_path": api.folder("Alpha")}
    submitted = await api.call("POST", f"{before}/api/jobs", json=body)
    assert submitted.headers["Location"] == f"{base}/api/jobs/{(await submitted.json())['job_id']}"
    again = await (await api.call("POST", f"{before}/api/jobs", json=body)).json(content_type=None)
    assert again["job_url"] == submitted.headers["Location"]
    assert again["instance"] == f"{base}/api/jobs"
    await api.submit("Beta")
    first = await api.call("GET", f"{before}/api/jobs?limit=1&q=a")
    assert URL(str(first.links["next"]["url"])).raw_path == f"{base}/api/jobs"
    assert (await api.get(f"{before}/api/openapi.json"))["servers"][0]["url"] == base
