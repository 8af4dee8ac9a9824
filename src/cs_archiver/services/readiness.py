"""Whether the service can do its work just now: a few quick looks, none of which waits for what does not answer."""

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cs_archiver.db import tallies
from cs_archiver.db.database import Database
from cs_archiver.domain.sizes import human_size
from cs_archiver.errors import JobError
from cs_archiver.tools.disk import free_bytes
from cs_archiver.tools.threads import OneAtATime, begin

_PATIENCE_SECONDS = 3.0
_FRESH_SECONDS = 2.0  # anybody may ask, and one of the looks writes to the disk
_TOOL = "7z"


class Verdict(StrEnum):
    """WARNING: a person is needed, but the service goes on."""

    OK = "ok"
    WARNING = "warning"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Check:
    """`detail` says what is wrong, for people; empty if nothing is."""

    name: str
    verdict: Verdict
    detail: str = ""


class Pulse:
    """Whether the workers are there: from their start to the end of any of them."""

    def __init__(self) -> None:
        self._workers: asyncio.Task[None] | None = None

    def follow(self, workers: asyncio.Task[None]) -> None:
        self._workers = workers

    def is_beating(self) -> bool:
        return self._workers is not None and not self._workers.done()


@dataclass(frozen=True, slots=True)
class Needs:
    """Without what no job can go on: the NAS folder, and a storage folder with this space at least."""

    nas: Path
    storage: Path
    min_free_bytes: float


class Readiness:
    """Looks once for all who ask within two seconds."""

    def __init__(self, database: Database, needs: Needs, *, are_workers_there: Callable[[], bool]) -> None:
        self._database = database
        self._are_workers_there = are_workers_there
        self._looks = (
            _Look("database", Verdict.FAILING, self._database_trouble),
            _Look("storage", Verdict.FAILING, lambda: begin(lambda: _storage_trouble(needs))),
            _Look("nas", Verdict.FAILING, lambda: begin(lambda: _nas_trouble(needs.nas))),
            _Look("held_jobs", Verdict.WARNING, self._held_jobs),
        )
        self._turn = asyncio.Lock()
        self._checks: list[Check] = []
        self._looked_at = -_FRESH_SECONDS

    async def checks(self) -> list[Check]:
        """All of them, whatever came of each; within a few seconds even if nothing answers."""
        async with self._turn:
            if time.monotonic() - self._looked_at >= _FRESH_SECONDS:
                found = await asyncio.gather(*(look.check() for look in self._looks))
                self._checks = [*found, self._workers(), _seven_zip()]
                self._looked_at = time.monotonic()
            return self._checks

    def close(self) -> None:
        """Wait no longer for what did not answer."""
        for look in self._looks:
            look.close()

    async def _database_trouble(self) -> str:
        try:
            await self._database.require_writable()
        except JobError as error:
            return str(error)
        return ""

    async def _held_jobs(self) -> str:
        try:
            held = await tallies.held_jobs(self._database)
        except JobError as error:
            return f"cannot be looked at: {error}"
        return "; ".join(f"{name}: {operation}" for name, operation in held)

    def _workers(self) -> Check:
        if self._are_workers_there():
            return Check("workers", Verdict.OK)
        return Check("workers", Verdict.FAILING, "the workers do not run: they begin after the start, or have ended")


class _Look:
    def __init__(self, name: str, if_trouble: Verdict, ask: Callable[[], Awaitable[str]]) -> None:
        self._name = name
        self._if_trouble = if_trouble
        self._question = OneAtATime(ask)

    async def check(self) -> Check:
        answer = self._question.answer()
        done, _ = await asyncio.wait({answer}, timeout=_PATIENCE_SECONDS)
        trouble = answer.result() if done else f"no answer within {_PATIENCE_SECONDS:g} s"
        return Check(self._name, self._if_trouble if trouble else Verdict.OK, trouble)

    def close(self) -> None:
        self._question.drop()


def _storage_trouble(needs: Needs) -> str:
    try:
        free = free_bytes(str(needs.storage))
    except OSError as error:
        return f"{needs.storage} cannot be looked at: {error.strerror}"
    if not os.access(needs.storage, os.W_OK | os.X_OK):
        return f"{needs.storage} cannot be written: check its permissions and its mount"
    if free < needs.min_free_bytes:
        least = human_size(int(needs.min_free_bytes))
        return f"only {human_size(free)} are free under {needs.storage}: jobs wait until there are {least}"
    return ""


def _nas_trouble(base: Path) -> str:
    try:
        with os.scandir(base) as entries:
            is_empty = next(entries, None) is None
    except OSError as error:
        return f"{base} cannot be read: {error.strerror}: check the NAS and its mount"
    return f"{base} is empty: is the NAS mounted there?" if is_empty else ""


def _seven_zip() -> Check:
    if shutil.which(_TOOL):
        return Check("7z", Verdict.OK)
    return Check("7z", Verdict.FAILING, f"{_TOOL} is not there: install the package 7zip")
