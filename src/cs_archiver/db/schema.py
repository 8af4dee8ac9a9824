"""Creates the schema in an empty database, and refuses one that cannot be read or is of a newer version."""

import re
import sqlite3
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import DatabaseError

from cs_archiver.db.connection import Connection
from cs_archiver.db.pool import Pool
from cs_archiver.db.troubles import DatabaseUnusable, advice_on
from cs_archiver.domain.checks import RESTORE
from cs_archiver.resources import resource

_ROWS_LOOKED_AT = 400  # of each index: more would hold up those who write


class Migration(NamedTuple):
    """The script that makes schema `version` of the one before it."""

    version: int
    script: Path


def _shipped() -> list[Migration]:
    scripts = sorted((Path(__file__).resolve().parent / "migrations").glob("*.sql"))
    return [Migration(int(script.name.partition("_")[0]), script) for script in scripts]


MIGRATIONS = _shipped()
VERSION = MIGRATIONS[-1].version
"""Of the schema that this program works with; a test holds schema.sql against it."""


async def prepare(writer: Pool, path: Path) -> int:
    """Create the schema in an empty file, or look at the one that is there; gives back the version it has now.

    Raises DatabaseUnusable: also for damage, where an older file is about to be upgraded.
    """
    try:
        async with writer.lend() as connection:
            found = int((await connection.exec_driver_sql("PRAGMA user_version")).scalar_one())
            if found == 0:
                await _create(connection)
                await connection.commit()
                return VERSION
            require_known(found, str(path))
            if found < VERSION:
                await _check_integrity(connection)
            return found
    except DatabaseError as error:
        what = f"the database {path} cannot be used ({error.orig})"
        raise DatabaseUnusable(f"{what}: {advice_on(error.orig)}") from error


def require_known(version: int, database: str) -> None:
    """Raises DatabaseUnusable for a version that only a newer program knows."""
    if version > VERSION:
        raise DatabaseUnusable(
            f"{database}: the database has schema version {version}, this program knows {VERSION}: "
            "start the newer program, or restore a backup from before the upgrade"
        )


async def rewrite_version(connection: Connection) -> None:
    """Write one page, the same as before: whether the disk takes it is all that is asked."""
    await connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


async def optimize(connection: Connection) -> None:
    await connection.exec_driver_sql(f"PRAGMA analysis_limit = {_ROWS_LOOKED_AT}")
    await connection.exec_driver_sql("PRAGMA optimize")


async def _check_integrity(connection: Connection) -> None:
    answer = (await connection.exec_driver_sql("PRAGMA quick_check(1)")).scalar_one()
    if answer != "ok":
        raise DatabaseUnusable(f"the database is damaged ({answer}): {RESTORE}")


async def _create(connection: Connection) -> None:
    for statement in statements(resource("schema.sql").read_text("utf-8")):
        await connection.exec_driver_sql(statement)


def statements(script: str) -> list[str]:
    """Split a script so that all of it runs inside one transaction, which `executescript` would not."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return [statement for statement in found if not re.fullmatch(r"(--[^\n]*\n?\s*)*", statement)]
