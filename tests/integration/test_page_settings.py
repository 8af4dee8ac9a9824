"""The settings, without a script: how things are shown, the password, the sessions, the API tokens."""

import pytest

from cs_archiver.domain.access import Scope
from cs_archiver.server.pages.settings_agents import agent_text
from tests.support.api import PASSWORD, Api
from tests.support.visitor import Visitor

NEW_PASSWORD = "seven lamps in the harbour"
CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 {}Safari/537.36"


async def _status(api: Api, token: str) -> int:
    return (await api.call("GET", "/api/queue", token=token)).status


async def test_display_is_kept_by_the_browser_and_shown_from_then_on(ann: Visitor) -> None:
    page = await ann.get("/settings")
    wish = {"theme": "dark", "units": "1000", "zone": "utc", "keys": "off"}
    fields = {"csrf": page.form("/settings/display")[0].get("value", ""), **wish}
    response = await ann.response("POST", "/settings/display", data=fields)
    assert response.status == 303
    kept = {name: morsel.value for name, morsel in response.cookies.items()}
    assert kept == {"csa_theme": "dark", "csa_units": "1000", "csa_zone": "utc", "csa_keys": "off"}
    assert all(morsel["max-age"] == "31536000" for morsel in response.cookies.values())
    page = await ann.get(response.headers["Location"], cookies={**kept, "csa_browser_zone": "Europe/Berlin"})
    assert "Kept for this browser." in page.text
    assert 'data-bs-theme="dark"' in page.html
    assert 'data-units="1000" data-zone="UTC" data-single-keys="off"' in page.html
    assert " UTC." in page.texts("#display .form-text")[0]
    assert page.values("#display input[checked]", "value") == ["dark", "1000", "utc", "off"]


@pytest.mark.parametrize(
    "wish", [{"theme": "pink"}, {"units": "1001"}, {"zone": ""}, {"keys": "some"}, {"colour": "red"}]
)
async def test_display_that_is_not_known_is_refused(ann: Visitor, wish: dict[str, str]) -> None:
    fields = {"theme": "dark", "units": "1000", "zone": "utc", "keys": "on", **wish}
    response = await ann.response("POST", "/settings/display", data=fields)
    assert (response.status, dict(response.cookies)) == (422, {})


async def test_password_is_changed_and_every_other_session_ends(api: Api, ann: Visitor) -> None:
    elsewhere = await api.token_of("ann")
    typed = {"current_password": PASSWORD, "new_password": NEW_PASSWORD, "repeated": NEW_PASSWORD}
    page = await ann.submit(await ann.get("/settings"), "/settings/password", typed)
    assert "Your password is changed." in page.text
    assert len(page.texts(".own")) == len(page.texts(".table-wrap.some tbody tr")) == 1
    assert [await _status(api, token) for token in (elsewhere, ann.token)] == [401, 401]
    credentials = {"username": "ann", "password": NEW_PASSWORD}
    assert (await api.call("POST", "/api/auth/login", token="", json=credentials)).status == 200


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"current_password": "wrong"}, "not your present password"),
        ({"new_password": "tiny one", "repeated": "tiny one"}, "at least 12 characters"),
        ({"repeated": "seven lamps in the garden"}, "not the same"),
        ({"new_password": PASSWORD, "repeated": PASSWORD}, "must differ"),
    ],
)
async def test_refused_password_is_told_beside_the_form(
    api: Api, ann: Visitor, typed: dict[str, str], said: str
) -> None:
    fields = {"current_password": PASSWORD, "new_password": NEW_PASSWORD, "repeated": NEW_PASSWORD, **typed}
    page = await ann.submit(await ann.get("/settings"), "/settings/password", fields, status=422)
    assert said in page.texts(".alert")[0]
    assert page.has("#display")
    assert not [secret for secret in fields.values() if secret in page.html]
    assert await _status(api, ann.token) == 200


async def test_sessions_are_shown_and_ended_one_by_one(api: Api, ann: Visitor) -> None:
    others = [await api.token_of("ann") for _ in range(2)]
    page = await ann.get("/settings")
    ends = [path for path in page.values("form", "action") if path.endswith("/end")]
    assert len(ends) == 2  # not this one
    page = await ann.submit(page, ends[0])
    assert "The session has ended." in page.text
    assert sorted([await _status(api, token) for token in others]) == [200, 401]
    page = await ann.submit(page, "/settings/sessions/end-others")
    assert "The other session has ended." in page.text
    assert [await _status(api, token) for token in (*others, ann.token)] == [401, 401, 200]
    assert "/settings/sessions/end-others" not in page.values("form", "action")


