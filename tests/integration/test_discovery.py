"""Discovery on real trees: what is listed, what is left out and why, and that nothing it meets is fatal."""

import json
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.clock import from_ns
from cs_archiver.domain.folders import Folder, Patterns
from cs_archiver.errors import NeedsOperator, NotFound, Temporary
from cs_archiver.tools import crew
from cs_archiver.tools.crowd import spent_by_thread
from cs_archiver.tools.discovery import Discovery
from cs_archiver.tools.folder_count import BATCH_ENTRIES
from tests.support.nobody import as_nobody

PATTERNS = Patterns(
    markers=(".archived", "*-ARCHIVED-TO-GLOBUS.txt"),
    litter=(".@__thumb", "@eaDir", ".DS_Store", "Thumbs.db", "._*"),
)


def discovery_of(base: Path, *, threads: int = 4) -> Discovery:
    return Discovery(bytes(base), PATTERNS, threads=threads)


def found_in(base: Path, *, threads: int = 4) -> list[Folder]:
    return discovery_of(base, threads=threads).run().folders


def listed_in(base: Path) -> list[str]:
    return [f"{f.level1}/{f.level2}/{f.name}" for f in found_in(base) if f.left_out is None]


def left_out_in(base: Path) -> dict[str, str]:
    prefix = f"{base}/"
    return {f.path.removeprefix(prefix): f.left_out for f in found_in(base) if f.left_out is not None}


