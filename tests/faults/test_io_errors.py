"""An I/O error of any call of the service, once or until it is mended, loses no byte and leaves no job behind.

One after the other, every call that the canonical job makes on the NAS, on the storage or to start a tool fails with
every error number, once, or together with all later calls of its kind in its place until the fault is cleared; the
numbers, and the calls, come from instrument.py, the calls are those of a recorded run. Then nothing may be lost, and
the job goes on by itself: at once, or when the fault is cleared, or it has failed and says what and where, and a user's
retry or new submission completes it. "Completed" is believed only when the oracle finds all of it in the archive.
SQLite's own I/O does not pass Python's os and is none of this. Each fault is asserted to have struck.

A case is a share of the faults, each with a folder of its own, in one running service. The trees of the other ways of
copying (rsync, dd, parallel threads) get faults of seeded kinds. CS_ARCHIVER_IO_FAULT="EIO once fsync nas caller 1"
runs that one alone.
"""

import contextlib
import errno
import os
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Once
from tests.faults.instrument import Instrument, Point
from tests.faults.life_spoiler import Fault, Spoiler
from tests.faults.oracle import Oracle
from tests.faults.scale import FULL, pick
from tests.support.service import FINAL, Service, running_service
from tests.support.tally import Count
from tests.support.tampering import plant

pytestmark = pytest.mark.timeout(900)

SEED = 20
ERRORS = (
    *("EIO", "ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS"),
    *("ESTALE", "ENOENT", "ENOTEMPTY", "EMFILE", "ETIMEDOUT", "EINTR"),
)
MODES = ("once", "sticky")
KINDS = [(name, mode) for name in ERRORS for mode in MODES]
THRESHOLDS = ("COPY_SMALL_BELOW_GB", "COPY_MEDIUM_BELOW_GB", "COPY_LARGE_BELOW_GB")
SMALL, LARGE = "0.0000001", "1000"
WAYS: dict[str, dict[str, str]] = {
    "file-by-file": {},
    "rsync": dict(zip(THRESHOLDS, (SMALL, LARGE, LARGE), strict=True)),
    "dd": dict(zip(THRESHOLDS, (SMALL, SMALL, LARGE), strict=True)),
    "parallel": dict.fromkeys(THRESHOLDS, SMALL),
}
SHARES = {way: pick(8, 300) if way == "file-by-file" else pick(1, 60) for way in WAYS}
FAULTS = {way: pick(44, 10**9) if way == "file-by-file" else pick(10, 1100) for way in WAYS}
CASES = [(way, share) for way, shares in SHARES.items() for share in range(shares)]
ONLY = os.environ.get("CS_ARCHIVER_IO_FAULT")
COUNTED = "injected I/O faults"

# The first two once made a job fail whose deletion was over, the third left its temporary copy behind.
KEPT = (
    Fault("EACCES", "once", "lstat nas tree.scan_tree 5"),
    Fault("ENOTEMPTY", "once", "fsync nas deletion.delete_verified_source 1"),
    Fault("ENOENT", "once", "lstat storage removal._is_there 4"),
)

TOLD_AS_GONE = ("was renamed or removed by hand", "somebody's own file stands in")

PLACES = ("nas", "storage", "tool")
TRIES = 4
SECONDS = 30.0
SAYS_WHY = ("Held: ", "Waiting ", "Retry ")


class NotReached(Exception):
    """The job was done without ever making that call."""


@pytest.mark.parametrize(("way", "share"), CASES)
async def test_an_io_error_of_any_call_loses_nothing_and_the_job_is_finished(
    root: Path, once: Once, count: Count, way: str, share: int
) -> None:
    failures: list[AssertionError] = []
    faults: list[Fault] | None = None
    while faults is None or faults:
        async with a_bench(root, way) as bench:
            if faults is None:
                faults = share_of(way, share, await once(f"io-calls-of-{way}", bench.record))
            failures += await until_one_fails(bench, faults, count)
    if failures:
        raise ExceptionGroup("these were not survived", failures)


