"""What proves that an archive is where it should be: transfers, every check of them, the row of the catalogue."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from cs_archiver.db import tables
from cs_archiver.db.database import Database
from cs_archiver.db.manifests import manifest_of
from cs_archiver.domain.manifest import Totals
from cs_archiver.domain.verification import Check

_ARCHIVES = tables.archives
_MANIFESTS = tables.manifests
_UPLOADS = tables.uploads
_VERIFICATIONS = tables.verifications


@dataclass(frozen=True, slots=True)
class Transfer:
    """A submission to Globus; `outcome` None: under way, as far as is known."""

    created_at: str
    task_id: str | None
    outcome: str | None
    is_comparison: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """One look at an upload, as it was stored then."""

    at: str
    passed: bool
    checks: list[Check]
    task_id: str | None


@dataclass(frozen=True, slots=True)
class Archived:
    """What the catalogue keeps of it; `source_deleted_at` None: not deleted, or not all of it."""

    collection: str
    archived_at: str
    source_deleted_at: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one job: verifications the newest first, transfers in order, and what its sealed manifest holds."""

    verifications: list[Verification]
    transfers: list[Transfer]
    archived: Archived | None
    contents: Totals | None


async def evidence_of(database: Database, job_id: str) -> Evidence:
    """Empty for a job that is not that far, or is not known; also of one that was cleared from the list."""
    of_job = {"job_id": job_id}
    queries = (_ARCHIVED_OF, _CONTENTS_OF, _VERIFICATIONS_OF, _TRANSFERS_OF)
    archived, contents, verifications, transfers = await asyncio.gather(
        *(database.rows(query, of_job) for query in queries)
    )
    return Evidence(
        [_verification_of(row) for row in verifications],
        [_transfer_of(row) for row in transfers],
        Archived(*archived[0]) if archived else None,
        Totals(*contents[0]) if contents else None,
    )


def _verifications_of(job_id: Any) -> Any:
    table = _VERIFICATIONS
    of_upload = table.join(_UPLOADS, _UPLOADS.c.id == table.c.upload_id)
    columns = (table.c.at, table.c.passed, table.c.checks, _UPLOADS.c.task_id)
    return select(*columns).select_from(of_upload).where(table.c.job_id == job_id).order_by(table.c.id.desc())


def _verification_of(row: Any) -> Verification:
    checks = [Check(**check) for check in json.loads(row.checks)]
    return Verification(row.at, bool(row.passed), checks, row.task_id)


def _transfers_of(job_id: Any) -> Any:
    columns = (_UPLOADS.c.created_at, _UPLOADS.c.task_id, _UPLOADS.c.outcome, _UPLOADS.c.compares)
    return select(*columns).where(_UPLOADS.c.job_id == job_id).order_by(_UPLOADS.c.id)


def _transfer_of(row: Any) -> Transfer:
    return Transfer(row.created_at, row.task_id, row.outcome, row.compares is not None)


def _archived_of(job_id: Any) -> Any:
    columns = (_ARCHIVES.c.globus_collection, _ARCHIVES.c.archived_at, _ARCHIVES.c.source_deleted_at)
    return select(*columns).where(_ARCHIVES.c.job_id == job_id)


def _contents_of(job_id: Any) -> Any:
    return select(_MANIFESTS.c.files, _MANIFESTS.c.bytes).where(_MANIFESTS.c.id.in_(manifest_of(job_id)))


# Built once: that takes longer than to run them.
_JOB_ID: Any = bindparam("job_id")
_VERIFICATIONS_OF, _TRANSFERS_OF = _verifications_of(_JOB_ID), _transfers_of(_JOB_ID)
_ARCHIVED_OF, _CONTENTS_OF = _archived_of(_JOB_ID), _contents_of(_JOB_ID)
