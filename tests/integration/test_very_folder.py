"""Each look at a source under deletion, and its marker, is of the very folder that was approved, by itself."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cs_archiver.errors import NeedsOperator
from cs_archiver.stages.last_look import is_as_approved, left_and_still_there
from cs_archiver.stages.marker import write_marker
from cs_archiver.tools.deletion import ApprovedDeletion
from cs_archiver.tools.threads import Work
from cs_archiver.tools.tree import scan_tree
from tests.support.jobs import a_job
from tests.support.tampering import files_in, plant

USES: dict[str, Callable[[ApprovedDeletion], object]] = {
    "whether it is as approved": lambda approved: is_as_approved(approved, set(), Work()),
    "what is left": lambda approved: left_and_still_there(approved, b"marker", Work()),
    "the marker": lambda approved: write_marker(approved, a_job(source_inode=approved.inode), b"text", deleted=False),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return plant(tmp_path / "Project_Alpha")


def approve(folder: Path) -> ApprovedDeletion:
    scan = scan_tree(os.fsencode(folder), threads=1, work=Work())
    return ApprovedDeletion(os.fsencode(folder), scan.inode, scan.device, scan.entries)


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_another_folder_at_its_path_is_refused(folder: Path, use: Callable[[ApprovedDeletion], object]) -> None:
    approved = approve(folder)
    folder.rename(folder.with_name("the one approved"))
    shutil.copytree(folder.with_name("the one approved"), folder)
    before = files_in(folder)
    with pytest.raises(NeedsOperator, match="is not the folder that was copied"):
        use(approved)
    assert files_in(folder) == before


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_one_of_the_same_number_in_another_file_system_is_refused(
    folder: Path, use: Callable[[ApprovedDeletion], object]
) -> None:
    approved = replace(approve(folder), device=approve(folder).device + 1)
    before = files_in(folder)
    with pytest.raises(NeedsOperator, match="is not the folder that was copied"):
        use(approved)
    assert files_in(folder) == before


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_the_very_folder_is_not_refused(folder: Path, use: Callable[[ApprovedDeletion], object]) -> None:
    use(approve(folder))
