"""What was archived, file by file: manifests, submissions, the evidence, and the catalogue kept for good."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import select, text

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.database import Database
from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import Entry, EntryKind, Totals
from cs_archiver.domain.packed import Manifest, Packed, Part, pack
from cs_archiver.domain.states import ACTIVE
from cs_archiver.domain.verification import Check

_ENTRIES = tables.manifest_entries
_UPLOADS = tables.uploads
_ARCHIVES = tables.archives
_VERIFICATIONS = tables.verifications
_CHUNK = 1000  # rows a statement: keeps each turn of the event loop short
# As it is: to go over the million rows of a manifest, SQLAlchemy takes longer than SQLite to store them.
_INSERT_ENTRY = (
    f"INSERT INTO manifest_entries (manifest_id, {', '.join(Entry._fields)}) "  # noqa: S608  the names of columns
    f"VALUES (?{', ?' * len(Entry._fields)})"
)
_KINDS = {kind.value: kind for kind in EntryKind}


@dataclass(frozen=True, slots=True)
class Upload:
    """One submission to Globus. `request` is the stored transfer document, sent again as it is after a crash.

    `compares` is the id of the upload whose content this one only looks at once more; None for an upload itself.
    """

    id: int
    job_id: str
    destination_path: str
    archive_size: int
    archive_sha256: str
    compares: int | None
    submission_id: str
    request: dict[str, Any]
    created_at: str
    task_id: str | None
    outcome: str | None
    left_behind: str | None
    doubted: int

    def is_of(self, job: Job) -> bool:
        """Whether it was to send the archive that the job has now to where that goes now."""
        return (self.archive_sha256, self.destination_path) == (job.archive_sha256, job.globus_destination_path)

    def goes_on_for(self, job: Job) -> bool:
        """Whether the job follows it to its end, instead of ending it."""
        return self.is_of(job) and self.outcome is None and not self.doubted


_UPLOAD_COLUMNS = [_UPLOADS.c[name] for name in Upload.__dataclass_fields__]


class AtGlobus(NamedTuple):
    """Where an archive lies at Globus."""

    collection: str
    path: str


class Catalogue:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def seal_manifest(self, job: Job, entries: Iterable[Entry], total: Totals) -> int:
        """Store the manifest of this attempt, all or nothing; gives back its id."""
        async with self._database.write() as connection:
            insert = tables.manifests.insert().values(
                job_id=job.id,
                attempt=job.attempt,
                sealed_at=now_text(),
                files=total.files,
                bytes=total.bytes,
            )
            manifest_id = int((await connection.execute(insert.returning(tables.manifests.c.id))).scalar_one())
            for chunk in _chunks(entries):
                rows = [(manifest_id, path, kind.value, *rest) for path, kind, *rest in chunk]
                await connection.exec_driver_sql(_INSERT_ENTRY, rows)
        return manifest_id

    async def manifest(self, manifest_id: int) -> Manifest:
        columns = [_ENTRIES.c[name] for name in Entry._fields]
        query = select(*columns).where(_ENTRIES.c.manifest_id == manifest_id).order_by(_ENTRIES.c.path).limit(_CHUNK)
        parts: list[Part] = []
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
            while rows:
                parts.append(pack([Entry(path, _KINDS[kind], *rest) for path, kind, *rest in rows]))
                rows = (await connection.execute(query.where(_ENTRIES.c.path > rows[-1][0]))).all()
        return Packed(Entry, parts)

    async def manifests_of(self, job_id: str) -> list[int]:
        """The ids of all manifests of this job: each attempt to copy has sealed one of its own."""
        query = select(tables.manifests.c.id).where(tables.manifests.c.job_id == job_id)
        return [int(row.id) for row in await self._database.rows(query)]

    async def add_upload(
        self, job: Job, *, submission_id: str, request: Mapping[str, Any], compares: Upload | None
    ) -> Upload:
        """Store a submission before it is sent."""
        values = {
            "job_id": job.id,
            "destination_path": job.globus_destination_path,
            "archive_size": job.archive_size_bytes,
            "archive_sha256": job.archive_sha256,
            "compares": None if compares is None else compares.id,
            "submission_id": submission_id,
            "request": json.dumps(request),
            "created_at": now_text(),
        }
        async with self._database.write() as connection:
            insert = _UPLOADS.insert().values(values).returning(*_UPLOAD_COLUMNS)
            return _upload_of((await connection.execute(insert)).one()._mapping)

    async def open_uploads(self, job_id: str) -> list[Upload]:
        """Submissions of this job, comparisons too, whose task may still be running at Globus."""
        query = _select_uploads().where(_UPLOADS.c.job_id == job_id, _UPLOADS.c.outcome.is_(None))
        async with self._database.read() as connection:
            return [_upload_of(row._mapping) for row in await connection.execute(query.order_by(_UPLOADS.c.id))]

    async def set_task(self, upload: Upload, task_id: str) -> Upload:
        """The job's row names the task too, for people, unless it only compares.

        What earlier ones left at its destination is no longer known, as it may write there.
        """
        async with self._database.write() as connection:
            await _update(connection, upload, task_id=task_id)
            if upload.compares is None:
                there = (_UPLOADS.c.destination_path == upload.destination_path) & (_UPLOADS.c.id != upload.id)
                await connection.execute(_UPLOADS.update().where(there).values(left_behind=None))
                its_job = tables.jobs.update().where(tables.jobs.c.id == upload.job_id)
                await connection.execute(its_job.values(globus_task_id=task_id))
        return replace(upload, task_id=task_id)

    async def set_left_behind(self, upload: Upload, left_behind: str | None) -> None:
        await self._update_upload(upload, left_behind=left_behind)

    async def set_failed(self, upload: Upload, *, left_behind: str | None) -> None:
        """`left_behind` describes what lies at the destination now; only exactly that may be replaced later."""
        await self._update_upload(upload, outcome="failed", left_behind=left_behind)

    async def _update_upload(self, upload: Upload, **values: str | None) -> None:
        async with self._database.write() as connection:
            await _update(connection, upload, **values)

    async def upload(self, upload_id: int) -> Upload:
        async with self._database.read() as connection:
            row = (await connection.execute(_select_uploads().where(_UPLOADS.c.id == upload_id))).one()
        return _upload_of(row._mapping)

    async def latest_upload(self, job_id: str) -> Upload | None:
        """The newest submission that sent the job's archive; comparisons do not count."""
        of_job = (_UPLOADS.c.job_id == job_id) & _UPLOADS.c.compares.is_(None)
        query = _select_uploads().where(of_job).order_by(_UPLOADS.c.id.desc()).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _upload_of(row._mapping)

    async def left_by(self, path: str, what: str) -> list[Upload]:
        """The uploads after whose task exactly this was found at the destination."""
        there = (_UPLOADS.c.destination_path == path) & (_UPLOADS.c.left_behind == what)
        return [_upload_of(row._mapping) for row in await self._database.rows(_select_uploads().where(there))]

    async def tasks_of(self, upload: Upload) -> list[str]:
        """The ids of all tasks that may have written its destination: its own, and those of its comparisons."""
        of_job = _UPLOADS.c.job_id == upload.job_id  # as those of its comparisons are, and an index leads there
        own = (_UPLOADS.c.id == upload.id) | (_UPLOADS.c.compares == upload.id)
        query = select(_UPLOADS.c.task_id).where(of_job, own, _UPLOADS.c.task_id.is_not(None))
        return [str(row.task_id) for row in await self._database.rows(query)]

    async def writer_at(self, path: str, *, other_than: str | None) -> str | None:
        """The id of another job whose task may still be writing to this destination."""
        there = (_UPLOADS.c.destination_path == path) & _UPLOADS.c.outcome.is_(None)
        query = select(_UPLOADS.c.job_id).where(there, _UPLOADS.c.job_id != (other_than or "")).limit(1)
        for row in await self._database.rows(query):
            return str(row.job_id)
        return None

    async def archive_of(self, job_id: str) -> AtGlobus | None:
        """Where the verified archive of this job lies, if it has one."""
        query = select(_ARCHIVES.c.globus_collection, _ARCHIVES.c.globus_path).where(_ARCHIVES.c.job_id == job_id)
        for row in await self._database.rows(query):
            return AtGlobus(*row)
        return None

    async def last_number(self) -> int:
        """The highest number that this database ever gave to a submission, or to a verified archive; 0 without any."""
        query = text("SELECT seq FROM sqlite_sequence WHERE name = 'uploads'")
        async with self._database.read() as connection:
            return int(await connection.scalar(query) or 0)

    async def doubt_everything_sent(self, *, go_on_after: int) -> None:
        """Nothing at the destination is known to be ours any more; the next submission follows `go_on_after`."""
        async with self._database.write() as connection:
            await connection.execute(_UPLOADS.update().values(left_behind=None, doubted=1))
            await connection.execute(text("DELETE FROM sqlite_sequence WHERE name = 'uploads'"))
            sequence = text("INSERT INTO sqlite_sequence (name, seq) VALUES ('uploads', :number)")
            await connection.execute(sequence, {"number": go_on_after})

    async def open_comparison(self, upload: Upload) -> Upload | None:
        """The second look at this upload that is still under way."""
        of_job = (_UPLOADS.c.job_id == upload.job_id) & (_UPLOADS.c.compares == upload.id)
        query = _select_uploads().where(of_job, _UPLOADS.c.outcome.is_(None))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _upload_of(row._mapping)

    async def active_job_for(self, path: str, *, other_than: str) -> str | None:
        """The id of another job that is on its way to this destination."""
        table = tables.jobs
        query = select(table.c.id).where(
            table.c.globus_destination_path == path, table.c.id != other_than, table.c.status.in_(ACTIVE)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query.limit(1))).first()
        return None if row is None else str(row.id)

    async def owner_of(self, collection: str, path: str) -> str | None:
        """The id of the job whose verified archive lies at this destination."""
        async with self._database.read() as connection:
            row = (await connection.execute(_archive_at(collection, path))).first()
        return None if row is None else str(row.job_id)

    async def add_evidence(
        self,
        job: Job,
        upload: Upload,
        checks: Sequence[Check],
        *,
        passed: bool,
        collection: str,
        comparison: Upload | None = None,
    ) -> None:
        """Store a verification; when it passed, the archive enters the catalogue in the same transaction.

        So is noted that the task of `comparison`, on which it rests, has succeeded.
        """
        values = {
            "job_id": job.id,
            "upload_id": upload.id,
            "at": now_text(),
            "passed": int(passed),
            "checks": json.dumps([check.as_dict() for check in checks]),
        }
        async with self._database.write() as connection:
            insert = _VERIFICATIONS.insert().values(values).returning(_VERIFICATIONS.c.id)
            verification_id = int((await connection.execute(insert)).scalar_one())
            if comparison is not None:
                await set_succeeded(connection, comparison, left_behind=None)
            if passed:
                # A number of its own: a database from before this knows less than the mark says, and doubts itself.
                await connection.execute(text("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'uploads'"))
                # A repeated verification of the same archive finds its row there already.
                if await connection.scalar(select(_ARCHIVES.c.id).where(_ARCHIVES.c.job_id == job.id)) is None:
                    row = _archive_row(job, upload, collection=collection, verification_id=verification_id)
                    await connection.execute(_ARCHIVES.insert().values(row))

    async def passed_checks(self, job_id: str) -> list[Check]:
        """The newest evidence that let this job pass; empty if there is none."""
        query = (
            select(_VERIFICATIONS.c.checks)
            .where(_VERIFICATIONS.c.job_id == job_id, _VERIFICATIONS.c.passed == 1)
            .order_by(_VERIFICATIONS.c.id.desc())
            .limit(1)
        )
        async with self._database.read() as connection:
            text = await connection.scalar(query)
        return [Check(**check) for check in json.loads(text or "[]")]


