"""Forks processes that upgrade or restore a database and kill themselves with SIGKILL at the N-th thing they do.

A thing is: before and after each statement, within it after every few steps of SQLite's machine, and before and after
each call that changes a file or a name. It reads plans, one line of JSON each, and answers with how each ended:
the number of the signal (negative) or the exit code.
"""

import json
import logging
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from cs_archiver.db.backups import Backups
from cs_archiver.db.restore import restore
from cs_archiver.db.schema import Migration
from cs_archiver.db.upgrade import upgrade
from cs_archiver.tools.threads import Work

_CHANGES = ("fsync", "link", "mkdir", "open", "rename", "unlink")


class Countdown:
    def __init__(self, left: int) -> None:
        self.left = left

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _instrument(countdown: Countdown, steps: int) -> None:
    class Connection(sqlite3.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.set_progress_handler(None, steps)

        def set_progress_handler(self, handler: Any, n: int) -> None:
            super().set_progress_handler(countdown.tick, steps)

        def execute(self, *args: Any) -> sqlite3.Cursor:
            countdown.tick()
            try:
                return super().execute(*args)
            finally:
                countdown.tick()

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **kwargs: connect(*args, factory=Connection, **kwargs)  # type: ignore[assignment]
    for name in _CHANGES:
        setattr(os, name, _counted(getattr(os, name), countdown))


def _counted(original: Any, countdown: Countdown) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        countdown.tick()
        try:
            return original(*args, **kwargs)
        finally:
            countdown.tick()

    return call


def _live(plan: dict[str, Any]) -> None:
    _instrument(Countdown(plan["kill"]), plan["steps"])
    database = Path(plan["database"])
    if plan["what"] == "restore":
        restore(database, Path(plan["backup"]), Work(), by="ann")
        return
    migrations = [Migration(int(version), Path(script)) for version, script in plan["migrations"]]
    upgrade(database, Backups(database, ""), migrations)


def _forked(plan: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _live(plan)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    logging.disable()
    for line in sys.stdin:
        sys.stdout.write(f"{_forked(json.loads(line))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
