"""Databases that earlier versions left, and what the tests look at in any of them."""

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db.connection import Asked, Connection
from cs_archiver.resources import resource

_FROZEN = Path(__file__).parent.parent / "data" / "version_1.sql"


def turns_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries each turn of a reader has answered from now on."""
    turns: list[int] = []
    real = Connection.rows_of_each

    async def counted(connection: Connection, asked: Sequence[Asked]) -> Any:
        turns.append(len(asked))
        return await real(connection, asked)

    monkeypatch.setattr(Connection, "rows_of_each", counted)
    return turns


def of_version_1(path: Path) -> Path:
    """With jobs in every state, in the journal mode in which a service leaves it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_FROZEN.read_text("utf-8"))
        connection.execute("PRAGMA journal_mode = WAL")
    return path


def of_today(path: Path) -> Path:
    """As a service leaves it that was started once and asked for nothing."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(resource("schema.sql").read_text("utf-8"))
    return path


def layout_of(path: Path) -> set[tuple[str, ...]]:
    """Every table, index and trigger as SQLite keeps it, but for comments and white space."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
        return {(*names, _plain(sql)) for *names, sql in connection.execute(query)}


def _plain(sql: str) -> str:
    return re.sub(r" ?([(),]) ?", r"\1", " ".join(re.sub(r"--[^\n]*", "", sql).split()))


def rows_of(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def tables_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of every table by its name."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL TABLE%'"
        names = [name for (name,) in connection.execute(query)]
    return {name: rows_of(path, name) for name in names}


def paused_in(path: Path) -> set[str]:
    """The names of the switches under which something is paused."""
    return {name for name, *_ in rows_of(path, "switches")}


def but_for_the_restore(found: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Tables without what a restore changes: pauses, sessions, and a line of the audit trail with its number."""
    kept = {name: rows for name, rows in found.items() if name not in {"switches", "sessions"}}
    kept["audit"] = [line for line in kept["audit"] if "database_restore" not in line]
    kept["sqlite_sequence"] = [row for row in kept["sqlite_sequence"] if row[0] != "audit"]
    return kept


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def sequence_of(path: Path) -> int:
    """The highest number that was given to a submission: what the mark beside the archives is held against."""
    return int(dict(rows_of(path, "sqlite_sequence"))["uploads"])


def as_version_1(path: Path) -> None:
    """Put all that this database of today holds into one that the first version made, in its place."""
    old = of_version_1(path.with_name("of version 1"))
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS today", (str(path),))
        triggers = connection.execute("SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger'").fetchall()
        tables = [row[0] for row in connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'")]
        for name, _sql in triggers:
            connection.execute(f"DROP TRIGGER main.{name}")
        for table in sorted(tables, key=lambda name: name == "sqlite_sequence"):  # last: the others change it
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM today.{table}")
        for _name, sql in triggers:
            connection.execute(sql)
        connection.execute("DETACH today")
        connection.execute("PRAGMA journal_mode = DELETE")
    for other in path.parent.glob(f"{path.name}*"):
        other.unlink()
    old.rename(path)
