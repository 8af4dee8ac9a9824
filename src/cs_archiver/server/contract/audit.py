"""The audit trail."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field

from cs_archiver.db.audit import AuditLine, Wanted
from cs_archiver.server.contract.base import Answer, Limit, Moment, Offset, Query
from cs_archiver.server.contract.job_logs import moment


class AuditQuery(Query):
    user: Annotated[str | None, Field(description="Only what this user did, or what was done to this account.")] = None
    action: Annotated[str | None, Field(description="Only this action, such as `auth_login`.")] = None
    since: Annotated[
        str | None,
        Field(description="Only from this moment on.", json_schema_extra={"format": "date-time"}),
        BeforeValidator(moment),
    ] = None
    limit: Limit = 100
    offset: Offset = 0

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.user, self.action, self.since)


class AuditEntry(Answer):
    id: Annotated[
        int, Field(description="Of each line another: those that are added while pages are read move the others on.")
    ]
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