def plant(base: Path, *files: str, content: bytes = b"content") -> None:
    """Files by their path; a path that ends in a slash is an empty folder."""
    for file in files:
        path = base / file
        if file.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def two_files(folder: str) -> tuple[str, str]:
    return f"{folder}/one.mov", f"{folder}/two.mov"


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Path]:
    """A folder that any user of the machine may enter, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="discovery-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_folders_exactly_three_levels_down_are_listed_with_size_count_and_time(tmp_path: Path) -> None:
    plant(tmp_path, "Production/2024/Alpha/film.mov", content=b"x" * 1000)
    plant(tmp_path, "Production/2024/Alpha/media/deeper/clip.mov", content=b"y" * 234)
    plant(tmp_path, *two_files("Events/Open Day/Take 01"))
    plant(tmp_path, "loose.mov", "Production/loose.mov", "Production/2024/loose.mov", "Lonely/", "Production/Bare/")
    for path in (tmp_path / "Production/2024/Alpha").rglob("*"):
        os.utime(path, ns=(0, 1_000_000_000_000_000_000))
    os.utime(tmp_path / "Production/2024/Alpha", ns=(0, 1_100_000_000_000_000_000))
    take, alpha = found_in(tmp_path)
    assert alpha == Folder(
        path=f"{tmp_path}/Production/2024/Alpha",
        level1="Production",
        level2="2024",
        name="Alpha",
        size_bytes=1234,
        file_count=2,
        modified_at="2004-11-09T11:33:20.000Z",
        left_out=None,
    )
    assert (take.path, take.file_count) == (f"{tmp_path}/Events/Open Day/Take 01", 2)


def test_an_empty_base_has_no_folders(tmp_path: Path) -> None:
    assert found_in(tmp_path) == []


def test_names_that_begin_with_a_dot_or_at_are_passed_over_at_levels_one_to_three_only(tmp_path: Path) -> None:
    plant(tmp_path, *two_files("@Recycle/2024/a"), *two_files(".hidden/2024/a"))
    plant(tmp_path, *two_files("A/@Recently-Snapshot/a"), *two_files("A/.b/a"))
    plant(tmp_path, *two_files("A/B/@thumb"), *two_files("A/B/.c"))
    (tmp_path / "A" / ".link").symlink_to("B")
    plant(tmp_path, "A/B/C/.profile", "A/B/C/@deep/.x/one.mov")
    (folder,) = found_in(tmp_path)
    assert (folder.name, folder.file_count, folder.left_out) == ("C", 2, None)


def test_symlinked_folders_of_any_level_are_reported_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    plant(outside, *two_files("b/c"))
    base = tmp_path / "base"
    plant(base, *two_files("A/B/C"))
    (base / "link1").symlink_to(outside)
    (base / "A" / "link2").symlink_to(outside / "b")
    (base / "A" / "B" / "link3").symlink_to(outside / "b" / "c")
    (base / "A" / "B" / "dangling").symlink_to("nowhere")
    assert listed_in(base) == ["A/B/C"]
    reason = "a symbolic link: never followed"
    assert left_out_in(base) == {
        "link1": reason,
        "A/link2": reason,
        "A/B/link3": reason,
        "A/B/dangling": reason,
    }
    by_path = {f.path: f for f in found_in(base)}
    level1 = by_path[f"{base}/link1"]
    assert (level1.level1, level1.level2, level1.name) == ("link1", "", "")
    level2 = by_path[f"{base}/A/link2"]
    assert (level2.level1, level2.level2, level2.name) == ("A", "link2", "")
    level3 = by_path[f"{base}/A/B/link3"]
    assert (level3.level1, level3.level2, level3.name) == ("A", "B", "link3")
    assert (level3.size_bytes, level3.file_count, level3.modified_at) == (0, 0, None)


def test_links_in_a_folder_are_counted_but_never_followed(tmp_path: Path) -> None:
    plant(tmp_path / "outside", "big.bin", "sub/more.bin", content=b"z" * 100_000)
    base = tmp_path / "base"
    plant(base, "A/B/C/own.bin", content=b"12345")
    inside = base / "A" / "B" / "C"
    (inside / "to a file").symlink_to(tmp_path / "outside" / "big.bin")
    (inside / "to a folder").symlink_to(tmp_path / "outside")
    (inside / "loop").symlink_to(".")
    (folder,) = found_in(base)
    assert (folder.size_bytes, folder.file_count, folder.left_out) == (5, 4, None)


def test_hard_links_count_as_files_each(tmp_path: Path) -> None:
    plant(tmp_path, "A/B/C/one", content=b"12345")
    os.link(tmp_path / "A/B/C/one", tmp_path / "A/B/C/two")
    (folder,) = found_in(tmp_path)
    assert (folder.size_bytes, folder.file_count) == (10, 2)


def test_marker_at_the_top_of_a_folder_leaves_it_out_and_a_deeper_one_does_not(tmp_path: Path) -> None:
    plant(tmp_path, *two_files("A/B/done"), "A/B/done/done-ARCHIVED-TO-GLOBUS.txt")
    plant(tmp_path, *two_files("A/B/old"), "A/B/old/.archived")
    plant(tmp_path, "A/B/emptied/emptied-ARCHIVED-TO-GLOBUS.txt")
    plant(tmp_path, *two_files("A/B/deeper"), "A/B/deeper/sub/.archived")
    assert left_out_in(tmp_path) == {
        "A/B/done": "already archived: it holds the marker file 'done-ARCHIVED-TO-GLOBUS.txt'",
        "A/B/old": "already archived: it holds the marker file '.archived'",
        "A/B/emptied": "already archived: it holds the marker file 'emptied-ARCHIVED-TO-GLOBUS.txt'",
    }
    assert listed_in(tmp_path) == ["A/B/deeper"]


def test_marker_is_found_among_many_files(tmp_path: Path) -> None:
    plant(tmp_path, *(f"A/B/C/{number}" for number in range(3 * BATCH_ENTRIES)), "A/B/C/.archived")
    assert left_out_in(tmp_path)["A/B/C"].startswith("already archived")


def test_folder_named_like_a_marker_leaves_its_parent_out_without_calling_it_archived(tmp_path: Path) -> None:
    plant(tmp_path, *two_files("A/B/C"), *two_files("A/B/C/C-ARCHIVED-TO-GLOBUS.txt"))
    (folder,) = found_in(tmp_path)
    assert not folder.is_archived
    assert folder.left_out == ("it holds a folder named like a marker file, 'C-ARCHIVED-TO-GLOBUS.txt': rename that")


def test_empty_folders_and_single_txt_files_at_any_depth_are_left_out_and_litter_is_not_counted(
    tmp_path: Path,
) -> None:
    plant(tmp_path, "A/B/bare/", "A/B/rooms/one/two/", "A/B/rooms/three/")
    plant(tmp_path, "A/B/litter/.DS_Store", "A/B/litter/x/._film.mov", "A/B/litter/@eaDir/deep/film.mov")
    plant(tmp_path, "A/B/notes/notes.txt", "A/B/deep notes/a/b/NOTES.TXT")
    plant(tmp_path, "A/B/littered notes/a/n.txt", "A/B/littered notes/.@__thumb/s100n.txt")
    plant(tmp_path, "A/B/littered notes/a/Thumbs.db")
    plant(tmp_path, "A/B/two notes/a/one.txt", "A/B/two notes/two.txt", "A/B/film and litter/x.mov")
    plant(tmp_path, "A/B/film and litter/@eaDir/x.mov/thumb.jpg", content=b"12")
    reasons = left_out_in(tmp_path)
    assert reasons["A/B/bare"] == reasons["A/B/rooms"] == "nothing to archive: it holds no file"
    assert reasons["A/B/litter"] == "nothing to archive: it holds only what NAS and desktop systems leave behind"
    assert (
        reasons["A/B/notes"]
        == reasons["A/B/deep notes"]
        == reasons["A/B/littered notes"]
        == "nothing to archive: it holds only a single .txt file"
    )
    assert listed_in(tmp_path) == ["A/B/film and litter", "A/B/two notes"]
    (folder,) = (f for f in found_in(tmp_path) if f.name == "film and litter")
    assert (folder.file_count, folder.size_bytes) == (2, 9)  # the litter is archived, and so counted


def test_sockets_fifos_and_devices_are_reported_by_name(tmp_path: Path) -> None:
    plant(tmp_path, *two_files("A/B/fifo"), *two_files("A/B/litter/@eaDir"), "A/B/sock/one", "A/B/sock/two")
    os.mkfifo(tmp_path / "A/B/fifo/pi\npe")
    os.mkfifo(tmp_path / "A/B/litter/@eaDir/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        descriptor = os.open(tmp_path / "A/B/sock", os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{descriptor}/s")  # the path itself may be too long for a socket
        os.close(descriptor)
    assert left_out_in(tmp_path) == {
        "A/B/fifo": "it holds a FIFO, which cannot be archived: 'pi\\npe'",
        "A/B/litter": "it holds a FIFO, which cannot be archived: '@eaDir/pipe'",
        "A/B/sock": "it holds a socket, which cannot be archived: 's'",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device file")
def test_device_is_reported_by_name(tmp_path: Path) -> None:
    plant(tmp_path, *two_files("A/B/C"))
    try:
        os.mknod(tmp_path / "A/B/C/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this machine forbids device files even to root")
    assert left_out_in(tmp_path) == {"A/B/C": "it holds a device, which cannot be archived: 'null'"}


def test_unusable_names_of_any_level_are_reported_and_shown_legibly(tmp_path: Path) -> None:
    for path in (b"lf\n1/B/C", b"A/caf\xe92/C", b"A/B/tab\t3", b"A/B/back\\slash", b"A/B/" + b"n" * 240):
        os.makedirs(os.path.join(bytes(tmp_path), path))
    plant(tmp_path, *two_files("n" * 240 + "/" + "m" * 240 + "/C"))
    reasons = left_out_in(tmp_path)
    assert set(reasons) == {"lf\\n1", "A/caf\\xe92", "A/B/tab\\t3", "A/B/back\\\\slash", "A/B/" + "n" * 240}
    assert reasons["A/caf\\xe92"] == "its name is not valid UTF-8: rename it"
    assert "U+000A" in reasons["lf\\n1"]
    assert "too long" in reasons["A/B/" + "n" * 240]
    assert listed_in(tmp_path) == ["n" * 240 + "/" + "m" * 240 + "/C"]


def test_names_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    for name in (b"x\n", b"x\\n"):
        os.makedirs(os.path.join(bytes(tmp_path), b"A/B", name))
    assert sorted(left_out_in(tmp_path)) == ["A/B/x\\\\n", "A/B/x\\n"]


def test_the_newest_time_of_any_entry_counts(tmp_path: Path) -> None:
    folder = tmp_path / "A" / "B" / "C"
    plant(folder, "f", "sub/deep/f", "g")
    (folder / "sub" / "link").symlink_to("deep")
    entries = [folder, *folder.rglob("*")]
    for newest in entries:
        for entry in entries:
            time_ns = 2_000_000_000 if entry == newest else -5_000_000_000
            os.utime(entry, ns=(0, time_ns), follow_symlinks=False)
        (found,) = found_in(tmp_path)
        assert found.modified_at == "1970-01-01T00:00:02.000Z", newest


def test_unreadable_directories_are_reported_with_path_and_reason_and_never_fatal(public: Path) -> None:
    plant(
        public,
        *two_files("A/B/C"),
        *two_files("A/B/locked3"),
        *two_files("A/locked2/C"),
        *two_files("locked1/B/C"),
    )
    plant(public, *two_files("A/B/partly"), *two_files("A/B/partly/sub/locked"), *two_files("A/B/no lstat"))
    for path in ("A/B/locked3", "A/locked2", "locked1", "A/B/partly/sub/locked"):
        (public / path).chmod(0)
    (public / "A/B/no lstat").chmod(0o444)
    with as_nobody():
        found = {f.path.removeprefix(f"{public}/"): f for f in found_in(public)}
    reason = "cannot be read: Permission denied"
    assert {path: f.left_out for path, f in found.items()} == {
        "A/B/C": None,
        "A/B/locked3": reason,
        "A/locked2": reason,
        "locked1": reason,
        "A/B/no lstat": reason,
        "A/B/partly": f"its sub-folder 'sub/locked': {reason}",
    }
    assert found["A/B/partly"].file_count == 2


def test_unreadable_base_needs_the_operator(public: Path) -> None:
    public.chmod(0o700)
    with as_nobody(), pytest.raises(NeedsOperator, match=r"QNAP_BASE_PATH .*Permission denied"):
        found_in(public)


def test_path_longer_than_the_system_takes_is_reported(tmp_path: Path) -> None:
    plant(tmp_path, *two_files("A/B/C"))
    parent = os.open(tmp_path / "A/B/C", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=parent)
        child = os.open("d" * 250, os.O_RDONLY, dir_fd=parent)
        os.close(parent)
        parent = child
    os.close(parent)
    (folder,) = found_in(tmp_path)
    assert folder.left_out is not None
    assert folder.left_out.endswith("cannot be read: File name too long")


_SCAN_WITH_MOUNTS = """
import json, subprocess, sys
from cs_archiver.domain.folders import Patterns
from cs_archiver.tools.discovery import Discovery
base = sys.argv[1]
for inside in sys.argv[2:]:
    what = ["-t", "tmpfs", "none"] if "m" in inside else ["--bind", f"{base}/A/B/C"]
    subprocess.run(["mount", *what, f"{base}/{inside}"], check=True)
