"""What is told to people, where, and how that goes; with a test of it."""

from aiohttp import web

from cs_archiver.domain.notices import Kind
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.keys import NOTIFICATIONS
from cs_archiver.server.pages.flash import Level
from cs_archiver.server.pages.frame import go_on, render
from cs_archiver.server.route import Call

_PAGE = "/admin/notifications"

KINDS = {
    Kind.FAILED: "A job failed",
    Kind.NEEDS_ATTENTION: "A job waits for a person, or the database cannot be used",
    Kind.DISK_LOW: "The local disk is getting full",
    Kind.QUEUE_STUCK: "Nothing in the queue moves",
    Kind.COMPLETED: "A job completed",
    Kind.DIGEST: "All of it once a day",
}


async def show(call: Call[PageQuery, None]) -> web.Response:
    context = {"notifications": call.service(NOTIFICATIONS), "kinds": KINDS}
    return await render(call.request, "admin_notifications.html", context)


async def test(call: Call[None, Form]) -> web.Response:
    tested = await call.service(NOTIFICATIONS).test()
    failed = [f"{place.name}: {place.error}" for place in tested if place.error is not None]
    if failed:
        return go_on(call, _PAGE, f"The test did not arrive everywhere. {' '.join(failed)}", Level.WARNING)
    names = ", ".join(place.name for place in tested)
    return go_on(call, _PAGE, f"The test was handed over to {names}. Look whether it arrives.")
