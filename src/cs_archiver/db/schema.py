"""Creates the schema in an empty database, and refuses one that cannot be read or is of a newer version."""

import re
import sqlite3

from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cs_archiver.errors import NeedsOperator
from cs_archiver.resources import resource

VERSION = 1


class DatabaseUnusable(NeedsOperator):
    """The file is damaged, or was written by a newer version; nothing was changed in it."""


async def prepare(writer: AsyncEngine) -> None:
    """Create the schema in an empty file, or check the version of the one that is there. Raises DatabaseUnusable."""
    try:
        async with writer.begin() as connection:
            found = (await connection.exec_driver_sql("PRAGMA user_version")).scalar_one()
            if found == 0:
                await _create(connection)
            elif found > VERSION:
                raise DatabaseUnusable(
                    f"{writer.url.database}: the database has schema version {found}, this program knows "
                    f"{VERSION}: start the newer program, or restore a backup from before the upgrade"
                )
    except DatabaseError as error:
        raise DatabaseUnusable(
            f"{writer.url.database}: {error.orig}: check the disk, then restore the last backup"
        ) from error


async def rewrite_version(connection: AsyncConnection) -> None:
    """Write one page, the same as before: whether the disk takes it is all that is asked."""
    await connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


async def _create(connection: AsyncConnection) -> None:
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
