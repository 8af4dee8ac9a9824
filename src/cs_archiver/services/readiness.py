"""Whether the service can do its work just now: the quick ones of the checks, and what only a running service knows."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from cs_archiver.db import tallies
from cs_archiver.db.database import Database
from cs_archiver.domain.checks import INSTALL_SEVEN_ZIP, Checked, Finding, Verdict
from cs_archiver.services.checks import Look, asked, on_thread
from cs_archiver.services.folder_checks import nas_look, space_look, storage_look
from cs_archiver.settings import Settings
from cs_archiver.tools import sevenzip
from cs_archiver.tools.threads import OneAtATime

_PATIENCE_SECONDS = 3.0
_FRESH_SECONDS = 2.0  # anybody may ask, and one of the looks writes to the disk


class Pulse:
    """Whether the workers are there: from their start to the end of any of them."""

    def __init__(self) -> None:
        self._workers: asyncio.Task[None] | None = None

    def follow(self, workers: asyncio.Task[None]) -> None:
        self._workers = workers

    def is_beating(self) -> bool:
        return self._workers is not None and not self._workers.done()


class Readiness:
    """Looks once for all who ask within two seconds; none of the looks waits for what does not answer."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._questions = [OneAtATime(look.make) for look in looks]
        pairs = zip(looks, self._questions, strict=True)
        self._looks = [replace(look, make=asked(question)) for look, question in pairs]
        self._turn = asyncio.Lock()
        self._checks: Sequence[Checked] = ()
        self._looked_at = -_FRESH_SECONDS

    async def checks(self) -> Sequence[Checked]:
        """All of them, whatever came of each; within a few seconds even if nothing answers."""
        async with self._turn:
            if time.monotonic() - self._looked_at >= _FRESH_SECONDS:
                self._checks = await asyncio.gather(*(look.checked(_PATIENCE_SECONDS) for look in self._looks))
                self._looked_at = time.monotonic()
            return self._checks

    def close(self) -> None:
        """Wait no longer for what did not answer."""
        for question in self._questions:
            question.drop()


def quick_looks(settings: Settings, database: Database, *, are_workers_there: Callable[[], bool]) -> Sequence[Look]:
    """Each is named, and judged, as in the checks of the whole installation where it is one of those."""
    return (
        Look("database", "Database", lambda: _database(database), "check the disk of [database] url"),
        Look("workers", "Workers", lambda: _workers(are_workers_there()), "start the service again"),
        storage_look(settings),
        space_look(settings),
        nas_look(settings, sampled_folders=0),
        Look("seven_zip", "7-Zip", on_thread(_seven_zip), "look at the folders of PATH"),
        Look("held_jobs", "Held jobs", lambda: _held_jobs(database), "check the database"),
    )


async def _database(database: Database) -> Finding:
    await database.require_writable()
    return Finding(Verdict.OK, "it can be written")


async def _workers(are_there: bool) -> Finding:
    if are_there:
        return Finding(Verdict.OK, "they run")
    return Finding(
        Verdict.FAILED, "they do not run: they begin after the start, or have ended", "look at the log if that stays so"
    )


def _seven_zip() -> Finding:
    if sevenzip.is_there():
        return Finding(Verdict.OK, "it is there")
    return Finding(Verdict.FAILED, "it is not there", INSTALL_SEVEN_ZIP)


async def _held_jobs(database: Database) -> Finding:
    held = await tallies.held_jobs(database)
    if not held:
        return Finding(Verdict.OK, "none")
    return Finding(Verdict.WARNING, "; ".join(f"{name}: {operation}" for name, operation in held), "look at the queue")
