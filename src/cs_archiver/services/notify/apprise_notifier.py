"""Sends by apprise, which knows over a hundred services, in a process that can be ended at any time."""

import asyncio
import importlib.util
import json
import logging
import os
import sys
from dataclasses import asdict
from typing import Any

from cs_archiver.domain.notices import Message
from cs_archiver.errors import JobError
from cs_archiver.services.notify import apprise_child
from cs_archiver.services.notify.notifier import NotSent
from cs_archiver.settings import Settings
from cs_archiver.tools.process import Finished, Processes

CHILD_COMMAND = "notify-child"

_SEND_SECONDS = 30.0
_CHECK_SECONDS = 30.0
_OF_THE_NETWORK = (
    "http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip

_log = logging.getLogger(__name__)


class AppriseNotifier:
    """A Notifier for one URL; `name` is its number in the settings and its scheme."""

    def __init__(self, url: str, *, number: int) -> None:
        self.name = name_of(url, number)
        self._url = url

    async def send(self, message: Message) -> None:
        try:
            finished = await _run({"urls": [self._url], "message": asdict(message)}, seconds=_SEND_SECONDS)
        except TimeoutError as error:
            raise NotSent(f"no answer within {_SEND_SECONDS:g} s") from error
        except (JobError, OSError) as error:
            raise NotSent(f"apprise cannot be started: {error}") from error
        if finished.returncode != 0:
            raise NotSent(finished.describe("apprise"))


def name_of(url: str, number: int) -> str:
    scheme = url.partition("://")[0]
    return f"{number} ({scheme})"


async def require_usable(settings: Settings) -> None:
    """Raises ConfigError when apprise is not installed, or does not understand one of the URLs."""
    urls, origin = settings.notify.targets, settings.origin
    key = "urls_file" if settings.notify.urls_file else "urls"
    if not urls:
        return
    if importlib.util.find_spec("apprise") is None:
        expected = 'nothing while the package apprise is not installed: pip install "apprise>=1.9" beside cs-archiver'
        raise origin.wrong("notify", key, expected)
    try:
        finished = await _run({"urls": list(urls)}, seconds=_CHECK_SECONDS)
        wrong = json.loads(finished.stdout) if finished.returncode == 0 else None
    except (TimeoutError, JobError, OSError):
        wrong = None
    if wrong is None:  # no reason not to archive: that it cannot be used shows at the first message
        _log.warning("apprise did not say within %g s whether it understands the notification URLs", _CHECK_SECONDS)
    elif wrong:
        names = ", ".join(name_of(urls[index], index + 1) for index in wrong)
        raise origin.wrong("notify", key, "URLs that apprise understands", f"others: {names}")


async def _run(task: dict[str, Any], *, seconds: float) -> Finished:
    """The child with this task, which it reads from a file that has no name: the URLs are in no list of processes."""
    environ = {name: os.environ[name] for name in _OF_THE_NETWORK if name in os.environ}
    descriptor = os.memfd_create("notification")
    try:
        os.write(descriptor, json.dumps({**task, "environ": environ}).encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        # None of the service's locks goes along: a child that is left behind must not keep the next start out.
        async with asyncio.timeout(seconds):
            return await Processes(inherit_fds=(descriptor,)).run([*_program(), str(descriptor)])
    finally:
        os.close(descriptor)


def _program() -> list[str]:
    if getattr(sys, "frozen", False):
        return [sys.executable, CHILD_COMMAND]
    return [sys.executable, "-P", apprise_child.__file__]
