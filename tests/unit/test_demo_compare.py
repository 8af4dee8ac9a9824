"""The demo's judge finds each kind of difference: a judge that passes everything would prove nothing."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cs_archiver.demo.compare import compare, printable


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal trees with a file, a folder, an empty folder, links and a name that is no UTF-8."""
    original = tmp_path / "original"
    (original / "sub" / "empty").mkdir(parents=True)
    (original / "clip.avi").write_bytes(b"picture" * 300_000)
    (original / "sub" / "note.txt").write_bytes(b"words")
    Path(os.fsdecode(os.fsencode(original) + b"/caf\xe9")).write_bytes(b"")
    (original / "link").symlink_to("clip.avi")
    (original / "dangling").symlink_to("nowhere")
    shutil.copytree(original, tmp_path / "copy", symlinks=True)
    return original, tmp_path / "copy"


def keeping_time(path: Path, change: Callable[[Path], object]) -> None:
    status = path.lstat()
    change(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def test_equal_trees_have_no_difference(trees: tuple[Path, Path]) -> None:
    assert compare(*trees) == []


def test_a_changed_byte_is_found_though_size_and_time_are_the_same(trees: tuple[Path, Path]) -> None:
    original, copy = trees

    def flip(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(1_500_000)
            byte = file.read(1)
            file.seek(1_500_000)
            file.write(bytes([byte[0] ^ 1]))

    keeping_time(copy / "clip.avi", flip)

    assert compare(original, copy) == ["clip.avi: content differs from byte 1500000 on"]


@pytest.mark.parametrize("size_bytes", [0, 4, 6])
def test_a_shorter_or_longer_file_is_found(trees: tuple[Path, Path], size_bytes: int) -> None:
    original, copy = trees
    keeping_time(copy / "sub/note.txt", lambda path: os.truncate(path, size_bytes))

    assert compare(original, copy) == [
        f"sub/note.txt: {size_bytes} bytes, was 5",
        f"sub/note.txt: content differs from byte {min(size_bytes, 5)} on",
    ]


def test_a_missing_file_is_found(trees: tuple[Path, Path]) -> None:
    original, copy = trees
    keeping_time(copy / "sub", lambda sub: (sub / "note.txt").unlink())

    assert compare(original, copy) == ["sub/note.txt: missing"]


def test_an_added_file_is_found(trees: tuple[Path, Path]) -> None:
    original, copy = trees
    keeping_time(copy, lambda root: (root / "more.txt").write_bytes(b""))

    assert compare(original, copy) == ["more.txt: not in the original"]


def test_a_missing_empty_folder_is_found(trees: tuple[Path, Path]) -> None:
    original, copy = trees
    keeping_time(copy / "sub", lambda sub: (sub / "empty").rmdir())

    assert compare(original, copy) == ["sub/empty: missing"]


def test_a_name_changed_by_one_byte_is_found(trees: tuple[Path, Path]) -> None:
    original, copy = trees
    was, now = (os.fsencode(copy) + name for name in (b"/caf\xe9", b"/caf\xc3\xa9"))
    keeping_time(copy, lambda _: os.rename(was, now))

    assert compare(original, copy) == ["café: not in the original", "caf\\xe9: missing"]


@pytest.mark.parametrize("name", ["clip.avi", "sub/empty", "link", "."])
def test_another_modification_time_is_found_on_every_kind_of_entry(trees: tuple[Path, Path], name: str) -> None:
    original, copy = trees
    was_ns = (original / name).lstat().st_mtime_ns // 100 * 100
    os.utime(original / name, ns=(0, was_ns), follow_symlinks=False)
    os.utime(copy / name, ns=(0, was_ns + 100), follow_symlinks=False)

    assert compare(original, copy) == [f"{name}: modified at {was_ns + 100} ns, was {was_ns} ns"]


def test_times_closer_than_7zip_keeps_them_are_equal(trees: tuple[Path, Path]) -> None:
    original, copy = trees
    was_ns = (original / "clip.avi").stat().st_mtime_ns // 100 * 100
    os.utime(original / "clip.avi", ns=(0, was_ns + 99))
    os.utime(copy / "clip.avi", ns=(0, was_ns))

    assert compare(original, copy) == []


@pytest.mark.parametrize("name", ["clip.avi", "sub"])
def test_other_permissions_are_found_on_files_and_folders(trees: tuple[Path, Path], name: str) -> None:
    original, copy = trees
    (original / name).chmod(0o755)
    (copy / name).chmod(0o750)

    assert compare(original, copy) == [f"{name}: mode 0750, was 0755"]


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def test_another_link_target_is_found(trees: tuple[Path, Path]) -> None:
    original, copy = trees
    keeping_time(copy, lambda _: keeping_time(copy / "dangling", lambda path: relink(path, "no\nwhere")))

    assert compare(original, copy) == ["dangling: links to no\\nwhere, did to nowhere"]


def test_a_link_replaced_by_the_file_it_leads_to_is_found(trees: tuple[Path, Path]) -> None:
    original, copy = trees
    (copy / "link").unlink()
    keeping_time(copy, lambda _: shutil.copy2(copy / "clip.avi", copy / "link"))
    os.utime(original, ns=(0, copy.stat().st_mtime_ns))

    assert compare(original, copy) == ["link: is a file, was a link"]


def test_a_folder_replaced_by_a_link_to_an_equal_folder_is_found(trees: tuple[Path, Path]) -> None:
    original, copy = trees

    def replace(root: Path) -> None:
        (root / "sub").rename(root.parent / "elsewhere")
        (root / "sub").symlink_to("../elsewhere")

    keeping_time(copy, replace)

    assert compare(original, copy) == ["sub: is a link, was a folder"]


def test_special_files_of_two_kinds_differ(trees: tuple[Path, Path]) -> None:
    original, copy = trees
    keeping_time(original, lambda root: os.mkfifo(root / "pipe"))
    keeping_time(copy, lambda root: (root / "pipe").write_bytes(b""))

    assert compare(original, copy) == ["pipe: is a file, was a special file"]


def test_a_missing_tree_is_a_difference(trees: tuple[Path, Path]) -> None:
    original, copy = trees

    assert compare(original, copy / "absent") == [".: missing"]
    assert compare(original / "absent", copy) == [".: not in the original"]
    assert compare(original / "absent", copy / "absent") == [".: missing"]


def test_names_are_shown_on_one_line() -> None:
    assert printable(b"a\nb\xff\x1b[31m") == "a\\nb\\xff\\x1b[31m"
    assert printable("café 第 🎬".encode()) == "café 第 🎬"
