"""A look at the jobs in the file of a database, whoever has it open: it costs a hundredth of asking the service."""

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_COLUMNS = ("id AS job_id", "folder_name", "status", "current_operation", "error_message", "globus_task_id")
_QUERY = f"SELECT {', '.join(_COLUMNS)} FROM jobs ORDER BY seq DESC"


class Glance:
    """For one life of a service: it would not notice that another file took the place of this one."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def jobs(self) -> list[dict[str, Any]]:
        """The newest first, with some of what the API says of them; none as long as there is no database."""
        if self._connection is None:
            if not self._database.exists():
                return []
            self._connection = sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True)
            self._connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in self._connection.execute(_QUERY)]
        except sqlite3.OperationalError as error:
            if str(error).startswith("no such table"):
                return []
            raise

    def job(self, job_id: str) -> dict[str, Any]:
        return next(job for job in self.jobs() if job["job_id"] == job_id)