found = Discovery(base.encode(), Patterns((), ()), threads=4).run().folders
print(json.dumps({folder.path.removeprefix(base + "/"): folder.left_out for folder in found}))
"""


def test_mounts_inside_the_base_are_reported_and_never_entered(tmp_path: Path) -> None:
    allowed = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(allowed, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount anything")
    plant(tmp_path, *two_files("m1/B/C"), *two_files("A/m2/C"), *two_files("A/B/m3"), *two_files("A/B/C"))
    plant(tmp_path, *two_files("A/B/D"), *two_files("A/B/D/sub/m4"))
    plant(tmp_path, *two_files("A/B/E/sub/b5"), *two_files("A/B/b6"), *two_files("A/b7"))
    mounts = ("m1", "A/m2", "A/B/m3", "A/B/D/sub/m4", "A/B/E/sub/b5", "A/B/b6", "A/b7")
    answer = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", _SCAN_WITH_MOUNTS, str(tmp_path), *mounts],
        capture_output=True,
        check=True,
    )
    reason = "on another file system than QNAP_BASE_PATH: never entered"
    bound = "another folder is mounted there: never entered; unmount it"
    assert json.loads(answer.stdout) == {
        "m1": reason,
        "A/m2": reason,
        "A/B/m3": reason,
        "A/B/D": f"its sub-folder 'sub/m4': {reason}",
        "A/B/E": f"its sub-folder 'sub/b5': {bound}",
        "A/B/b6": bound,
        "A/B/C": None,
    }


def test_missing_base_needs_the_operator(tmp_path: Path) -> None:
    with pytest.raises(NeedsOperator, match=r"QNAP_BASE_PATH .*/absent: .*No such file"):
        found_in(tmp_path / "absent")


def test_base_that_is_a_file_needs_the_operator(tmp_path: Path) -> None:
    plant(tmp_path, "file")
    with pytest.raises(NeedsOperator, match=r"QNAP_BASE_PATH .*not a directory"):
        found_in(tmp_path / "file")


def test_base_may_itself_be_a_link_and_end_in_a_slash(tmp_path: Path) -> None:
    plant(tmp_path / "real", *two_files("A/B/C"))
    (tmp_path / "link").symlink_to("real")
    (folder,) = Discovery(bytes(tmp_path / "link") + b"/", PATTERNS, threads=2).run().folders
    assert folder.path == f"{tmp_path}/link/A/B/C"


def test_base_that_is_replaced_during_the_walk_needs_the_operator(tmp_path: Path) -> None:
    base = tmp_path / "base"
    plant(base, *two_files("A/B/C"))

    def replace(_number: int) -> None:
        base.rename(tmp_path / "unmounted")
        base.mkdir()

    with pytest.raises(NeedsOperator, match="unmounted or replaced"):
        discovery_of(base).run(replace)


def test_folders_that_vanish_during_the_walk_are_skipped(tmp_path: Path) -> None:
    plant(tmp_path, *two_files("A/B/C"), *two_files("A/B/D"), *two_files("A/C/D"), *two_files("B/C/D"))

    def remove_the_others(number: int) -> None:
        if number == 1:
            for level1 in ("A", "B"):
                shutil.rmtree(tmp_path / level1)

    assert len(discovery_of(tmp_path, threads=1).run(remove_the_others).folders) == 1


@pytest.fixture
def after_listing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Callable[[], object]], None]:
    """Has something happen between the listing of a directory and the look at its entries."""

    def arrange(directory: Path, act: Callable[[], object]) -> None:
        real = os.scandir

        @contextmanager
        def scandir(path: bytes) -> Iterator[Any]:
            with real(path) as entries:
                listed = list(entries)
            if path == bytes(directory):
                act()
            yield iter(listed)

        monkeypatch.setattr(os, "scandir", scandir)

    return arrange


def test_files_and_sub_folders_that_vanish_during_the_walk_are_skipped(
    tmp_path: Path, after_listing: Callable[[Path, Callable[[], object]], None]
) -> None:
    folder = tmp_path / "A" / "B" / "C"
    plant(folder, "one", "two", "gone", "sub/gone too", "turned/gone too")

    def remove() -> None:
        (folder / "gone").unlink()
        shutil.rmtree(folder / "sub")
        shutil.rmtree(folder / "turned")
        (folder / "turned").write_bytes(b"a file now")

    after_listing(folder, remove)
    (found,) = found_in(tmp_path)
    assert (found.file_count, found.left_out) == (2, None)


def test_folder_that_vanishes_just_before_it_is_listed_is_not_called_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, *two_files("A/B/C"), *two_files("A/B/D"))
    real = os.scandir

    def scandir(path: bytes) -> Any:
        if path == bytes(tmp_path / "A/B/D"):
            (tmp_path / "A/B/D").rename(tmp_path / "A/moved.away")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [folder.name for folder in found_in(tmp_path, threads=1) if folder.level2 == "B"] == ["C"]


def test_folder_replaced_by_a_link_after_listing_is_not_followed(
    tmp_path: Path, after_listing: Callable[[Path, Callable[[], object]], None]
) -> None:
    plant(tmp_path / "outside", "one", "two")
    folder = tmp_path / "base" / "A" / "B" / "C"
    plant(folder, "one", "sub/two")

    def replace() -> None:
        shutil.rmtree(folder / "sub")
        (folder / "sub").symlink_to(tmp_path / "outside")

    after_listing(folder, replace)
    assert left_out_in(tmp_path / "base") == {"A/B/C": "its sub-folder 'sub': a symbolic link: never followed"}


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of all shapes: flat and deep, of a few files and of many."""
    base = tmp_path_factory.mktemp("varied")
    chance = random.Random(7)
    for number, files in enumerate([2, 3, 5, 9, 20, BATCH_ENTRIES, BATCH_ENTRIES + 1, 3 * BATCH_ENTRIES + 3] * 2):
        folder = base / f"L{number % 3}" / f"M{number % 5}" / f"N{number}"
        folder.mkdir(parents=True)
        places = [folder]
        for sub in range(chance.randrange(12)):
            places.append(chance.choice(places) / f"s{sub}")
            places[-1].mkdir()
        for file in range(files):
            path = chance.choice(places[:3]) / f"f{file}"
            path.write_bytes(b"x" * chance.randrange(50))
            os.utime(path, ns=(0, chance.randrange(10**18)))
    return base


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_any_number_of_threads_counts_what_a_plain_walk_counts(varied: Path, threads: int) -> None:
    found = found_in(varied, threads=threads)
    assert len(found) == 16
    assert [f.path for f in found] == sorted(f.path for f in found)
    for folder in found:
        paths = [Path(folder.path), *Path(folder.path).rglob("*")]
        files = [path for path in paths if path.is_file()]
        assert folder.file_count == len(files)
        assert folder.size_bytes == sum(path.stat().st_size for path in files)
        assert folder.modified_at == from_ns(max(path.stat().st_mtime_ns for path in paths))


