"""The audit trail, page by page: who did what, to what, when, from where, and what came of it."""

from datetime import timedelta
from typing import Annotated, Literal

from aiohttp import web

from cs_archiver.db.audit import Wanted
from cs_archiver.server.contract.forms import PageQuery
from cs_archiver.server.contract.text import NoneIfEmpty, OptionalWords
from cs_archiver.server.keys import AUDIT, USERS
from cs_archiver.server.pages.admin_words import ACTIONS
from cs_archiver.server.pages.frame import render
from cs_archiver.server.pages.history_query import Day, start_of
from cs_archiver.server.pages.listing import Listing, PageNumber, PerPage
from cs_archiver.server.pages.preferences import Preferences, preferences_of
from cs_archiver.server.problem_names import PROBLEMS
from cs_archiver.server.route import Call


class AuditPageQuery(PageQuery):
    """`user` did it, or had it done to the account; `what` is the action, `q` stands in what it was done to."""

    user: OptionalWords = None
    what: OptionalWords = None
    result: Annotated[Literal["ok", "refused"] | None, NoneIfEmpty] = None
    since: Day = None
    until: Day = None
    q: OptionalWords = None
    page: PageNumber = 1
    per: PerPage = 50

    @property
    def is_filtered(self) -> bool:
        return any((self.user, self.what, self.result, self.since, self.until, self.q))

    def wanted(self, preferences: Preferences) -> Wanted:
        zone = preferences.time_zone
        return Wanted(
            username=self.user,
            action=self.what,
            since=None if self.since is None else start_of(self.since, zone),
            before=None if self.until is None else start_of(self.until + timedelta(days=1), zone),
            words=self.q,
            went_well=None if self.result is None else self.result == "ok",
        )


async def show(call: Call[AuditPageQuery, None]) -> web.Response:
    query = call.query
    wanted = query.wanted(preferences_of(call.request))
    lines, total = await call.service(AUDIT).page(wanted, limit=query.per, offset=(query.page - 1) * query.per)
    context = {
        "query": query,
        "lines": lines,
        "listing": Listing(call.request, total, query.page, query.per, ""),
        "actions": ACTIONS,
        "meanings": {name: kind.meaning for name, kind in PROBLEMS.items()},
        "users": [user.username for user in await call.service(USERS).listed()],
    }
    return await render(call.request, "admin_audit.html", context)
