"""Deleting a source: just what was approved, as it was looked at, and nothing beyond a link or a mount."""

import errno
import gc
import itertools
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.domain.manifest import EntryKind
from cs_archiver.errors import NeedsOperator, Permanent
from cs_archiver.tools.deletion import ApprovedDeletion, DeletionHalted, NotAsApproved, Removed, delete_verified_source
from cs_archiver.tools.threads import Stopped, Work
from cs_archiver.tools.tree import scan_tree
from tests.support.nobody import as_nobody, open_folder
from tests.support.trees import left, plant_awkward_tree, until_the_next_tick, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "nas" / "My Folder"
    root.mkdir(parents=True)
    return root


@pytest.fixture
def planted(root: Path) -> Path:
    """Four files, two links and two folders; the entries come in the order of their names."""
    (root / "sub" / "deeper").mkdir(parents=True)
    write(root, b"a", b"12345")
    write(root, b"b", b"1234567")
    write(root / "sub", b"c", b"123")
    write(root / "sub" / "deeper", b"d", b"")
    (root / "link").symlink_to("a")
    (root / "sub" / "dangling").symlink_to("/nowhere")
    return root


@pytest.fixture
def open_root() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def approve(root: Path) -> ApprovedDeletion:
    scan = scan_tree(os.fsencode(root), threads=2, work=Work())
    assert scan.unreadable == []
    until_the_next_tick(root)
    return ApprovedDeletion(os.fsencode(root), scan.inode, scan.device, scan.entries)


def only_the_first(approved: ApprovedDeletion) -> ApprovedDeletion:
    return replace(approved, entries=list(approved.entries)[:1])


def delete(approved: ApprovedDeletion, work: Work | None = None) -> Removed:
    removed = Removed()
    delete_verified_source(approved, removed, work or Work(), lambda: False, threads=4)
    return removed


def test_a_very_deep_tree_is_deleted_with_few_open_folders(root: Path) -> None:
    deep = root
    for number in range(300):
        deep = deep / f"{number % 10}"
        deep.mkdir()
        write(deep, b"x", b"1")
    approved = approve(root)
    gc.collect()  # what other tests left open is closed now, and not meanwhile
    before = len(os.listdir("/proc/self/fd"))
    most = 0

    class Counting(Work):
        def add(self, count: int) -> None:
            nonlocal most
            most = max(most, len(os.listdir("/proc/self/fd")) - before)
            super().add(count)

    assert delete(approved, Counting()) == Removed(300, 300)
    assert left(root) == set()
    assert 10 < most < 70
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_moved_away_between_two_of_its_files_is_not_followed(planted: Path, tmp_path: Path) -> None:
    write(planted / "sub", b"e", b"1")
    approved = approve(planted)
    approved = replace(approved, entries=sorted(approved.entries, key=lambda entry: (b"sub/" not in entry.path, entry)))

    class Moving(Work):
        def add(self, count: int) -> None:
            if not (planted / "sub" / "c").exists() and not (tmp_path / "elsewhere").exists():
                (planted / "sub").rename(tmp_path / "elsewhere")
                (planted / "sub").symlink_to(tmp_path / "elsewhere")
            super().add(count)

    with pytest.raises(Permanent, match="changed after it was verified"):
        delete(approved, Moving())
    assert (tmp_path / "elsewhere" / "e").exists()


def test_everything_approved_is_deleted_and_the_folder_itself_stays(root: Path, tmp_path: Path) -> None:
    plant_awkward_tree(root)
    outside = write(tmp_path, b"outside", b"x")
    (root / "link outside").symlink_to(os.fsdecode(outside))
    (root / "link to a folder outside").symlink_to(tmp_path / "nas")
    approved = approve(root)
    work = Work()
    removed = delete(approved, work)
    files = [entry for entry in approved.entries if entry.kind is not EntryKind.DIR]
    size = sum(entry.size for entry in files if entry.kind is EntryKind.FILE)
    assert removed == Removed(len(files), size)
    assert work.bytes_done == sum(entry.size for entry in files)
    assert root.is_dir()
    assert os.listdir(root) == []
    assert Path(os.fsdecode(outside)).read_bytes() == b"x"


