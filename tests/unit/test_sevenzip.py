"""What is read out of 7-Zip's output and made of its exit codes, without running it."""

import random
import zlib

import pytest

from cs_archiver.errors import DiskFull, JobError, NeedsOperator, Permanent, Temporary
from cs_archiver.tools.process import Finished, ProgressReader, require_absolute
from cs_archiver.tools.sevenzip import (
    PERCENT,
    Listed,
    ListingParser,
    is_sound,
    pack_failure,
    parse_version,
    read_failure,
    shown_name,
)
from cs_archiver.tools.sevenzip_commands import (
    Compression,
    argv_to_list,
    argv_to_pack,
    argv_to_pack_listed,
    argv_to_pack_rest,
    argv_to_test,
)

REPORT = (
    b"\n7-Zip [64] 26.02 : Copyright (c) 1999-2026 Igor Pavlov : 2026-06-25\n\n"
    b"Scanning the drive for archives:\n1 file, 300258 bytes (294 KiB)\n\nTesting archive: /a/o.7z\n--\n"
    b"Path = /a/o.7z\nType = 7z\nPhysical Size = 300258\nHeaders Size = 225\nMethod = LZMA2:18\nSolid = +\n"
    b"Blocks = 1\n\nEverything is Ok\n\nFolders: 2\nFiles: 4\nSize:       300011\nCompressed: 300258\n"
)

LISTING = (
    b"Path = src\nSize = 0\nPacked Size = 0\nModified = 2026-11-22 10:38:57.4011604\n"
    b"Attributes = D drwxr-xr-x\nCRC = \nEncrypted = -\nMethod = \nBlock = \n\n"
    b"Path = src/empty\nSize = 0\nPacked Size = 0\nModified = 2026-11-22 10:38:57.4011604\n"
    b"Attributes = A -rw-r--r--\nCRC = \nEncrypted = -\nMethod = \nBlock = \n\n"
    b"Path = src/Path = x \xff\r.bin \nSize = 300000\nPacked Size = 300033\nModified = 2026-11-22 10:38:57.4\n"
    b"Attributes = A -rwsr-xr-x\nCRC = C715DAED\nEncrypted = -\nMethod = LZMA2:18\nBlock = 0\n\n"
    b"Path = src/l\nSize = 5\nPacked Size = \nModified = 2026-11-22 10:38:57.4004727\n"
    b"Attributes = RA lrwxrwxrwx\nCRC = 864B8D6A\nEncrypted = -\nMethod = LZMA2:18\nBlock = 0\n\n"
)
LISTED = [
    Listed(b"src", "dir", 0, None),
    Listed(b"src/empty", "file", 0, None),
    Listed(b"src/Path = x \xff\r.bin ", "file", 300_000, 0xC715DAED),
    Listed(b"src/l", "link", 5, zlib.crc32(b"b.txt")),
]


def test_names_reach_7z_only_as_absolute_paths_behind_the_double_dash() -> None:
    folder, archive = b"/t/-sdel", b"/a/@list.7z.partial"

    for argv in (
        argv_to_pack("7z", folder, archive, Compression.FAST),
        argv_to_pack_listed("7z", "list", archive),
        argv_to_pack_rest("7z", folder, archive),
        argv_to_test("7z", archive),
        argv_to_list("7z", archive),
    ):
        names = argv[argv.index("--") + 1 :]
        assert names
        assert all(isinstance(name, bytes) and name.startswith(b"/") for name in names)
        assert all(isinstance(word, str) for word in argv[: argv.index("--")])
        assert "-spd" in argv


def test_packing_stores_links_and_no_filters_and_uses_the_level_asked_for() -> None:
    fast = argv_to_pack("7z", b"/f", b"/a", Compression.FAST)
    store = argv_to_pack("7z", b"/f", b"/a", Compression.STORE)

    assert fast[:5] == ["7z", "a", "-t7z", "-mx1", "-mmt=on"]
    assert store[3] == "-mx0"
    listed, rest = argv_to_pack_listed("7z", "list", b"/a"), argv_to_pack_rest("7z", b"/f", b"/a")
    assert (listed[3], rest[3]) == ("-mx1", "-mx0")
    assert {"-snl", "-mf=off"} <= set(fast) & set(store) & set(listed) & set(rest)


@pytest.mark.parametrize("path", [b"-sdel", b"@list", b"", b"./x"])
def test_a_path_that_is_not_absolute_is_refused(path: bytes) -> None:
    with pytest.raises(ValueError, match="not absolute"):
        require_absolute(b"/fine", path)


@pytest.mark.parametrize(
    ("line", "version"),
    [
        (b"7-Zip [64] 26.02 : Copyright (c) 1999-2026 Igor Pavlov\np7zip Version 16.02 (locale)", (26, 2)),
        (b"7-Zip (z) 23.01 (x64) : Copyright", (23, 1)),
        (b"7-Zip (a) [64] 16.02 : Copyright", (16, 2)),
        (b"7-Zip 25.01 (x64) : Copyright", (25, 1)),
        (b"p7zip Version 16.02 (locale=C.UTF-8)", None),
        (b"", None),
    ],
)
def test_the_version_is_read_from_the_line_of_7_zip_itself(line: bytes, version: tuple[int, int] | None) -> None:
    assert parse_version(b"\n" + line + b"\n\nUsage: 7z") == version


def test_a_clean_report_is_sound() -> None:
    assert is_sound(REPORT, 300_258)


