"""A NAS that hangs, and work in threads that hang with it: nobody waits for ever, and it is said."""

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.domain.events import LogLevel
from cs_archiver.errors import NeedsOperator, Permanent
from cs_archiver.stages.nas import Nas, require_writable
from cs_archiver.stages.places import Places
from cs_archiver.tools import disk, threads
from cs_archiver.tools.nas import NasProbe
from cs_archiver.tools.threads import FREE, Work, in_thread
from tests.support.jobs import a_job

pytestmark = pytest.mark.timeout(30)


class Heard:
    def __init__(self) -> None:
        self.operations: list[str] = []
        self.lines: list[str] = []

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        self.lines.append(f"{level.value} {message}")

    async def log_all(self, lines: Sequence[tuple[LogLevel, str]]) -> None:
        self.lines += [f"{level.value} {message}" for level, message in lines]

    async def record(self, **_facts: object) -> None:
        """Not heard."""

    async def recovered(self) -> None:
        """Not heard."""

    def operation(self, text: str) -> None:
        self.operations.append(text)

    def progress(self, **_figures: object) -> None:
        """Not heard."""


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While it is not set, looking at a file system does not return, as on a dead NFS mount."""
    answers, statvfs = threading.Event(), os.statvfs

    def hang(path: Any) -> os.statvfs_result:
        answers.wait()
        return statvfs(path)

    monkeypatch.setattr(os, "statvfs", hang)
    yield answers
    answers.set()


def at_work() -> int:
    return sum(thread.name != FREE for thread in threading.enumerate())


async def test_a_nas_that_hangs_is_told_in_time_and_holds_one_thread(hanging: threading.Event, tmp_path: Path) -> None:
    probe = NasProbe(tmp_path, timeout_seconds=0.05)
    before = at_work()
    for _ in range(5):
        with pytest.raises(NeedsOperator, match="does not answer"):
            await probe.require_answer()
    assert at_work() == before + 1
    hanging.set()
    async with asyncio.timeout(10):
        while True:
            try:
                await probe.require_answer()
            except NeedsOperator:
                continue
            break


async def test_an_error_is_an_answer(tmp_path: Path) -> None:
    await NasProbe(tmp_path / "not there", timeout_seconds=10).require_answer()


async def test_a_nas_that_hangs_in_the_middle_of_the_work_is_told_and_so_is_its_return(
    hanging: threading.Event, tmp_path: Path
) -> None:
    places = Places(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, "/")
    heard = Heard()
    async with Nas(places, NasProbe(tmp_path, timeout_seconds=0.05)).watched(heard, "Copying"), asyncio.timeout(20):
        while len(heard.operations) < 2:
            await asyncio.sleep(0.01)
        assert heard.operations[1].startswith("Held: the NAS does not answer")
        hanging.set()
        while len(heard.operations) < 3:
            await asyncio.sleep(0.01)
    assert (heard.operations[0], heard.operations[2]) == ("Copying", "Copying")
    assert [line.split()[0] for line in heard.lines] == ["WARNING", "INFO"]


class Unheard(Heard):
    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        await super().log(message, level)
        raise NeedsOperator("the database is read-only")


async def test_a_log_that_takes_no_line_ends_neither_the_watch_nor_the_work(
    hanging: threading.Event, tmp_path: Path
) -> None:
    places = Places(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, "/")
    heard = Unheard()
    async with Nas(places, NasProbe(tmp_path, timeout_seconds=0.05)).watched(heard, "Copying"), asyncio.timeout(20):
        while not heard.lines:
            await asyncio.sleep(0.01)
        hanging.set()
        while len(heard.lines) < 2:
            await asyncio.sleep(0.01)
    assert heard.operations[-1] == "Copying"


async def test_work_that_ends_before_the_nas_is_asked_again_leaves_no_word_that_it_hangs(
    hanging: threading.Event, tmp_path: Path
) -> None:
    places = Places(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, "/")
    heard = Heard()
    async with Nas(places, NasProbe(tmp_path, timeout_seconds=0.05)).watched(heard, "Copying"), asyncio.timeout(20):
        while not heard.lines:
            await asyncio.sleep(0.01)
    assert not hanging.is_set(), "what the work needed of the NAS was answered, the question is not yet"
    assert heard.operations[-1] == "Copying"
    assert heard.lines[1:] == ["INFO The NAS answers again"]


async def test_a_thread_that_hangs_is_left_behind_when_its_work_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threads, "STOP_GRACE_SECONDS", 0.1)
    began, answers, stopped = threading.Event(), threading.Event(), threading.Event()

    def hang(work: Work) -> None:
        began.set()
        answers.wait()
        try:
            work.add(1)
        except threads.Stopped:
            stopped.set()

    task = asyncio.create_task(in_thread(hang))
    await asyncio.to_thread(began.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "left behind" in caplog.text
    answers.set()
    assert await asyncio.to_thread(stopped.wait, 10), "it ends at its next step"


def test_a_folder_the_service_may_not_write_to_is_refused_before_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, "/")
    job = a_job(source_path=str(tmp_path))
    require_writable(places, job)
    monkeypatch.setattr(os, "access", lambda path, mode, **_how: not mode & os.W_OK)
    with pytest.raises(Permanent, match="may not write"):
        require_writable(places, job)


@pytest.mark.parametrize(
    ("line", "is_awaited"),
    [
        ("nas:/team {} nfs hard 0 0", True),
        ("nas:/team {}/ nfs hard", True),
        ("nas:/team /{} nfs hard 0 0", True),
        ("nas:/team {}/. nfs hard 0 0", True),
        ("nas:/team {} nfs hard,noauto,x-systemd.automount 0 0", True),
        ("nas:/team {} nfs hard,noauto 0 0", False),
        ("# nas:/team {} nfs hard 0 0", False),
        ("nas:/team {}-2 nfs hard 0 0", False),
        ("nas:/team {} nfs", True),
        ("nas:/team {}", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("through", ["the folder itself", "a link above it"])
def test_where_the_nas_is_to_be_mounted_is_read_from_fstab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, is_awaited: bool, through: str
) -> None:
    (tmp_path / "mounts" / "the nas").mkdir(parents=True)
    (tmp_path / "link").symlink_to("mounts")
    above = tmp_path / ("mounts" if through == "the folder itself" else "link")
    named = str(above / "the nas").replace(" ", r"\040")
    monkeypatch.setattr(disk, "FSTAB", tmp_path / "fstab")
    disk.FSTAB.write_text(line.format(named) + "\n")
    point = os.fsencode(tmp_path / "mounts" / "the nas")
    assert (disk.mount_point_of(tmp_path / "mounts" / "the nas" / "team") == point) == is_awaited
