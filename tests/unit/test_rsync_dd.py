"""What is handed to rsync and dd, and made of what they print, without running them."""

import pytest

from cs_archiver.errors import DiskFull, JobError, Permanent, Temporary
from cs_archiver.tools import dd, rsync
from cs_archiver.tools.process import Finished, ProgressReader


def test_rsync_gets_names_only_as_absolute_paths_behind_the_double_dash() -> None:
    argv = rsync.argv_to_copy("rsync", b"/nas/-e", b"/t/host:x", limit=None)

    assert argv[-3:] == ["--", b"/nas/-e/", b"/t/host:x/"]
    assert all(isinstance(word, str) for word in argv[:-2])


def test_rsync_is_never_told_to_write_in_place_or_to_follow_links() -> None:
    argv = rsync.argv_to_copy("rsync", b"/a", b"/b", limit=None)

    assert {"--links", "--perms", "--times", "--recursive", "--whole-file"} <= set(argv)
    assert not {"--inplace", "--partial", "--copy-links", "-L", "--owner", "--devices", "-a"} & set(argv)


def test_dd_gets_names_only_behind_its_own_keywords() -> None:
    argv = dd.argv_to_copy("dd", b"/nas/-x", b"/t/of=y")

    assert [word for word in argv if isinstance(word, bytes)] == [b"if=/nas/-x", b"of=/t/of=y"]
    assert "bs=1M" in argv
    assert "conv=excl" in argv


@pytest.mark.parametrize(
    ("line", "version"),
    [
        (b"rsync  version 3.5.0  protocol version 32\nCopyright", (3, 5, 0)),
        (b"rsync  version v3.4.1  protocol version 32\n", (3, 4, 1)),
        (b"openrsync: protocol version 29\n", None),
    ],
)
def test_the_version_of_rsync_is_read(line: bytes, version: tuple[int, ...] | None) -> None:
    assert rsync.parse_version(line) == version


@pytest.mark.parametrize(
    ("returncode", "stderr", "kind"),
    [
        (11, b'rsync: [receiver] write failed on "/t/x": No space left on device (28)\nrsync error', DiskFull),
        (23, b'recv_generator: mkdir "/t/x" failed: No space left on device (28)\nrsync error', DiskFull),
        (11, b'write failed on "/t/x": Disk quota exceeded (122)\nrsync: [sender] Broken pipe', DiskFull),
        (23, b'send_files failed to open "/n/No space left on device": Permission denied (13)', Temporary),
        (24, b'file has vanished: "/n/x"', Temporary),
        (12, b"rsync error: error in rsync protocol data stream", Temporary),
        (30, b"rsync error: timeout in data send/receive", Temporary),
        (20, b"rsync error: received SIGINT, SIGTERM, or SIGHUP", Temporary),
        (-9, b"", Temporary),
        (1, b"rsync: --zzz: unknown option", Permanent),
    ],
)
def test_each_exit_code_of_rsync_becomes_the_error_to_act_on(
    returncode: int, stderr: bytes, kind: type[JobError]
) -> None:
    error = rsync.copy_failure("rsync", Finished(returncode, b"", stderr))

    assert type(error) is kind
    assert "rsync" in str(error)
    assert stderr.splitlines()[-1:] == [] or stderr.splitlines()[-1].decode() in str(error)


FIGURES = b"\n3+0 records in\n2+0 records out\n2097152 bytes (2.1 MB, 2.0 MiB) copied, 1 s, 1.2 GB/s\n"


@pytest.mark.parametrize(
    ("complaint", "kind"),
    [
        (b"dd: error writing '/t/x': No space left on device", DiskFull),
        (b"dd: error reading '/n/x': Input/output error", Temporary),
        (b"dd: failed to open '/t/x': File exists", Temporary),
        (b"dd: failed to open '/n/No space left on device': Permission denied", Temporary),
    ],
)
def test_a_failure_of_dd_names_the_reason_and_not_its_figures(complaint: bytes, kind: type[JobError]) -> None:
    progress = b"\r1048576 bytes (1.0 MB) copied, 1 s, 1 MB/s\r2097152 bytes (2.1 MB) copied, 2 s, 1 MB/s\n"

    error = dd.copy_failure("dd", Finished(1, b"", progress + complaint + FIGURES))

    assert type(error) is kind
    assert complaint.decode() in str(error)
    assert "records" not in str(error)
    assert "exit code 1" in str(error)


def test_a_killed_dd_is_reported_as_killed() -> None:
    assert "SIGKILL" in str(dd.copy_failure("dd", Finished(-9, b"", b"")))


def _figures(reader: ProgressReader, printed: bytes, size: int) -> list[int]:
    pieces = [printed[start : start + size] for start in range(0, len(printed), size)]
    return [figure for piece in pieces if (figure := reader.feed(piece)) is not None]


@pytest.mark.parametrize("size", [1, 3, 17])
def test_the_bytes_of_rsync_are_read_however_its_output_is_cut(size: int) -> None:
    printed = (
        b"\r          32768   0%    0.00kB/s    0:00:00  "
        b"\r      345276416  52%  329.25MB/s    0:00:00 (xfr#16, to-chk=15/32)"
        b'skipping non-regular file "9000000000  99%"\n'
        b"\r      663000000 100%  329.25MB/s    0:00:01 (xfr#32, to-chk=0/32)\n"
    )

    assert _figures(ProgressReader(rsync.PROGRESS, first=b"\r"), printed, size) == [32768, 345276416, 663000000]


@pytest.mark.parametrize("size", [1, 3, 17])
def test_the_bytes_of_dd_are_read_however_its_output_is_cut(size: int) -> None:
    printed = (
        b"97164197888 bytes (97 GB, 90 GiB) copied, 1 s, 97.2 GB/s"
        b"\r197164197888 bytes (197 GB, 183 GiB) copied, 2 s, 97.2 GB/s\n"
        b"188030+1 records in\n188030+1 records out\n197164197999 bytes (197 GB, 183 GiB) copied, 2.1 s\n"
    )

    assert _figures(ProgressReader(dd.PROGRESS, first=b"\n"), printed, size) == [
        97164197888,
        197164197888,
        197164197999,
    ]
