"""The checks of Globus: the sign-in, the clock, both collections, and whether the source shows our archives."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future, wait
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from cs_archiver.domain import checks
from cs_archiver.domain.checks import Checked, Finding, Verdict
from cs_archiver.errors import NeedsOperator
from cs_archiver.services.checks import Look
from cs_archiver.settings import Settings
from cs_archiver.tools import removal
from cs_archiver.tools.globus import Globus, GlobusAccess
from cs_archiver.tools.threads import begin, started

_NETWORK = "check the network to Globus, and the proxy if there is one"
_COLLECTION = "check that the collection runs and is reachable"
_PROBE = ".cs-archiver-probe-check-"
_LEFT_AFTER_SECONDS = 3600.0
_DISK_PATIENCE_SECONDS = 2.0

_log = logging.getLogger(__name__)


class GlobusChecks:
    """Signs in anew for each round: a token that was fetched yesterday shows nothing."""

    def __init__(self, settings: Settings, access: GlobusAccess) -> None:
        self._settings = settings
        self._access = access

    async def round(self, timeout_seconds: float) -> Sequence[Checked]:
        """All of them; those that need a sign-in are not made where it did not work."""
        globus = Globus(self._access)
        try:
            first = await Look("globus", "Globus", partial(_sign_in, globus), _NETWORK).checked(timeout_seconds)
            rest = self._signed_in(globus)
            if first.finding.verdict is not Verdict.OK:
                return [first, *(look.not_made("signing in to Globus did not work") for look in rest)]
            return [first, *await asyncio.gather(*(look.checked(timeout_seconds) for look in rest))]
        finally:
            await globus.close()

    def _signed_in(self, globus: Globus) -> Sequence[Look]:
        return (
            Look("clock", "Clock", partial(_clock, globus), _NETWORK),
            Look("source_collection", "Source collection", partial(self._source, globus), _COLLECTION),
            Look("destination_collection", "Destination collection", partial(self._destination, globus), _COLLECTION),
            Look("path_mapping", "Path mapping", partial(self._mapping, globus), _COLLECTION),
        )

    async def _source(self, globus: Globus) -> Finding:
        collection, path = self._settings.globus.source_endpoint, self._settings.source_base_path
        name = await _usable(globus, collection)
        seen = await globus.stat(collection, path)
        if seen is None or seen.get("type") != "dir":
            advice = "check [globus] source_base_path, and which folders the collection shares"
            return Finding(Verdict.FAILED, f"{name!r} shows no folder {path}", advice)
        return Finding(Verdict.OK, f"{name!r} shows the folder {path}")

    async def _destination(self, globus: Globus) -> Finding:
        """Nothing is written: what is there is nobody's to try things on, and could not be removed again."""
        collection, path = self._settings.globus.destination_endpoint, self._settings.globus.destination_base_path
        name = await _usable(globus, collection)
        seen = await globus.stat(collection, path)
        if seen is None:
            advice = "if it should be there, check [globus] destination_base_path; the first upload makes it"
            return Finding(Verdict.WARNING, f"{name!r} has no folder {path} yet", advice)
        if seen.get("type") != "dir":
            return Finding(Verdict.FAILED, f"{path} is no folder on {name!r}", "check [globus] destination_base_path")
        return Finding(Verdict.OK, f"{name!r} shows the folder {path}; only an upload shows that it may be written to")

    async def _mapping(self, globus: Globus) -> Finding:
        storage, archives = self._settings.storage.base_path, self._settings.storage.archives_dir
        collection = self._settings.globus.source_endpoint
        async with _probe_in(archives if archives.is_dir() else storage) as (probe, size):
            path = f"{self._settings.source_base_path.rstrip('/')}/{probe.relative_to(storage)}"
            seen = await globus.stat(collection, path)
        if seen is None or (seen.get("type"), seen.get("size")) != ("file", size):
            advice = "check [globus] source_base_path, and which folders the collection shares"
            return Finding(
                Verdict.FAILED, f"a file written to {probe.parent} is not seen in {os.path.dirname(path)}", advice
            )
        return Finding(Verdict.OK, f"a file written to {probe.parent} is seen through the source collection")


async def _sign_in(globus: Globus) -> Finding:
    await globus.clock()
    return Finding(Verdict.OK, "signed in")


async def _clock(globus: Globus) -> Finding:
    asked_at = time.time()
    moment = await globus.clock()
    told = None if moment is None else moment.timestamp()
    return checks.clock(asked_at=asked_at, answered_at=time.time(), globus=told)


async def _usable(globus: Globus, collection_id: str) -> str:
    """Its name. Raises NeedsOperator for a collection with which no job would begin."""
    collection = await globus.collection(collection_id)
    if collection.problem is not None:
        raise NeedsOperator(f"{collection.name!r} cannot be used: {collection.problem}")
    if collection.verification_disabled:
        raise NeedsOperator(
            f"{collection.name!r} has checksum verification switched off; ask its administrator to allow it"
        )
    return collection.name


@asynccontextmanager
async def _probe_in(folder: Path) -> AsyncIterator[tuple[Path, int]]:
    """A small file of a name that nobody else has, and its size; whatever happens, it is removed."""
    probe = folder / f"{_PROBE}{secrets.token_hex(16)}"
    content = secrets.token_bytes(100 + secrets.randbelow(1000))
    written = started(lambda: _write(probe, content))
    try:
        await asyncio.shield(asyncio.wrap_future(written))
        yield probe, len(content)
    finally:
        # Begun before anything is awaited: who stops the service may cancel this a second time.
        removed = begin(lambda: _remove_once(written, probe))
        await asyncio.wait({removed}, timeout=_DISK_PATIENCE_SECONDS)
        if not removed.done():
            _log.warning("%s hangs: %s may stay there for an hour", folder, probe.name)
        elif (error := removed.exception()) is not None:
            _log.warning("%s cannot be removed: %s", probe, error)


def _remove_once(written: Future[None], probe: Path) -> None:
    wait({written})
    removal.remove_file(bytes(probe))


def _write(probe: Path, content: bytes) -> None:
    try:
        _remove_those_left_by_a_crash(probe.parent)
        probe.write_bytes(content)
    except OSError as error:
        raise NeedsOperator(f"cannot write {probe}: {error.strerror}; let the service write there") from error


def _remove_those_left_by_a_crash(folder: Path) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if (
                entry.name.startswith(_PROBE)
                and entry.is_file(follow_symlinks=False)
                and time.time() - entry.stat(follow_symlinks=False).st_mtime > _LEFT_AFTER_SECONDS
            ):
                removal.remove_file(os.fsencode(entry.path))
