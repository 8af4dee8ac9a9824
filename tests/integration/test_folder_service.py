"""The service over a real tree and a real database: when it scans, what it keeps, which folder it lets pass."""

import asyncio
import logging
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from cs_archiver.bus import Bus
from cs_archiver.clock import from_text
from cs_archiver.db.database import Database
from cs_archiver.db.folders import Folders
from cs_archiver.domain.folders import Folder, Patterns
from cs_archiver.errors import Conflict, InvalidRequest, NeedsOperator, NotFound, Temporary
from cs_archiver.services.folders import FolderService
from cs_archiver.tools.crew import Crews
from cs_archiver.tools.discovery import Discovery, Found, HandOver, Progress

PATTERNS = Patterns(markers=(".archived", "*-ARCHIVED-TO-GLOBUS.txt"), litter=(".DS_Store",))


@pytest.fixture
def nas(tmp_path: Path) -> Path:
    base = tmp_path / "nas"
    for name in ("Alpha", "Beta"):
        plant(base / "Production" / "2024" / name)
    (base / "Production" / "2024" / "Notes").mkdir()
    (base / "Production" / "2024" / "Notes" / "notes.txt").write_bytes(b"text")
    (base / "Production" / "2024" / "Link").symlink_to("Alpha")
    (base / "Elsewhere").symlink_to("Production")
    return base


def plant(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("one.mov", "two.mov"):
        (folder / name).write_bytes(b"12345")


class CountingDiscovery(Discovery):
    """The real one, which also tells how often it ran and can be held up on its thread."""

    def __init__(self, base: Path) -> None:
        super().__init__(bytes(base), PATTERNS, threads=4)
        self.runs = 0
        self.in_full: list[bool] = []
        self.began = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def run(
        self,
        on_progress: Progress | None = None,
        *,
        hand_over: HandOver | None = None,
        in_full: bool = False,
        crews: Crews | None = None,
    ) -> Found:
        self.runs += 1
        self.in_full.append(in_full)
        self.began.set()
        assert self.may_go_on.wait(timeout=30)
        return super().run(on_progress, hand_over=hand_over, in_full=in_full, crews=crews)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "archiver.db", read_connections=2)
    yield database
    await database.close()


@pytest.fixture
def discovery(nas: Path) -> CountingDiscovery:
    return CountingDiscovery(nas)


@pytest.fixture
async def service(discovery: CountingDiscovery, database: Database) -> AsyncIterator[FolderService]:
    service = FolderService(discovery, Folders(database), Bus())
    yield service
    discovery.may_go_on.set()
    await service.close()


async def scanned(service: FolderService, *, refresh: bool, in_full: bool = False) -> list[Folder]:
    """The list after a scan, if there is to be one."""
    await service.scan(refresh=refresh, in_full=in_full)
    return await service.listed()


async def names_listed(service: FolderService, *, refresh: bool = False) -> list[str]:
    return [folder.name for folder in await scanned(service, refresh=refresh)]


async def until_begun(discovery: CountingDiscovery) -> None:
    assert await asyncio.to_thread(discovery.began.wait, 30)


async def test_first_call_ever_scans_and_the_next_answers_from_the_database(
    service: FolderService, discovery: CountingDiscovery, nas: Path
) -> None:
    assert await names_listed(service) == ["Alpha", "Beta"]
    plant(nas / "Production" / "2024" / "Gamma")
    assert await names_listed(service) == ["Alpha", "Beta"]
    assert discovery.runs == 1


async def test_scan_that_found_nothing_is_not_repeated_unasked(tmp_path: Path, database: Database) -> None:
    (tmp_path / "bare").mkdir()
    discovery = CountingDiscovery(tmp_path / "bare")
    service = FolderService(discovery, Folders(database), Bus())
    assert [await names_listed(service), await names_listed(service)] == [[], []]
    assert discovery.runs == 1
    await service.close()


async def test_refresh_scans_anew(service: FolderService, nas: Path) -> None:
    await scanned(service, refresh=False)
    plant(nas / "Production" / "2024" / "Gamma")
    shutil.rmtree(nas / "Production" / "2024" / "Alpha")
    assert await names_listed(service, refresh=True) == ["Beta", "Gamma"]
    assert await names_listed(service) == ["Beta", "Gamma"]


