"""What tools and copies leave to others: seen in /proc, and measured."""

import asyncio
import os
import time
from pathlib import Path

import psutil
import pytest

from cs_archiver.tools import copier
from cs_archiver.tools.process import Politeness, Processes
from cs_archiver.tools.rsync import Rsync
from cs_archiver.tools.threads import Pace, Stopped, Work, in_thread
from cs_archiver.tools.tree import scan_tree
from tests.support.service import running_service

MB = 1024**2
SHOW = "cat /proc/$$/stat; ionice -p $$; cat /proc/$$/autogroup 2>/dev/null || true"
HAS_AUTOGROUP = Path("/proc/self/autogroup").exists()


def _nice_of(stat: bytes | str) -> int:
    text = stat if isinstance(stat, str) else stat.decode()
    return int(text.rpartition(")")[2].split()[16])


@pytest.mark.parametrize(
    ("politeness", "nice", "io_class"),
    [
        (Politeness(), 0, "none: prio 0"),
        (Politeness(nice=7), 7, "none: prio 4"),
        (Politeness(io_class="idle"), 0, "idle"),
        (Politeness(nice=19, io_class="best-effort", io_level=6), 19, "best-effort: prio 6"),
    ],
)
async def test_a_tool_and_its_children_have_it_from_the_start(politeness: Politeness, nice: int, io_class: str) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    finished = await Processes(politeness=politeness).run(["sh", "-c", f"sh -c {SHOW!r}"])
    assert finished.returncode == 0, finished
    stat, io, *_ = finished.stdout.decode().splitlines()
    assert _nice_of(stat) == min(19, own + nice)
    assert io == io_class or (not politeness.io_class and io.startswith("none"))


@pytest.mark.skipif(not HAS_AUTOGROUP, reason="this kernel does not group processes by session")
async def test_its_session_is_as_nice_or_nice_would_count_for_nothing() -> None:
    # A tool that has begun is told at once: it waits here for its session to be.
    wait = "until grep -q 'nice 11$' /proc/$$/autogroup; do :; done; cat /proc/$$/autogroup"
    async with asyncio.timeout(20):
        finished = await Processes(politeness=Politeness(nice=11)).run(["sh", "-c", wait])
    assert finished.stdout.strip().endswith(b"nice 11")


async def test_a_polite_tool_is_ended_like_any_other() -> None:
    task = asyncio.create_task(Processes(politeness=Politeness(19, "idle")).run(["sh", "-c", "sleep 1000 & wait"]))
    me = psutil.Process()
    async with asyncio.timeout(20):
        while not any(child.name() == "sleep" for child in me.children(recursive=True)):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [child for child in me.children(recursive=True) if child.name() in ("sh", "sleep")]


async def test_7z_of_a_running_job_is_nice(tmp_path: Path) -> None:
    async with running_service(tmp_path, POLITENESS_NICE="3", POLITENESS_IO_CLASS="idle") as service:
        folder = service.place.folder()
        (folder / "clip.mov").write_bytes(os.urandom(12_000_000))
        await service.discover()
        job_id = await service.submit(folder)
        me, seen = psutil.Process(), set[tuple[int, int]]()
        async with asyncio.timeout(60):
            while not seen:
                for child in me.children(recursive=True):
                    try:
                        if child.name() in ("7z", "7zz", "7za"):
                            stat = Path(f"/proc/{child.pid}/task/{child.pid}/stat").read_text()
                            seen.add((_nice_of(stat), child.ionice().ioclass))
                    except (psutil.NoSuchProcess, FileNotFoundError):
                        continue
                await asyncio.sleep(0.01)
        assert seen == {(3 + os.getpriority(os.PRIO_PROCESS, 0), psutil.IOPRIO_CLASS_IDLE)}
        assert (await service.until(job_id))["status"] == "completed"


def _plant(source: Path, *, megabytes: int) -> None:
    """Half in one file, half in files of 200 kB."""
    source.mkdir()
    (source / "large.mov").write_bytes(os.urandom(megabytes * MB // 2))
    for number in range(megabytes * MB // 2 // 200_000):
        (source / f"{number}.jpg").write_bytes(os.urandom(200_000))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize("threads", [1, 4])
async def test_our_own_copy_keeps_its_limit(tmp_path: Path, threads: int) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    _plant(source, megabytes=15)
    copy.mkdir()
    roots = os.fsencode(source), os.fsencode(copy)
    entries = scan_tree(roots[0], threads=1, work=Work()).entries
    begun = time.monotonic()
    await in_thread(
        lambda work: copier.copy_files(*roots, entries, threads=threads, work=work, pace=Pace(5 * MB)),
    )
    rate = _size(copy) / (time.monotonic() - begun)
    assert _size(copy) == _size(source)
    assert 0.5 * 5 * MB < rate < 1.1 * 5 * MB  # on a busy machine it may be slower


async def test_rsync_keeps_its_limit(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    _plant(source, megabytes=20)
    copy.mkdir()
    begun = time.monotonic()
    await Rsync(Processes(), limit=5 * MB).copy_tree(
        os.fsencode(source), os.fsencode(copy), on_bytes=lambda _count: None
    )
    rate = _size(copy) / (time.monotonic() - begun)
    assert _size(copy) == _size(source)
    assert 0.5 * 5 * MB < rate < 1.1 * 5 * MB  # on a busy machine it may be slower


def test_a_stop_ends_the_rest_at_once() -> None:
    work, pace = Work(), Pace(1)
    work.stop()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        pace.keep(1000, work)
    assert time.monotonic() - begun < 1
