"""What the rest of the service sees of notifications: tell, test, and how the sending goes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cs_archiver.domain.notices import Kind, Message
from cs_archiver.errors import Conflict, JobError
from cs_archiver.services.notify.channel import Channel
from cs_archiver.services.notify.notifier import Notifier
from cs_archiver.services.notify.state import State, StateFile
from cs_archiver.services.notify.texts import Texts
from cs_archiver.tools.threads import in_thread

_PAUSE_AFTER_FAULT_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of a test at one place; no `error`: it was handed over."""

    name: str
    error: str | None


class Notifications:
    """`kinds` are those that are told. Without notifiers nothing is told, and nothing runs."""

    def __init__(self, notifiers: Sequence[Notifier], kinds: frozenset[Kind], file: StateFile, texts: Texts) -> None:
        self.channels = [Channel(notifier, self._channel_changed) for notifier in notifiers]
        self.kinds = kinds if notifiers else frozenset()
        self.texts = texts
        self.state = State()
        self._file = file
        self._changed = asyncio.Event()
        self._saving = asyncio.Lock()
        self._not_saved: str | None = None
        self._testing: asyncio.Task[list[Tested]] | None = None

    @property
    def is_on(self) -> bool:
        return bool(self.channels)

    def troubles(self) -> list[str]:
        """What people should know of the sending itself."""
        failing = [
            f"Notifications do not reach {channel.name} since {channel.trouble.since}: {channel.trouble.reason}."
            for channel in self.channels
            if channel.trouble is not None
        ]
        return [*failing, *([self._not_saved] if self._not_saved else [])]

    async def open(self) -> None:
        """Go on where the last run of the service ended."""
        try:
            found = await in_thread(lambda _work: self._file.read())
        except (OSError, ValueError) as error:
            _log.warning("what was told before is not known, so nothing of it is told again: %s", error)
            found = None
        self.state = State() if found is None else found
        for channel in self.channels:
            channel.put(self.state.unsent.get(channel.name, ()))
            channel.go()

    async def tell(self, messages: Sequence[Message]) -> None:
        """Put them in line everywhere. That they are there is stored before the first is sent; never raises."""
        for channel in self.channels:
            channel.put(messages)
        await self.save()
        for channel in self.channels:
            channel.go()

    async def test(self) -> list[Tested]:
        """Try every place now; who asks while a test is under way gets what comes of that one.

        Raises Conflict when there is no place.
        """
        if not self.is_on:
            raise Conflict("notifications-off", "No notification URL is set: see [notify] urls in the configuration.")
        if self._testing is None or self._testing.done():
            self._testing = asyncio.create_task(self._test_all(), name="test of the notifications")
        return await asyncio.shield(self._testing)

    async def save(self) -> None:
        async with self._saving:
            self.state.unsent = {channel.name: channel.waiting for channel in self.channels if channel.waiting}
            content = self.state.model_dump_json().encode()
            try:
                await in_thread(lambda _work: self._file.write(content))
            except OSError as error:
                self._not_saved = f"What was told cannot be stored, and is told again after a restart: {error}."
                _log.warning("%s", self._not_saved)
            else:
                self._not_saved = None

    async def run(self, *others: Callable[[], Awaitable[None]]) -> None:
        """The sending, and what else belongs to it, until cancelled: a fault is logged, and ends nothing."""
        try:
            async with asyncio.TaskGroup() as group:
                for work in (self._keep_saved, *(channel.run for channel in self.channels), *others):
                    group.create_task(_again_and_again(work), name=f"notifications: {work.__qualname__}")
        finally:
            if self._testing is not None:
                self._testing.cancel()
            await self.save()
            for channel in self.channels:
                if channel.waiting:
                    _log.warning("notification %s: %d wait for the next start", channel.name, len(channel.waiting))

    async def _test_all(self) -> list[Tested]:
        message = self.texts.test()
        errors = await asyncio.gather(*(channel.test(message) for channel in self.channels))
        return [Tested(channel.name, error) for channel, error in zip(self.channels, errors, strict=True)]

    async def _keep_saved(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.save()

    def _channel_changed(self) -> None:
        self._changed.set()


async def _again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except JobError as error:
            _log.warning("notifications pause: %s", error)
        except Exception:  # noqa: BLE001  the one place: a fault in telling must not reach what is told of
            _log.exception("unexpected error in the notifications")
        await asyncio.sleep(_PAUSE_AFTER_FAULT_SECONDS)
