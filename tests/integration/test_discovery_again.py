"""A scan after a scan: what is unchanged is taken over, what came or went is seen, and in full nothing is trusted."""

import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.domain.folders import Content, Folder
from cs_archiver.errors import NeedsOperator, Temporary
from cs_archiver.tools import crew, discovery, known_folders
from cs_archiver.tools.crew import Crews
from cs_archiver.tools.discovery import Discovery
from cs_archiver.tools.folder_count import BATCH_ENTRIES
from cs_archiver.tools.known_folders import OLDEST_SECONDS, Known, KnownFolders, Stamp
from tests.integration.test_discovery import PATTERNS, discovery_of, plant, two_files

_DAY_NS = OLDEST_SECONDS * 10**9
_TWO_HOURS_AGO = time.time() - 2 * 3600


def _age(base: Path) -> None:
    """As if nothing had been changed for long."""
    for path in [base, *base.rglob("*")]:
        os.utime(path, (_TWO_HOURS_AGO, _TWO_HOURS_AGO), follow_symlinks=False)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every directory that is listed from now on."""
    names: list[str] = []
    real = os.scandir

    def scandir(path: bytes) -> Any:
        names.append(os.path.basename(os.fsdecode(path)))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return names


def _by_name(folders: list[Folder]) -> dict[str, Folder]:
    return {folder.name: folder for folder in folders}


def test_unchanged_folders_are_not_listed_again_and_are_told_as_before(tmp_path: Path, listed: list[str]) -> None:
    plant(tmp_path, *two_files("A/B/C/sub/deeper"), "A/B/notes/n.txt", "A/B/done/.archived", "A/B/empty/")
    _age(tmp_path)
    walked = discovery_of(tmp_path)
    first = walked.run()
    assert {"C", "sub", "deeper", "notes"} <= set(listed)
    assert first.taken_over_since is None
    listed.clear()
    again = walked.run()
    assert set(listed) == {tmp_path.name, "A", "B"}
    assert again.folders == first.folders
    assert again.taken_over_since is not None
    assert again.taken_over_since.startswith("20")


def test_in_full_everything_is_listed_again_and_a_file_that_grew_in_place_is_seen(
    tmp_path: Path, listed: list[str]
) -> None:
    plant(tmp_path, *two_files("A/B/C"), *two_files("A/B/D"))
    _age(tmp_path)
    walked = discovery_of(tmp_path)
    before = _by_name(walked.run().folders)
    (tmp_path / "A/B/C/one.mov").write_bytes(b"x" * 5000)
    assert _by_name(walked.run().folders) == before  # which is why `taken_over_since` is told
    assert walked.look_at("A", "B", "C").size_bytes == 5007
    listed.clear()
    found = walked.run(in_full=True)
    assert {"C", "D"} <= set(listed)
    assert (_by_name(found.folders)["C"].size_bytes, found.taken_over_since) == (5007, None)
    _age(tmp_path)
    walked.run()
    assert _by_name(walked.run().folders)["C"].size_bytes == 5007


def test_what_came_is_seen_also_where_the_time_of_the_directory_was_put_back(tmp_path: Path) -> None:
    plant(tmp_path, *two_files("A/B/C/deep"))
    _age(tmp_path)
    walked, deep = discovery_of(tmp_path), tmp_path / "A/B/C/deep"
    assert [folder.file_count for folder in walked.run().folders] == [2]
    os.link(deep / "two.mov", deep / "three.mov")
    _age(tmp_path)
    assert [folder.file_count for folder in walked.run().folders] == [3]


def test_folder_in_which_something_was_just_written_is_counted_again_each_time(tmp_path: Path) -> None:
    plant(tmp_path, *two_files("A/B/C/deep"))
    _age(tmp_path)
    take = tmp_path / "A/B/C/deep/one.mov"
    take.write_bytes(b"x" * 100)
    walked = discovery_of(tmp_path)
    sizes = []
    for size in (200, 300):
        sizes.append(walked.run().folders[0].size_bytes)
        take.write_bytes(b"x" * size)
    assert sizes == [107, 207]


_Change = Callable[[Path, random.Random], None]


def _some(base: Path, chance: random.Random, *, folders: bool) -> Path | None:
    found = [path for path in sorted(base.glob("*/*/*/**/*")) if path.is_dir() is folders and not path.is_symlink()]
    return chance.choice(found) if found else None


def _create(base: Path, chance: random.Random) -> None:
    where = _some(base, chance, folders=True) or base
    (where / f"new {chance.random()}").write_bytes(b"n" * chance.randrange(99))


def _remove(base: Path, chance: random.Random) -> None:
    path = _some(base, chance, folders=False)
    if path is not None:
        path.unlink()


def _rename(base: Path, chance: random.Random) -> None:
    path = _some(base, chance, folders=chance.random() < 0.5)
    if path is not None:
        path.rename(path.with_name(f"renamed {chance.random()}"))


def _replace(base: Path, chance: random.Random) -> None:
    """As many editors save, and as a rename keeps every time of what was renamed."""
    path = _some(base, chance, folders=False)
    if path is not None:
        other = path.with_name("being saved")
        other.write_bytes(b"s" * chance.randrange(99))
        os.utime(other, (_TWO_HOURS_AGO, _TWO_HOURS_AGO))
        other.replace(path)


def _remove_tree(base: Path, chance: random.Random) -> None:
    path = _some(base, chance, folders=True)
    if path is not None:
        shutil.rmtree(path)


def _swap(base: Path, chance: random.Random) -> None:
    """Two trees change places, with all their times."""
    one, other = _some(base, chance, folders=True), _some(base, chance, folders=True)
    if one is None or other is None or one in (other, *other.parents) or other in one.parents:
        return
    one.rename(base / ".aside")
    other.rename(one)
    (base / ".aside").rename(other)


def _special(base: Path, chance: random.Random) -> None:
    where = _some(base, chance, folders=True) or base
    os.mkfifo(where / f"pipe {chance.random()}")


def _archive(base: Path, chance: random.Random) -> None:
    folder = chance.choice([path for path in sorted(base.glob("*/*/*")) if path.is_dir()])
    (folder / ".archived").write_bytes(b"")


def _forbid(base: Path, chance: random.Random) -> None:
    """A link in place of a directory."""
    path = _some(base, chance, folders=True)
    if path is not None:
        shutil.rmtree(path)
        path.symlink_to("nowhere")


_CHANGES: tuple[_Change, ...] = (
    _create, _remove, _rename, _replace, _remove_tree, _swap, _special, _archive, _forbid,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_goes_or_moves_the_next_scan_finds_what_a_new_one_finds(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(12):
        folder = f"L{number % 2}/M{number % 3}/N{number}"
        plant(tmp_path, *two_files(folder), *two_files(f"{folder}/sub/deep"), f"{folder}/sub/other/x.txt")
    many = [f"L0/M0/N0/{number}/file" for number in range(BATCH_ENTRIES + 2)]
    plant(tmp_path, *many)
    _age(tmp_path)
    walked = discovery_of(tmp_path)
    walked.run()
    for _ in range(6):
        for _ in range(chance.randrange(1, 4)):
            chance.choice(_CHANGES)(tmp_path, chance)
        assert walked.run().folders == discovery_of(tmp_path).run().folders
        if chance.random() < 0.5:
            _age(tmp_path)


def test_changes_of_one_folder_do_not_have_the_others_listed_again(tmp_path: Path, listed: list[str]) -> None:
    plant(tmp_path, *two_files("A/B/C/sub"), *two_files("A/B/D/sub"))
    _age(tmp_path)
    walked = discovery_of(tmp_path)
    walked.run()
    plant(tmp_path, "A/B/D/sub/three.mov")
    listed.clear()
    found = _by_name(walked.run().folders)
    assert (found["C"].file_count, found["D"].file_count) == (2, 3)
    assert sorted(listed) == sorted([tmp_path.name, "A", "B", "D", "sub"])


def test_directory_that_can_be_entered_no_more_is_told_at_the_next_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, *two_files("A/B/C/sub"))
    _age(tmp_path)
    walked = discovery_of(tmp_path)
    walked.run()
    real = os.lstat

    def lstat(path: bytes) -> os.stat_result:
        if path.endswith(b"/sub"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", lstat)
        (found,) = walked.run().folders
        assert found.left_out == "its sub-folder 'sub': cannot be read: Permission denied"
    (found,) = walked.run().folders
    assert (found.left_out, found.file_count) == (None, 2)


_STAMP = Stamp(2**64 - 1, 2**64 - 1, 0)


def _known(*paths: bytes, measured_at_ns: int = 5 * _DAY_NS, newest_mtime_ns: int = 0) -> Known:
    return Known.of(Content(newest_mtime_ns), measured_at_ns, [(path, _STAMP) for path in paths])


def test_directories_are_remembered_with_paths_of_any_kind() -> None:
    paths = (b"", b"sub", b"sub/\xff\n", b"sub/ ")
    assert list(_known(*paths).directories()) == [(path, _STAMP) for path in paths]


def test_nothing_is_trusted_that_is_older_than_a_day_or_from_the_future() -> None:
    known = KnownFolders()
    known.remember((b"a",), _known(b""))
    assert known.find((b"a",), 5 * _DAY_NS) is not None
    assert known.find((b"a",), 6 * _DAY_NS - 1) is not None
    assert known.find((b"a",), 6 * _DAY_NS) is None
    assert known.find((b"a",), 5 * _DAY_NS - 1) is None


def test_nothing_is_remembered_that_was_changed_within_the_hour_before() -> None:
    known = KnownFolders()
    hour_ns = 3600 * 10**9
    known.remember((b"a",), _known(b""))
    known.remember((b"a",), _known(b"", newest_mtime_ns=5 * _DAY_NS - hour_ns))
    assert known.find((b"a",), 5 * _DAY_NS) is None
    known.remember((b"a",), _known(b"", newest_mtime_ns=5 * _DAY_NS - hour_ns - 1))
    assert known.find((b"a",), 5 * _DAY_NS) is not None


def test_no_more_directories_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_folders, "MOST_DIRECTORIES", 5)
    known = KnownFolders()
    for name, paths in ((b"a", (b"", b"x", b"y")), (b"b", (b"", b"x", b"y")), (b"c", (b"", b"x"))):
        known.remember((name,), _known(*paths))
    assert [known.find((name,), 5 * _DAY_NS) is None for name in (b"a", b"b", b"c")] == [False, True, False]
    known.forget_all_but({(b"b",), (b"c",)})
    known.remember((b"b",), _known(b"", b"x", b"y"))
    assert [known.find((name,), 5 * _DAY_NS) is None for name in (b"a", b"b", b"c")] == [True, False, False]


def test_what_was_found_is_handed_over_while_one_folder_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, *(file for number in range(5) for file in two_files(f"A/B/{number}")))
    plant(tmp_path, *two_files("A/B/slow"))
    handed: list[Folder] = []
    are_there, real = threading.Event(), os.scandir

    def hand_over(folders: Sequence[Folder]) -> None:
        handed.extend(folders)
        if len(handed) == 5:
            are_there.set()

    def scandir(path: bytes) -> Any:
        if path.endswith(b"/slow"):
            assert are_there.wait(30)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = discovery_of(tmp_path, threads=2).run(hand_over=hand_over)
    assert sorted(folder.name for folder in handed[:5]) == ["0", "1", "2", "3", "4"]
    assert len(found.folders) == 6


@pytest.mark.parametrize("comes_back", [False, True])
def test_nothing_is_handed_over_of_a_base_that_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    base, away = tmp_path / "base", tmp_path / "unmounted"
    plant(base, *two_files("A/B/1"), *two_files("A/B/2"))
    handed: list[Folder] = []
    ticks: list[Callable[[], None]] = []
    listed: list[bytes] = []
    real = os.scandir

    @contextmanager
    def every(_seconds: float, do: Callable[[], None], **_more: float) -> Iterator[None]:
        ticks.append(do)
        yield
        do()

    def scandir(path: bytes) -> Any:
        if path.endswith((b"/1", b"/2")):
            listed.append(path)
            if len(listed) == 2:
                base.rename(away)
                base.mkdir()
                ticks[0]()
                if comes_back:
                    base.rmdir()
                    away.rename(base)
        return real(path)

    monkeypatch.setattr(discovery, "every", every)
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(NeedsOperator, match="unmounted or replaced"):
        discovery_of(base, threads=1).run(hand_over=handed.extend)
    assert (len(listed), handed) == (2, [])


def test_nothing_is_handed_over_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_GRACE_SECONDS", 0.05)
    plant(tmp_path, *two_files("A/B/C"))
    answers, real = threading.Event(), os.stat
    handed: list[Folder] = []

    def stat(path: Any, **options: Any) -> os.stat_result:
        if threading.current_thread().name == "ticking":
            assert answers.wait(30)
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert len(discovery_of(tmp_path).run(hand_over=handed.extend).folders) == 1
    (hangs,) = (thread for thread in threading.enumerate() if thread.name == "ticking")
    answers.set()
    hangs.join(30)
    assert (hangs.is_alive(), handed) == (False, [])


def test_nothing_is_remembered_of_a_share_that_came_or_went(tmp_path: Path, listed: list[str]) -> None:
    base = tmp_path / "base"
    plant(base, *two_files("A/B/C"))
    _age(base)
    walked = discovery_of(base)
    walked.run()
    base.rename(tmp_path / "unmounted")
    with pytest.raises(NeedsOperator):
        walked.run()
    (tmp_path / "unmounted").rename(base)
    listed.clear()
    walked.run()
    assert "C" in listed


def test_one_run_is_stopped_and_the_next_goes_on_from_what_it_found(tmp_path: Path, listed: list[str]) -> None:
    plant(tmp_path, *(file for number in range(100) for file in two_files(f"A/B/{number}")))
    _age(tmp_path)
    walked = discovery_of(tmp_path, threads=1)
    crews, handed_over = Crews(), list[Folder]()
    with pytest.raises(Temporary, match="stopped"):
        walked.run(lambda number: crews.stop() if number == 50 else None, hand_over=handed_over.extend, crews=crews)
    assert len({folder.path for folder in handed_over}) == len(handed_over) == 50
    listed.clear()
    found = walked.run()
    assert len(found.folders) == 100
    assert len(listed) == 3 + 50


def test_a_run_ends_by_itself_when_a_part_of_the_nas_hangs_and_hands_over_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, *(file for number in range(100) for file in two_files(f"A/B/{number}")), *two_files("A/B/hangs"))
    mended, handed_over, real = threading.Event(), list[Folder](), os.scandir

    def scandir(path: bytes) -> Any:
        if path.endswith(b"/hangs"):
            assert mended.wait(timeout=30)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(crew, "STOP_GRACE_SECONDS", 0.05)
    walked = Discovery(bytes(tmp_path), PATTERNS, threads=4, timeout_seconds=1.5)
    for look in (
        lambda: walked.run(hand_over=handed_over.extend),
        lambda: walked.look_at("A", "B", "hangs"),
    ):
        with pytest.raises(NeedsOperator, match=r"has not answered for 1\.5 s"):
            look()
    assert sorted(int(folder.name) for folder in handed_over) == list(range(100))
    assert walked.look_at("A", "B", "7").file_count == 2
    mended.set()


@pytest.mark.parametrize("moment", ["stat", "lstat", "scandir"])
def test_a_run_is_stopped_even_where_the_nas_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    plant(tmp_path, *two_files("A/B/C"))
    crews, mended, hangs = Crews(), threading.Event(), threading.Event()
    real = getattr(os, moment)

    def hang(path: Any, *given: Any, **options: Any) -> Any:
        if isinstance(path, bytes) and path.startswith(bytes(tmp_path)):
            hangs.set()
            assert mended.wait(timeout=30)
        return real(path, *given, **options)

    monkeypatch.setattr(crew, "STOP_GRACE_SECONDS", 0.05)
    before = set(threading.enumerate())
    monkeypatch.setattr(os, moment, hang)

    def stop() -> None:
        assert hangs.wait(30)
        crews.stop()

    threading.Thread(target=stop).start()
    with pytest.raises(Temporary, match="stopped"):
        Discovery(bytes(tmp_path), PATTERNS, threads=4).run(crews=crews)
    mended.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)
