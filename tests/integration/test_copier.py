"""Our own copying: whole and equal, or an error that says whose fault it is."""

import errno
import hashlib
import os
import stat
import subprocess
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from cs_archiver.demo.compare import compare
from cs_archiver.domain.manifest import EntryKind, Seen
from cs_archiver.domain.packed import PackedTree
from cs_archiver.errors import DiskFull, JobError, NeedsOperator, Permanent, Temporary
from cs_archiver.tools import copier
from cs_archiver.tools.disk import local_error, make_folders, source_error, sync_file, sync_folder
from cs_archiver.tools.fixity import Digest
from cs_archiver.tools.threads import Stopped, Work
from cs_archiver.tools.tree import scan_tree
from tests.support.trees import plant_awkward_tree, until_the_next_tick, write


class Meddling(Work):
    """Somebody who does something at the moment when the first bytes were read."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        super().__init__()
        self._meddle: Callable[[], object] | None = meddle

    def add(self, count: int) -> None:
        super().add(count)
        if self._meddle is not None:
            meddle, self._meddle = self._meddle, None
            meddle()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "nas" / "My Folder"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    folder = tmp_path / "temp" / "My Folder"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    disk = tmp_path / "small"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=20", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no mounts")
    yield disk
    subprocess.run(["umount", disk], check=True)


def entries_of(source: Path) -> PackedTree:
    until_the_next_tick(source)
    return scan_tree(os.fsencode(source), threads=2, work=Work()).entries


def copy_files(
    source: Path, destination: Path, entries: Iterable[Seen], *, threads: int = 3, work: Work | None = None
) -> dict[bytes, Digest]:
    roots = (os.fsencode(source), os.fsencode(destination))
    digests = copier.copy_files(*roots, entries, threads=threads, work=work or Work())
    files = [entry.path for entry in entries if entry.kind is EntryKind.FILE]
    return dict(zip(files, digests, strict=True))


def copy_tree(source: Path, destination: Path, *, threads: int) -> dict[bytes, Digest]:
    entries = entries_of(source)
    copy, root = os.fsencode(destination), source.stat()
    digests = copy_files(source, destination, entries, threads=threads)
    copier.make_folders_and_links(copy, entries, Work())
    copier.finish_folders(copy, entries, Work())
    copier.finish_folder(copy, mtime_ns=root.st_mtime_ns, mode=stat.S_IMODE(root.st_mode))
    return digests


@pytest.mark.parametrize("threads", [1, 8])
def test_a_copy_of_an_awkward_tree_is_equal_in_everything(source: Path, destination: Path, threads: int) -> None:
    plant_awkward_tree(source)
    (source / "sub" / "closed").mkdir()
    write(source / "sub" / "closed", b"inside", b"x")
    (source / "sub" / "closed").chmod(0o555)
    (source / "sub").chmod(0o500)
    digests = copy_tree(source, destination, threads=threads)
    assert compare(source, destination) == []
    files = [path for path in source.rglob("*") if path.is_file() and not path.is_symlink()]
    assert digests.keys() == {os.fsencode(path.relative_to(source)) for path in files}
    for path in files:
        content = path.read_bytes()
        found = digests[os.fsencode(path.relative_to(source))]
        assert found == (len(content), zlib.crc32(content), hashlib.sha256(content).digest())


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_each_of_many_small_files_of_several_folders_has_its_own_digest(
    source: Path, destination: Path, threads: int
) -> None:
    for folder in "012":
        (source / folder).mkdir()
    for number in range(1500):
        write(source, b"%d/%05d" % (number // 500, number), b"number %d" % number)
    digests = copy_tree(source, destination, threads=threads)
    assert compare(source, destination) == []
    contents = {path: (destination / os.fsdecode(path)).read_bytes() for path in digests}
    assert len(contents) == 1500
    assert {path: hashlib.sha256(content).digest() for path, content in contents.items()} == {
        path: digest.sha256 for path, digest in digests.items()
    }


def test_each_folder_is_made_for_its_first_file_and_for_nobody_else_to_enter(
    source: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a/deep/er", "b", "empty"):
        (source / folder).mkdir(parents=True)
    for name in ("a/deep/er/1", "a/deep/er/2", "b/3", "4"):
        (source / name).write_bytes(b"x")
    made: list[str] = []
    real_mkdir, real_open = os.mkdir, os.open

    def mkdir(path: bytes, mode: int = 0o777) -> None:
        real_mkdir(path, mode)
        made.append(f"{os.fsdecode(path).removeprefix(f'{destination}/')} {stat.S_IMODE(os.stat(path).st_mode):o}")

    def open_new(path: bytes, flags: int, *more: int) -> int:
        descriptor = real_open(path, flags, *more)
        if flags & os.O_CREAT:
            made.append(os.fsdecode(path).removeprefix(f"{destination}/"))
        return descriptor

    entries = entries_of(source)
    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(os, "open", open_new)
    copy_files(source, destination, entries, threads=1)
    expected = ["4", "a 700", "a/deep 700", "a/deep/er 700", "a/deep/er/1", "a/deep/er/2", "b 700", "b/3"]
    assert made == expected


@pytest.mark.parametrize("name", ["file", "below/file", "below/it/file"])
def test_a_working_folder_that_is_gone_is_not_made_again(source: Path, destination: Path, name: str) -> None:
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    (source / name).write_bytes(b"x")
    entries = entries_of(source)
    destination.rmdir()
    with pytest.raises(Temporary, match=f"{name}': No such file"):
        copy_files(source, destination, entries, threads=1)
    if entries.folders.keys() - {b""}:
        with pytest.raises(Temporary, match="No such file"):
            copier.make_folders_and_links(os.fsencode(destination), entries, Work())
    assert not destination.exists()


def test_a_folder_that_finds_no_room_is_a_full_disk(
    source: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "below").mkdir()
    write(source, b"below/file", b"x")
    entries = entries_of(source)

    def mkdir(path: bytes, _mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(DiskFull, match="No space left"):
        copy_files(source, destination, entries, threads=1)


def test_what_came_into_the_place_of_a_file_while_its_folder_was_made_is_kept(
    source: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "below").mkdir()
    write(source, b"below/file", b"x")
    entries, elsewhere, real = entries_of(source), destination.parent / "elsewhere", os.mkdir
    elsewhere.write_bytes(b"of somebody else")

    def mkdir(path: bytes, mode: int) -> None:
        real(path, mode)
        os.symlink(elsewhere, os.path.join(path, b"file"))

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(Temporary, match="below/file': File exists"):
        copy_files(source, destination, entries, threads=1)
    assert elsewhere.read_bytes() == b"of somebody else"


def test_the_making_of_folders_can_be_stopped(source: Path, destination: Path) -> None:
    (source / "below").mkdir()
    work = Work()
    work.stop()
    with pytest.raises(Stopped):
        copier.make_folders_and_links(os.fsencode(destination), entries_of(source), work)
    with pytest.raises(Stopped):
        copier.finish_folders(os.fsencode(destination), entries_of(source), work)
    assert os.listdir(destination) == []


def test_empty_folders_are_for_nobody_else_to_enter_until_they_are_finished(source: Path, destination: Path) -> None:
    (source / "below" / "it").mkdir(parents=True, mode=0o755)
    copier.make_folders_and_links(os.fsencode(destination), entries_of(source), Work())
    modes = [stat.S_IMODE((destination / name).stat().st_mode) for name in ("below", "below/it")]
    assert modes == [0o700, 0o700]


@pytest.mark.parametrize("mode", [0o1666, 0o444, 0o755, 0o777])
def test_every_bit_of_the_mode_is_kept(source: Path, destination: Path, mode: int) -> None:
    write(source, b"file", b"x", mode=mode)
    (source / "folder").mkdir()
    (source / "folder").chmod(mode | 0o500)
    copy_tree(source, destination, threads=1)
    assert [stat.S_IMODE((destination / name).stat().st_mode) for name in ("file", "folder")] == [mode, mode | 0o500]


def test_times_far_off_are_kept_to_the_nanosecond(source: Path, destination: Path) -> None:
    for number, mtime_ns in enumerate((-1, 1, 999_999_999, 1_800_000_000_123_456_789, 2**32 * 10**9 + 7)):
        path = write(source, b"%d" % number, b"x")
        os.utime(path, ns=(0, mtime_ns))
    (source / "link").symlink_to("0")
    os.utime(source / "link", ns=(0, 1_111_111_111_111_111_111), follow_symlinks=False)
    copy_tree(source, destination, threads=2)
    for name in os.listdir(source):
        assert (destination / name).lstat().st_mtime_ns == (source / name).lstat().st_mtime_ns, name


def test_the_bytes_are_counted_as_they_are_read(source: Path, destination: Path) -> None:
    plant_awkward_tree(source)
    entries, work = entries_of(source), Work()
    copier.make_folders_and_links(os.fsencode(destination), entries, Work())
    copy_files(source, destination, entries, work=work)
    assert work.bytes_done == sum(entry.size for entry in entries if entry.kind is EntryKind.FILE)


def test_folders_may_come_after_what_they_hold(source: Path, destination: Path) -> None:
    plant_awkward_tree(source)
    folders = entries_of(source).folders
    entries = PackedTree({folder: folders[folder] for folder in reversed(list(folders))})
    copier.make_folders_and_links(os.fsencode(destination), entries, Work())
    copy_files(source, destination, entries)
    copier.finish_folders(os.fsencode(destination), entries, Work())
    os.utime(destination, ns=(0, source.stat().st_mtime_ns))
    assert compare(source, destination) == []


CHANGES: dict[str, Callable[[Path], object]] = {
    "longer": lambda path: path.write_bytes(b"x" * 5_000_001),
    "shorter": lambda path: os.truncate(path, 10),
    "touched": lambda path: os.utime(path, ns=(0, 5)),
    "replaced by another file": lambda path: replace_by_another(path),
}


def replace_by_another(path: Path) -> None:
    """Another file of the same size and time."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"y" * before.st_size)
    os.utime(other, ns=(0, before.st_mtime_ns))
    other.rename(path)


