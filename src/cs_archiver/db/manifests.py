"""The manifest of a job, a page at a time; of one that was cleared from the list, the one in the catalogue."""

from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, bindparam, case, func, select, true, union_all
from sqlalchemy.util import LRUCache

from cs_archiver.db import tables
from cs_archiver.db.connection import Ask
from cs_archiver.db.database import Database
from cs_archiver.db.rolled import rolled, unrolled
from cs_archiver.db.words import holds
from cs_archiver.domain.manifest import Entry, EntryKind

_ENTRIES = tables.manifest_entries
_JOBS = tables.jobs
_ARCHIVES = tables.archives
_COUNTS_KEPT = 200
_BYTES = ("path", "target", "sha256")


class ManifestPage(NamedTuple):
    """Some entries by path; `total` counts all that were asked for."""

    entries: list[Entry]
    total: int


class Manifests:
    """To count entries takes longer than to read a page of them, and no sealed manifest changes: counts are kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: LRUCache[tuple[int, str | None], int] = LRUCache(_COUNTS_KEPT)

    async def page(self, job_id: str, *, words: str | None, limit: int, offset: int) -> ManifestPage | None:
        """Entries whose path holds the words, or all. Empty before the manifest is sealed, None for an unknown job."""
        page, count = _queries(words)

        def work(ask: Ask) -> ManifestPage | None:
            rows = ask(_MANIFEST_OF, {"job_id": job_id})
            if not rows:
                return None
            manifest_id = rows[0].manifest_id
            if manifest_id is None:
                return ManifestPage([], 0)
            found = unrolled(ask(page, {"manifest_id": manifest_id, "limit": limit, "offset": offset}))
            total = self._counts.get((manifest_id, words))
            if total is None:
                ((total,),) = ask(count, {"manifest_id": manifest_id})
                self._counts[manifest_id, words] = total
            return ManifestPage([_entry_of(*row) for row in found], total)

        return await self._database.answer(work)


@lru_cache(maxsize=16)  # to build them takes longer than to run them
def _queries(words: str | None) -> tuple[Any, Any]:
    """For the entries of the page, and for how many there are in all."""
    wanted = _ENTRIES.c.manifest_id == bindparam("manifest_id")
    wanted &= true() if words is None else holds(_ENTRIES.c.path, words)
    page = select(*map(_as_text, Entry._fields)).where(wanted).order_by(_ENTRIES.c.path)
    page = page.limit(bindparam("limit", type_=Integer)).offset(bindparam("offset", type_=Integer))
    return rolled(page), select(func.count()).select_from(_ENTRIES).where(wanted)


def manifest_of(job_id: Any) -> Any:
    """The id of the manifest that counts, once or twice; each attempt to copy has sealed one of its own."""
    of_job = select(_JOBS.c.manifest_id).where(_JOBS.c.id == job_id)
    in_catalogue = select(_ARCHIVES.c.manifest_id).where(_ARCHIVES.c.job_id == job_id)
    return union_all(of_job, in_catalogue)


def _as_text(name: str) -> ColumnElement[Any]:
    column = _ENTRIES.c[name]
    if name not in _BYTES:
        return column
    return case((column.is_not(None), func.hex(column))).label(name)  # JSON has no bytes


def _entry_of(path: str, kind: str, *rest: Any) -> Entry:
    size, mtime_ns, mode, target, crc32, sha256 = rest
    return Entry(bytes.fromhex(path), EntryKind(kind), size, mtime_ns, mode, _bytes(target), crc32, _bytes(sha256))


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


_MANIFEST_OF = manifest_of(bindparam("job_id"))
