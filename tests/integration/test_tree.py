"""Reading a folder on disk: nothing is missed, nothing is followed, and no change since goes unseen."""

import errno
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import Entry, EntryKind, shown
from cs_archiver.domain.marker import Stored, marker_text
from cs_archiver.domain.packed import Manifest, Packed
from cs_archiver.errors import DiskFull, NeedsOperator, Permanent, Temporary
from cs_archiver.stages.marker import temporary_marker_name
from cs_archiver.stages.nas import Nas
from cs_archiver.stages.places import Places
from cs_archiver.stages.source import ComparedCopies, SourceLook
from cs_archiver.tools import tree
from cs_archiver.tools.crowd import Parallelism, Spent
from cs_archiver.tools.disk import free_bytes, open_regular, room_on
from cs_archiver.tools.fixity import digest_of_file
from cs_archiver.tools.hashing import hash_tree
from cs_archiver.tools.nas import NasProbe
from cs_archiver.tools.threads import Stopped, Work
from cs_archiver.tools.tree import FreshLook, Scan, look_again, scan_tree
from tests.support.jobs import a_job
from tests.support.nobody import as_nobody, open_folder
from tests.support.trees import plant_awkward_tree, until_the_next_tick, write

KINDS = {b"f": EntryKind.FILE, b"d": EntryKind.DIR, b"l": EntryKind.LINK}
Listed = tuple[EntryKind, int, int, int, int, int, bytes | None]


def scan(root: Path, *, threads: int = 4) -> Scan:
    return scan_tree(os.fsencode(root), threads=threads, work=Work())


def find(root: Path) -> dict[bytes, Listed]:
    """What find(1) says of everything below the folder: kind, size, mtime_ns, inode, mode, links, target."""
    form = r"%P\0%y\0%s\0%T@\0%i\0%m\0%n\0%l\0"
    output = subprocess.run(["find", root, "-mindepth", "1", "-printf", form], check=True, capture_output=True).stdout
    fields = output.split(b"\0")[:-1]
    found: dict[bytes, Listed] = {}
    for path, kind, size, mtime, inode, mode, links, target in zip(*[iter(fields)] * 8, strict=True):
        known = KINDS.get(kind, EntryKind.OTHER)
        found[path] = (
            known,
            int(size) if known in (EntryKind.FILE, EntryKind.LINK) else 0,
            int(Decimal(mtime.decode()) * 10**9),
            int(inode),
            int(mode, 8),
            int(links),
            target if known is EntryKind.LINK else None,
        )
    return found


def scanned(root: Path, *, threads: int = 4) -> dict[bytes, Listed]:
    result = scan(root, threads=threads)
    assert result.unreadable == []
    paths = [entry.path for entry in result.entries]
    assert paths == sorted(set(paths)), "an entry was found twice, or out of order"
    return {
        entry.path: (entry.kind, entry.size, entry.mtime_ns, entry.inode, entry.mode, entry.links, entry.target)
        for entry in result.entries
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "My Folder"
    root.mkdir()
    return root


@pytest.fixture
def open_root() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def mount(root: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    point = root / "sub" / "mounted"
    point.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "none", point], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mounts")
    yield point
    subprocess.run(["umount", point], check=True)


@pytest.mark.parametrize("threads", [1, 8])
def test_a_scan_finds_in_an_awkward_tree_just_what_find_finds(root: Path, threads: int) -> None:
    plant_awkward_tree(root)
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "socket"))
    assert scanned(root, threads=threads) == find(root)


def test_a_scan_tells_the_folder_itself_and_its_totals(root: Path) -> None:
    write(root, b"one", b"12345")
    (root / "link").symlink_to("one")
    (root / "sub").mkdir()
    root.chmod(0o750)
    os.utime(root, ns=(0, 1_234_567_890_123_456_789))
    result = scan(root)
    status = root.stat()
    assert (result.inode, result.mode, result.mtime_ns) == (status.st_ino, 0o750, 1_234_567_890_123_456_789)
    assert result.total == (2, 5)


def test_a_folder_of_20000_files_is_found_whole_and_in_order(root: Path) -> None:
    first = write(root, b"file 0", b"x")
    for number in range(1, 20_000):
        os.link(first, os.path.join(os.fsencode(root), b"file %d" % number))
    assert [entry.path for entry in scan(root).entries] == sorted(os.listdir(os.fsencode(root)))