@pytest.mark.parametrize("size", [0, 100, 5_000_000])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_since_the_scan_is_not_copied(
    source: Path, destination: Path, change: str, size: int
) -> None:
    write(source, b"file", b"x" * size)
    entries = entries_of(source)
    CHANGES[change](source / "file")
    with pytest.raises(Temporary) as caught:
        copy_files(source, destination, entries)
    assert caught.value.problem == "source-changed"


@pytest.mark.parametrize("size", [100, 5_000_000])
@pytest.mark.parametrize("change", ["longer", "shorter", "touched"])
def test_a_file_that_changes_while_it_is_copied_is_an_error(
    source: Path, destination: Path, change: str, size: int
) -> None:
    write(source, b"file", b"x" * size)
    entries = entries_of(source)
    with pytest.raises(Temporary) as caught:
        copy_files(source, destination, entries, work=Meddling(lambda: CHANGES[change](source / "file")))
    assert caught.value.problem == "source-changed"


def test_a_file_rewritten_while_it_is_copied_is_an_error_although_size_and_time_are_the_same(
    source: Path, destination: Path
) -> None:
    path = source / "file"
    write(source, b"file", b"x" * 5_000_000)
    entries = entries_of(source)

    def meddle() -> None:
        with path.open("r+b") as file:
            file.write(b"y" * 5_000_000)
        os.utime(path, ns=(0, next(iter(entries)).mtime_ns))

    with pytest.raises(Temporary):
        copy_files(source, destination, entries, work=Meddling(meddle))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("instead", ["nothing", "fifo", "link", "folder"])
