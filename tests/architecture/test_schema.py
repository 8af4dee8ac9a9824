"""schema.sql is the truth: what the code says about tables, states and moves must be the same."""

import sqlite3
from collections.abc import Iterator

import pytest

from cs_archiver.db import schema, tables
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import FINAL, MOVES, JobStatus
from cs_archiver.resources import resource


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(resource("schema.sql").read_text())
    yield connection
    connection.close()


def test_the_tables_of_the_code_are_those_of_the_schema(database: sqlite3.Connection) -> None:
    listed = database.execute("SELECT name FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    in_schema = {name: _columns(database, name) for (name,) in listed.fetchall()}
    in_code = {
        table.name: {column.name: column.type.compile().replace("VARCHAR", "TEXT") for column in table.columns}
        for table in tables.metadata.sorted_tables
    }
    assert in_code == in_schema


def _columns(database: sqlite3.Connection, table: str) -> dict[str, str]:
    return {row[1]: row[2] for row in database.execute(f"PRAGMA table_info({table})")}


def test_the_moves_of_the_code_are_those_of_the_schema(database: sqlite3.Connection) -> None:
    assert set(database.execute("SELECT from_status, to_status FROM job_moves")) == {
        (start.value, end.value) for start, end in MOVES
    }


def test_the_states_of_the_code_are_those_of_the_schema(database: sqlite3.Connection) -> None:
    assert set(database.execute("SELECT status, final FROM job_states")) == {
        (status.value, int(status in FINAL)) for status in JobStatus
    }


def test_a_job_has_the_columns_of_its_table(database: sqlite3.Connection) -> None:
    assert set(Job._fields) == set(_columns(database, "jobs"))


def test_the_schema_says_the_version_that_the_code_knows(database: sqlite3.Connection) -> None:
    assert database.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


def test_splitting_the_schema_loses_no_statement(database: sqlite3.Connection) -> None:
    other = sqlite3.connect(":memory:")
    for statement in schema.statements(resource("schema.sql").read_text()):
        other.execute(statement)
    dump = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
    assert other.execute(dump).fetchall() == database.execute(dump).fetchall()
    other.close()
