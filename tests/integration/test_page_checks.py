"""The checks as the API and the dashboard show them: without a script, to everybody, and never made by looking."""

import pytest

from cs_archiver.domain.access import Scope
from cs_archiver.domain.checks import Checked, Finding, Verdict
from tests.support.api import Api, refusal_of
from tests.support.visitor import Visitor

AT = "2026-01-15T14:32:01.250Z"
FINE = Checked("rsync", "rsync", Finding(Verdict.OK, "version 3.4.1"), AT)
OLD = Checked("seven_zip", "7-Zip", Finding(Verdict.WARNING, "version 23.01", "install a newer one"), AT)
UNMOUNTED = Checked("nas", "NAS folder", Finding(Verdict.FAILED, "<b>empty</b>", "mount the NAS there"), AT)
HANGING = Checked("globus", "Globus", Finding(Verdict.UNKNOWN, "no answer within 20 s", "check the network"), AT)
FOLLOWS = Checked("clock", "Clock", Finding(Verdict.UNKNOWN, "not checked, because signing in did not work"), AT)
ALL = [FINE, OLD, UNMOUNTED, HANGING, FOLLOWS]


async def test_results_stand_in_the_status_and_troubles_among_its_warnings(api: Api) -> None:
    api.installation.checks = ALL
    assert (await api.get("/api/system/status"))["checks"] == []
    answer = await api.call("POST", "/api/system/checks")
    rows = await answer.json()
    assert rows[2] == {
        "name": "nas",
        "title": "NAS folder",
        "verdict": "failed",
        "found": "<b>empty</b>",
        "advice": "mount the NAS there",
        "checked_at": AT,
    }
    status = await api.get("/api/system/status")
    assert status["checks"] == rows
    assert status["warnings"] == [
        "NAS folder: <b>empty</b>; mount the NAS there.",
        "Globus: no answer within 20 s; check the network.",
    ]


async def test_checks_are_made_on_demand_and_noted_but_never_by_looking(api: Api, ann: Visitor) -> None:
    for path in ("/checks", "/queue"):
        await ann.get(path)
    await api.get("/api/system/status")
    assert api.installation.rounds == 0
    page = await ann.submit(await ann.get("/checks"), "/checks")
    assert "All checks passed." in page.text
    await api.call("POST", "/api/system/checks")
    assert api.installation.rounds == 2
    trail = await api.get("/api/audit?action=system_check", username="root")
    assert [(line["user"], line["result"]) for line in trail] == [("ann", "ok"), ("ann", "ok")]


async def test_a_token_needs_the_scope_operate_to_have_checks_made(api: Api) -> None:
    narrow = await api.personal_token_of("ann", Scope.READ)
    await refusal_of(await api.call("POST", "/api/system/checks", token=narrow), 403, "scope-too-narrow")
    wide = await api.personal_token_of("ann", Scope.OPERATE)
    assert (await api.call("POST", "/api/system/checks", token=wide)).status == 200
    await refusal_of(await api.call("POST", "/api/system/checks", token=""), 401, "not-authenticated")


async def test_page_shows_what_was_found_and_what_to_do(api: Api, ann: Visitor) -> None:
    assert "Nothing is checked yet" in (await ann.get("/checks")).text
    api.installation.checks = ALL
    page = await ann.submit(await ann.get("/checks"), "/checks")
    assert "2 checks did not pass." in page.text
    rows = [text.split(" ") for text in page.texts("#checks tbody tr")]
    assert len(rows) == 5
    assert "<b>empty</b>Mount the NAS there." in page.text
    assert page.texts("#checks .list-head") == ["1 failed · 2 not checked · 1 warning · 1 fine"]


@pytest.mark.parametrize("path", ["/folders", "/queue", "/history", "/settings", "/checks"])
async def test_every_page_tells_of_a_trouble_and_leads_to_what_to_do(api: Api, ann: Visitor, path: str) -> None:
    assert (await ann.get(path)).texts("#check-troubles") == [""]
    api.installation.checks = ALL
    await api.call("POST", "/api/system/checks")
    page = await ann.get(path)
    assert page.texts("#check-troubles") == ["2 checks did not pass: NAS folder, Globus. What to do"]
    assert "/checks" in page.values("#check-troubles a", "href")
    api.installation.checks = [FINE, OLD]
    await api.call("POST", "/api/system/checks")
    assert (await ann.get(path)).texts("#check-troubles") == [""]


async def test_those_who_are_not_signed_in_are_told_nothing(api: Api) -> None:
    api.installation.checks = ALL
    await api.call("POST", "/api/system/checks")
    assert "NAS folder" not in await (await api.call("GET", "/login", token="")).text()
    newcomer = Visitor(api, await api.token_of("new"))
    assert (await newcomer.get("/password")).texts("#check-troubles") == [""]


async def test_checks_stand_in_the_menu_of_administrators(api: Api, ann: Visitor) -> None:
    root = Visitor(api, await api.token_of("root"))
    assert "/checks" in (await root.get("/queue")).values(".menu-items a", "href")
    assert "/checks" not in (await ann.get("/queue")).values("a", "href")
