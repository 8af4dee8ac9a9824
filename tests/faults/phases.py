"""Stops the product, which runs in this process, exactly at a phase boundary of a job, and lets it go on.

A boundary is a call that the product makes: the halt is right before that call or right after it has returned.
Nothing of the product is replaced: the real function always runs.
"""

import asyncio
import inspect
import os
import pkgutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.sandbox import Operation
from cs_archiver.sandbox.faults import Hold
from tests.support.service import Service
from tests.support.tampering import eventually, until_at_work

_LONGEST_HALT_SECONDS = 60.0


class Era(StrEnum):
    """What the product knows of the source when it is stopped, hence what it owes to a user who changes it then."""

    BEFORE = "before"  # nothing was read: the change is part of what is archived
    COPYING = "copying"  # it is copied anew, or found before the deletion
    SEALED = "sealed"  # the copy is made: what changes its source is found before anything is deleted
    LOOKING = "looking"  # in the middle of the look before the deletion: the same
    APPROVED = "approved"  # the deletion was allowed, or is under way: what changed is not deleted


Is = Callable[[Path, tuple[Any, ...], dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Boundary:
    """Before or after the `number`-th call of `owner`.`attribute` that is about the folder; `strategy` copies."""

    name: str
    era: Era
    owner: str = ""
    attribute: str = ""
    after: bool = False
    number: int = 1
    about: Is = lambda _folder, _args, _options: True
    strategy: str = ""


def _moves_to(state: str) -> Is:
    return lambda _folder, args, _options: str(args[2]) == state


def _reads_source(folder: Path, args: tuple[Any, ...], _options: dict[str, Any]) -> bool:
    return bool(args[0] == os.fsencode(folder))


def _is_in_source(folder: Path, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    descriptor = options.get("dir_fd")
    if descriptor is None or os.fsdecode(args[0]).startswith(".cs-archiver-"):
        return False
    where = os.readlink(f"/proc/self/fd/{descriptor}")
    return where == str(folder) or where.startswith(f"{folder}/")


def _moves() -> list[Boundary]:
    found = []
    for state in (
        "copying",
        "compressing",
        "verifying",
        "awaiting_upload",
        "uploading",
        "upload_verifying",
        "deleting_source",
        "completed",
    ):
        era = {"copying": Era.BEFORE, "deleting_source": Era.APPROVED, "completed": Era.APPROVED}.get(state, Era.SEALED)
        for when, after in (("before", False), ("after", True)):
            name = f"{when} the move to {state}"
            found.append(Boundary(name, era, "cs_archiver.db.queue:Queue", "move", after, about=_moves_to(state)))
    return found


_COPY, _COPIER, _TREE = "cs_archiver.stages.copy", "cs_archiver.tools.copier", "cs_archiver.tools.tree"
_LOOK, _DELETION = "cs_archiver.stages.source", "cs_archiver.tools.deletion"
_OWN_FILE = "cs_archiver.tools.own_file"
_RSYNC = "cs_archiver.tools.rsync:Rsync"
_OWN = "own"
WHILE_UPLOADING = Boundary("while uploading", Era.SEALED)

BOUNDARIES: tuple[Boundary, ...] = (
    *_moves(),
    Boundary("between the scan and the copy", Era.COPYING, _COPY, "scan_tree", True, about=_reads_source),
    Boundary("before the second file is opened", Era.COPYING, f"{_COPIER}:_Copying", "open", number=2, strategy=_OWN),
    Boundary("before the second file is read", Era.COPYING, f"{_COPIER}:_Copying", "read", number=2, strategy=_OWN),
    Boundary("after a file was read", Era.COPYING, f"{_COPIER}:_Copying", "_copy_content", True, 2, strategy=_OWN),
    Boundary("before rsync", Era.COPYING, _RSYNC, "copy_tree", strategy="rsync"),
    Boundary("after rsync", Era.COPYING, _RSYNC, "copy_tree", True, strategy="rsync"),
    Boundary("before the scan after the copy", Era.COPYING, _COPY, "scan_tree", False, 2, _reads_source),
    Boundary("after the scan after the copy", Era.SEALED, _COPY, "scan_tree", True, 2, _reads_source),
    WHILE_UPLOADING,
    Boundary("before the look", Era.SEALED, _LOOK, "look_again"),
    Boundary("in the look, before it reads", Era.LOOKING, _TREE, "hash_tree"),
    Boundary("in the look, after it read", Era.LOOKING, _TREE, "hash_tree", True),
    Boundary("after the look", Era.APPROVED, _LOOK, "look_again", True),
    Boundary("before the first marker", Era.APPROVED, _OWN_FILE, "write_durably"),
    Boundary("after the first marker", Era.APPROVED, _OWN_FILE, "write_durably", True),
    *(
        Boundary(f"after unlink {number}", Era.APPROVED, f"{_DELETION}:os", "unlink", True, number, _is_in_source)
        for number in (1, 2, 4)
    ),
    # Not right before the first rmdir: its parent is open by then, and the call would follow it wherever it is moved.
    Boundary("before the folders are removed", Era.APPROVED, _DELETION, "_remove_folders"),
    Boundary("after a folder was removed", Era.APPROVED, f"{_DELETION}:os", "rmdir", True, 1, _is_in_source),
    Boundary("before the last marker", Era.APPROVED, _OWN_FILE, "write_durably", False, 2),
    Boundary("after the last marker", Era.APPROVED, _OWN_FILE, "write_durably", True, 2),
)

STRATEGIES: dict[str, dict[str, str]] = {
    "shutil": {},
    "rsync": {"COPY_SMALL_BELOW_GB": "0"},
    "dd": {"COPY_SMALL_BELOW_GB": "0", "COPY_MEDIUM_BELOW_GB": "0"},
    "parallel": {"COPY_SMALL_BELOW_GB": "0", "COPY_MEDIUM_BELOW_GB": "0", "COPY_LARGE_BELOW_GB": "0"},
}


def strategies_that_reach(boundary: Boundary) -> list[str]:
    """The copy strategies, by name, with which this boundary is passed at all."""
    if boundary.strategy == _OWN:
        return [name for name in STRATEGIES if name != "rsync"]
    return [boundary.strategy] if boundary.strategy else list(STRATEGIES)


class _Stop:
    """Halts whoever comes first, a thread or a task, until it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def halt(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            assert self.open.wait(_LONGEST_HALT_SECONDS), "nobody let the product go on"


@asynccontextmanager
async def stopped_at(boundary: Boundary, service: Service, folder: Path) -> AsyncIterator[str]:
    """A job of this folder, newly submitted, that stands still at the boundary until the block ends.

    AssertionError when the boundary is never reached.
    """
    await service.discover()
    if boundary is WHILE_UPLOADING:
        service.sandbox.faults.add(Operation.RUN, Hold("STUCK"))
        job_id = await service.submit(folder)
        try:
            await until_at_work(service.sandbox)
            yield job_id
        finally:
            service.sandbox.faults.release()
        return
    stop = _Stop()
    with pytest.MonkeyPatch.context() as patch:
        owner = pkgutil.resolve_name(boundary.owner)
        patch.setattr(owner, boundary.attribute, _halting(getattr(owner, boundary.attribute), boundary, stop, folder))
        try:
            job_id = await service.submit(folder)
            await eventually(stop.reached.is_set, what=boundary.name)
            yield job_id
        finally:
            stop.open.set()


def _halting(really: Callable[..., Any], boundary: Boundary, stop: _Stop, folder: Path) -> Callable[..., Any]:
    numbers = count(1)

    def is_it(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
        return boundary.about(folder, args, options) and next(numbers) == boundary.number

    def call(*args: Any, **options: Any) -> Any:
        here = is_it(args, options)
        if here and not boundary.after:
            stop.halt()
        result = really(*args, **options)
        if here and boundary.after:
            stop.halt()
        return result

    async def task(*args: Any, **options: Any) -> Any:
        here = is_it(args, options)
        if here and not boundary.after:
            await asyncio.to_thread(stop.halt)
        result = await really(*args, **options)
        if here and boundary.after:
            await asyncio.to_thread(stop.halt)
        return result

    return task if inspect.iscoroutinefunction(really) else call