def test_an_empty_folder_is_empty_and_readable(root: Path) -> None:
    result = scan(root)
    assert (list(result.entries), result.unreadable, result.total) == ([], [], (0, 0))


def test_loops_of_links_are_not_followed(root: Path) -> None:
    (root / "loop").symlink_to(".")
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    (root / "sub").mkdir()
    (root / "sub" / "up").symlink_to("..")
    assert {entry.path: entry.target for entry in scan(root).entries} == {
        b"loop": b".",
        b"a": b"b",
        b"b": b"a",
        b"sub": None,
        b"sub/up": b"..",
    }


def test_a_deep_tree_is_found_to_its_end(root: Path) -> None:
    deep = root / "/".join("d" * 100 for _ in range(30))
    deep.mkdir(parents=True)
    write(deep, b"bottom", b"x")
    assert len(list(scan(root).entries)) == 31


@pytest.mark.parametrize("make", [os.symlink, lambda target, path: shutil.copy(__file__, path)])
def test_a_root_that_is_no_folder_is_an_error_and_never_empty(tmp_path: Path, make: Any) -> None:
    target = tmp_path / "target"
    target.mkdir()
    write(target, b"not to be seen", b"x")
    make(target, tmp_path / "root")
    with pytest.raises(Temporary):
        scan(tmp_path / "root")


def test_a_root_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Temporary) as caught:
        scan(tmp_path / "gone")
    assert caught.value.problem == "source-unreadable"


def test_what_may_not_be_read_is_reported_and_the_rest_is_found(open_root: Path) -> None:
    for name, mode in (("closed", 0o000), ("no names", 0o311), ("names only", 0o744), ("open", 0o755)):
        (open_root / name).mkdir()
        write(open_root / name, b"file", b"x")
        (open_root / name).chmod(mode)
    with as_nobody():
        result = scan(open_root)
    assert sorted(result.unreadable) == [
        "'closed': Permission denied",
        "'names only/file': Permission denied",
        "'no names': Permission denied",
    ]
    assert sorted(entry.path for entry in result.entries) == [
        b"closed",
        b"names only",
        b"no names",
        b"open",
        b"open/file",
    ]


def test_a_file_that_may_not_be_read_is_permanently_so(open_root: Path) -> None:
    write(open_root, b"secret", b"x", mode=0o600)
    with as_nobody(), pytest.raises(Permanent, match="secret"):
        hash_tree(os.fsencode(open_root), scan(open_root).entries, threads=2, work=Work())


def test_another_file_system_mounted_inside_is_reported_and_not_entered(mount: Path, root: Path) -> None:
    write(mount, b"elsewhere", b"x")
    result = scan(root)
    assert result.unreadable == ["'sub/mounted': another file system or folder is mounted here: unmount it"]
    assert [entry.path for entry in result.entries if b"elsewhere" in entry.path] == []


