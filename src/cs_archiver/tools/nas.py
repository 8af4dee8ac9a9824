"""Whether the NAS answers at all: a dead mount neither fails nor ends a call, it hangs. And what it looks like."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from cs_archiver.domain.checks import NasFacts
from cs_archiver.domain.manifest import shown
from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.disk import mount_of
from cs_archiver.tools.threads import OneAtATime, begin


class NasProbe:
    """Asks for a sign of life. A NAS that hangs holds one thread, however often it is asked."""

    def __init__(self, base: Path, *, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self._base = base
        self._question = OneAtATime(lambda: begin(lambda: _ask(base)))

    async def require_answer(self) -> None:
        """Any answer will do, an error too. Raises NeedsOperator when there is none in time."""
        done, _ = await asyncio.wait({self._question.answer()}, timeout=self.timeout_seconds)
        if not done:
            raise NeedsOperator(
                f"the NAS does not answer: a look at {str(self._base)!r} takes over {self.timeout_seconds:g} s; check "
                "the NAS, the network and the mount; nothing is deleted meanwhile",
                problem="nas-unreachable",
            )


def _ask(base: Path) -> None:
    with contextlib.suppress(OSError):
        os.statvfs(base)  # attributes may come from a cache; this is asked of the server
        with os.scandir(base) as entries:
            next(entries, None)


def nas_facts(base: Path, storage: Path, sampled_folders: int) -> NasFacts:
    """What can be seen of the NAS. Raises OSError; a NAS that hangs makes this hang."""
    sample = list(islice(_project_folders(os.fspath(base)), sampled_folders))
    with os.scandir(base) as entries:
        is_empty = next(entries, None) is None
    closed = [shown(os.fsencode(folder)) for folder in sample if not _may(folder, os.R_OK | os.W_OK | os.X_OK)]
    return NasFacts(mount_of(base), mount_of(storage), is_empty, len(sample), closed)


def _project_folders(folder: str, level: int = 3) -> Iterator[str]:
    """The folders three levels down, as far as they can be seen."""
    if level == 0:
        yield folder
        return
    if not _may(folder, os.R_OK | os.X_OK):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith((".", "@")) and entry.is_dir(follow_symlinks=False):
                yield from _project_folders(entry.path, level - 1)


def _may(folder: str, access: int) -> bool:
    return os.access(folder, access, effective_ids=True)