def test_several_folders_are_looked_at_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, *(file for number in range(4) for file in two_files(f"A/B/{number}")))
    together = threading.Barrier(4, timeout=20)
    real = os.lstat

    def lstat(path: bytes) -> os.stat_result:
        if path.startswith(bytes(tmp_path / "A" / "B") + b"/"):
            together.wait()  # breaks, and fails the test, unless four threads come here at once
        return real(path)

    monkeypatch.setattr(os, "lstat", lstat)
    assert len(found_in(tmp_path, threads=4)) == 4


class _MeetingEntry:
    """A directory entry whose lstat waits until another thread makes one too."""

    def __init__(self, entry: "os.DirEntry[bytes]", meeting: threading.Barrier) -> None:
        self.name = entry.name
        self.is_dir = entry.is_dir
        self._entry = entry
        self._meeting = meeting

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        self._meeting.wait()
        return self._entry.stat(follow_symlinks=follow_symlinks)


def test_one_large_directory_is_looked_at_by_several_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, *(f"A/B/C/{number}" for number in range(2 * BATCH_ENTRIES)))
    together = threading.Barrier(2, timeout=20)
    real = os.scandir

    @contextmanager
    def scandir(path: bytes) -> Iterator[Any]:
        time.sleep(0.02)  # as a NAS takes its time: one that answers at once is read by one thread
        with real(path) as entries:
            yield (_MeetingEntry(e, together) if path.endswith(b"/C") else e for e in entries)

    monkeypatch.setattr(os, "scandir", scandir)
    (folder,) = found_in(tmp_path, threads=3)
    assert folder.file_count == 2 * BATCH_ENTRIES