def _archive_row(job: Job, upload: Upload, *, collection: str, verification_id: int) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "level1": job.level1,
        "level2": job.level2,
        "folder_name": job.folder_name,
        "source_path": job.source_path,
        "globus_collection": collection,
        "globus_path": job.globus_destination_path,
        "globus_task_id": upload.task_id,
        "archive_size_bytes": job.archive_size_bytes,
        "archive_sha256": job.archive_sha256,
        "manifest_id": job.manifest_id,
        "verification_id": verification_id,
        "created_by": job.created_by,
        "archived_at": now_text(),
    }


async def set_succeeded(connection: Connection, upload: Upload, *, left_behind: str | None) -> None:
    """The task has succeeded; `left_behind` describes what it left at the destination."""
    await _update(connection, upload, outcome="succeeded", left_behind=left_behind)


async def _update(connection: Connection, upload: Upload, **values: str | None) -> None:
    await connection.execute(_UPLOADS.update().where(_UPLOADS.c.id == upload.id).values(values))


async def doubt_uploads(connection: Connection, job_id: str) -> None:
    """What this job sent is sent again before it counts: a person retries it, who knows how much later."""
    sent = _UPLOADS.update().where(_UPLOADS.c.job_id == job_id, _UPLOADS.c.outcome == "succeeded")
    await connection.execute(sent.values(outcome="failed"))


async def set_source_deleted(connection: Connection, job_id: str) -> None:
    update = _ARCHIVES.update().where(_ARCHIVES.c.job_id == job_id, _ARCHIVES.c.source_deleted_at.is_(None))
    await connection.execute(update.values(source_deleted_at=now_text()))


def _archive_at(collection: str, path: str) -> Any:
    return select(_ARCHIVES.c.job_id).where(
        _ARCHIVES.c.globus_collection == collection, _ARCHIVES.c.globus_path == path
    )


def _select_uploads() -> Any:
    return select(*_UPLOAD_COLUMNS)


def _upload_of(row: Mapping[Any, Any]) -> Upload:
    return Upload(**{**row, "request": json.loads(row["request"])})


def _chunks(entries: Iterable[Entry]) -> Iterable[list[Entry]]:
    iterator = iter(entries)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