async def test_listed_folder_has_size_count_and_time(service: FolderService, nas: Path) -> None:
    alpha = (await scanned(service, refresh=False))[0]
    assert (alpha.path, alpha.size_bytes, alpha.file_count) == (f"{nas}/Production/2024/Alpha", 10, 2)
    assert alpha.modified_at is not None


async def test_left_out_folders_are_kept_with_their_reason(service: FolderService, nas: Path) -> None:
    await scanned(service, refresh=True)
    assert {folder.path: folder.left_out for folder in await service.left_out()} == {
        f"{nas}/Elsewhere": "a symbolic link: never followed",
        f"{nas}/Production/2024/Link": "a symbolic link: never followed",
        f"{nas}/Production/2024/Notes": "nothing to archive: it holds only a single .txt file",
    }


async def test_result_outlives_the_service(service: FolderService, database: Database, nas: Path) -> None:
    await scanned(service, refresh=False)
    shutil.rmtree(nas)
    later = CountingDiscovery(nas)
    restarted = FolderService(later, Folders(database), Bus())
    assert await names_listed(restarted) == ["Alpha", "Beta"]
    assert later.runs == 0
    await restarted.close()


async def test_all_who_ask_at_the_same_time_share_one_scan(
    service: FolderService, discovery: CountingDiscovery
) -> None:
    discovery.may_go_on.clear()
    asking = [asyncio.create_task(names_listed(service, refresh=True)) for _ in range(5)]
    await until_begun(discovery)
    asking += [asyncio.create_task(names_listed(service, refresh=True)) for _ in range(5)]
    await asyncio.sleep(0)
    discovery.may_go_on.set()
    assert await asyncio.gather(*asking) == [["Alpha", "Beta"]] * 10
    assert discovery.runs == 1


async def test_last_result_answers_while_a_scan_is_running(
    service: FolderService, discovery: CountingDiscovery, nas: Path
) -> None:
    await scanned(service, refresh=False)
    plant(nas / "Production" / "2024" / "Gamma")
    discovery.may_go_on.clear()
    discovery.began.clear()
    refreshing = asyncio.create_task(names_listed(service, refresh=True))
    await until_begun(discovery)
    assert await names_listed(service) == ["Alpha", "Beta"]
    assert (await service.require_listed(f"{nas}/Production/2024/Beta")).name == "Beta"
    discovery.may_go_on.set()
    assert await refreshing == ["Alpha", "Beta", "Gamma"]


async def test_scan_goes_on_for_others_when_one_who_asked_is_cancelled(
    service: FolderService, discovery: CountingDiscovery
) -> None:
    discovery.may_go_on.clear()
    gone = asyncio.create_task(names_listed(service, refresh=True))
    staying = asyncio.create_task(names_listed(service, refresh=True))
    await until_begun(discovery)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    discovery.may_go_on.set()
    assert await staying == ["Alpha", "Beta"]
    assert discovery.runs == 1


