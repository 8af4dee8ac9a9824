"""Notifications, as administrators try them."""

from cs_archiver.server.contract.notifications import NotificationTested
from cs_archiver.server.keys import NOTIFICATIONS
from cs_archiver.server.paging import whole
from cs_archiver.server.route import Bare, Reply


async def test(call: Bare) -> Reply:
    return whole([NotificationTested.of(tested) for tested in await call.service(NOTIFICATIONS).test()])