def test_a_directory_that_hangs_does_not_keep_other_threads_from_the_rest() -> None:
    workers, rest_is_read = crew.Crew(2), threading.Event()

    def read(left: int) -> None:
        now = spent_by_thread()
        workers.judge((now._replace(busy=now.busy - 1), 1))  # nothing had to be waited for
        workers.add(partial(read, left - 1) if left else rest_is_read.set)

    def hang() -> None:
        read(100)
        assert rest_is_read.wait(20)

    def first() -> None:
        workers.add(lambda: None)  # has the second thread started
        time.sleep(0.05)
        hang()

    workers.run(first)
    assert rest_is_read.is_set()


def test_never_more_threads_than_asked_for_and_none_is_left_behind(tmp_path: Path) -> None:
    plant(tmp_path, *(file for number in range(50) for file in two_files(f"A/B/{number}/sub")))
    told: list[int] = []
    discovery_of(tmp_path, threads=3).run(lambda _number: told.append(threads_of_discovery()))
    assert 1 <= max(told) <= 3
    assert threads_of_discovery() == 0


def threads_of_discovery() -> int:
    return sum(thread.name.startswith("discovery-") for thread in threading.enumerate())


def test_progress_counts_every_folder_once(tmp_path: Path) -> None:
    plant(tmp_path, *(file for number in range(20) for file in two_files(f"A/B/{number}")), "A/B/empty/")
    told: list[int] = []
    discovery_of(tmp_path).run(told.append)
    assert told == list(range(1, 22))


