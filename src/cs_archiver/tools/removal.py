"""The only functions, but for those in deletion, that remove or give up a name: of what is our own."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from cs_archiver.tools.crowd import for_each_part
from cs_archiver.tools.disk import make_folders, sync_folder
from cs_archiver.tools.threads import Work

_THREADS: Final = 4


def remove_working_copy(path: bytes, work: Work) -> None:
    """Remove a folder of our own below the storage path, if it is there. Never given a path of the NAS.

    What vanishes meanwhile is done. Raises OSError; a link in its place is one, and what it leads to is left alone.
    """
    if not _is_there(path):
        return
    if os.path.islink(path):
        raise OSError(errno.ENOTDIR, "a link, where a folder of our own should be", path)
    folders = [path]
    for_each_part(_files_below(folders, work), partial(_remove_each, work=work), threads=_THREADS)
    for folder in reversed(folders):
        work.add(0)
        with suppress(FileNotFoundError):
            os.rmdir(folder)
    sync_folder(os.path.dirname(path))  # nobody looks for it again, if a power failure brings it back


def _is_there(path: bytes) -> bool:
    """Unlike os.path.lexists, an error is not taken for absence. Raises OSError.

    What is said not to be there is looked for among the names of its folder too: what is missed here stays for ever.
    """
    with suppress(FileNotFoundError):
        os.lstat(path)
        return True
    with suppress(FileNotFoundError):
        return os.path.basename(path) in os.listdir(os.path.dirname(path))
    return False


def _files_below(folders: list[bytes], work: Work) -> Iterator[bytes]:
    """All that is no folder below the one in `folders`; adds those below it, each before what it holds.

    Copies keep the modes of the source, which may forbid to enter or change a folder: that is allowed first.
    """
    os.chmod(folders[0], 0o700)
    for folder, below, files in os.walk(folders[0]):
        work.add(0)
        for child in (os.path.join(folder, name) for name in below):
            with suppress(FileNotFoundError):
                if os.path.islink(child):
                    os.unlink(child)
                else:
                    os.chmod(child, 0o700)
                    folders.append(child)
        yield from (os.path.join(folder, name) for name in files)


def _remove_each(paths: Iterable[bytes], *, work: Work) -> None:
    for path in paths:
        work.add(0)
        with suppress(FileNotFoundError):
            os.unlink(path)


def give_up_name(folder: int, name: bytes) -> None:
    """Remove a name of our own, if it is there, from the folder of this descriptor."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def remove_file(path: bytes) -> int:
    """Remove a file of our own, durably, if it is there; gives back its size in bytes."""
    try:
        size = os.lstat(path).st_size
        os.unlink(path)
    except FileNotFoundError:
        return 0
    sync_folder(os.path.dirname(path))
    return size


def remove_empty_folders(path: bytes, *, up_to: bytes) -> None:
    """Remove `path` and its parents below `up_to` as long as they are empty."""
    while path != up_to and path.startswith(up_to + b"/"):
        try:
            os.rmdir(path)
        except OSError:  # not empty, or gone already: either way there is nothing left to tidy
            return
        path = os.path.dirname(path)


def set_aside(path: bytes, folder: bytes) -> bytes | None:
    """Move a file, if it is there, into a folder (made if needed) under a name that is free there: the new path."""
    if not _is_there(path):
        return None
    make_folders(folder)
    name = os.path.basename(path)
    number = 1
    while _is_there(os.path.join(folder, name)):
        number += 1
        name = b"%d-%s" % (number, os.path.basename(path))
    kept = os.path.join(folder, name)
    move_without_overwriting(path, kept)
    return kept


def move_without_overwriting(source: bytes, destination: bytes) -> None:
    """Give a file its final name, durably. Raises FileExistsError rather than replace anything.

    A link and an unlink, because rename replaces silently; a crash in between leaves both names on one file. The new
    name is durable before the old one goes: it may be the only copy.
    """
    os.link(source, destination, follow_symlinks=False)
    sync_folder(os.path.dirname(destination))
    os.unlink(source)
    sync_folder(os.path.dirname(source))
