"""The command lines of 7-Zip, in which no name can pass for an option, a wildcard or another name."""

import os
import tempfile
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from cs_archiver.tools.disk import local_error


class Compression(StrEnum):
    """How hard 7-Zip tries: STORE is fifty times as fast, and as small for media that are compressed already."""

    FAST = "fast"
    STORE = "store"


_LEVELS: Final = {Compression.FAST: "-mx1", Compression.STORE: "-mx0"}
# -mf=off: no filters that other extractors cannot read; -snl: links are not followed; -spd: names are no
# wildcards; -sae: no ".7z" is appended; progress goes to stdout, all else to stderr.
_PACKING: Final = ["-mmt=on", "-mf=off", "-snl", "-spd", "-sae", "-bsp1", "-bso0", "-bse2"]


def argv_to_pack(executable: str, folder: bytes, archive: bytes, compression: Compression) -> list[str | bytes]:
    return [executable, "a", "-t7z", _LEVELS[compression], *_PACKING, "--", archive, folder]


def argv_to_pack_listed(executable: str, listed: str, archive: bytes) -> list[str | bytes]:
    """Compress what the list file `listed` names into a new archive; to be run in the folder that holds the list."""
    return [executable, "a", "-t7z", "-mx1", *_PACKING, "-scsUTF-8", f"-i@{listed}", "--", archive]


def argv_to_pack_rest(executable: str, folder: bytes, archive: bytes) -> list[str | bytes]:
    """Store what `archive` does not hold yet; the new archive is first written to the folder this is run in."""
    return [executable, "u", "-t7z", "-mx0", *_PACKING, "-w.", "--", archive, folder]


def argv_to_test(executable: str, archive: bytes) -> list[str | bytes]:
    return [executable, "t", "-t7z", "-spd", "-bsp1", "-bso2", "-bse2", "--", archive]


def argv_to_list(executable: str, archive: bytes) -> list[str | bytes]:
    return [executable, "l", "-t7z", "-slt", "-ba", "-spd", "--", archive]


def write_list(scratch: bytes, folder_name: bytes, paths: Iterable[bytes]) -> str:
    """Write a list file of paths below a folder into `scratch`, under a name free there, which it gives back.

    Only paths that domain.packing.is_listable lets pass can stand in it. Raises as `local_error` tells.
    """
    try:
        descriptor, path = tempfile.mkstemp(dir=scratch)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(b'"%s/%s"\n' % (folder_name, path) for path in paths)  # unquoted, blanks would be cut off
    except OSError as error:
        raise local_error(scratch, error) from error
    return os.path.basename(os.fsdecode(path))
