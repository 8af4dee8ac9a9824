"""One message to one place: the contract of a Notifier, held by apprise against a real server."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from cs_archiver.domain.notices import Message, Tone, shown
from cs_archiver.errors import ConfigError
from cs_archiver.services.notify import apprise_child, apprise_notifier
from cs_archiver.services.notify.apprise_notifier import AppriseNotifier, require_usable
from cs_archiver.services.notify.notifier import Notifier, NotSent
from cs_archiver.settings import Settings
from tests.support.inbox import Inbox, running_inbox
from tests.support.service import Place, settings_of

MESSAGE = Message("CS Archiver: test", "One line.\nAnother: :smile: {{ x }} <b> \\n %s", Tone.WARNING)


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with running_inbox() as running:
        yield running


def children() -> list[psutil.Process]:
    alive = psutil.Process().children(recursive=True)
    return [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


async def test_message_arrives_as_it_was_written(inbox: Inbox) -> None:
    notifier: Notifier = AppriseNotifier(inbox.url, number=1)
    await notifier.send(MESSAGE)
    (found,) = inbox.messages
    assert (found["title"], found["message"], found["type"]) == (MESSAGE.subject, MESSAGE.body, "warning")
    assert found["attachments"] == []
    assert sys.modules.get("apprise") is None, "it takes 42 MB, and so it stays in the child"
    assert children() == []


async def test_refused_message_says_why_and_tells_no_secret(inbox: Inbox) -> None:
    inbox.mood = "refuses"
    url = inbox.url.replace("json://", "json://ann:open-sesame@").replace("secret-path", "path-that-is-secret")
    with pytest.raises(NotSent) as refused:
        await AppriseNotifier(url, number=1).send(MESSAGE)
    assert "500" in str(refused.value)
    assert not any(secret in str(refused.value) for secret in ("open-sesame", "path-that-is-secret"))
    assert str(refused.value).isprintable()


async def test_nobody_at_the_address_is_a_message_not_sent() -> None:
    with pytest.raises(NotSent, match=r"127\.0\.0\.1"):
        await AppriseNotifier("json://127.0.0.1:9/", number=1).send(MESSAGE)


async def test_reason_loses_what_stands_in_the_url() -> None:
    url = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
    line = apprise_child._without_secrets("POST /TIiajkdnlazkcOXrIdevi7FQ by T1JJ3T3L2 failed", url)
    assert line == "POST /**** by **** failed"
    assert "mail.example.org" in apprise_child._without_secrets(
        "mail.example.org refused sesame", "mailtos://ann:sesame@mail.example.org:587"
    )


async def test_server_that_never_answers_is_left_at_the_time_out_and_no_process_stays(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apprise_notifier, "_SEND_SECONDS", 2.0)
    inbox.mood = "hangs"
    begun = time.monotonic()
    with pytest.raises(NotSent, match="no answer within 2 s"):
        await AppriseNotifier(f"{inbox.url}?rto=600", number=1).send(MESSAGE)
    assert time.monotonic() - begun < 10
    assert children() == []


async def test_answer_without_end_costs_this_process_no_memory(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise_notifier, "_SEND_SECONDS", 20.0)
    inbox.mood = "floods"
    before = psutil.Process().memory_info().rss
    with pytest.raises(NotSent):
        await AppriseNotifier(inbox.url, number=1).send(MESSAGE)
    assert 0 < inbox.flooded_bytes < 2 * 1024**3
    assert psutil.Process().memory_info().rss - before < 64 * 1024**2
    assert children() == []


async def test_cancelled_sending_ends_its_process(inbox: Inbox) -> None:
    inbox.mood = "hangs"
    sending = asyncio.create_task(AppriseNotifier(f"{inbox.url}?rto=600", number=1).send(MESSAGE))
    await inbox.until_asked(1)
    begun = time.monotonic()
    sending.cancel()
    await asyncio.wait({sending})
    assert sending.cancelled()
    assert time.monotonic() - begun < 3
    assert children() == []


async def test_process_list_and_environment_hold_no_url(inbox: Inbox) -> None:
    inbox.mood = "hangs"
    sending = asyncio.create_task(AppriseNotifier(f"{inbox.url}?rto=600", number=1).send(MESSAGE))
    await inbox.until_asked(1)
    (child,) = children()
    told = " ".join([*child.cmdline(), *child.environ().values()])
    sending.cancel()
    await asyncio.wait({sending})
    assert "secret-path" not in told


async def test_child_passes_on_the_proxy_and_nothing_else(monkeypatch: pytest.MonkeyPatch, inbox: Inbox) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{inbox.port}")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    await AppriseNotifier("json://nowhere.invalid/", number=1).send(MESSAGE)
    assert len(inbox.messages) == 1


def _settings(tmp_path: Path, **more: str) -> Settings:
    return settings_of(Place(tmp_path).make(), "http://127.0.0.1:9/", **more)


async def test_urls_that_apprise_knows_are_fine(tmp_path: Path) -> None:
    await require_usable(_settings(tmp_path, NOTIFY_URLS="json://127.0.0.1/x mailto://ann:pass@example.org"))
    await require_usable(_settings(tmp_path))


async def test_url_that_apprise_does_not_know_is_refused_by_its_number(tmp_path: Path) -> None:
    settings = _settings(tmp_path, NOTIFY_URLS="json://127.0.0.1/x\nnonsense://s3cret\nslack://s3cret")
    with pytest.raises(ConfigError) as refused:
        await require_usable(settings)
    text = str(refused.value)
    assert "[notify] urls: expected URLs that apprise understands, found others: 2 (nonsense), 3 (slack)" in text
    assert "NOTIFY_URLS" in text
    assert "s3cret" not in text


async def test_urls_of_a_file_are_taken_and_the_file_is_named_when_they_are_wrong(tmp_path: Path) -> None:
    file = tmp_path / "urls"
    file.touch(0o600)
    file.write_text("json://127.0.0.1/a\njson://127.0.0.1/b\n")
    settings = _settings(tmp_path, NOTIFY_URLS_FILE=str(file))
    assert settings.notify.targets == ("json://127.0.0.1/a", "json://127.0.0.1/b")
    file.write_text("nonsense://x")
    with pytest.raises(ConfigError, match=r"\[notify\] urls_file: expected URLs"):
        await require_usable(_settings(tmp_path, NOTIFY_URLS_FILE=str(file)))


async def test_missing_apprise_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError, match=r'\[notify\] urls: .*pip install "apprise>=1\.9" beside cs-archiver'):
        await require_usable(_settings(tmp_path, NOTIFY_URLS="json://127.0.0.1/x"))
    await require_usable(_settings(tmp_path))


@pytest.mark.parametrize(
    ("urls", "words"),
    [("not a url", "URLs such as"), ("json://a json://a", "none of them twice"), ("json://", "URLs such as")],
)
def test_text_that_is_no_list_of_urls_is_refused_without_repeating_it(tmp_path: Path, urls: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        _settings(tmp_path, NOTIFY_URLS=urls)
    assert "found" not in str(refused.value)


def test_unknown_event_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[notify\] events: expected a list of some of failed, needs_attention"):
        _settings(tmp_path, NOTIFY_EVENTS='["falied"]')


def test_names_are_shown_on_one_line_as_what_they_are() -> None:
    assert shown("a\r\nBcc: x\x1b[31m\u202e\udcff\\") == r"a\r\nBcc: x\x1b[31m\u202e\udcff\\"
    assert shown("Æther <b>") == "Æther <b>"
    assert len(shown("x" * 10_000)) < 300


def test_memory_file_is_not_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotSent):
        asyncio.run(AppriseNotifier("json://127.0.0.1:9/", number=1).send(MESSAGE))
    assert len(os.listdir("/proc/self/fd")) == before
