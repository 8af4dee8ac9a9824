"""How much free disk a job needs before it starts (PRD 4.1; decisions, data loss point 2), and whether it is there."""

from typing import NamedTuple

from cs_archiver.domain.sizes import counted, human_size

GIB = 1024**3
_FILES_OF_OUR_OWN = 16  # the archive and the folders around it, lists of names, a probe


class Room(NamedTuple):
    """What a disk has for an ordinary user; `total_bytes` were it empty.

    `free_files`: how many more files, folders and links it can hold; None where there is no such limit. A file takes
    whole blocks of `block_bytes`.
    """

    free_bytes: int
    total_bytes: int
    free_files: int | None
    block_bytes: int


class Need(NamedTuple):
    """What is to be written; `entries` are files, folders and links."""

    bytes: int
    entries: int


def required_bytes(folder_bytes: int, *, ratio: float, min_free_gb: float) -> int:
    """The copy, plus the archive as estimated, and never less than the minimum beside the copy."""
    return folder_bytes + max(int(folder_bytes * ratio), int(min_free_gb * GIB))


def needed_again(folder: Need, *, times_full: int, block_bytes: int) -> Need:
    """What is asked for at least once the folder has filled the disk: twice its size, and more each further time.

    Or it would be copied, and fill the disk, without end: what it needs there may be much more than its size.
    """
    size = folder.bytes if times_full == 1 else folder.bytes + folder.entries * block_bytes
    return Need((1 + times_full) * size, (1 + times_full) * folder.entries)


def why_never(need: Need, room: Room) -> str | None:
    """Why it does not fit even on the empty disk, or None.

    Files are no reason: how many a disk can hold in all changes, on some file systems, with what lies there.
    """
    if need.bytes <= room.total_bytes:
        return None
    return (
        f"it can never fit: {human_size(need.bytes)} of disk space needed, and the whole disk of [storage] base_path "
        f"has {human_size(room.total_bytes)}: take a larger disk, or make the folder smaller"
    )


def why_not_now(need: Need, room: Room) -> str | None:
    """What is missing on the disk as it is now, or None."""
    if room.free_bytes < need.bytes:
        return f"{human_size(need.bytes)} needed, {human_size(room.free_bytes)} free"
    files = need.entries + _FILES_OF_OUR_OWN
    if room.free_files is not None and room.free_files < files:
        return f"names for {counted(files, 'file')} needed, {room.free_files} free (inodes)"
    return None