def test_failure_of_the_progress_callback_ends_the_run_and_is_raised(tmp_path: Path) -> None:
    plant(tmp_path, *(file for number in range(20) for file in two_files(f"A/B/{number}")))

    def fail(_number: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        discovery_of(tmp_path).run(fail)


def test_stop_ends_a_run_and_allows_no_more(tmp_path: Path) -> None:
    plant(tmp_path, *(file for number in range(100) for file in two_files(f"A/B/{number}")))
    discovery = discovery_of(tmp_path)
    told: list[int] = []

    def stop_soon(number: int) -> None:
        told.append(number)
        discovery.stop()

    with pytest.raises(Temporary, match="stopped"):
        discovery.run(stop_soon)
    assert len(told) <= 8
    with pytest.raises(Temporary, match="stopped"):
        discovery.run()
    with pytest.raises(Temporary, match="stopped"):
        discovery.look_at("A", "B", "0")


def test_stop_does_not_wait_for_a_nas_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, *two_files("A/B/C"))
    discovery = discovery_of(tmp_path)
    mended = threading.Event()
    real = os.lstat

    def lstat(path: bytes) -> os.stat_result:
        if path.endswith(b"/C"):
            discovery.stop()
            assert mended.wait(timeout=30)
        return real(path)

    monkeypatch.setattr(os, "lstat", lstat)
    monkeypatch.setattr(crew, "STOP_GRACE_SECONDS", 0.05)
    before = set(threading.enumerate())
    with pytest.raises(Temporary, match="stopped"):
        discovery.run()
    mended.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)


