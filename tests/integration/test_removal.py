"""Removing what is our own: nothing beyond a link, and nothing before it is durable."""

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cs_archiver.tools import removal
from cs_archiver.tools.removal import (
    move_without_overwriting,
    remove_empty_folders,
    remove_file,
    remove_working_copy,
    set_aside,
)
from cs_archiver.tools.threads import Stopped, Work
from tests.support.nobody import NOBODY, as_nobody, open_folder
from tests.support.trees import left, plant_awkward_tree, write


@pytest.fixture
def open_root() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def test_a_working_copy_goes_whole_and_nothing_beyond_its_links(tmp_path: Path) -> None:
    copy, outside = tmp_path / "temp" / "job", tmp_path / "outside"
    copy.mkdir(parents=True)
    outside.mkdir()
    plant_awkward_tree(copy)
    write(outside, b"precious", b"x", mode=0o400)
    outside.chmod(0o500)
    (copy / "to folder").symlink_to(outside)
    (copy / "to file").symlink_to(outside / "precious")
    os.mkfifo(copy / "fifo")
    remove_working_copy(os.fsencode(copy), Work())
    assert not copy.exists()
    assert (outside / "precious").read_bytes() == b"x"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o500
    assert stat.S_IMODE((outside / "precious").stat().st_mode) == 0o400


def test_a_working_copy_that_was_removed_is_gone_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job" / "folder").mkdir(parents=True)
    left_when_synced: list[tuple[str, list[str]]] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        folder = os.readlink(f"/proc/self/fd/{descriptor}")
        left_when_synced.append((folder, os.listdir(folder)))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    remove_working_copy(os.fsencode(tmp_path / "job"), Work())
    assert left_when_synced == [(str(tmp_path), [])]


def test_the_removal_of_a_working_copy_can_be_stopped_and_gone_on_with(tmp_path: Path) -> None:
    copy = tmp_path / "job"
    (copy / "a" / "b").mkdir(parents=True)
    for name in (b"a/1", b"a/b/2", b"3"):
        write(copy, name, b"x")
    before, stopped = left(copy), Work()
    stopped.stop()
    with pytest.raises(Stopped):
        remove_working_copy(os.fsencode(copy), stopped)
    assert left(copy) == before
    remove_working_copy(os.fsencode(copy), Work())
    assert not copy.exists()


def test_a_stop_is_heeded_among_folders_without_files(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / "job" / f"{number}").mkdir(parents=True)
        (tmp_path / "job" / f"{number}").chmod(0o755)
    stopped = Work()
    stopped.stop()
    with pytest.raises(Stopped):
        remove_working_copy(os.fsencode(tmp_path / "job"), stopped)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "job").iterdir()} == {0o755}, "it went on to look"


def test_a_stop_is_heeded_between_two_files_and_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "job"
    for number in range(5):
        (copy / f"folder {number}").mkdir(parents=True)
        write(copy, b"file %d" % number, b"x")
    for name, files, folders in (("unlink", 4, 5), ("rmdir", 0, 4)):
        work = Work()
        with monkeypatch.context() as patch:
            patch.setattr(os, name, stopping(work, getattr(os, name)))
            with pytest.raises(Stopped):
                remove_working_copy(os.fsencode(copy), work)
        assert len(left(copy)) == files + folders


