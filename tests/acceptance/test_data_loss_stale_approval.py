"""Decisions, data loss 6: between the approval and each unlink only the very entries approved are deleted."""

import os
import shutil
from pathlib import Path

import pytest

from cs_archiver.errors import JobError, Permanent
from cs_archiver.tools.deletion import ApprovedDeletion, Removed, delete_verified_source
from cs_archiver.tools.threads import Work
from cs_archiver.tools.tree import scan_tree
from tests.support.tampering import Kept, files_in, plant, rewrite_in_place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return plant(tmp_path / "Project_Alpha")


@pytest.fixture
def precious(tmp_path: Path) -> Kept:
    """A folder with the names of `sub`, which nobody approved."""
    return Kept(plant(tmp_path / "precious", "two.mov", "three.mov"), tmp_path / "copies")


def approve(folder: Path) -> ApprovedDeletion:
    scan = scan_tree(os.fsencode(folder), threads=1, work=Work())
    return ApprovedDeletion(os.fsencode(folder), scan.inode, scan.device, scan.entries)


def test_exactly_what_was_approved_is_deleted_and_the_folder_stays(folder: Path) -> None:
    os.symlink("one.mov", folder / "link")

    removed = Removed()
    delete_verified_source(approve(folder), removed, Work(), lambda: False, threads=4)

    assert removed.files == 4
    assert os.listdir(folder) == []


def test_a_link_in_place_of_a_folder_is_not_followed(folder: Path, precious: Kept) -> None:
    approved = approve(folder)
    (folder / "sub").rename(folder.parent / "sub")
    (folder / "sub").symlink_to(precious.folder)

    with pytest.raises(Permanent):
        delete_verified_source(approved, Removed(), Work(), lambda: False, threads=4)

    assert precious.losses() == []


def test_a_link_in_place_of_a_folder_is_not_followed_to_the_very_files_either(folder: Path) -> None:
    approved = approve(folder)
    moved = Kept((folder / "sub").rename(folder.parent / "sub"), folder.parent / "copies")
    (folder / "sub").symlink_to(moved.folder)

    with pytest.raises(Permanent):
        delete_verified_source(approved, Removed(), Work(), lambda: False, threads=4)

    assert moved.losses() == []


def test_a_link_in_place_of_the_whole_folder_is_not_followed(folder: Path) -> None:
    approved = approve(folder)
    moved = Kept(folder.rename(folder.with_name("moved")), folder.parent / "copies")
    folder.symlink_to(moved.folder)

    with pytest.raises(Permanent):
        delete_verified_source(approved, Removed(), Work(), lambda: False, threads=4)

    assert moved.losses() == []


def test_another_folder_at_the_approved_path_is_kept_even_with_the_very_same_files(folder: Path) -> None:
    twin = folder.with_name("twin")
    shutil.copytree(folder, twin, copy_function=os.link)
    approved = approve(folder)
    folder.rename(folder.with_name("away"))
    twin.rename(folder)

    with pytest.raises(Permanent):
        delete_verified_source(approved, Removed(), Work(), lambda: False, threads=4)

    assert files_in(folder) == ["one.mov", "sub/three.mov", "sub/two.mov"]


def test_a_file_that_appears_is_kept_with_its_folder(folder: Path) -> None:
    approved = approve(folder)
    (folder / "sub" / "new.mov").write_text("not in the archive\n")
    (folder / "new.mov").write_text("not in the archive\n")

    delete_verified_source(approved, Removed(), Work(), lambda: False, threads=4)

    assert files_in(folder) == ["new.mov", "sub/new.mov"]


def grow(path: Path) -> None:
    status = path.stat()
    with path.open("a") as file:
        file.write("more\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def rewrite(path: Path) -> None:
    path.write_text("X" * path.stat().st_size)


def rewrite_unseen(path: Path) -> None:
    rewrite_in_place(path, b"X" * path.stat().st_size)


def replace(path: Path) -> None:
    status, content = path.stat(), path.read_bytes()
    path.rename(path.parent.with_name("the one approved"))
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_link(path: Path) -> None:
    path.symlink_to(path.rename(path.parent.with_name("the one approved")))


@pytest.mark.parametrize("change", [grow, rewrite, rewrite_unseen, replace, replace_by_link])
def test_a_file_that_changed_is_kept(change: object, folder: Path) -> None:
    approved = approve(folder)
    assert callable(change)
    change(folder / "one.mov")
    found = Kept(folder, folder.parent / "copies")

    with pytest.raises(Permanent, match=r"'one\.mov' changed after it was verified"):
        delete_verified_source(approved, Removed(), Work(), lambda: False, threads=4)

    assert not [loss for loss in found.losses() if loss.startswith("one.mov")]


def test_what_cannot_be_found_any_more_is_not_called_deleted(folder: Path) -> None:
    approved = approve(folder)
    folder.rename(folder.with_name("away"))

    with pytest.raises(JobError):
        delete_verified_source(approved, Removed(), Work(), lambda: False, threads=4)

    assert len(files_in(folder.with_name("away"))) == 3