async def test_session_of_somebody_else_cannot_be_ended(api: Api, ann: Visitor) -> None:
    root = Visitor(api, await api.token_of("root"))
    await api.token_of("root")
    page = await root.get("/settings")
    path = next(path for path in page.values("form", "action") if path.endswith("/end"))
    page = await ann.post(path, {}, status=404)
    assert "You have no session of this id." in page.text


async def test_token_is_shown_once_works_and_is_revoked(api: Api, ann: Visitor) -> None:
    page = await ann.get("/settings/tokens/new")
    assert "admin" not in page.values(".form-check input", "value")  # ann is none
    wish = {"name": "<b>report</b>", "scope": "operate", "expires_in_days": "7"}
    page = await ann.submit(page, "/settings/tokens", wish)
    (token,) = page.values("#token", "value")
    assert token.startswith("csa_")
    assert await _status(api, token) == 200
    page = await ann.get("/settings")
    assert token not in page.html
    assert page.texts("td.name")[-1] == "<b>report</b>may operate"
    (revoke,) = [path for path in page.values("a", "href") if path.endswith("/revoke")]
    question = await ann.get(revoke)
    assert "Revoke the token <b>report</b>?" in question.text
    page = await ann.submit(question, revoke)
    assert "The token is revoked" in page.text
    assert await _status(api, token) == 401
    trail = [(line["action"], line["target"]) for line in await api.get("/api/audit?user=ann", username="root")]
    assert trail[:2] == [("tokens_revoke", revoke.split("/")[-2]), ("tokens_create", "<b>report</b> (operate)")]
    assert token not in str(trail)


async def test_new_token_is_not_shown_a_second_time_nor_to_anybody_else(api: Api, ann: Visitor) -> None:
    fields = {"name": "report", "scope": "read", "expires_in_days": "7"}
    address = (await ann.response("POST", "/settings/tokens", data=fields)).headers["Location"]
    other = Visitor(api, await api.token_of("root"))
    for visitor, status in ((other, 303), (ann, 200), (ann, 303)):
        response = await visitor.response("GET", address)
        assert response.status == status
        assert ('value="csa_' in await response.text()) is (status == 200)
        if status == 303:
            assert "shown once only" in (await visitor.get(response.headers["Location"])).text


async def test_token_above_its_owner_is_refused_on_the_form(ann: Visitor) -> None:
    fields = {"name": "report", "scope": "admin", "expires_in_days": "7"}
    page = await ann.post("/settings/tokens", fields, status=403)
    assert "Only an administrator" in page.texts(".alert")[0]
    assert page.values("#token-name", "value") == ["report"]


@pytest.mark.parametrize("wish", [{"name": ""}, {"name": "a\nb"}, {"scope": "all"}, {"expires_in_days": "367"}])
async def test_token_of_wrong_values_is_refused(ann: Visitor, wish: dict[str, str]) -> None:
    fields = {"name": "report", "scope": "read", "expires_in_days": "7", **wish}
    page = await ann.post("/settings/tokens", fields, status=422)
    assert next(iter(wish)) in page.text


@pytest.mark.parametrize("path", ["/settings/tokens/1/revoke", "/settings/tokens/x/revoke"])
async def test_token_of_somebody_else_cannot_be_revoked(api: Api, ann: Visitor, path: str) -> None:
    await api.personal_token_of("root", Scope.READ)
    for page in (await ann.get(path, status=404), await ann.post(path, {}, status=404)):
        assert "Token not found" in page.text
    assert await api.get("/api/auth/tokens", username="root")


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (CHROME.format("X11; Linux x86_64", ""), "Chrome on Linux"),
        (CHROME.format("Windows NT 10.0; Win64; x64", "").replace("Safari", "Safari/537.36 Edg"), "Edge on Windows"),
        (CHROME.format("Linux; Android 14", "Mobile "), "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14.6; rv:133.0) Gecko/20100101 Firefox/133.0", "Firefox on macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iOS"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "A program without a name"),
        ("x" * 99, "x" * 40),
    ],
)
def test_programs_are_called_as_people_know_them(user_agent: str, name: str) -> None:
    assert agent_text(user_agent) == name