def test_what_is_no_longer_a_file_is_not_copied_and_nothing_hangs(
    source: Path, destination: Path, instead: str
) -> None:
    write(source, b"file", b"x")
    write(source, b"other", b"x")
    entries = [entry for entry in entries_of(source) if entry.path == b"file"]
    (source / "file").unlink()
    if instead == "fifo":
        os.mkfifo(source / "file")
    elif instead == "link":
        (source / "file").symlink_to("other")
    elif instead == "folder":
        (source / "file").mkdir()
    with pytest.raises(Temporary) as caught:
        copy_files(source, destination, entries)
    assert caught.value.problem == "source-unreadable"
    assert os.listdir(destination) == []


def test_a_full_disk_is_told_as_such_and_not_as_an_unreadable_source(source: Path, small_disk: Path) -> None:
    write(source, b"large", b"x" * 3_000_000)
    with pytest.raises(DiskFull) as caught:
        copy_files(source, small_disk, entries_of(source))
    assert caught.value.problem == "disk-full"
    assert "cannot write" in str(caught.value)


def test_a_disk_without_room_for_more_names_is_full_too(source: Path, small_disk: Path) -> None:
    for number in range(40):
        write(source, b"%d" % number, b"")
    (source / "folder").mkdir()
    with pytest.raises(DiskFull):
        copy_files(source, small_disk, entries_of(source))
    with pytest.raises(DiskFull):
        copier.make_folders_and_links(os.fsencode(small_disk), entries_of(source), Work())