def stopping(work: Work, really: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def call(path: bytes) -> None:
        really(path)
        work.stop()

    return call


def test_where_each_file_waits_for_the_disk_several_threads_remove_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, unlink, threads = tmp_path / "job", os.unlink, set()
    copy.mkdir()
    for number in range(300):
        write(copy, b"%d" % number, b"x")

    def slow(path: bytes) -> None:
        threads.add(threading.get_ident())
        time.sleep(0.002)
        unlink(path)

    monkeypatch.setattr(os, "unlink", slow)
    remove_working_copy(os.fsencode(copy), Work())
    assert not copy.exists()
    assert len(threads) > 2


def test_what_vanishes_from_a_working_copy_meanwhile_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, unlink = tmp_path / "job", os.unlink
    (copy / "a" / "b").mkdir(parents=True)
    for name in (b"a/1", b"a/b/2"):
        write(copy, name, b"x")

    def by_two(path: bytes) -> None:
        unlink(path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", by_two)
    remove_working_copy(os.fsencode(copy), Work())
    assert not copy.exists()


def test_no_working_copy_is_no_error(tmp_path: Path) -> None:
    remove_working_copy(os.fsencode(tmp_path / "none"), Work())


def test_a_link_in_place_of_the_working_copy_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    write(outside / "sub", b"precious", b"x")
    (tmp_path / "job").symlink_to(outside)
    try:
        remove_working_copy(os.fsencode(tmp_path / "job"), Work())
    except OSError:
        assert (tmp_path / "job").is_symlink()
    assert (outside / "sub" / "precious").read_bytes() == b"x"


@pytest.mark.parametrize("mode", [0o555, 0o500, 0o311, 0o000])
def test_a_working_copy_goes_whatever_the_modes_its_folders_have_from_the_source(open_root: Path, mode: int) -> None:
    copy = open_root / "job"
    (copy / "closed" / "deeper").mkdir(parents=True)
    write(copy / "closed" / "deeper", b"file", b"x", mode=0o400)
    (copy / "closed" / "deeper").chmod(mode)
    (copy / "closed").chmod(mode)
    for path in (
        open_root,
        copy,
        copy / "closed",
        copy / "closed" / "deeper",
        copy / "closed" / "deeper" / "file",
    ):
        os.chown(path, NOBODY, NOBODY)
    with as_nobody():
        remove_working_copy(os.fsencode(copy), Work())
    assert not copy.exists()


def test_a_file_of_ours_is_removed_and_its_size_told(tmp_path: Path) -> None:
    path = write(tmp_path, b"file", b"12345")
    assert remove_file(path) == 5
    assert remove_file(path) == 0
    assert os.listdir(tmp_path) == []


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    write(tmp_path, b"target", b"12345")
    (tmp_path / "link").symlink_to("target")
    remove_file(os.fsencode(tmp_path / "link"))
    assert os.listdir(tmp_path) == ["target"]


def test_a_folder_is_not_removed_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        remove_file(os.fsencode(tmp_path / "folder"))


def test_empty_folders_go_up_to_the_base_which_stays(tmp_path: Path) -> None:
    base = tmp_path / "archives"
    (base / "a" / "b" / "c").mkdir(parents=True)
    write(base / "a", b"other", b"x")
    remove_empty_folders(os.fsencode(base / "a" / "b" / "c"), up_to=os.fsencode(base))
    assert left(base) == {"a", "a/other"}
    (base / "a" / "other").unlink()
    remove_empty_folders(os.fsencode(base / "a"), up_to=os.fsencode(base))
    assert left(tmp_path) == {"archives"}


@pytest.mark.parametrize("outside", ["archives", "archives2/x", "elsewhere", "."])
def test_no_folder_outside_the_base_is_removed(tmp_path: Path, outside: str) -> None:
    for name in ("archives", "archives2/x", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    before = left(tmp_path)
    remove_empty_folders(os.fsencode(tmp_path / outside), up_to=os.fsencode(tmp_path / "archives"))
    assert left(tmp_path) == before


def test_a_move_gives_the_file_its_new_name_alone(tmp_path: Path) -> None:
    path = write(tmp_path, b"x.partial", b"archive")
    inode = os.stat(path).st_ino
    move_without_overwriting(path, os.fsencode(tmp_path / "x"))
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").stat().st_ino == inode


@pytest.mark.parametrize("there", ["a file", "a link", "a dangling link", "a folder"])
def test_a_move_never_replaces_what_is_there(tmp_path: Path, there: str) -> None:
    path, destination = write(tmp_path, b"x.partial", b"archive"), tmp_path / "x"
    write(tmp_path, b"other", b"precious")
    if there == "a folder":
        destination.mkdir()
    elif there == "a file":
        destination.write_bytes(b"precious")
    else:
        destination.symlink_to("other" if there == "a link" else "nowhere")
    before = destination.lstat()
    with pytest.raises(FileExistsError):
        move_without_overwriting(path, os.fsencode(destination))
    assert destination.lstat().st_ino == before.st_ino
    assert Path(os.fsdecode(path)).read_bytes() == b"archive"
    assert (tmp_path / "other").read_bytes() == b"precious"


def test_a_move_of_a_link_moves_the_link(tmp_path: Path) -> None:
    write(tmp_path, b"target", b"x")
    (tmp_path / "link").symlink_to("target")
    move_without_overwriting(os.fsencode(tmp_path / "link"), os.fsencode(tmp_path / "moved"))
    assert os.readlink(tmp_path / "moved") == "target"
    assert (tmp_path / "target").read_bytes() == b"x"


def test_what_is_set_aside_takes_a_free_name_and_replaces_nothing(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "failed" / "job")
    for number in range(3):
        set_aside(write(tmp_path, b"x.tar.7z", b"%d" % number), folder)
    set_aside(os.fsencode(tmp_path / "gone"), folder)
    names = ("x.tar.7z", "2-x.tar.7z", "3-x.tar.7z")
    assert [(tmp_path / "failed" / "job" / name).read_bytes() for name in names] == [b"0", b"1", b"2"]
    assert left(tmp_path) == {"failed", "failed/job", *(f"failed/job/{name}" for name in names)}


def test_what_is_moved_or_removed_of_our_own_is_durable_and_has_its_new_name_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    synced: list[tuple[bytes, list[str], list[str]]] = []

    def sync_folder(folder: bytes) -> None:
        synced.append((os.path.basename(folder), os.listdir(here), os.listdir(there)))

    monkeypatch.setattr(removal, "sync_folder", sync_folder)
    write(here, b"archive", b"1")
    removal.set_aside(bytes(here / "archive"), bytes(there))
    assert synced == [(b"there", ["archive"], ["archive"]), (b"here", [], ["archive"])]
    removal.move_without_overwriting(bytes(there / "archive"), bytes(here / "named"))
    assert synced[2:] == [(b"here", ["named"], ["archive"]), (b"there", ["named"], [])]
    assert removal.remove_file(bytes(here / "named")) == 1
    assert synced[4:] == [(b"here", [], [])]
