"""The one SQLite file: a single writer connection, query-only readers, and the transactions on both."""

import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, Executable, NullPool, create_engine
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.util import LRUCache

from cs_archiver.db import driver, restore, schema, word_index
from cs_archiver.db.backups import Backups
from cs_archiver.db.connection import AnyRow, Ask, Connection
from cs_archiver.db.pool import NoneFree, Pool
from cs_archiver.db.soundness import Soundness
from cs_archiver.db.together import Together
from cs_archiver.db.troubles import DatabaseUnusable, advice_on
from cs_archiver.db.upgrade import upgrade
from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.threads import in_thread

_T = TypeVar("_T")

# FULL: a commit that a power cut forgets could forget an authorised deletion (architecture.md, SQLite).
_COMMON_PRAGMAS = ("busy_timeout = 5000", "foreign_keys = ON", "trusted_schema = OFF")
_WRITER_PRAGMAS = (*_COMMON_PRAGMAS, "journal_mode = WAL", "synchronous = FULL")
# Readers never checkpoint: before 3.51.3, SQLite can corrupt a WAL database when two connections
# write or checkpoint at the same moment (sqlite.org/wal.html, "The WAL-Reset Bug").
# The kernel has the pages of the file as well: a cache of 1 MB for each of ten readers is enough.
_READER_PRAGMAS = (*_COMMON_PRAGMAS, "query_only = ON", "wal_autocheckpoint = 0", "cache_size = -1000")

# Compiling a statement costs more than most take to run: what is compiled once serves every connection of the process.
_SQLITE = create_engine("sqlite://", poolclass=NullPool)
_COMPILED: LRUCache[Any, Any] = LRUCache(500)
_OF_THE_STATEMENT = (IntegrityError, ProgrammingError, DataError, NotSupportedError)


class DatabaseUnhealthy(NeedsOperator):
    """SQLite cannot read or write its file; what was to be committed is not."""


class DatabaseFull(DatabaseUnhealthy):
    """Its disk has no more room, which a job's own files may take up, if they are on the same one."""