async def test_failed_scan_leaves_the_last_result_and_is_logged(
    service: FolderService, nas: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await scanned(service, refresh=False)
    nas.rename(nas.with_name("unmounted"))
    with caplog.at_level(logging.WARNING), pytest.raises(NeedsOperator, match="QNAP_BASE_PATH"):
        await scanned(service, refresh=True)
    assert "discovery failed: QNAP_BASE_PATH" in caplog.text
    assert await names_listed(service) == ["Alpha", "Beta"]
    assert len(await service.left_out()) == 3
    nas.with_name("unmounted").rename(nas)
    assert await names_listed(service, refresh=True) == ["Alpha", "Beta"]


async def test_failed_first_scan_is_tried_again_by_the_next_call(
    service: FolderService, discovery: CountingDiscovery, nas: Path
) -> None:
    nas.rename(nas.with_name("unmounted"))
    with pytest.raises(NeedsOperator):
        await scanned(service, refresh=False)
    nas.with_name("unmounted").rename(nas)
    assert await names_listed(service) == ["Alpha", "Beta"]
    assert discovery.runs == 2


async def test_event_loop_runs_on_while_a_scan_is_held_up(service: FolderService, discovery: CountingDiscovery) -> None:
    discovery.may_go_on.clear()
    scan = asyncio.create_task(scanned(service, refresh=True))
    await until_begun(discovery)  # this very line would never return
    discovery.may_go_on.set()
    assert len(await scan) == 2


async def test_close_ends_a_running_scan_and_tells_who_waits(
    service: FolderService, discovery: CountingDiscovery, database: Database
) -> None:
    discovery.may_go_on.clear()
    waiting = asyncio.create_task(scanned(service, refresh=True))
    await until_begun(discovery)
    closing = asyncio.create_task(service.close())
    await asyncio.sleep(0)  # close has told the discovery to stop by now, and waits for it
    discovery.may_go_on.set()
    await closing
    with pytest.raises(Temporary, match="stopped"):
        await waiting
    assert not await Folders(database).last_scan()


async def test_scan_that_is_stopped_is_told_and_the_next_one_runs(
    service: FolderService, discovery: CountingDiscovery
) -> None:
    await scanned(service, refresh=False)
    discovery.may_go_on.clear()
    discovery.began.clear()
    waiting = asyncio.create_task(scanned(service, refresh=True))
    await until_begun(discovery)
    service.stop_scan()
    discovery.may_go_on.set()
    with pytest.raises(Temporary, match="stopped"):
        await waiting
    assert (service.is_stopped, service.running_scan) == (True, None)
    assert await names_listed(service) == ["Alpha", "Beta"]
    assert await names_listed(service, refresh=True) == ["Alpha", "Beta"]
    assert not service.is_stopped


async def test_stopping_when_no_scan_runs_does_nothing_to_the_next(service: FolderService) -> None:
    service.stop_scan()
    assert await names_listed(service) == ["Alpha", "Beta"]
    service.stop_scan()
    assert await names_listed(service, refresh=True) == ["Alpha", "Beta"]


async def test_folders_are_listed_while_the_scan_goes_on(
    nas: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cs_archiver.services.folders.HAND_OVER_SECONDS", 0.01)
    goes_on, real = threading.Event(), os.lstat

    def lstat(path: bytes) -> os.stat_result:
        if isinstance(path, bytes) and path.endswith(b"/Beta"):
            assert goes_on.wait(30)
        return real(path)

    monkeypatch.setattr(os, "lstat", lstat)
    service = FolderService(CountingDiscovery(nas), Folders(database), Bus())
    scan = asyncio.create_task(scanned(service, refresh=True))
    async with asyncio.timeout(20):
        while not await service.known([f"{nas}/Production/2024/Alpha"]):
            await asyncio.sleep(0.01)
    assert (await service.last_scan(), service.running_scan is not None) == (None, True)
    assert (await service.require_listed(f"{nas}/Production/2024/Alpha")).file_count == 2
    goes_on.set()
    assert [folder.name for folder in await scan] == ["Alpha", "Beta"]
    await service.close()


def looked_at(service: FolderService) -> int | None:
    running = service.running_scan
    return None if running is None else running.looked_at


async def test_what_a_stopped_scan_has_found_is_listed(
    service: FolderService, discovery: CountingDiscovery, nas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(nas / "Production" / "2024" / "Gamma")
    real, reached, goes_on = os.lstat, threading.Event(), threading.Event()

    def lstat(path: bytes) -> os.stat_result:
        if isinstance(path, bytes) and path.endswith(b"/Beta"):
            reached.set()
            assert goes_on.wait(30)
        return real(path)

    monkeypatch.setattr(os, "lstat", lstat)
    service.begin_scan()
    assert await asyncio.to_thread(reached.wait, 30)
    async with asyncio.timeout(20):
        while looked_at(service) != 5:  # all but Beta; Elsewhere, Link and Notes are told of as well
            await asyncio.sleep(0.01)
        service.stop_scan()
        goes_on.set()
        while looked_at(service) is not None:
            await asyncio.sleep(0.01)
    kept = await service.known([f"{nas}/Production/2024/{name}" for name in ("Alpha", "Gamma")])
    assert sorted(folder.name for folder in kept) == ["Alpha", "Gamma"]


async def test_what_is_wished_in_full_does_not_join_a_scan_that_is_not(
    service: FolderService, discovery: CountingDiscovery
) -> None:
    discovery.may_go_on.clear()
    quick = asyncio.create_task(scanned(service, refresh=True))
    await until_begun(discovery)
    full = [asyncio.create_task(scanned(service, refresh=True, in_full=True)) for _ in range(3)]
    await asyncio.sleep(0)
    discovery.may_go_on.set()
    await asyncio.gather(quick, *full)
    assert discovery.in_full == [False, True]


async def test_moment_since_which_sizes_were_measured_is_told(
    service: FolderService, database: Database, nas: Path
) -> None:
    assert await service.last_scan() is None
    for path in [nas, *nas.rglob("*")]:
        os.utime(path, (1e9, 1e9), follow_symlinks=False)
    await scanned(service, refresh=True)
    first = await service.last_scan()
    assert first is not None
    assert service.measured_since(first) == first.started_at
    await scanned(service, refresh=True)
    second = await service.last_scan()
    assert second is not None
    assert from_text(service.measured_since(second)) <= from_text(first.finished_at) < from_text(second.finished_at)
    await scanned(service, refresh=True, in_full=True)
    last = await service.last_scan()
    assert last is not None
    assert service.measured_since(last) == last.started_at
    restarted = FolderService(CountingDiscovery(nas), Folders(database), Bus())
    assert from_text(last.started_at) - from_text(restarted.measured_since(last)) == timedelta(days=1)
    await restarted.close()


async def test_listed_folder_passes_with_what_is_on_disk_now(service: FolderService, nas: Path) -> None:
    await scanned(service, refresh=False)
    path = f"{nas}/Production/2024/Alpha"
    before = snapshot(nas)
    assert (await service.require_listed(path)).size_bytes == 10
    assert snapshot(nas) == before
    (nas / "Production/2024/Alpha/three.mov").write_bytes(b"678")
    folder = await service.require_listed(path)
    assert (folder.path, folder.level1, folder.level2, folder.name) == (path, "Production", "2024", "Alpha")
    assert (folder.size_bytes, folder.file_count, folder.left_out) == (13, 3, None)


def snapshot(base: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns) for path in base.rglob("*")}


async def test_what_can_be_no_path_is_an_invalid_value(service: FolderService, nas: Path) -> None:
    for path in ("", "\0", f"{nas}/Production/2024/Alpha\0", "\ud800", f"{nas}/A/B/\udcff"):
        with pytest.raises(InvalidRequest) as caught:
            await service.require_listed(path)
        assert (caught.value.problem, caught.value.status) == ("invalid-value", 422), repr(path)


NO_DISCOVERED_FOLDER = [
    ("/etc/passwd", "not below"),
    ("/", "not below"),
    ("{nas}", "not below"),
    ("{nas}2/Production/2024/Alpha", "not below"),
    ("Production/2024/Alpha", "not below"),
    ("-sdel", "not below"),
    (" {nas}/Production/2024/Alpha", "not below"),
    ("{nas}/../nas/Production/2024/Alpha", "'..'"),
    ("{nas}/Production/2024/Alpha/../Beta", "'..'"),
    ("{nas}/Production/2024/..", "'..'"),
    ("{nas}/Production/./2024/Alpha", "'.'"),
    ("{nas}//Production/2024/Alpha", "empty part"),
    ("{nas}/Production/2024/Alpha/", "empty part"),
    ("{nas}/", "empty part"),
    ("{nas}/Production/2024", "three levels"),
    ("{nas}/Production/2024/Alpha/sub", "three levels"),
    ("{nas}/Production/2024/@Recycle", "begins with"),
    ("{nas}/.snapshots/2024/Alpha", "begins with"),
    ("{nas}/Production/2024/Missing", "refresh=true"),
    ("{nas}/Production/2024/alpha", "refresh=true"),
    ("{nas}/Production/2024/Alpha ", "refresh=true"),
    ("{nas}/Production/2024/" + "x" * 5000, "refresh=true"),
    ("{nas}/Production/2024/Link", "symbolic link"),
    ("{nas}/Elsewhere/2024/Alpha", "Elsewhere: a symbolic link"),
]


async def test_what_is_no_discovered_folder_is_not_found_and_the_detail_says_why(
    service: FolderService, nas: Path
) -> None:
    await scanned(service, refresh=False)
    before = snapshot(nas)
    for path, why in NO_DISCOVERED_FOLDER:
        with pytest.raises(NotFound) as caught:
            await service.require_listed(path.replace("{nas}", str(nas)))
        assert caught.value.problem == "folder-not-found", path
        assert why in caught.value.detail, path
    assert snapshot(nas) == before


async def test_folder_that_no_scan_has_found_yet_is_not_found_although_it_is_there(
    service: FolderService, nas: Path
) -> None:
    await scanned(service, refresh=False)
    plant(nas / "Production" / "2024" / "Gamma")
    with pytest.raises(NotFound, match="refresh=true"):
        await service.require_listed(f"{nas}/Production/2024/Gamma")
    await scanned(service, refresh=True)
    assert (await service.require_listed(f"{nas}/Production/2024/Gamma")).name == "Gamma"


async def test_folder_left_out_by_the_last_scan_stays_so_until_the_next(service: FolderService, nas: Path) -> None:
    await scanned(service, refresh=False)
    path = f"{nas}/Production/2024/Notes"
    (nas / "Production/2024/Notes/film.mov").write_bytes(b"film")
    with pytest.raises(NotFound, match=r"single \.txt file.*refresh=true"):
        await service.require_listed(path)
    await scanned(service, refresh=True)
    assert (await service.require_listed(path)).name == "Notes"


async def test_folder_that_vanished_since_the_scan_is_not_found(service: FolderService, nas: Path) -> None:
    await scanned(service, refresh=False)
    shutil.rmtree(nas / "Production/2024/Alpha")
    with pytest.raises(NotFound, match="no such folder"):
        await service.require_listed(f"{nas}/Production/2024/Alpha")


@pytest.mark.parametrize("level", ["Production", "Production/2024", "Production/2024/Alpha"])
async def test_folder_behind_a_link_made_since_the_scan_is_not_found(
    service: FolderService, nas: Path, tmp_path: Path, level: str
) -> None:
    await scanned(service, refresh=False)
    (nas / level).rename(tmp_path / "moved")
    (nas / level).symlink_to(tmp_path / "moved")
    with pytest.raises(NotFound, match=f"{level}: a symbolic link"):
        await service.require_listed(f"{nas}/Production/2024/Alpha")


def add_marker(folder: Path) -> None:
    (folder / "Alpha-ARCHIVED-TO-GLOBUS.txt").write_bytes(b"")


def remove_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def leave_only_a_txt(folder: Path) -> None:
    remove_all(folder)
    (folder / "read me.TXT").write_bytes(b"")


def add_fifo(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


@pytest.mark.parametrize(
    ("change", "problem", "why"),
    [
        (add_marker, "already-archived", "Alpha-ARCHIVED-TO-GLOBUS.txt"),
        (remove_all, "nothing-to-archive", "no file"),
        (leave_only_a_txt, "nothing-to-archive", "single .txt"),
        (add_fifo, "folder-not-archivable", "a FIFO"),
    ],
)
async def test_folder_that_changed_since_the_scan_is_a_conflict(
    service: FolderService, nas: Path, change: Callable[[Path], None], problem: str, why: str
) -> None:
    await scanned(service, refresh=False)
    change(nas / "Production/2024/Alpha")
    with pytest.raises(Conflict) as caught:
        await service.require_listed(f"{nas}/Production/2024/Alpha")
    assert (caught.value.problem, caught.value.status) == (problem, 409)
    assert why in caught.value.detail


async def test_folder_the_scan_already_left_out_gives_the_reason(service: FolderService, nas: Path) -> None:
    await scanned(service, refresh=False)
    with pytest.raises(Conflict, match=r"single \.txt file") as caught:
        await service.require_listed(f"{nas}/Production/2024/Notes")
    assert caught.value.problem == "nothing-to-archive"


async def test_folder_cannot_pass_while_the_nas_is_not_mounted(service: FolderService, nas: Path) -> None:
    await scanned(service, refresh=False)
    nas.rename(nas.with_name("unmounted"))
    with pytest.raises(NeedsOperator, match="QNAP_BASE_PATH"):
        await service.require_listed(f"{nas}/Production/2024/Alpha")
    nas.mkdir()
    with pytest.raises(NotFound, match="no such folder"):
        await service.require_listed(f"{nas}/Production/2024/Alpha")