async def test_errors_that_were_not_survived_once_are_now(root: Path, count: Count) -> None:
    async with a_bench(root, "file-by-file") as bench:
        for fault in KEPT:
            await bench.survive(fault)
            count(COUNTED)


async def until_one_fails(bench: "Bench", faults: list[Fault], count: Count) -> list[AssertionError]:
    """Take faults from the list; after a failure the next one must not find the service as this one left it."""
    while faults:
        try:
            await bench.survive(faults.pop(0))
            count(COUNTED)
        except AssertionError as error:
            return [error]
    return []


def share_of(way: str, share: int, points: list[str]) -> list[Fault]:
    faults = list(islice(faults_at(points), share, None if ONLY else FAULTS[way], SHARES[way]))
    return [fault for fault in faults if ONLY is None or str(fault) == ONLY]


def faults_at(points: list[str]) -> Iterator[Fault]:
    """Each point with each kind once, in rounds: each round has every point, with a kind drawn for it."""
    kinds = {point: random.Random(f"{SEED} {point}").sample(KINDS, len(KINDS)) for point in points}
    for number in range(len(KINDS)):
        for point in random.Random(f"{SEED} {number}").sample(points, len(points)):
            yield Fault(*kinds[point][number], point)


@asynccontextmanager
async def a_bench(root: Path, way: str) -> AsyncIterator["Bench"]:
    with tempfile.TemporaryDirectory(dir=root) as world:
        async with running_service(Path(world), **WAYS[way]) as service:
            spoiler = Spoiler()
            places = {"nas": service.place.nas, "storage": service.place.storage}
            with Instrument(places, spoiler, reads=True) as instrument:
                yield Bench(service, instrument, spoiler, way)


