"""The audit trail: who did what, when, from where, and what came of it."""

from cs_archiver.server.contract.audit import AuditEntry, AuditQuery
from cs_archiver.server.keys import AUDIT
from cs_archiver.server.paging import one_page
from cs_archiver.server.route import Call, Reply


async def page(call: Call[AuditQuery, None]) -> Reply:
    query = call.query
    lines, total = await call.service(AUDIT).page(query.wanted, limit=query.limit, offset=query.offset)
    entries = [AuditEntry.of(line) for line in lines]
    return one_page(call.request, entries, limit=query.limit, offset=query.offset, total=total)
