"""What a thread does for one path of a delete task."""

import os
import shutil

from cs_archiver.sandbox.filesystem import OutsideCollection
from cs_archiver.sandbox.submissions import DeleteRequest
from cs_archiver.sandbox.tasks import TaskFault


def delete_path(request: DeleteRequest, path: str) -> None:
    """Deletes below the collection only; links are removed, never followed. Raises TaskFault."""
    try:
        _remove(request.source.locate(path, follow=False), recursive=request.recursive)
    except OutsideCollection as error:
        raise TaskFault("PERMISSION_DENIED", "permission denied: Path not allowed") from error
    except FileNotFoundError as error:
        if not request.ignore_missing:
            raise TaskFault("FILE_NOT_FOUND", "file not found") from error
    except OSError as error:
        raise TaskFault("PERMISSION_DENIED", error.strerror or "permission denied") from error


def _remove(place: str, *, recursive: bool) -> None:
    if not os.path.isdir(place) or os.path.islink(place):
        os.unlink(place)
    elif recursive:
        shutil.rmtree(place)
    else:
        raise TaskFault("IS_A_DIRECTORY", "is a directory: it needs a recursive delete")