@contextmanager
def bound(there: Path, point: Path) -> Iterator[None]:
    """What lies `there` shown at `point`, too: a mount with the device number of the file system around it."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    if subprocess.run(["mount", "--bind", there, point], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mounts")
    try:
        yield
    finally:
        subprocess.run(["umount", point], check=True)


@pytest.mark.parametrize("name", ["plain", "with blank", "line\nbreak", "back\\040slash", "ümlaut"])
def test_another_folder_of_the_same_file_system_mounted_inside_is_reported_and_not_entered(
    root: Path, tmp_path: Path, name: str
) -> None:
    other, point = tmp_path / "other", root / "sub" / name
    other.mkdir()
    write(other, b"of the other", b"x")
    point.mkdir(parents=True)
    with bound(other, point):
        assert point.stat().st_dev == root.stat().st_dev
        result = scan(root)
    where = shown(os.fsencode(f"sub/{name}"))
    assert result.unreadable == [f"'{where}': another file system or folder is mounted here: unmount it"]
    assert [entry.path for entry in result.entries] == [b"sub", os.fsencode(f"sub/{name}")]


def test_a_file_mounted_over_one_inside_is_reported(root: Path, tmp_path: Path) -> None:
    write(root, b"file", b"x")
    write(tmp_path, b"other", b"y")
    with bound(tmp_path / "other", root / "file"):
        assert scan(root).unreadable == ["'file': another file system or folder is mounted here: unmount it"]


def test_a_root_with_a_folder_of_the_same_file_system_mounted_on_it_is_reported(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(other, b"of the other", b"x")
    (tmp_path / "way").symlink_to(root.parent)
    with bound(other, root):
        for path in (root, tmp_path / "way" / root.name):
            result = scan(path)
            assert result.unreadable == ["'.': another file system or folder is mounted here: unmount it"]
            assert list(result.entries) == []


def test_what_is_mounted_around_a_folder_or_beside_it_is_no_matter(root: Path, tmp_path: Path) -> None:
    beside = root.with_name(root.name + "-2")
    beside.mkdir()
    write(root, b"file", b"x")
    with bound(tmp_path, tmp_path), bound(beside, beside):
        result = scan(root)
    assert (result.unreadable, [entry.path for entry in result.entries]) == ([], [b"file"])


def test_what_is_mounted_during_the_scan_is_reported_although_it_was_entered(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, point = tmp_path / "other", root / "sub"
    other.mkdir()
    point.mkdir()
    write(other, b"of the other", b"x")
    list_names = tree._names_in
    with ExitStack() as mounts:

        def mount_meanwhile(folder: int, ignore: frozenset[bytes]) -> list[bytes]:
            monkeypatch.setattr(tree, "_names_in", list_names)
            mounts.enter_context(bound(other, point))
            return list_names(folder, ignore)

        monkeypatch.setattr(tree, "_names_in", mount_meanwhile)
        result = scan(root, threads=1)
    assert result.unreadable == ["'sub': another file system or folder is mounted here: unmount it"]
    assert b"sub/of the other" in [entry.path for entry in result.entries]


def test_a_stopped_scan_ends(root: Path) -> None:
    plant_awkward_tree(root)
    work = Work()
    work.stop()
    with pytest.raises(Stopped):
        scan_tree(os.fsencode(root), threads=2, work=work)


@pytest.mark.parametrize("what", ["root", "below"])
def test_what_cannot_be_looked_at_means_what_the_caller_says(
    root: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (root / "below").mkdir()

    def fail(*_path: object, **_options: object) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def trouble(path: bytes, error: OSError) -> DiskFull:
        return DiskFull(f"{os.fsdecode(path)} {error.strerror}", problem="disk-full")

    monkeypatch.setattr(os, "lstat" if what == "root" else "stat", fail)
    with pytest.raises(DiskFull, match=rf"{root if what == 'root' else 'below'} Input/output error"):
        scan_tree(os.fsencode(root), threads=2, work=Work(), trouble=trouble)


class Fixed(Parallelism):
    """Parallelism that nothing changes."""

    def judge(self, before: Spent, after: Spent, *, threads: int) -> None:
        pass


@pytest.mark.parametrize("allowed", [1, 3])
def test_what_is_known_of_the_room_holds_for_all_levels_of_a_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    (root / "a" / "b" / "c").mkdir(parents=True)
    listed_by: list[int] = []
    real = os.scandir

    def scandir(folder: int) -> Any:
        listed_by.append(threading.get_ident())
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(tree, "parallelism_at_first", lambda threads: Fixed(threads, allowed=allowed))
    scan_tree(os.fsencode(root), threads=3, work=Work())
    assert len(listed_by) == 4
    assert {thread == threading.get_ident() for thread in listed_by} == {allowed == 1}


def test_a_scan_leaves_no_file_open(root: Path) -> None:
    plant_awkward_tree(root)
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        hash_tree(os.fsencode(root), scan(root).entries, threads=4, work=Work())
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_digests_are_those_of_the_content(root: Path) -> None:
    plant_awkward_tree(root)
    work = Work()
    entries = scan(root).entries
    digests = hash_tree(os.fsencode(root), entries, threads=4, work=work)
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    names = [entry.path for entry in entries if entry.kind is EntryKind.FILE]
    assert dict(zip(names, digests, strict=True)) == {
        os.fsencode(path.relative_to(root)): (
            len(content := path.read_bytes()),
            zlib.crc32(content),
            hashlib.sha256(content).digest(),
        )
        for path in files
    }
    assert work.bytes_done == sum(path.stat().st_size for path in files)


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 1024 * 1024 + 1, 3_500_000])
def test_the_digest_of_a_file_of_any_size_is_whole(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    blocks: list[int] = []
    digest = digest_of_file(write(tmp_path, b"file", content), blocks.append)
    assert digest == (size, zlib.crc32(content), hashlib.sha256(content).digest())
    assert sum(blocks) == size


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["fifo", "link", "dangling", "folder", "device", "socket"])
def test_only_regular_files_are_opened_and_nothing_hangs(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))
    else:
        path.symlink_to("/etc/hostname" if kind == "link" else "nowhere")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError):
        open_regular(os.fsencode(path))
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_free_space_is_that_of_an_ordinary_user(tmp_path: Path) -> None:
    text = subprocess.run(["df", "--output=avail", "-B1", tmp_path], check=True, capture_output=True, text=True).stdout
    assert abs(free_bytes(os.fsencode(tmp_path)) - int(text.split()[-1])) < 10**9


def test_the_room_on_a_disk_is_what_df_says(tmp_path: Path) -> None:
    fields = ["df", "--output=avail,used,iavail", "-B1", str(tmp_path)]
    text = subprocess.run(fields, check=True, capture_output=True, text=True).stdout
    avail, used, names = map(int, text.splitlines()[-1].split())
    room = room_on(os.fsencode(tmp_path))
    assert abs(room.free_bytes - avail) < 10**9
    assert abs(room.total_bytes - avail - used) < 10**9
    assert abs((room.free_files or 0) - names) < 10**5


def test_a_file_system_that_knows_no_number_of_files_has_no_limit_of_them() -> None:
    assert room_on("/proc").free_files is None


def manifest_of(root: Path) -> Manifest:
    """Made by other means than the product's: pathlib and hashlib."""
    entries = []
    for path in sorted(root.rglob("*")):
        status, name = path.lstat(), os.fsencode(path.relative_to(root))
        mode = stat.S_IMODE(status.st_mode)
        if path.is_symlink():
            target = os.readlink(os.fsencode(path))
            entry = Entry(name, EntryKind.LINK, len(target), status.st_mtime_ns, mode, target, 0, None)
        elif path.is_dir():
            entry = Entry(name, EntryKind.DIR, 0, status.st_mtime_ns, mode, None, None, None)
        else:
            digest = hashlib.sha256(path.read_bytes()).digest()
            entry = Entry(name, EntryKind.FILE, status.st_size, status.st_mtime_ns, mode, None, 0, digest)
        entries.append(entry)
    until_the_next_tick(root)
    return Packed.of(Entry, sorted(entries))