class Bench:
    """A running service in which one fault after the other is tried, each on a folder of its own."""

    def __init__(self, service: Service, instrument: Instrument, spoiler: Spoiler, way: str) -> None:
        self._service = service
        self._instrument = instrument
        self._spoiler = spoiler
        self._way = way
        self._number = 0

    async def record(self) -> list[str]:
        """The points that every undisturbed run comes to."""
        found = []
        for _ in range(3):
            self._spoiler.set(None)
            job = await self._first_end(await self._planted())
            self._instrument.disarm()
            assert job is not None
            assert job["status"] == "completed", job
            found.append(self._spoiler.points)
        common = set(found[1]) & set(found[2])  # the first one makes what stays for all later ones
        points = sorted(point for point in common if Point.of(point).place in PLACES)
        assert len(points) > 200, points
        return points

    async def survive(self, fault: Fault) -> None:
        for _ in range(TRIES):
            try:
                with contextlib.suppress(NotReached):
                    await self._survive(fault)
                    return
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self._told(fault)}") from error
            finally:
                self._spoiler.clear()
                self._instrument.disarm()
        raise AssertionError(f"never came to it\n{self._told(fault)}")

    async def _survive(self, fault: Fault) -> None:
        folder = await self._planted()
        oracle = Oracle(folder)
        self._spoiler.set(fault)
        job = await self._first_end(folder)
        struck = self._spoiler.struck
        self._assert_nothing_lost(oracle)
        self._assert_told(fault, job)
        self._spoiler.clear()
        job = await self._mended(folder, job, fault)
        self._instrument.disarm()
        self._assert_nothing_lost(oracle)
        assert job["status"] == "completed" or _is_over(folder, job, fault), job
        self._judge(oracle, folder)
        if not struck:
            raise NotReached

    async def _planted(self) -> Path:
        self._number += 1
        # On a shelf of its own: folders on the storage that a fault kept from being tidied are none of the next job's.
        folder = plant(self._service.place.folder(level1=f"Shelf {self._number}"))
        (folder / "empty").mkdir()
        (folder / "link").symlink_to("sub/two.mov")
        if self._way == "dd":
            (folder / "large.mov").write_bytes(bytes(1024**2) + b"end")
        await self._service.discover()
        return folder

    async def _first_end(self, folder: Path) -> dict[str, Any] | None:
        """The job when it has ended, or has said why it waits; None if it was not even accepted."""
        self._instrument.arm()
        status, body = await self._submit(folder)
        return await self._until(str(body["job_id"]), lasting=False) if status == 201 else None

    async def _submit(self, folder: Path, **more: str) -> tuple[int, Any]:
        status, body = await self._service.call("POST", "/api/jobs", json={"folder_path": str(folder), **more})
        assert status != 500, body
        return status, body

    async def _until(self, job_id: str, *, lasting: bool) -> dict[str, Any]:
        """The job in a final state, or (unless `lasting`) saying why it waits because of the fault that sticks."""
        try:
            return await self._service.watched(
                job_id,
                lambda job: job["status"] in FINAL or (not lasting and self._is_explained(job)),
                seconds=SECONDS,
            )
        except TimeoutError:
            raise AssertionError(f"stuck: {await self._service.job(job_id)}") from None

    def _is_explained(self, job: dict[str, Any]) -> bool:
        return self._spoiler.struck > 1 and str(job["current_operation"]).startswith(SAYS_WHY)

    def _assert_told(self, fault: Fault, job: dict[str, Any] | None) -> None:
        """A job that failed says what happened, and to what; an error is not told as if nothing had been there."""
        if job is None or job["status"] != "failed":
            return
        message, number = job["error_message"], getattr(errno, fault.error)
        assert not message.startswith("unexpected error"), message
        assert number == errno.ENOENT or os.strerror(number) in message, message
        assert "/" in message or "'" in message, message

    async def _mended(self, folder: Path, job: dict[str, Any] | None, fault: Fault) -> dict[str, Any]:
        """The job's end without the fault; what has failed is retried, and then submitted anew, as a user would."""
        if job is None:
            return await self._resubmitted(folder)
        job = await self._until(job["job_id"], lasting=True)
        if job["status"] == "failed":
            status, _body = await self._service.call("POST", f"/api/jobs/{job['job_id']}/retry")
            if status == 200:
                job = await self._until(job["job_id"], lasting=True)
        if job["status"] == "failed" and not _is_over(folder, job, fault):
            (folder / marker_of(folder)).unlink(missing_ok=True)
            return await self._resubmitted(folder, on_existing="new_version")
        return job

    async def _resubmitted(self, folder: Path, **more: str) -> dict[str, Any]:
        await self._service.discover()
        status, body = await self._submit(folder, **more)
        assert status == 201, body
        return await self._until(str(body["job_id"]), lasting=True)

    def _assert_nothing_lost(self, oracle: Oracle) -> None:
        losses = oracle.losses(self._service.place.remote)
        assert losses == [], losses

    def _judge(self, oracle: Oracle, folder: Path) -> None:
        place = self._service.place
        left = os.listdir(folder)
        assert left == [marker_of(folder)], left
        assert oracle.losses(place.remote) == []
        assert os.listdir(place.storage / "temp") == []
        partial = list(place.storage.rglob("*.partial"))
        assert partial == [], partial

    def _told(self, fault: Fault) -> str:
        scale = "CS_ARCHIVER_FAULTS=full " if FULL else ""
        return f"{scale}CS_ARCHIVER_IO_FAULT={str(fault)!r} python -m pytest {__file__} -k {self._way}"


def marker_of(folder: Path) -> str:
    return f"{folder.name}-ARCHIVED-TO-GLOBUS.txt"


def _is_over(folder: Path, job: dict[str, Any], fault: Fault) -> bool:
    """All was stored and deleted when the NAS said of the folder, or of the marker, that it is not there.

    Nobody can tell that from a folder that somebody removed: the job fails, and says so.
    """
    if fault.error != "ENOENT" or job["status"] != "failed":
        return False
    return any(text in job["error_message"] for text in TOLD_AS_GONE) and os.listdir(folder) == [marker_of(folder)]
