"""The test of the notifications, by administrators: on the page, by the API, and from the host."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cs_archiver.cli import main
from cs_archiver.domain.access import Scope
from cs_archiver.domain.notices import Message
from cs_archiver.resources import resource
from cs_archiver.services.notify.apprise_notifier import AppriseNotifier
from cs_archiver.services.notify.channel import Trouble
from cs_archiver.services.notify.notifier import NotSent
from tests.support.api import Api, refusal_of, running_api
from tests.support.inbox import Inbox, running_inbox
from tests.support.service import Place, environment
from tests.support.visitor import Visitor

PAGE = "/admin/notifications"


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with running_inbox() as running:
        yield running


@pytest.fixture
async def api(tmp_path: Path, inbox: Inbox) -> AsyncIterator[Api]:
    async with running_api(tmp_path, notifiers=[AppriseNotifier(inbox.url, number=1)]) as running:
        yield running


@pytest.fixture
async def root(api: Api) -> Visitor:
    return Visitor(api, await api.token_of("root"))


async def test_test_is_sent_from_the_page_and_noted(api: Api, root: Visitor, inbox: Inbox) -> None:
    page = await root.get(PAGE)
    assert page.texts("td.name") == ["1 (json)"]
    assert "Nothing sent since the start" in page.text
    page = await root.submit(page, f"{PAGE}/test")
    assert page.texts("#flash .alert-success") == ["The test was handed over to 1 (json). Look whether it arrives."]
    assert page.has("td .tone-good")
    assert inbox.subjects == ["CS Archiver: test"]
    (trail, *_) = await api.get("/api/audit?action=notifications_test", username="root")
    assert (trail["user"], trail["result"]) == ("root", "ok")
    assert "Test the notifications" in (await root.get("/admin/audit")).text


async def test_refused_test_says_why_on_the_page_and_by_the_api(api: Api, root: Visitor, inbox: Inbox) -> None:
    inbox.mood = "refuses"
    page = await root.post(f"{PAGE}/test", {})
    (told,) = page.texts("#flash .alert-warning")
    assert told.startswith("The test did not arrive everywhere. 1 (json): ")
    assert "error=500" in told
    assert "secret-path" not in page.html
    response = await api.call("POST", "/api/notifications/test", username="root")
    (answer,) = await response.json()
    assert (answer["name"], answer["sent"]) == ("1 (json)", False)
    assert "error=500" in answer["error"]
    inbox.mood = "takes"
    response = await api.call("POST", "/api/notifications/test", username="root")
    assert await response.json() == [{"name": "1 (json)", "sent": True, "error": None}]


async def test_others_may_not_send_tests(api: Api, inbox: Inbox) -> None:
    await refusal_of(await api.call("POST", "/api/notifications/test"), 403, "admins-only")
    token = await api.personal_token_of("root", Scope.OPERATE)
    await refusal_of(await api.call("POST", "/api/notifications/test", token=token), 403, "scope-too-narrow")
    ann = Visitor(api, await api.token_of("ann"))
    assert "For administrators only" in (await ann.get(PAGE, status=403)).text
    await ann.post(f"{PAGE}/test", {}, status=403)
    assert inbox.asked == 0


async def test_page_says_that_nothing_is_told_where_no_url_is_set(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        root = Visitor(api, await api.token_of("root"))
        page = await root.get(PAGE)
        assert "Set [notify] urls in the configuration" in page.text
        assert page.values("main form", "action") == []
        assert "No notification URL is set" in (await root.post(f"{PAGE}/test", {}, status=409)).text
        refused = await api.call("POST", "/api/notifications/test", username="root")
        await refusal_of(refused, 409, "notifications-off")


class Refusing:
    """A place that takes nothing, and says so in a way that a page must not take for markup."""

    name = "2 (<b>)"

    async def send(self, _message: Message) -> None:
        raise NotSent("<img src=x>")


async def test_trouble_stands_on_the_page_and_in_the_status_as_text(tmp_path: Path) -> None:
    async with running_api(tmp_path, notifiers=[Refusing()]) as api:
        root = Visitor(api, await api.token_of("root"))
        (channel,) = api.notifications.channels
        channel.trouble = Trouble("2026-01-15T14:32:01.000Z", "<img src=x>")
        page = await root.get(PAGE)
        assert "<img src=x>" in page.text
        assert "<img src=x>" not in page.html
        warnings = (await api.get("/api/system/status"))["warnings"]
        assert "Notifications do not reach 2 (<b>) since 2026-01-15T14:32:01.000Z: <img src=x>." in warnings


def _run(place: Place, command: str, **more: str) -> Result:
    config = place.root / "config.toml"
    config.touch()
    env = environment(place, "http://127.0.0.1:9/", **more)
    return CliRunner().invoke(main, [command, "--config", str(config)], env=env)


async def test_command_sends_a_test_to_every_place(place: Place, inbox: Inbox) -> None:
    result = await asyncio.to_thread(_run, place, "notify-test", NOTIFY_URLS=f"{inbox.url} {inbox.url}/second")
    assert (result.exit_code, result.output) == (0, "1 (json): sent\n2 (json): sent\n")
    assert inbox.subjects == ["CS Archiver: test"] * 2


async def test_single_file_sends_by_a_command_of_its_own(
    tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    single_file = tmp_path / "cs-archiver"
    source = resource("src")
    single_file.write_text(f'#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} -m cs_archiver "$@"\n')
    single_file.chmod(0o755)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(single_file))
    await AppriseNotifier(inbox.url, number=1).send(Message("CS Archiver: test", "text"))
    assert inbox.subjects == ["CS Archiver: test"]


def test_command_says_why_a_place_was_not_reached(place: Place) -> None:
    result = _run(place, "notify-test", NOTIFY_URLS="json://127.0.0.1:9/open-sesame")
    assert result.exit_code == 1
    assert result.output.startswith("1 (json): failed: apprise ended with exit code 1: ")
    assert "open-sesame" not in result.output


@pytest.mark.parametrize("command", ["notify-test", "check-config"])
def test_commands_refuse_a_url_that_is_not_understood(place: Place, command: str) -> None:
    result = _run(place, command, NOTIFY_URLS="nonsense://open-sesame")
    assert result.exit_code == 2
    assert "[notify] urls: expected URLs that apprise understands, found others: 1 (nonsense)" in result.output
    assert "open-sesame" not in result.output


def test_command_needs_a_place(place: Place) -> None:
    result = _run(place, "notify-test")
    assert result.exit_code == 2
    assert "[notify] urls: expected URLs to send a test to, found nothing" in result.output
