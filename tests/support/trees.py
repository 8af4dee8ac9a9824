"""Folders as people and programs really leave them, for tests of the whole way and of the tools."""

import os
from pathlib import Path

AWKWARD_NAMES = (
    b"plain.txt",
    b"with space .mov ",
    b"-sdel",
    b"--help",
    b"@list",
    b"a*b",
    b"aXb",
    b"a?b",
    b"new\nline.txt",
    b"new_line.txt",
    b"tab\tand\rreturn",
    b"back\\slash",
    b"host:path",
    b"quote'\"double",
    b"$(reboot)`id`",
    b"latin-\xe9\xff\xfe",
    b"\xed\xa0\x80 surrogate",
    b"trailing dot.",
    b"...",
    b"\xe2\x80\xaeRTL.txt",
    "NFC é".encode(),
    "NFD é".encode(),
    b"CON",
    b"per%cent 77%",
    b"l" * 255,
    b".@__thumb",
)


def write(folder: Path, name: bytes, content: bytes, *, mode: int = 0o644, mtime_ns: int = 0) -> bytes:
    path = os.path.join(os.fsencode(folder), name)
    with open(path, "xb") as file:
        file.write(content)
    os.chmod(path, mode)
    os.utime(path, ns=(0, mtime_ns or 1_300_000_000_123_456_700))
    return path


def plant_awkward_tree(folder: Path) -> None:
    """Odd names, links, empty folders and files, old and future times, modes, holes, hard links."""
    for number, name in enumerate(AWKWARD_NAMES):
        write(folder, name, b"content %d " % number * (number + 1), mtime_ns=10**18 + number * 1_234_567_800)
    deep = folder / "sub" / "deeper" / "deepest"
    deep.mkdir(parents=True)
    (folder / "empty folder").mkdir()
    write(deep, b"empty", b"")
    write(deep, b"readonly", b"r", mode=0o444)
    write(deep, b"script", b"#!/bin/sh\n", mode=0o755)
    write(deep, b"old", b"1999", mtime_ns=915_148_800_000_000_100)
    with open(deep / "sparse", "wb") as sparse:
        sparse.truncate(3_000_000)
        sparse.seek(1_500_000)
        sparse.write(b"in the middle")
    write(folder, b"large.bin", os.urandom(2_500_000))
    os.link(folder / "large.bin", folder / "sub" / "second name of large.bin")
    os.symlink("large.bin", folder / "link to file")
    os.symlink("sub", folder / "link to folder")
    os.symlink("nowhere", folder / "dangling")
    os.utime(folder / "sub", ns=(0, 1_200_000_000_000_000_000))


def left(root: Path) -> set[str]:
    """The paths of all that is below a folder."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def until_the_next_tick(beside: Path) -> None:
    """Older kernels tell the times of files in ticks of milliseconds: what happens from now on has a later one."""
    probe = beside.parent / "probe"
    probe.touch()
    before = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == before:
        probe.touch()
    probe.unlink()
