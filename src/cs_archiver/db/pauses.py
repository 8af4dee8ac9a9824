"""How a database says what is paused: one row for each switch, under a name of its own."""

import sqlite3
from typing import Final

from cs_archiver.clock import now_text
from cs_archiver.domain.switches import Switch

NAMES: Final = {
    Switch.LOCAL: "local_paused",
    Switch.TRANSFER: "transfer_paused",
    Switch.DELETIONS: "deletions_paused",
}


def pause_everything(connection: sqlite3.Connection, *, by: str) -> None:
    """In a database that nobody else works on; what is paused there already stays as it is."""
    statement = "INSERT INTO switches (name, changed_at, changed_by) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    connection.executemany(statement, [(name, now_text(), by) for name in NAMES.values()])