def test_looking_at_one_folder_finds_what_a_run_finds(tmp_path: Path) -> None:
    plant(tmp_path, *two_files("A/B/C"), "A/B/notes/x.txt", "A/B/empty/", "A/B/done/.archived")
    os.mkfifo(tmp_path / "A/B/empty/pipe")
    (tmp_path / "A/B/link").symlink_to("C")
    discovery = discovery_of(tmp_path)
    found = discovery.run().folders
    assert len(found) == 5
    assert [discovery.look_at(f.level1, f.level2, f.name) for f in found] == found


@pytest.mark.parametrize("link", ["A", "A/B"])
def test_looking_at_a_folder_reports_the_link_above_it(tmp_path: Path, link: str) -> None:
    plant(tmp_path / "outside", *two_files("B/C"), *two_files("C"))
    base = tmp_path / "base"
    (base / link).parent.mkdir(parents=True)
    (base / link).symlink_to(tmp_path / "outside")
    found = discovery_of(base).look_at("A", "B", "C")
    assert (found.path, found.left_out) == (f"{base}/{link}", "a symbolic link: never followed")


@pytest.mark.parametrize(
    "names",
    [
        ("A", "B", "absent"), ("absent", "B", "C"), ("A", "absent", "C"), ("A", "B", "file"), ("A", "B", ""),
        ("A", "B", ".."), ("A", "..", "A"), ("A", "B", "."), ("A", "B/C", "sub"), ("A", "B", "C/sub"),
        ("A", "B", "@Recycle"), ("A", "", "B"),
    ],
)  # fmt: skip
def test_looking_at_what_is_no_folder_of_the_third_level_finds_nothing(
    tmp_path: Path, names: tuple[str, str, str]
) -> None:
    plant(tmp_path, *two_files("A/B/C"), *two_files("A/B/C/sub"), "A/B/file", *two_files("A/B/@Recycle"))
    with pytest.raises(NotFound, match="no such folder") as caught:
        discovery_of(tmp_path).look_at(*names)
    assert caught.value.problem == "folder-not-found"


def test_looking_at_a_folder_while_the_base_is_missing_needs_the_operator(tmp_path: Path) -> None:
    with pytest.raises(NeedsOperator, match="QNAP_BASE_PATH"):
        discovery_of(tmp_path / "absent").look_at("A", "B", "C")