def test_a_file_of_two_names_that_is_edited_after_the_approval_is_kept(root: Path) -> None:
    write(root, b"first", b"as it was verified")
    os.link(root / "first", root / "second")
    approved, status = approve(root), (root / "first").stat()
    with (root / "second").open("r+b") as file:
        file.write(b"AS IT WAS REWRITTEN"[: status.st_size])
    os.utime(root / "second", ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(Permanent, match="changed after it was verified"):
        delete(approved)
    assert left(root) == {"first", "second"}


def test_a_file_of_two_names_that_is_edited_between_the_two_is_kept(root: Path) -> None:
    write(root, b"first", b"as it was verified")
    os.link(root / "first", root / "second")
    approved, status = approve(root), (root / "first").stat()
    assert delete(only_the_first(approved)).files == 1
    until_the_next_tick(root)
    with (root / "second").open("r+b") as file:
        file.write(b"AS IT WAS REWRITTEN"[: status.st_size])
    os.utime(root / "second", ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(Permanent, match="changed after it was verified"):
        delete(approved)
    assert left(root) == {"second"}


def test_a_deletion_of_several_names_goes_on_where_it_was(root: Path) -> None:
    write(root, b"first", b"content")
    for name in ("second", "third"):
        os.link(root / "first", root / name)
    approved = approve(root)
    assert delete(only_the_first(approved)).files == 1
    until_the_next_tick(root)
    assert delete(approved).files == 2
    assert left(root) == set()


def test_what_was_not_approved_stays_with_the_folders_it_is_in(planted: Path) -> None:
    approved = approve(planted)
    write(planted / "sub" / "deeper", b"late", b"added afterwards")
    delete(approved)
    assert left(planted) == {"sub", "sub/deeper", "sub/deeper/late"}


def test_a_file_beside_the_approved_ones_at_the_top_stays(planted: Path) -> None:
    approved = approve(planted)
    write(planted, b"marker", b"x")
    delete(approved)
    assert left(planted) == {"marker"}


def rewrite(path: Path, content: bytes) -> None:
    """In place, with the time of modification put back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.truncate(len(content))
        file.write(content)
    os.utime(path, ns=(0, before.st_mtime_ns))


def replace_by(path: Path, make: Callable[[Path], object]) -> None:
    path.rename(path.with_name("moved away"))
    make(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "longer": lambda path: rewrite(path, b"12345678"),
    "shorter": lambda path: rewrite(path, b"1"),
    "of the same size and time": lambda path: rewrite(path, b"7654321"),
    "touched": lambda path: os.utime(path, ns=(0, 5)),
    "given another mode": lambda path: path.chmod(0o600),
    "given another name elsewhere": lambda path: os.link(path, path.with_name("zz")),
    "replaced by a copy": lambda path: replace_by(path, lambda p: shutil.copy2(p.with_name("moved away"), p)),
    "replaced by a link": lambda path: replace_by(path, lambda p: p.symlink_to("moved away")),
    "replaced by a folder": lambda path: replace_by(path, Path.mkdir),
    "replaced by a FIFO": lambda path: replace_by(path, os.mkfifo),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_after_the_look_is_kept_and_so_is_all_after_it(planted: Path, change: str) -> None:
    approved = approve(planted)
    CHANGES[change](planted / "b")
    with pytest.raises(Permanent) as caught:
        delete(approved)
    assert caught.value.problem == "source-changed"
    assert "'b'" in str(caught.value)
    assert {"b", "link", "sub/c", "sub/dangling", "sub/deeper/d"} <= left(planted)
    assert not (planted / "a").exists()


def test_a_link_that_leads_elsewhere_now_is_kept(planted: Path) -> None:
    approved = approve(planted)
    (planted / "link").unlink()
    (planted / "link").symlink_to("b")
    with pytest.raises(Permanent):
        delete(approved)
    assert os.readlink(planted / "link") == "b"


@pytest.mark.parametrize("field", ["inode", "mtime_ns", "ctime_ns", "size"])
def test_each_part_of_the_identity_counts_by_itself(planted: Path, field: str) -> None:
    approved = approve(planted)
    entries = [
        entry._replace(**{field: getattr(entry, field) + 1}) if entry.path == b"a" else entry
        for entry in approved.entries
    ]
    with pytest.raises(Permanent):
        delete(replace(approved, entries=entries))
    assert "a" in left(planted)


def test_an_entry_of_a_kind_that_is_never_archived_is_never_deleted(root: Path) -> None:
    os.mkfifo(root / "fifo")
    with pytest.raises(Permanent):
        delete(approve(root))
    assert left(root) == {"fifo"}


def test_a_folder_on_the_way_that_became_a_link_is_not_followed(planted: Path, tmp_path: Path) -> None:
    approved = approve(planted)
    elsewhere = tmp_path / "elsewhere"
    (planted / "sub").rename(elsewhere)
    (planted / "sub").symlink_to(elsewhere)
    with pytest.raises(Permanent):
        delete(approved)
    assert left(elsewhere) == {"c", "dangling", "deeper", "deeper/d"}


def test_a_folder_that_became_a_link_is_not_deleted_as_a_folder(root: Path, tmp_path: Path) -> None:
    (root / "empty").mkdir()
    approved = approve(root)
    (root / "empty").rename(tmp_path / "elsewhere")
    (root / "empty").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Permanent):
        delete(approved)
    assert (root / "empty").is_symlink()
    assert (tmp_path / "elsewhere").is_dir()


def test_a_root_that_became_a_link_deletes_nothing(planted: Path) -> None:
    approved = approve(planted)
    moved = planted.rename(planted.with_name("moved"))
    planted.symlink_to(moved)
    with pytest.raises(Permanent):
        delete(approved)
    assert "a" in left(moved)


def test_the_same_folder_on_another_file_system_deletes_nothing(planted: Path) -> None:
    approved, before = approve(planted), left(planted)
    with pytest.raises(NotAsApproved):
        delete(replace(approved, device=approved.device + 1))
    assert left(planted) == before


def test_another_folder_at_the_path_deletes_nothing(planted: Path) -> None:
    approved = approve(planted)
    moved = planted.rename(planted.with_name("moved"))
    shutil.copytree(moved, planted, symlinks=True)
    with pytest.raises(Permanent) as caught:
        delete(approved)
    assert "not the folder that was verified" in str(caught.value)
    assert left(moved) == left(planted)


def test_a_folder_that_is_gone_waits_for_the_nas(planted: Path) -> None:
    approved = approve(planted)
    planted.rename(planted.with_name("moved"))
    with pytest.raises(NeedsOperator):
        delete(approved)


def test_names_of_one_file_are_all_deleted(root: Path) -> None:
    write(root, b"one", b"12345")
    (root / "sub").mkdir()
    for name in ("two", "sub/three"):
        os.link(root / "one", root / name)
    assert delete(approve(root)) == Removed(3, 15)
    assert left(root) == set()


def test_a_name_of_the_file_outside_the_folder_keeps_its_content(root: Path, tmp_path: Path) -> None:
    write(root, b"one", b"12345")
    os.link(root / "one", tmp_path / "outside")
    delete(approve(root))
    assert (tmp_path / "outside").read_bytes() == b"12345"


def test_a_file_of_several_names_that_changed_is_kept(root: Path) -> None:
    write(root, b"one", b"12345")
    os.link(root / "one", root / "two")
    approved = approve(root)
    (root / "one").write_bytes(b"54321")
    with pytest.raises(Permanent):
        delete(approved)
    assert left(root) == {"one", "two"}


class StopsAfter(Work):
    """Told to stop when so many entries were done, as when the service is ended."""

    def __init__(self, entries: int) -> None:
        super().__init__()
        self._entries = entries

    def add(self, count: int) -> None:
        self._entries -= 1
        if self._entries < 0:
            self.stop()
        super().add(count)


@pytest.mark.parametrize("entries", range(7))
def test_a_deletion_that_was_interrupted_goes_on_with_the_same_approval(planted: Path, entries: int) -> None:
    approved = approve(planted)
    if entries < 6:
        with pytest.raises(Stopped):
            delete(approved, StopsAfter(entries))
        assert len([path for path in planted.rglob("*") if path.is_symlink() or path.is_file()]) == 6 - entries
    else:
        delete(approved)
    assert delete(approved).files == 6 - entries
    assert left(planted) == set()
    assert delete(approved) == Removed(0, 0)


def test_a_deletion_that_goes_on_still_looks_at_each_entry(planted: Path) -> None:
    approved = approve(planted)
    with pytest.raises(Stopped):
        delete(approved, StopsAfter(2))
    rewrite(planted / "sub" / "c", b"new")
    with pytest.raises(Permanent):
        delete(approved)
    assert (planted / "sub" / "c").read_bytes() == b"new"


def test_a_deletion_leaves_no_file_open_even_when_it_fails(planted: Path) -> None:
    approved = approve(planted)
    (planted / "sub" / "deeper" / "d").write_bytes(b"changed")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Permanent):
        delete(approved)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
def test_nothing_is_deleted_on_another_file_system_mounted_inside(planted: Path) -> None:
    approved = approve(planted)
    mount = ["mount", "-t", "tmpfs", "none", str(planted / "sub")]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no mounts")
    try:
        write(planted / "sub", b"c", b"123")
        with pytest.raises(Permanent) as caught:
            delete(approved)
        assert "another file system" in str(caught.value)
        assert left(planted / "sub") == {"c"}
    finally:
        subprocess.run(["umount", planted / "sub"], check=True)
    assert {"c", "dangling", "deeper", "deeper/d"} == left(planted / "sub")


def test_what_the_system_refuses_to_delete_waits_for_the_operator(open_root: Path) -> None:
    folder = open_root / "folder"
    folder.mkdir()
    write(folder, b"file", b"x")
    approved = approve(folder)
    with as_nobody(), pytest.raises(NeedsOperator):
        delete(approved)
    assert left(folder) == {"file"}


def test_a_pause_and_a_stop_are_heeded_between_two_folders(planted: Path) -> None:
    for name in ("a", "b", "link", "sub/c", "sub/dangling", "sub/deeper/d"):
        (planted / name).unlink()
    for folder in ("one", "two"):
        (planted / folder).mkdir()
    asked = 0

    def is_halted() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    with pytest.raises(DeletionHalted):
        delete_verified_source(approve(planted), Removed(), Work(), is_halted, threads=4)
    assert left(planted) == {"sub", "two"}
    stopped, before = Work(), left(planted)
    stopped.stop()
    with pytest.raises(Stopped):
        delete(approve(planted), stopped)
    assert left(planted) == before


class Waiting:
    """As a NAS makes every look wait, so that several threads gain; sees which ones asked."""

    def __init__(self, halted_at: int | None = None) -> None:
        """`halted_at`: the one of all looks before which it is halted, and no other."""
        self.threads: set[int] = set()
        self._asked = itertools.count(1)
        self._halted_at = halted_at

    def __call__(self) -> bool:
        self.threads.add(threading.get_ident())
        time.sleep(0.002)
        return next(self._asked) == self._halted_at


@pytest.fixture
def many(root: Path) -> list[Path]:
    """Of the folder's files, which have two bytes each, in the order in which they go."""
    paths = [root / f"folder {number // 100}" / f"file {number:03}" for number in range(400)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"12")
    return paths


def test_where_looks_wait_several_threads_delete_side_by_side(root: Path, many: list[Path]) -> None:
    removed, waiting = Removed(), Waiting()
    delete_verified_source(approve(root), removed, Work(), waiting, threads=4)
    assert left(root) == set()
    assert (removed.files, removed.bytes) == (400, 800)
    assert len(waiting.threads) == 1 + 4  # the first parts were its own, to see whether they wait


def test_many_folders_go_side_by_side_the_deepest_first(root: Path) -> None:
    for number in range(200):
        (root / f"{number:03}" / "sub" / "deepest").mkdir(parents=True)
    removed, waiting = Removed(), Waiting()
    delete_verified_source(approve(root), removed, Work(), waiting, threads=4)
    assert left(root) == set()
    assert removed.files == 0
    assert len(waiting.threads) > 4


def test_what_changed_is_kept_and_ends_the_other_threads_too(root: Path, many: list[Path]) -> None:
    approved, removed = approve(root), Removed()
    rewrite(many[200], b"21")
    with pytest.raises(NotAsApproved, match="file 200"):
        delete_verified_source(approved, removed, Work(), Waiting(), threads=4)
    assert many[200].read_bytes() == b"21"
    assert removed.files == 400 - sum(path.exists() for path in many)
    assert all(path.exists() for path in many[200 + 4 * 32 :]), "more than what was at hand went after it"


def test_what_ends_one_thread_ends_the_others_before_their_next_entry(root: Path, many: list[Path]) -> None:
    removed = Removed()
    with pytest.raises(DeletionHalted):
        delete_verified_source(approve(root), removed, Work(), Waiting(halted_at=201), threads=4)
    assert removed.files == 400 - sum(path.exists() for path in many)
    assert 200 <= removed.files <= 203


def test_names_of_one_file_that_several_threads_come_to_are_all_deleted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def slow(*args: Any, **options: Any) -> None:
        unlink(*args, **options)
        time.sleep(0.001)

    # Two threads are at the two names of a file at once: parts of 32, one after the other, are worked on side by side.
    for block, number in itertools.product(range(6), range(32)):
        write(root, b"%d first %02d" % (block, number), b"x")
        os.link(root / f"{block} first {number:02}", root / f"{block} second {number:02}")
    monkeypatch.setattr(os, "unlink", slow)
    removed, waiting = Removed(), Waiting()
    delete_verified_source(approve(root), removed, Work(), waiting, threads=4)
    assert left(root) == set()
    assert removed.files == 2 * 6 * 32
    assert len(waiting.threads) == 1 + 4


def test_names_of_one_file_that_wait_for_each_other_heed_what_ends_the_deletion(root: Path) -> None:
    write(root, b"000", b"x")
    for number in range(1, 400):
        os.link(root / "000", root / f"{number:03}")
    removed, open_before = Removed(), os.listdir("/proc/self/fd")
    with pytest.raises(DeletionHalted):
        delete_verified_source(approve(root), removed, Work(), Waiting(halted_at=201), threads=16)
    assert removed.files == 200 == 400 - len(left(root))
    assert len(os.listdir("/proc/self/fd")) == len(open_before)


def test_the_folder_is_durable_once_everything_is_gone(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_when_synced, fsync = [], os.fsync

    def noted(descriptor: int) -> None:
        left_when_synced.append(os.listdir(descriptor))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    delete(approve(planted))
    assert left_when_synced == [[]]


def test_a_folder_that_cannot_be_made_durable_is_a_case_for_the_operator(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(NeedsOperator, match="Input/output error"):
        delete(approve(planted))


def test_many_threads_in_a_deep_tree_have_few_folders_open(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        folder = root.joinpath(str(number), *"abcdefghijklmnopqrst")
        folder.mkdir(parents=True)
        for name in range(8):
            write(folder, b"%d" % name, b"x")
    most = 0

    def is_halted() -> bool:
        nonlocal most
        most = max(most, len(os.listdir("/proc/self/fd")))
        return waiting()

    waiting, before = Waiting(), len(os.listdir("/proc/self/fd"))
    delete_verified_source(approve(root), Removed(), Work(), is_halted, threads=64)
    assert left(root) == set()
    assert len(waiting.threads) > 16
    assert most - before <= 256