def test_a_read_error_of_the_source_is_the_sources(destination: Path) -> None:
    memory = Path("/proc/self/mem")  # a regular file whose first byte cannot be read
    status = memory.stat()
    times = (status.st_mtime_ns, status.st_ctime_ns)
    entry = Seen(b"mem", EntryKind.FILE, 0, *times, status.st_ino, 0o600, 1, None)
    with pytest.raises(Temporary) as caught:
        copier.copy_files(b"/proc/self", os.fsencode(destination), [entry], threads=1, work=Work())
    assert caught.value.problem == "source-unreadable"
    assert "cannot read '/proc/self/mem'" in str(caught.value)


def test_an_existing_destination_is_never_overwritten(source: Path, destination: Path) -> None:
    write(source, b"file", b"new")
    write(destination, b"file", b"old and longer")
    with pytest.raises(Temporary):
        copy_files(source, destination, entries_of(source))
    assert (destination / "file").read_bytes() == b"old and longer"


def test_a_link_at_the_destination_is_not_written_through(source: Path, destination: Path, tmp_path: Path) -> None:
    write(source, b"file", b"new")
    write(tmp_path, b"outside", b"untouched")
    for target in (tmp_path / "outside", tmp_path / "not there"):
        (destination / "file").symlink_to(target)
        with pytest.raises(JobError):
            copy_files(source, destination, entries_of(source))
        (destination / "file").unlink()
    assert (tmp_path / "outside").read_bytes() == b"untouched"
    assert not (tmp_path / "not there").exists()


def test_links_and_folders_never_replace_what_is_there(source: Path, destination: Path) -> None:
    (source / "link").symlink_to("target")
    write(destination, b"link", b"old")
    with pytest.raises(JobError):
        copier.make_folders_and_links(os.fsencode(destination), entries_of(source), Work())
    assert (destination / "link").read_bytes() == b"old"


def test_a_copy_that_is_told_to_stop_stops(source: Path, destination: Path) -> None:
    write(source, b"file", b"x" * 5_000_000)
    work = Work()
    work.stop()
    with pytest.raises(Stopped):
        copy_files(source, destination, entries_of(source), work=work)


