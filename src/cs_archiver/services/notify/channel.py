"""The way of messages to one place: a short line of them, tried again later and later while it is refused."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cs_archiver.clock import now_text
from cs_archiver.domain.notices import Message, Tone
from cs_archiver.services.notify.notifier import Notifier, NotSent

_MOST_WAITING = 50
_LONGEST_BODY = 8000
_GRACE_SECONDS = 2.0
_PAUSES_SECONDS = (10.0, 60.0, 300.0, 900.0, 3600.0)

_log = logging.getLogger(__name__)


class Trouble(NamedTuple):
    """Why the last attempt failed, and since when all have."""

    since: str
    reason: str


class Channel:
    """`on_change` hears of it when what waits here has become another."""

    def __init__(self, notifier: Notifier, on_change: Callable[[], None]) -> None:
        self._notifier = notifier
        self._on_change = on_change
        self._waiting: deque[Message] = deque(maxlen=_MOST_WAITING)
        self._news = asyncio.Event()
        self._works_again = asyncio.Event()
        self._failures = 0
        self.trouble: Trouble | None = None
        self.last_sent_at: str | None = None

    @property
    def name(self) -> str:
        return self._notifier.name

    @property
    def waiting(self) -> list[Message]:
        return list(self._waiting)

    def put(self, messages: Iterable[Message]) -> None:
        """They are sent once `go` is called. A full line loses its oldest, and the log says so."""
        for message in messages:
            if len(self._waiting) == _MOST_WAITING:
                _log.error(
                    "notification %s: too many wait, so this is not told: %s", self.name, self._waiting[0].subject
                )
            self._waiting.append(message)

    def go(self) -> None:
        """Send what waits."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting and not await self._deliver():
                await self._pause()

    async def test(self, message: Message) -> str | None:
        """One attempt beside the line; gives back why it failed, None when it was handed over."""
        try:
            await self._notifier.send(message)
        except NotSent as error:
            return str(error)
        self._worked()
        return None

    async def _deliver(self) -> bool:
        messages = self.waiting
        sending = asyncio.create_task(self._notifier.send(merged(messages)), name=f"send to {self.name}")
        try:
            await asyncio.shield(sending)
        except NotSent as error:
            self._failures += 1
            self.trouble = Trouble(self.trouble.since if self.trouble else now_text(), str(error))
            _log.warning("notification %s failed, attempt %d: %s", self.name, self._failures, error)
            return False
        except asyncio.CancelledError:
            # What is as good as sent gets a moment: cut off, it would be sent once more after the next start.
            await asyncio.wait({sending}, timeout=_GRACE_SECONDS)
            if sending.done() and sending.exception() is None:
                self._sent(messages)
            sending.cancel()
            await asyncio.wait({sending})
            raise
        self._sent(messages)
        return True

    def _sent(self, messages: list[Message]) -> None:
        for message in messages:
            if self._waiting and self._waiting[0] is message:
                self._waiting.popleft()
        self._worked()

    async def _pause(self) -> None:
        """Before the next attempt; cut short when a test has shown that it works again."""
        self._works_again.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSES_SECONDS[min(self._failures, len(_PAUSES_SECONDS)) - 1]):
                await self._works_again.wait()

    def _worked(self) -> None:
        self._failures, self.trouble, self.last_sent_at = 0, None, now_text()
        self._works_again.set()
        self._on_change()


def merged(messages: list[Message]) -> Message:
    """One message of all: what waited while a place was out of reach does not come as a flood when it is back."""
    if len(messages) == 1:
        return messages[0]
    body = "\n\n----\n\n".join(f"{message.subject}\n\n{message.body}" for message in messages)
    if len(body) > _LONGEST_BODY:
        body = f"{body[:_LONGEST_BODY]}...\n\nThere is more: look at the dashboard."
    gravest = max((message.tone for message in messages), key=list(Tone).index)
    return Message(f"CS Archiver: {len(messages)} messages that could not be sent before", body, gravest)
