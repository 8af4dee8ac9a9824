"""Deleting: just what was approved, as it was looked at, and nothing beyond a link or a mount."""

import gc
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cs_archiver.domain.manifest import EntryKind
from cs_archiver.errors import NeedsOperator, Permanent
from cs_archiver.tools import removal
from cs_archiver.tools.removal import (
    ApprovedDeletion,
    DeletionHalted,
    Removed,
    delete_verified_source,
    move_without_overwriting,
    remove_empty_folders,
    remove_file,
    remove_working_copy,
    set_aside,
)
from cs_archiver.tools.threads import Stopped, Work
from cs_archiver.tools.tree import scan_tree
from tests.support.trees import plant_awkward_tree, write

NOBODY = 65534


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
    """A folder that a process without rights can reach, too."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody without rights")
    with tempfile.TemporaryDirectory(prefix="cs-archiver-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def until_the_next_tick(beside: Path) -> None:
    """Older kernels tell the times of files in ticks of milliseconds: what happens from now on has a later one."""
    probe = beside.parent / "probe"
    probe.touch()
    before = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == before:
        probe.touch()
    probe.unlink()


def approve(root: Path) -> ApprovedDeletion:
    scan = scan_tree(os.fsencode(root), threads=2, work=Work())
    assert scan.unreadable == []
    until_the_next_tick(root)
    return ApprovedDeletion(os.fsencode(root), scan.inode, scan.device, scan.entries)


def only_the_first(approved: ApprovedDeletion) -> ApprovedDeletion:
    return replace(approved, entries=list(approved.entries)[:1])


def delete(approved: ApprovedDeletion, work: Work | None = None) -> Removed:
    removed = Removed()
    delete_verified_source(approved, removed, work or Work(), lambda: False)
    return removed


def left(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def as_nobody(function: Callable[[], object]) -> str:
    """Call it in a child process that has no rights of its own; gives back its error, or nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            function()
        except BaseException as error:  # noqa: BLE001
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        content = answer.read()
    os.waitpid(child, 0)
    return content.decode()


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
    assert "NeedsOperator" in as_nobody(lambda: delete(approved))
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
        delete_verified_source(approve(planted), Removed(), Work(), is_halted)
    assert left(planted) == {"sub", "two"}
    stopped, before = Work(), left(planted)
    stopped.stop()
    with pytest.raises(Stopped):
        delete(approve(planted), stopped)
    assert left(planted) == before


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
    stopped = Work()
    stopped.stop()
    with pytest.raises(Stopped):
        remove_working_copy(os.fsencode(copy), stopped)
    assert copy.exists()
    remove_working_copy(os.fsencode(copy), Work())
    assert not copy.exists()


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
    assert as_nobody(lambda: remove_working_copy(os.fsencode(copy), Work())) == ""
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
