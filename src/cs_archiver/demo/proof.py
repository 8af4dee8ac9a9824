"""Proves from the disk alone that an archived folder is stored in full and marked, and the rest untouched."""

import os
import stat
import tempfile
from pathlib import Path

from cs_archiver.demo.client import Job
from cs_archiver.demo.compare import ExtractionFailed, compare, extract, printable
from cs_archiver.demo.tree import ARCHIVABLE, LEFT_OUT
from cs_archiver.demo.world import World

MARKER_SUFFIX = "-ARCHIVED-TO-GLOBUS.txt"


def faults_of_archived(world: World, job: Job) -> list[str]:
    """What is wrong with the outcome of a completed job, one line each; an empty list is the proof.

    Unpacks the whole archive into the demo directory for the time of the call.
    """
    folder = Path(job.source_path)
    try:
        return _faults_of_source(folder, job) + _faults_of_archive(world, folder, job)
    except (ExtractionFailed, OSError) as error:
        return [str(error)]


def faults_of_the_rest(world: World) -> list[str]:
    """What has changed among the folders, files and links that archiving must not touch."""
    return [
        f"{path}: {difference}" for path in LEFT_OUT for difference in compare(world.originals / path, world.nas / path)
    ]


def faults_of_emptied(world: World) -> list[str]:
    """What the folders of the example still hold beside their markers, when all of them count as archived."""
    return [f"{path}: {fault}" for path in ARCHIVABLE for fault in _faults_of_listing(world.nas / path)]


def _faults_of_listing(folder: Path) -> list[str]:
    marker = os.fsencode(_marker_of(folder).name)
    others = [name for name in os.listdir(os.fsencode(folder)) if name != marker]
    return [f"{printable(name)}: still in the source folder" for name in sorted(others)]


def _marker_of(folder: Path) -> Path:
    return folder / f"{folder.name}{MARKER_SUFFIX}"


def _faults_of_source(folder: Path, job: Job) -> list[str]:
    marker = _marker_of(folder)
    faults = _faults_of_listing(folder)
    if not _is_regular_file(marker):
        return [*faults, f"{marker.name}: the marker is missing"]
    lines = marker.read_bytes().splitlines()
    expected = (f"Globus path: {job.globus_path}".encode(), f"Job ID: {job.job_id}".encode())
    return faults + [f"{marker.name}: lacks {printable(line)}" for line in expected if line not in lines]


def _faults_of_archive(world: World, folder: Path, job: Job) -> list[str]:
    archive = world.remote_archive(job.globus_path)
    with tempfile.TemporaryDirectory(prefix="extracting-", dir=world.directory) as scratch:
        extract(archive, Path(scratch))
        strangers = [name for name in os.listdir(os.fsencode(scratch)) if name != os.fsencode(folder.name)]
        faults = [f"{printable(name)}: in the archive beside the folder" for name in sorted(strangers)]
        return faults + compare(world.original(folder), Path(scratch, folder.name))


def _is_regular_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False
