"""An independent judge: unpacks an archive with stock 7-Zip and compares trees; shares no code with the product.

What stock extraction (7-Zip 26.02) does not bring back, although the archive or the product's manifest holds it:
absolute links and links with doubled slashes come back altered; links that climb with `..` or lead to another
link are refused (`7z x -snld20` restores those two); hard links come back as separate files, holes as zeros;
set-id and sticky bits are dropped, and a folder is always writable by its owner. All else comes back, with
modification times to 100 ns.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

_BLOCK_BYTES = 1 << 20
_MTIME_STEP_NS = 100
_NAMES_OF_7ZIP = ("7z", "7zz", "7za")

_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}


class ExtractionFailed(Exception):
    """7-Zip is not installed, or gave another exit code than 0; the message has the end of its output."""


def extract(archive: Path, into: Path) -> None:
    """Unpack `archive` into the folder `into` with a plain `7z x`. Raises ExtractionFailed."""
    program = next(filter(None, map(shutil.which, _NAMES_OF_7ZIP)), None)
    if program is None:
        raise ExtractionFailed("7-Zip is not installed: none of 7z, 7zz, 7za is on the PATH")
    # -spd: no wildcards in the archive's own name. Umask 0: else 7-Zip takes the umask off every mode it restores.
    done = subprocess.run(
        [program, "x", "-y", "-spd", f"-o{into}", "--", str(archive)],
        env=os.environ | {"LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=0,
        check=False,
    )
    if done.returncode != 0:
        ending = done.stdout.decode("utf-8", "backslashreplace").strip()[-500:]
        raise ExtractionFailed(f"7-Zip gave exit code {done.returncode} for {archive}: {ending}")


def compare(original: Path, extracted: Path) -> list[str]:
    """Every difference between two entries and all below them, one line each; an empty list means equal.

    Compared are names as bytes, kinds, contents byte for byte, link targets, permission bits of files and folders,
    and modification times of all three, to 100 ns. Links are never followed.
    """
    return list(_differences(os.fsencode(original), os.fsencode(extracted), b""))


def printable(path: bytes) -> str:
    """The path as one line of text: bytes that are no UTF-8 and unprintable characters are shown as escapes."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _differences(original: bytes, extracted: bytes, relative: bytes) -> Iterator[str]:
    name = printable(relative or b".")
    expected, found = _status(original), _status(extracted)
    if expected is None or found is None:
        yield f"{name}: missing" if found is None else f"{name}: not in the original"
    elif stat.S_IFMT(expected.st_mode) != stat.S_IFMT(found.st_mode):
        yield f"{name}: is a {_kind(found)}, was a {_kind(expected)}"
    else:
        yield from (f"{name}: {what}" for what in _attribute_differences(expected, found))
        if stat.S_ISDIR(expected.st_mode):
            yield from _differences_below(original, extracted, relative)
        else:
            yield from (f"{name}: {what}" for what in _content_differences(original, extracted))


def _differences_below(original: bytes, extracted: bytes, relative: bytes) -> Iterator[str]:
    for entry in sorted({*os.listdir(original), *os.listdir(extracted)}):
        below = os.path.join(relative, entry)
        yield from _differences(os.path.join(original, entry), os.path.join(extracted, entry), below)


def _content_differences(original: bytes, extracted: bytes) -> Iterator[str]:
    if os.path.islink(original):
        was, now = os.readlink(original), os.readlink(extracted)
        if was != now:
            yield f"links to {printable(now)}, did to {printable(was)}"
    elif os.path.isfile(original) and (offset := _first_difference(original, extracted)) is not None:
        yield f"content differs from byte {offset} on"


def _attribute_differences(expected: os.stat_result, found: os.stat_result) -> Iterator[str]:
    if stat.S_ISREG(expected.st_mode) and expected.st_size != found.st_size:
        yield f"{found.st_size} bytes, was {expected.st_size}"
    if expected.st_mtime_ns // _MTIME_STEP_NS != found.st_mtime_ns // _MTIME_STEP_NS:
        yield f"modified at {found.st_mtime_ns} ns, was {expected.st_mtime_ns} ns"
    permissions = [stat.S_IMODE(status.st_mode) & 0o777 for status in (expected, found)]
    if not stat.S_ISLNK(expected.st_mode) and permissions[0] != permissions[1]:
        yield f"mode {permissions[1]:04o}, was {permissions[0]:04o}"


def _first_difference(original: bytes, extracted: bytes) -> int | None:
    offset = 0
    with open(original, "rb") as one, open(extracted, "rb") as other:
        while True:
            block, counterpart = one.read(_BLOCK_BYTES), other.read(_BLOCK_BYTES)
            if block != counterpart:
                return offset + _common_length(block, counterpart)
            if not block:
                return None
            offset += len(block)


def _common_length(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _status(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _kind(status: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(status.st_mode), "special file")