@pytest.fixture
def planted(root: Path) -> Path:
    (root / "sub").mkdir(exist_ok=True)
    write(root, b"one", b"first content")
    write(root / "sub", b"two", b"second content")
    (root / "link").symlink_to("one")
    (root / "empty").mkdir()
    return root


def look(
    root: Path,
    manifest: Manifest,
    *,
    ignore: frozenset[bytes] = frozenset(),
    gone_is_fine: bool = False,
    read_content: bool = True,
    work: Work | None = None,
) -> FreshLook:
    return look_again(
        os.fsencode(root),
        manifest,
        ignore=ignore,
        gone_is_fine=gone_is_fine,
        read_content=read_content,
        threads=3,
        work=work or Work(),
    )


def rewrite_keeping_size_and_time(path: Path, content: bytes) -> None:
    status = path.stat()
    assert len(content) == status.st_size
    path.write_bytes(content)
    os.utime(path, ns=(0, status.st_mtime_ns))


def test_an_untouched_folder_equals_its_manifest_and_every_byte_was_read(planted: Path) -> None:
    work = Work()
    found = look(planted, manifest_of(planted), work=work)
    assert (found.differences, found.unreadable, found.content_checked) == ([], [], True)
    assert found.inode == planted.stat().st_ino
    assert {entry.path for entry in found.seen} == find(planted).keys()
    assert work.bytes_done == len(b"first contentsecond content")


def test_without_reading_the_content_it_does_not_count_as_checked(planted: Path) -> None:
    found = look(planted, manifest_of(planted), read_content=False)
    assert (found.differences, found.content_checked) == ([], False)


def replace_link(path: Path, target: str) -> None:
    before = path.lstat()
    path.unlink()
    path.symlink_to(target)
    os.utime(path, ns=(0, before.st_mtime_ns), follow_symlinks=False)


