"""The audit trail."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field

from cs_archiver.clock import from_text, to_text
from cs_archiver.db.audit import AuditLine, Wanted
from cs_archiver.server.contract.base import Answer, Limit, Moment, Offset, Query

_NO_MOMENT = "must be a time such as 2026-01-15T14:32:01Z"


def _moment(text: str) -> str:
    try:
        moment = from_text(text)
    except ValueError as error:
        raise ValueError(_NO_MOMENT) from error
    if moment.tzinfo is None or not 1970 <= moment.year < 9999:  # others cannot all be told in UTC
        raise ValueError(_NO_MOMENT)
    return to_text(moment)


class AuditQuery(Query):
    user: Annotated[str | None, Field(description="Only what this user did, or what was done to this account.")] = None
    action: Annotated[str | None, Field(description="Only this action, such as `auth_login`.")] = None
    since: Annotated[
        str | None,
        AfterValidator(lambda text: None if text is None else _moment(text)),
        Field(description="Only from this moment on.", json_schema_extra={"format": "date-time"}),
    ] = None
    limit: Limit = 100
    offset: Offset = 0

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.user, self.action, self.since)


class AuditEntry(Answer):
    id: int
    at: Moment
    user: Annotated[str | None, Field(description="Who did it, as the name was then; null where nobody is known.")]
    action: Annotated[
        str,
        Field(
            description="The `operationId` of what was called, or `source_deletion_begun`, `source_deleted`, "
            "`source_deletion_stopped`, `database_restore`.",
            examples=["users_remove"],
        ),
    ]
    target: Annotated[str | None, Field(description="What it was done to: a name, a path or an id.")]
    detail: Annotated[str | None, Field(description="Of a deletion, the job and the checksum of its archive.")]
    address: Annotated[str | None, Field(description="From where; null for what the service does by itself.")]
    result: Annotated[str, Field(description="`ok`, or the name of the problem.")]
    request_id: str | None

    @classmethod
    def of(cls, line: AuditLine) -> Self:
        deed = line.deed
        return cls(
            id=line.id,
            at=line.at,
            user=deed.username,
            action=deed.action,
            target=deed.target,
            detail=deed.detail,
            address=deed.address,
            result=deed.result,
            request_id=deed.request_id,
        )
