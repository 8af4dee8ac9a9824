"""The names, links, dates and kinds of file that break careless tools; every one of them is allowed on Linux."""

import os
from datetime import UTC, datetime

from cs_archiver.demo import media, texts
from cs_archiver.demo.planting import Plot

_LONGEST_NAME_BYTES = 255

NASTY_NAMES: tuple[bytes, ...] = (
    # read as an option, a list file, a wildcard, a remote host or shell code by tools that trust names
    b"-sdel", b"--", b"-rf .", b"@list", b"@list.txt", b"a*b", b"aXb", b"a?b", b"[ab]", b"{a,b}", b"!x",
    b"host:clip.txt", b"$(touch pwned)", b"`id`", b"; rm -rf ~", b"~", b"#recycle", b"%s%n", b"&amp;<b>.txt",
    # blanks, quotes and dots
    b"two words.txt", b" leading space", b"trailing space ", b"trailing dot.", b"...", b'say "cut".txt',
    b"it's a take.txt", b"back\\slash.txt", b"NUL", b"clip.AVI", b"CLIP.avi",
    # control characters; two names some listings print alike, and one that forges the fields of a listing
    b"line\nbreak.txt", b"line_break.txt", b"tab\there", b"bell\a", b"\x1b[31mred", b"\x7f", b"cr\r.txt",
    b"x\nSize = 99\nCRC = DEADBEEF",
    # not UTF-8: Latin-1, stray bytes, an encoded surrogate, beyond the last code point
    b"caf\xe9.txt", b"\xff\xfe\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    # Unicode: composed and decomposed twins, right to left, an override, an emoji, the private use area
    "café.txt".encode(), "cafe\u0301.txt".encode(), "ראיון ערב.txt".encode(), "نشرة المساء.txt".encode(),
    "\u202etxt.iva".encode(), "zero\u200bwidth".encode(), "🎬 slate.txt".encode(), "\uefe9.bin".encode(),
    # as long as a name may be, in one-byte and two-byte letters
    b"n" * (_LONGEST_NAME_BYTES - 4) + b".txt", "é".encode() * (_LONGEST_NAME_BYTES // 2) + b"x",
)  # fmt: skip


def plant_names(plot: Plot) -> None:
    """A folder whose files, folders and links bear the worst names there are."""
    for name in NASTY_NAMES:
        plot.file(name, texts.notes(name, lines=3))
    inner = plot.folder(b"-folder with 'quotes' and a*b").folder(b"caf\xe9 \\ line\nbreak ")
    inner.file(b"@scan:1.ppm", media.ppm(b"odd folder", width=320, height=180, grain_bits=3))
    inner.folder("only: empty?")
    plot.symlink(b"link to a line\nbreak", b"line\nbreak.txt")
    plot.symlink("-link", "-sdel")


def plant_kinds(plot: Plot) -> None:
    """A folder of unusual entries: links, holes, hard links, empty files and folders, modes and far-off dates.

    Links are relative and stay below their own folder: other links are stored as well, but 7-Zip alters or refuses
    them when it extracts.
    """
    plot.sparse_file("sparse capture.raw", size_bytes=6_000_000, head=b"begin", tail=b"end")
    plot.file("master.wav", media.wav(b"master", seconds=6, grain_bits=6))
    plot.hard_link("master (same file).wav", "master.wav")
    plot.file("read only.txt", texts.notes(b"read only", lines=20), mode=0o444)
    plot.file("render.sh", b"#!/bin/sh\nexit 0\n", mode=0o755)
    plot.file("private.txt", texts.notes(b"private", lines=5), mode=0o600)
    plot.file("shared.txt", texts.notes(b"shared", lines=5), mode=0o666)
    plot.file("empty.txt", b"")
    plot.file("filmed in 1999.txt", b"tape 1\n", mtime_ns=_nanoseconds(1999, 123_456_789))
    plot.file("clock set to 2030.txt", b"tape 2\n", mtime_ns=_nanoseconds(2030, 987_654_321))
    plot.folder("empty folder").folder("and one inside")
    plot.folder("shared folder", mode=0o775).file("cue sheet.txt", texts.notes(b"cues", lines=9))
    plot.symlink("latest.wav", "master.wav")
    plot.symlink("cues", "shared folder")
    plot.symlink("cue sheet", "shared folder/cue sheet.txt")
    plot.symlink("moved away.mov", "old drive/moved away.mov")


def plant_depth(plot: Plot, *, levels: int = 40) -> None:
    """A chain of nested folders with a note in each."""
    for level in range(levels):
        plot = plot.folder(f"level {level:02d}")
        plot.file("note.txt", texts.notes(b"level %d" % level, lines=2))


def plant_litter(plot: Plot) -> None:
    """What NAS and desktop systems leave behind: no file of anyone's, but archived like all else."""
    plot.file(".DS_Store", b"\0\0\0\1Bud1" + bytes(4096))
    plot.file("Thumbs.db", media.noise(b"thumbs", 4096))
    plot.file("._Camera A.avi", b"\0\5\x16\7" + bytes(100))
    for name in (".@__thumb", "@eaDir"):
        preview = media.png(os.fsencode(name), width=64, height=36, grain_bits=2)
        plot.folder(name).file("s100 Camera A.png", preview)


def _nanoseconds(year: int, fraction_ns: int) -> int:
    return int(datetime(year, 6, 15, 12, 30, 15, tzinfo=UTC).timestamp()) * 1_000_000_000 + fraction_ns