def replace_folder_by_file(path: Path) -> None:
    path.rmdir()
    path.touch()


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "added": (lambda root: write(root / "sub", b"new", b""), "added"),
    "folder added": (lambda root: (root / "new").mkdir(), "added"),
    "removed": (lambda root: (root / "one").unlink(), "removed"),
    "folder removed": (lambda root: (root / "empty").rmdir(), "removed"),
    "longer": (lambda root: (root / "one").write_bytes(b"first content!"), "size 13 -> 14 bytes"),
    "touched": (lambda root: os.utime(root / "one", ns=(0, 5)), "modification time changed"),
    "link changed": (lambda root: replace_link(root / "link", "two"), "link target changed"),
    "kind changed": (lambda root: replace_folder_by_file(root / "empty"), "was a dir, now a file"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("read_content", [True, False])
def test_each_kind_of_change_is_seen(planted: Path, change: str, read_content: bool) -> None:
    manifest = manifest_of(planted)
    alter, what = CHANGES[change]
    alter(planted)
    found = look(planted, manifest, read_content=read_content)
    assert len(found.differences) == 1
    assert found.differences[0].what == what
    assert not found.content_checked


def test_a_change_of_content_is_seen_although_size_and_time_are_the_same(planted: Path) -> None:
    manifest = manifest_of(planted)
    rewrite_keeping_size_and_time(planted / "one", b"FIRST content")
    found = look(planted, manifest)
    assert [difference.path for difference in found.differences] == [b"one"]
    assert "content changed" in found.differences[0].what
    assert not found.content_checked


class Meddling(Work):
    """Somebody who does something to the folder at the moment when its files are being read."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        super().__init__()
        self._meddle: Callable[[], object] | None = meddle

    def add(self, count: int) -> None:
        super().add(count)
        if count > 0 and self._meddle is not None:
            meddle, self._meddle = self._meddle, None
            meddle()


def test_a_file_written_to_while_it_is_read_is_seen_although_size_and_time_are_the_same(planted: Path) -> None:
    write(planted, b"zzz", b"the last")
    manifest = manifest_of(planted)
    meddling = Meddling(lambda: rewrite_keeping_size_and_time(planted / "zzz", b"LAST THE"))
    found = look_again(
        os.fsencode(planted),
        manifest,
        ignore=frozenset(),
        gone_is_fine=False,
        read_content=True,
        threads=1,
        work=meddling,
    )
    assert {difference.path for difference in found.differences} == {b"zzz"}
    assert not found.content_checked


def test_a_file_written_to_just_after_it_was_read_is_seen_although_size_and_time_are_the_same(root: Path) -> None:
    write(root, b"only", b"content")
    manifest = manifest_of(root)
    found = look(root, manifest, work=Meddling(lambda: rewrite_keeping_size_and_time(root / "only", b"CONTENT")))
    assert [difference.what for difference in found.differences] == ["changed while it was being read"]
    assert not found.content_checked


@pytest.mark.parametrize(
    "meddle",
    [
        lambda root: write(root / "sub", b"late", b"x"),
        lambda root: os.utime(root / "link", ns=(0, 1), follow_symlinks=False),
        lambda root: (root / "empty").rmdir(),
    ],
)
def test_what_happens_while_the_content_is_read_is_seen(planted: Path, meddle: Callable[[Path], object]) -> None:
    manifest = manifest_of(planted)
    found = look(planted, manifest, work=Meddling(lambda: meddle(planted)))
    assert len({difference.path for difference in found.differences}) == 1
    assert not found.content_checked


def test_once_a_deletion_began_what_is_gone_is_no_difference_but_all_else_is(planted: Path) -> None:
    manifest = manifest_of(planted)
    (planted / "one").unlink()
    (planted / "sub" / "two").unlink()
    (planted / "sub").rmdir()
    found = look(planted, manifest, gone_is_fine=True)
    assert (found.differences, found.content_checked) == ([], True)
    assert sorted(entry.path for entry in found.seen) == [b"empty", b"link"]
    write(planted, b"new", b"")
    assert look(planted, manifest, gone_is_fine=True).differences[0].what == "added"


def test_once_a_deletion_began_what_changed_is_still_a_difference(planted: Path) -> None:
    manifest = manifest_of(planted)
    (planted / "one").unlink()
    rewrite_keeping_size_and_time(planted / "sub" / "two", b"SECOND content")
    (difference,) = look(planted, manifest, gone_is_fine=True).differences
    assert difference.path == b"sub/two"


def test_only_what_is_named_is_ignored_and_it_is_not_among_what_was_seen(planted: Path) -> None:
    manifest = manifest_of(planted)
    write(planted, b"marker", b"ours")
    write(planted / "sub", b"marker", b"not ours")
    found = look(planted, manifest, ignore=frozenset({b"marker"}))
    assert [difference.path for difference in found.differences] == [b"sub/marker"]
    assert b"marker" not in [entry.path for entry in found.seen]


def test_an_unreadable_folder_stops_the_look_before_any_content_is_read(mount: Path, planted: Path) -> None:
    work = Work()
    found = look(planted, manifest_of(planted), work=work)
    assert found.unreadable
    assert not found.content_checked
    assert work.bytes_done == 0


class Silent:
    """A report nobody listens to."""

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        """Not heard."""

    async def log_all(self, lines: Sequence[tuple[LogLevel, str]]) -> None:
        """Not heard."""

    async def record(self, **_facts: object) -> None:
        """Not heard."""

    async def recovered(self) -> None:
        """Not heard."""

    def operation(self, text: str) -> None:
        """Not heard."""

    def progress(self, **_figures: object) -> None:
        """Not heard."""


def places(root: Path) -> Places:
    return Places(root.parent, root, root / "temp", root / "archives", root / "failed", "/")


async def look_of(job: Job, root: Path, manifest: Manifest, *, deletion_begun: bool) -> FreshLook:
    nas = Nas(places(root), NasProbe(root.parent, timeout_seconds=10))
    source = SourceLook(places(root), nas, ComparedCopies(), threads=2, read_content=True)
    return await source.look(job, manifest, Silent(), deletion_begun=deletion_begun)


async def test_the_marker_of_this_job_is_no_difference_once_the_deletion_began(planted: Path) -> None:
    job = a_job(folder_name=planted.name, source_path=str(planted))
    manifest = manifest_of(planted)
    text = marker_text(job, Stored("collection", 1, 2), archived_on="now", deleted=False)
    write(planted, os.fsencode(job.marker_name), text)
    write(planted, temporary_marker_name(job), text[:10])
    assert (await look_of(job, planted, manifest, deletion_begun=True)).differences == []
    assert len((await look_of(job, planted, manifest, deletion_begun=False)).differences) == 2


async def test_a_foreign_file_of_the_markers_name_is_a_difference(planted: Path) -> None:
    job = a_job(folder_name=planted.name, source_path=str(planted))
    manifest = manifest_of(planted)
    other = marker_text(a_job(), Stored("collection", 1, 2), archived_on="now", deleted=True)
    for content in (b"my own notes", other):
        path = write(planted, os.fsencode(job.marker_name), content)
        (difference,) = (await look_of(job, planted, manifest, deletion_begun=True)).differences
        assert difference == (os.fsencode(job.marker_name), "added")
        os.unlink(path)


@pytest.mark.parametrize("instead", ["a link", "a file"])
async def test_a_source_that_is_no_folder_waits_for_the_nas_and_is_never_done(planted: Path, instead: str) -> None:
    job = a_job(folder_name=planted.name, source_path=str(planted))
    manifest = manifest_of(planted)
    moved = planted.rename(planted.with_name("moved away"))
    if instead == "a link":
        planted.symlink_to(moved)
    else:
        planted.write_bytes(b"")
    with pytest.raises(NeedsOperator) as caught:
        await look_of(job, planted, manifest, deletion_begun=True)
    assert caught.value.problem == "nas-unreachable"


async def test_a_source_renamed_by_hand_is_told_apart_from_a_nas_that_is_gone(planted: Path) -> None:
    job = a_job(folder_name=planted.name, source_path=str(planted))
    manifest = manifest_of(planted)
    planted.rename(planted.with_name("moved away"))
    with pytest.raises(Permanent) as caught:
        await look_of(job, planted, manifest, deletion_begun=True)
    assert caught.value.problem == "source-missing"


def test_the_errors_of_opening_are_told_by_number(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        open_regular(os.fsencode(tmp_path / "gone"))
    assert caught.value.errno == errno.ENOENT
