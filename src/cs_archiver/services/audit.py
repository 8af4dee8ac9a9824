"""The audit trail: written whatever happens, read by administrators."""

import logging

from cs_archiver.db.audit import Audit, AuditLine, Deed, Wanted
from cs_archiver.errors import NeedsOperator

_log = logging.getLogger(__name__)


class AuditService:
    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def record(self, *deeds: Deed) -> None:
        """What was done is done: where it cannot be noted in the database, it stands in the log."""
        try:
            await self._audit.add(*deeds)
        except NeedsOperator:
            _log.exception("not in the audit trail: %s", ", ".join(map(str, deeds)))

    async def page(self, wanted: Wanted, *, limit: int, offset: int) -> tuple[list[AuditLine], int]:
        """The newest first, and how many there are in all."""
        return await self._audit.page(wanted, limit=limit, offset=offset)
