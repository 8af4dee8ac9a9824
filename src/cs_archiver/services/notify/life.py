"""Builds the notifications from the settings, and lets them run beside the workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cs_archiver.bus import Bus
from cs_archiver.db.database import Database
from cs_archiver.services.notify.apprise_notifier import AppriseNotifier, require_usable
from cs_archiver.services.notify.notifications import Notifications
from cs_archiver.services.notify.state import StateFile
from cs_archiver.services.notify.texts import Texts
from cs_archiver.services.notify.watcher import Watcher, WatchSettings
from cs_archiver.services.status import StatusService
from cs_archiver.settings import Settings


def notifications_of(settings: Settings) -> Notifications:
    notify = settings.notify
    notifiers = [AppriseNotifier(url, number=number) for number, url in enumerate(notify.targets, 1)]
    file = StateFile(settings.database.path.with_suffix(".notified.json"))
    return Notifications(notifiers, notify.kinds, file, Texts(settings.server.public_url))


@asynccontextmanager
async def telling(
    notifications: Notifications, settings: Settings, database: Database, bus: Bus, status: StatusService
) -> AsyncIterator[None]:
    """Meanwhile people are told. Raises ConfigError when the URLs cannot be used."""
    if not notifications.is_on:
        yield
        return
    await require_usable(settings)
    await notifications.open()
    watched = WatchSettings(settings.storage.base_path, settings.notify.queue_stuck_hours, settings.notify.digest_hour)
    watcher = Watcher(notifications, database, bus, status, watched)
    await watcher.begin()
    running = asyncio.create_task(notifications.run(watcher.run), name="notifications")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait({running})
