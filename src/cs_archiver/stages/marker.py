"""The marker in a source: whose it is, and how it is written."""

import errno
import os
from enum import StrEnum
from functools import partial

from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import shown
from cs_archiver.domain.marker import is_marker_of, word_for_state
from cs_archiver.errors import NeedsOperator, Permanent
from cs_archiver.stages.last_look import not_the_folder
from cs_archiver.tools import own_file
from cs_archiver.tools.deletion import ApprovedDeletion
from cs_archiver.tools.disk import open_regular


def temporary_marker_name(job: Job) -> bytes:
    return f".cs-archiver-{job.id}.tmp".encode()


class MarkerFound(StrEnum):
    """What stands in the source under the name of the job's marker."""

    NOTHING = "nothing"
    OURS = "ours"
    FOREIGN = "foreign"


def marker_found(source: bytes, job: Job) -> MarkerFound:
    """Raises NeedsOperator when it cannot be read: that is neither absence nor somebody else's file."""
    path = os.path.join(source, os.fsencode(job.marker_name))
    try:
        with os.fdopen(open_regular(path), "rb") as marker:
            ours = is_marker_of(job, marker.read(own_file.MOST_READ_BYTES))
    except FileNotFoundError:
        return MarkerFound.NOTHING
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ELOOP):  # no regular file
            return MarkerFound.FOREIGN
        raise NeedsOperator(
            f"cannot read the marker file '{shown(path)}': {error.strerror}: check the NAS mount; nothing is deleted",
            problem="marker-not-readable",
        ) from error
    return MarkerFound.OURS if ours else MarkerFound.FOREIGN


def own_names(source: bytes, job: Job) -> frozenset[bytes]:
    """The names of our own that may stand in the folder; a foreign file of the marker's name is not among them."""
    ours = marker_found(source, job) is MarkerFound.OURS
    return frozenset({temporary_marker_name(job), *([os.fsencode(job.marker_name)] if ours else [])})


def write_marker(approved: ApprovedDeletion, job: Job, text: bytes, *, deleted: bool) -> bool:
    """Durably, in the very folder that was approved; `text` if it is new, which is given back, or what changes of it.

    Raises NeedsOperator when that folder is not there or refuses it, Permanent when its name is somebody's.
    """
    folder = approved.folder
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) != (approved.device, job.source_inode):
                raise NeedsOperator(not_the_folder(folder), problem="nas-unreachable")
            return own_file.write_durably(
                descriptor,
                os.fsencode(job.marker_name),
                text,
                temporary_name=temporary_marker_name(job),
                patch=partial(word_for_state, job, deleted=deleted),
            )
        finally:
            os.close(descriptor)
    except FileExistsError as error:
        raise Permanent(
            f"somebody's own file stands in '{shown(folder)}' under the marker's name {job.marker_name!r}: it and "
            f"everything not yet deleted is kept; the archive is safe at {job.globus_destination_path}",
            problem="source-changed",
        ) from error
    except OSError as error:
        raise NeedsOperator(
            f"cannot write the marker file in '{shown(folder)}': {error.strerror}: nothing is deleted without it",
            problem="marker-not-writable",
        ) from error