class Database:
    """Opened by `open`, which creates the schema; every transaction goes through read or write."""

    def __init__(self, path: Path, writer: Pool, readers: Pool) -> None:
        self.trouble: str | None = None  # why the last attempt to write failed, for people
        self.backup_trouble: str | None = None  # of the nightly backups, for people: a sentence without its end
        self.last_backup: datetime | None = None  # when the newest nightly one was made, as it was last looked for
        self._path = path
        self._writer = writer
        self._readers = readers
        self._together = Together(readers, self._require_file)
        self._inode: int | None = None
        self._soundness: Soundness | None = None

    @classmethod
    async def open(
        cls, path: Path, *, read_connections: int, backups: Backups | None = None, soundness: Soundness | None = None
    ) -> "Database":
        """Of whoever holds the lock of the database, `backups` takes a copy before an older one is upgraded.

        `soundness`: a look at the file that was begun already; it counts if nobody has written to it since.

        Raises DatabaseUnusable when the file cannot be read, is of a newer version, or of an older one without
        `backups`; and as `upgrade` does. Whether it is damaged is found out meanwhile, and told by `require_sound`
        and by every `write`.
        """
        if restore.is_pending(path):
            raise DatabaseUnusable(f"{path}: a backup is about to take its place: start the service first")
        if soundness is not None and not soundness.is_of_today:
            soundness = None
        _make_private(path)
        # Beside a service that runs, only that one's connection checkpoints, for the reason above.
        pragmas = _WRITER_PRAGMAS if backups is not None else (*_WRITER_PRAGMAS, "wal_autocheckpoint = 0")
        writer = _pool(path, connections=1, pragmas=pragmas, begin="BEGIN IMMEDIATE")
        readers = _pool(path, connections=read_connections, pragmas=_READER_PRAGMAS, begin="BEGIN")
        database = cls(path, writer, readers)
        try:
            found = await schema.prepare(writer, path)
            if found < schema.VERSION:
                await _upgrade(path, found, backups)
                soundness = None
            database._inode = path.stat().st_ino
            database._soundness = soundness or Soundness(path)
        except BaseException:
            await database.close()
            raise
        return database

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """A transaction that begins IMMEDIATE and commits on leaving; any exception rolls it back.

        Raises DatabaseUnhealthy when the file cannot be written: locked, full, read-only or damaged.
        """
        try:
            with _told_apart():
                await self.require_sound()
                self._require_file()
                async with self._writer.lend() as connection:
                    yield connection
                    self._require_file()
                    await connection.commit()
        except DatabaseUnhealthy as error:
            self.trouble = str(error)
            raise
        self.trouble = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A snapshot to read from. Raises DatabaseUnhealthy as `write` does."""
        with _told_apart():
            self._require_file()  # SQLite would create an empty one in its place
            async with self._readers.lend() as connection:
                yield connection

    async def rows(self, query: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[AnyRow]:
        """All rows of one query, at half the cost of a `read` around it; at less where several are asked at once.

        Those are answered from one snapshot. Raises DatabaseUnhealthy as `write` does.
        """
        with _told_apart():
            return await self._together.rows(query, parameters)

    async def answer(self, work: Callable[[Ask], _T]) -> _T:
        """As `rows`, where one query depends on the rows of another: what `work` makes of them, in a thread."""
        async with self.read() as connection:
            return await connection.answer(work)

    async def optimize(self) -> None:
        """Let SQLite look again at which way to its rows is short, and index words. Raises as `write` does."""
        async with self.write() as connection:
            await schema.optimize(connection)
        async with self.write() as connection:
            await word_index.keep_index(connection)

    async def require_healthy(self) -> None:
        """Raises DatabaseUnhealthy when writing failed last time and still does."""
        if self.trouble is not None:
            await self.require_writable()

    async def require_writable(self) -> None:
        """Write one page, the same as before. Raises DatabaseUnhealthy as `write` does."""
        async with self.write() as connection:
            await schema.rewrite_version(connection)  # an empty transaction would touch no disk

    def size_bytes(self) -> int:
        """Of the file and its write-ahead log. Raises DatabaseUnhealthy when the file is gone."""
        self._require_file()
        log = self._path.with_name(f"{self._path.name}-wal")
        return self._path.stat().st_size + (log.stat().st_size if log.exists() else 0)

    async def require_sound(self) -> None:
        """Raises DatabaseUnusable when the file was found damaged at the start; waits until that is known."""
        if self._soundness is not None:
            await self._soundness.require()

    def _require_file(self) -> None:
        """SQLite goes on writing to a file that was removed or replaced, and all of it would be lost at the end."""
        try:
            inode = self._path.stat().st_ino
        except OSError as error:
            raise _unhealthy(f"{self._path}: {error.strerror}", advice_on(error)) from error
        if inode != self._inode:
            raise _unhealthy(
                f"{self._path} was replaced while the service runs", "stop the service, then put the right file there"
            )

    async def close(self) -> None:
        # Readers first: the last connection to close checkpoints, and that must be the writer.
        soundness, self._soundness = self._soundness, None
        if soundness is not None:
            await soundness.close()
        await self._readers.close()
        await self._writer.close()


def _make_private(path: Path) -> None:
    """Make a new file before SQLite does, for its owner alone; what SQLite puts beside it is made as the file is."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise DatabaseUnusable(f"cannot make the database {path}: {error.strerror}: {advice_on(error)}") from error


async def _upgrade(path: Path, found: int, backups: Backups | None) -> None:
    if backups is None:
        raise DatabaseUnusable(
            f"{path}: the database has schema version {found}, this program needs {schema.VERSION}: start the service "
            "of this version, which upgrades it, and try again"
        )
    await in_thread(lambda _work: upgrade(path, backups, schema.MIGRATIONS))


@contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except _OF_THE_STATEMENT:
        raise
    except DatabaseError as error:
        is_full = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        kind = DatabaseFull if is_full else DatabaseUnhealthy
        raise _unhealthy(str(error.orig), advice_on(error.orig), kind) from error
    except NoneFree as error:
        raise _unhealthy(str(error), "its disk hangs, or is very slow: look in the system's log") from error


def _unhealthy(why: str, advice: str, kind: type[DatabaseUnhealthy] = DatabaseUnhealthy) -> DatabaseUnhealthy:
    return kind(
        f"the database is unhealthy ({why}): {advice}; nothing is deleted meanwhile", problem="database-unhealthy"
    )


def _pool(path: Path, *, connections: int, pragmas: tuple[str, ...], begin: str) -> Pool:
    creator: Any = partial(driver.connect, path, pragmas)
    none_kept = NullPool(creator, dialect=_SQLITE.dialect)  # the pool of ours keeps them
    options = {"compiled_cache": _COMPILED}
    engine = Engine(none_kept, _SQLITE.dialect, _SQLITE.url, execution_options=options)
    return Pool(partial(Connection, engine, begin=begin), connections)