@pytest.mark.parametrize(
    "report",
    [
        REPORT.replace(b"Everything is Ok", b""),
        REPORT.replace(b"Files: 4", b"Warnings: 1\nFiles: 4"),
        REPORT.replace(b"Files: 4", b"Archives with Warnings: 1\nFiles: 4"),
        REPORT.replace(b"Files: 4", b"Sub items Errors: 1\nFiles: 4"),
        REPORT.replace(b"Type = 7z", b"WARNINGS:\nThere are data after the end of archive"),
        REPORT.replace(b"Type = 7z", b"ERROR: CRC Failed : src/a.bin"),
        REPORT.replace(b"Physical Size = 300258\n", b""),
        b"",
    ],
)
def test_a_report_with_any_complaint_is_not_sound(report: bytes) -> None:
    assert not is_sound(report, 300_258)


def test_an_archive_that_is_not_the_whole_file_is_not_sound() -> None:
    assert not is_sound(REPORT, 300_266)


@pytest.mark.parametrize("size", [1, 2, 7, 64, len(LISTING)])
def test_a_listing_is_understood_however_it_is_cut(size: int) -> None:
    found: list[Listed] = []
    parser = ListingParser(found.extend)

    for start in range(0, len(LISTING), size):
        parser.feed(LISTING[start : start + size])
    parser.close()

    assert found == LISTED


def test_a_listing_without_any_content_has_no_line_for_the_crc() -> None:
    found: list[Listed] = []
    parser = ListingParser(found.extend)
    parser.feed(LISTING[: LISTING.index(b"Path = src/Path")].replace(b"CRC = \n", b""))
    parser.close()

    assert found == LISTED[:2]


def test_a_listing_cut_off_inside_an_entry_is_refused() -> None:
    parser = ListingParser(lambda _entries: None)
    parser.feed(LISTING[:-60])

    with pytest.raises(Permanent):
        parser.close()


@pytest.mark.parametrize("kind", [b"p", b"s", b"c", b"b"])
def test_a_special_file_in_a_listing_is_refused(kind: bytes) -> None:
    with pytest.raises(Permanent, match="no file, folder or link"):
        ListingParser(lambda _entries: None).feed(LISTING.replace(b"-rw-r--r--", kind + b"rw-r--r--"))


def test_only_a_newline_is_shown_otherwise() -> None:
    everything = bytes(range(1, 256))

    assert shown_name(everything) == everything.replace(b"\n", b"_")


@pytest.mark.parametrize(
    ("returncode", "stderr", "kind"),
    [
        (1, b"WARNING: errno=13 : Permission denied\n/t/x", Temporary),
        (1, b"/t/x : errno=2 : No such file or directory\n", Temporary),
        (2, b"\n\nSystem ERROR:\nerrno=28 : No space left on device\n", DiskFull),
        (2, b"System ERROR:\nerrno=122 : Disk quota exceeded\n", DiskFull),
        (2, b"ERROR: errno=5 : Input/output error\n/t/No space left on device", Temporary),
        (7, b"Command Line Error:\nUnknown switch:\n-zzz", Permanent),
        (8, b"ERROR: Can't allocate required memory!", NeedsOperator),
        (255, b"Break signaled", Temporary),
        (-9, b"", Temporary),
    ],
)
def test_each_exit_code_of_packing_becomes_the_error_to_act_on(
    returncode: int, stderr: bytes, kind: type[JobError]
) -> None:
    error = pack_failure("7z", Finished(returncode, b"", stderr))

    assert type(error) is kind
    assert "7z" in str(error)
    assert ("SIGKILL" if returncode == -9 else f"exit code {returncode}") in str(error)
    assert stderr.splitlines()[-1:] == [] or stderr.splitlines()[-1].decode() in str(error)


@pytest.mark.parametrize(
    ("returncode", "kind", "problem"),
    [
        (2, Temporary, "archive-damaged"),
        (7, Permanent, "job-failed"),
        (8, NeedsOperator, "job-failed"),
        (-15, Temporary, "job-failed"),
    ],
)
def test_an_interrupted_test_does_not_call_the_archive_damaged(
    returncode: int, kind: type[JobError], problem: str
) -> None:
    error = read_failure("7z", b"/a/\xff.7z", Finished(returncode, b"", b"ERROR: CRC Failed : x"))

    assert type(error) is kind
    assert error.problem == problem
    str(error).encode()


def test_messages_hold_no_control_characters_and_are_valid_text() -> None:
    text = Finished(2, b"", b"ERROR: \x1b[31m\xff\xe2\x80\xae name\n---\n").describe("7z")

    assert text.isprintable()
    assert "name" in text
    text.encode()


PRINTED = (
    b"  0M Scan /t/\x08\x08\x08   \x08\x08\x08  0%\x08\x08    \x08\x08 12% 3 + 77% done + 88%.bin"
    + b"\x08" * 30
    + b" " * 30
    + b"\x08" * 30
    + b" 43% 4 + 99% finished.bin\x08\x08 43%\x08\x08100% 5"
)


def _percents(pieces: list[bytes]) -> list[int]:
    reader = ProgressReader(PERCENT, first=b"\x08")
    return [percent for piece in pieces if (percent := reader.feed(piece)) is not None]


def test_percentages_are_read_and_names_that_look_like_them_are_not() -> None:
    assert _percents([PRINTED[i : i + 1] for i in range(len(PRINTED))]) == [0, 12, 43, 100]


def test_progress_cut_at_random_only_rises_and_ends_at_the_last_figure() -> None:
    cutter = random.Random(7)
    for _ in range(200):
        cuts = sorted(cutter.sample(range(1, len(PRINTED)), 6))
        pieces = [PRINTED[a:b] for a, b in zip([0, *cuts], [*cuts, len(PRINTED)], strict=True)]
        percents = _percents(pieces)
        assert percents == sorted(set(percents))
        assert set(percents) <= {0, 12, 43, 100}
        assert percents[-1] == 100