def test_a_failing_copy_leaves_no_file_open(source: Path, destination: Path) -> None:
    for number in range(20):
        write(source, b"%d" % number, b"x")
    entries = entries_of(source)
    write(destination, b"7", b"in the way")
    (source / "9").unlink()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Temporary):
        copy_files(source, destination, entries)
    assert len(os.listdir("/proc/self/fd")) == before


def test_mode_and_time_of_a_file_a_tool_copied_can_be_set_afterwards(source: Path, destination: Path) -> None:
    write(source, b"file", b"x", mode=0o640, mtime_ns=1_222_333_444_555_666_777)
    path = write(destination, b"file", b"x", mode=0o600)
    os.utime(source, ns=(0, 0))
    (entry,) = entries_of(source)
    copier.finish_file(os.fsencode(path), mtime_ns=entry.mtime_ns, mode=entry.mode)
    os.utime(destination, ns=(0, 0))
    assert compare(source, destination) == []
    with pytest.raises(Temporary):
        copier.finish_file(os.fsencode(destination / "gone"), mtime_ns=entry.mtime_ns, mode=entry.mode)


def test_folders_are_made_with_their_parents_and_may_be_there_already(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "a" / "b" / "c")
    make_folders(path)
    make_folders(path)
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o007 == 0
    with pytest.raises(OSError):
        make_folders(write(tmp_path, b"file", b"") + b"/below")


def test_syncing_what_is_not_there_is_an_error_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(os.fsdecode(write(tmp_path, b"file", b"x")))
    sync_file(os.fsencode(tmp_path / "file"))
    sync_folder(os.fsencode(tmp_path))
    for wrong in (tmp_path / "gone", tmp_path / "link"):
        with pytest.raises(OSError):
            sync_file(os.fsencode(wrong))
    with pytest.raises(OSError):
        sync_folder(os.fsencode(tmp_path / "file"))


@pytest.mark.parametrize(
    ("number", "kind", "problem"),
    [
        (errno.EACCES, Permanent, "source-unreadable"),
        (errno.EPERM, Permanent, "source-unreadable"),
        (errno.ESTALE, NeedsOperator, "nas-unreachable"),
        (errno.ENODEV, NeedsOperator, "nas-unreachable"),
        (errno.EHOSTDOWN, NeedsOperator, "nas-unreachable"),
        (errno.ENOTCONN, NeedsOperator, "nas-unreachable"),
        (errno.EIO, Temporary, "source-unreadable"),
        (errno.ENOENT, Temporary, "source-unreadable"),
        (errno.ENOSPC, Temporary, "source-unreadable"),
        (errno.EDQUOT, Temporary, "source-unreadable"),
        (errno.ETIMEDOUT, Temporary, "source-unreadable"),
    ],
)
def test_what_an_error_of_the_source_means(number: int, kind: type[JobError], problem: str) -> None:
    error = source_error(b"/nas/a\nb", OSError(number, os.strerror(number)))
    assert (type(error), error.problem) == (kind, problem)
    assert str(error).startswith(f"cannot read '/nas/a\\nb': {os.strerror(number)}")


@pytest.mark.parametrize(
    ("number", "kind", "problem"),
    [
        (errno.ENOSPC, DiskFull, "disk-full"),
        (errno.EDQUOT, DiskFull, "disk-full"),
        (errno.EACCES, NeedsOperator, "storage-unusable"),
        (errno.EROFS, NeedsOperator, "storage-unusable"),
        (errno.ESTALE, NeedsOperator, "storage-unusable"),
        (errno.EIO, Temporary, "storage-error"),
        (errno.ENOENT, Temporary, "storage-error"),
    ],
)
def test_what_an_error_of_the_local_disk_means(number: int, kind: type[JobError], problem: str) -> None:
    error = local_error(b"/storage/x", OSError(number, os.strerror(number)))
    assert (type(error), error.problem) == (kind, problem)
    assert str(error).startswith(f"cannot write '/storage/x': {os.strerror(number)}")
