"""A log line is one event on one line, and log files neither grow nor stay without bound."""

import asyncio
import contextlib
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cs_archiver.errors import ConfigError
from cs_archiver.logs import configure, reopen
from cs_archiver.logs.behind import Behind
from cs_archiver.logs.context import about, from_here
from cs_archiver.sections.operation import Log
from tests.support.root_logger import root_logger_as_before, until_written

DAY_SECONDS = 86400


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    with root_logger_as_before():
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def record(message: str, created: float, **more: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "created": created, "levelno": 20, "levelname": "INFO"} | more)


def text_of(file: Path) -> str:
    """All that was logged into it until now."""
    until_written()
    return file.read_text(encoding="utf-8")


def errors_of(capsys: pytest.CaptureFixture[str]) -> str:
    until_written()
    return capsys.readouterr().err


def old_files(file: Path) -> list[str]:
    until_written()
    return sorted(path.name for path in file.parent.iterdir() if path != file)


def test_an_event_is_one_line_with_time_level_and_source(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log(file=str(file)))
    logging.getLogger("cs_archiver.workers").info("claimed job %s", "Grüße 日本")
    line = text_of(file)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO cs_archiver\.workers claimed job Grüße 日本\n", line
    )
    assert errors_of(capsys) == line


def test_times_are_utc_with_milliseconds(file: Path) -> None:
    configure(Log(file=str(file)))
    logging.getLogger().handle(record("x", 1767323045.6781, name="cs_archiver"))
    assert text_of(file) == "2026-01-02T03:04:05.678Z INFO cs_archiver x\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\r\x1b[2Jb", r"a\r\x1b[2Jb"),
        ("a\u2028b\u202eb", r"a\u2028b\u202eb"),
        ("a\udcffb", r"a\udcffb"),
        ("a\\nb", r"a\\nb"),
        ("a\x00b\x85", r"a\x00b\x85"),
    ],
)
def test_whatever_a_name_holds_an_event_stays_one_line(name: str, shown: str, file: Path) -> None:
    configure(Log(file=str(file)))
    logging.getLogger("cs_archiver").warning("copied %s", name)
    assert text_of(file).endswith(f" WARNING cs_archiver copied {shown}\n")
    assert len(text_of(file).splitlines()) == 1


def test_a_traceback_stays_on_the_line_of_its_event(file: Path) -> None:
    configure(Log(file=str(file)))
    try:
        raise OSError("disk\ngone")
    except OSError:
        logging.getLogger("cs_archiver").exception("copy failed")
    text = text_of(file)
    assert len(text.splitlines()) == 1
    assert r"copy failed\nTraceback (most recent call last):\n" in text
    assert text.endswith("OSError: disk\\ngone\n")


def test_less_severe_events_than_the_level_are_left_out(file: Path) -> None:
    configure(Log(file=str(file), level="WARNING"))
    logging.getLogger("cs_archiver").info("quiet")
    logging.getLogger("cs_archiver").warning("loud")
    assert "quiet" not in text_of(file)
    assert "loud" in text_of(file)


def test_without_a_file_only_standard_error_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log(file=""))
    logging.getLogger("cs_archiver").info("hello")
    assert errors_of(capsys).endswith(" INFO cs_archiver hello\n")
    assert list(tmp_path.iterdir()) == []


def test_configuring_again_does_not_write_twice(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log(file=str(file)))
    configure(Log(file=str(file)))
    logging.getLogger("cs_archiver").info("hello")
    assert len(text_of(file).splitlines()) == 1
    assert len(errors_of(capsys).splitlines()) == 1


def test_a_log_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[log\] file: expected a file that can be written, found .*directory"):
        configure(Log(file=str(tmp_path)))


def test_files_are_rotated_and_all_together_stay_below_the_total(file: Path) -> None:
    configure(Log(file=str(file), max_bytes=1024, max_total_bytes=4096))
    seen = set()
    for number in range(300):
        logging.getLogger("cs_archiver").info("event %d", number)
        until_written()
        files = list(file.parent.iterdir())
        assert all(path.stat().st_size <= 1024 for path in files)
        assert sum(path.stat().st_size for path in files) <= 4096
        seen |= {path.name for path in files}
    assert seen >= {"app.log", "app.log.1", "app.log.2", "app.log.3"}
    assert "event 299" in text_of(file)
    kept = [
        int(match) for path in old_files(file) for match in re.findall(r"event (\d+)", (file.parent / path).read_text())
    ]
    assert sorted(kept) == list(range(min(kept), max(kept) + 1))
    assert max(kept) >= 280


def test_files_left_by_larger_limits_go_oldest_first(file: Path) -> None:
    for number in range(1, 13):
        Path(f"{file}.{number}").write_bytes(b"x" * 500)
    configure(Log(file=str(file), max_bytes=1024, max_total_bytes=3072))
    logging.getLogger("cs_archiver").info("hello")
    assert old_files(file) == ["app.log.1", "app.log.2", "app.log.3", "app.log.4"]


def test_a_total_of_one_file_keeps_no_old_ones(file: Path) -> None:
    configure(Log(file=str(file), max_bytes=1024, max_total_bytes=1024))
    for number in range(60):
        logging.getLogger("cs_archiver").info("event %d", number)
    assert old_files(file) == []


def test_old_files_go_by_age_and_nothing_else_does(file: Path) -> None:
    now = time.time()
    ages = {
        "app.log.1": 1,
        "app.log.2": 29,
        "app.log.3": 31,
        "app.log.old": 99,
        "app.logx1": 99,
        "other.log.4": 99,
    }
    for name, days in ages.items():
        path = file.parent / name
        path.write_text("x")
        os.utime(path, (now, now - days * DAY_SECONDS))
    configure(Log(file=str(file), max_age_days=30))
    logging.getLogger("cs_archiver").info("hello")
    assert old_files(file) == sorted(ages.keys() - {"app.log.3"})


def test_age_is_looked_at_daily_even_when_no_file_fills_up(file: Path) -> None:
    configure(Log(file=str(file), max_age_days=30))
    now = time.time()
    logging.getLogger().handle(record("first", now))
    Path(f"{file}.1").write_text("x")
    logging.getLogger().handle(record("soon after", now + DAY_SECONDS / 2))
    logging.getLogger().handle(record("a while later", now + 29 * DAY_SECONDS))
    assert old_files(file) == ["app.log.1"]
    logging.getLogger().handle(record("later still", now + 31 * DAY_SECONDS))
    assert old_files(file) == []
    assert len(text_of(file).splitlines()) == 4


def lines_of(*files: Path) -> list[str]:
    return [line for file in files for line in text_of(file).splitlines()]


def test_a_line_says_which_job_user_and_request_it_is_about(file: Path) -> None:
    configure(Log(file=str(file)))
    log = logging.getLogger("cs_archiver")
    with about(request="abc", user="ann"):
        with about(job="7"):
            log.info("within")
        from_here(user="bob")
        log.info("later")
    log.info("after")
    assert [line.partition(" cs_archiver ")[2] for line in lines_of(file)] == [
        "job=7 user=ann request=abc within",
        "user=bob request=abc later",
        "after",
    ]


async def test_tasks_that_run_side_by_side_keep_their_own_fields(file: Path) -> None:
    configure(Log(file=str(file)))

    async def work(job: str) -> None:
        with about(job=job):
            for _ in range(3):
                await asyncio.sleep(0)
                logging.getLogger("cs_archiver").info("of %s", job)

    await asyncio.gather(*map(work, "abc"))
    assert len(lines_of(file)) == 9
    assert all(re.search(r"job=(\w) of \1$", line) for line in lines_of(file))


def test_no_line_is_lost_over_a_hundred_rotations_by_several_threads(file: Path) -> None:
    configure(Log(file=str(file), max_bytes=1024, max_total_bytes=1024 * 1000), to_stderr=False)

    def write(thread: int) -> None:
        for number in range(400):
            logging.getLogger("cs_archiver").info("event %d.%d.", thread, number)

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until_written()
    files = list(file.parent.iterdir())
    assert len(files) > 80
    found = re.findall(r"event (\d+\.\d+)\.\n", "".join(path.read_text() for path in files))
    assert sorted(found) == sorted(f"{thread}.{number}" for thread in range(4) for number in range(400))


def test_lines_go_on_in_the_old_file_while_none_can_be_renamed(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(Log(file=str(file), max_bytes=1024, max_total_bytes=1024 * 20), to_stderr=False)

    def refuse(*_names: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("os.rename", refuse)
        for number in range(50):
            logging.getLogger("cs_archiver").info("event %d", number)
        until_written()
    assert len(lines_of(file)) == 50
    assert len(errors_of(capsys).splitlines()) == 1
    logging.getLogger("cs_archiver").info("event 50")
    assert len(lines_of(file)) == 1
    assert len(lines_of(Path(f"{file}.1"))) == 50


def test_a_rotation_that_was_cut_short_overwrites_nothing(file: Path) -> None:
    for number in (1, 3):  # as a crash between two renamings leaves them
        Path(f"{file}.{number}").write_text(f"was {number}\n")
    file.write_text("x" * 1024)
    configure(Log(file=str(file), max_bytes=1024, max_total_bytes=1024 * 20), to_stderr=False)
    logging.getLogger("cs_archiver").info("new")
    until_written()
    assert [Path(f"{file}.{number}").read_text()[:5] for number in (1, 2, 3)] == ["xxxxx", "was 1", "was 3"]


def test_a_full_disk_raises_nothing_and_the_gap_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = file.with_name("full")
    full.symlink_to("/dev/full")
    configure(Log(file=str(full)), to_stderr=False)
    log = logging.getLogger("cs_archiver")
    for number in range(7):
        log.info("lost %d", number)
    (told,) = errors_of(capsys).splitlines()
    assert "No space left on device" in told
    full.unlink()
    reopen()
    lines = lines_of(full)
    assert len(lines) == 2
    assert lines[0].endswith(" WARNING cs_archiver.logs.behind 7 lines are missing here")
    assert lines[1].endswith("the log file is opened anew")


def test_standard_error_that_is_full_too_raises_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.symlink_to("/dev/full")
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        configure(Log(file=str(file)))
        for number in range(5000):
            logging.getLogger("cs_archiver").info("lost %d", number)
        monkeypatch.undo()
        logging.getLogger().handlers.clear()
        with contextlib.suppress(OSError):
            full.close()


def test_after_a_line_that_was_cut_short_the_next_begins_anew(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(Log(file=str(file)), to_stderr=False)
    write, room = os.write, [20, 0]

    def little_room(descriptor: int, content: bytes) -> int:
        if os.readlink(f"/proc/self/fd/{descriptor}") != str(file):
            return write(descriptor, content)  # of other threads
        if not room[0]:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[: room.pop(0)])

    with monkeypatch.context() as patch:
        patch.setattr("os.write", little_room)
        logging.getLogger("cs_archiver").info("cut short")
        until_written()
    logging.getLogger("cs_archiver").info("whole")
    cut, gap, whole = lines_of(file)
    assert len(cut) == 20
    assert gap.endswith("1 line is missing here")
    assert whole.endswith("INFO cs_archiver whole")


def test_the_journal_is_given_priorities_and_no_times(file: Path) -> None:
    script = (
        "import logging, os\n"
        "from cs_archiver.logs import configure\nfrom cs_archiver.logs.context import about\n"
        "from cs_archiver.sections.operation import Log\n"
        "s = os.fstat(2); os.environ['JOURNAL_STREAM'] = f'{s.st_dev}:{s.st_ino + int(os.environ[\"OFF\"])}'\n"
        "configure(Log(file='', level='DEBUG'))\nlog = logging.getLogger('cs_archiver')\n"
        "with about(job='7'):\n"
        " log.debug('a'); log.info('b'); log.warning('c'); log.error('d\\ne'); log.critical('f')\n"
    )
    for off, times in (("0", False), ("1", True)):
        with open(file, "wb") as stderr:
            subprocess.run([sys.executable, "-c", script], stderr=stderr, env={**os.environ, "OFF": off}, check=True)
        if times:
            assert all(re.match(r"\d{4}-", line) for line in lines_of(file))
        else:
            assert lines_of(file) == [
                "<7>DEBUG cs_archiver job=7 a",
                "<6>INFO cs_archiver job=7 b",
                "<4>WARNING cs_archiver job=7 c",
                r"<3>ERROR cs_archiver job=7 d\ne",
                "<2>CRITICAL cs_archiver job=7 f",
            ]


class Stuck:
    """A sink that hangs until it is let go."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.is_closed = False
        self.reopened_after = -1
        self.began, self.go_on = threading.Event(), threading.Event()

    def write(self, record: logging.LogRecord) -> None:
        self.began.set()
        self.go_on.wait(30)
        self.taken.append(record.getMessage())

    def reopen(self) -> None:
        self.reopened_after = len(self.taken)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    sink = Stuck()
    yield sink
    sink.go_on.set()


def behind(sink: Stuck, *others: logging.Handler, most_waiting: int = 5) -> Behind:
    handler = Behind(sink, "the log file", most_waiting=most_waiting)
    logging.basicConfig(level="INFO", handlers=[handler, *others], force=True)
    return handler


def test_whoever_logs_is_not_held_up_and_what_is_missing_is_told_here_and_elsewhere(stuck: Stuck) -> None:
    elsewhere = Stuck()
    elsewhere.go_on.set()
    behind(stuck, Behind(elsewhere, "standard error"))
    log = logging.getLogger("cs_archiver")
    log.info("first")
    assert stuck.began.wait(30)
    for number in range(8):
        log.info("event %d", number)
    stuck.go_on.set()
    until_written()
    log.info("last")
    until_written()
    events = [f"event {number}" for number in range(8)]
    assert stuck.taken == ["first", *events[:5], "4 lines are missing here", "last"]
    told = "the log file takes no more lines: it hangs, or is too slow; they will be missing there"
    assert elsewhere.taken == ["first", *events[:5], told, *events[5:], "last"]


class Failing(Stuck):
    """A sink that cannot write some lines, for a reason that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on.set()

    def write(self, record: logging.LogRecord) -> None:
        if "unlucky" in record.getMessage():
            raise LookupError("no such codec")
        super().write(record)

    def close(self) -> None:
        super().close()
        raise OSError("closed already")


def test_a_line_that_cannot_be_written_ends_nothing_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    sink = Failing()
    handler = behind(sink, most_waiting=10)
    for message in ("first", "unlucky", "unlucky", "then", "unlucky", "last"):
        logging.getLogger("cs_archiver").info(message)
    handler.close()
    gap = "1 line is missing here"
    assert sink.taken == ["first", gap, gap, "then", gap, "last"]
    assert sink.is_closed
    told = capsys.readouterr().err
    assert told.count("cs-archiver: a line cannot be written to the log file: LookupError: no such codec\n") == 1


@pytest.mark.parametrize("to_file", [True, False], ids=["file", "standard error"])
def test_without_a_descriptor_left_lines_are_written_whatever_they_hold(to_file: bool, file: Path) -> None:
    script = (
        "import logging, resource\n"
        "from cs_archiver.logs import configure\n"
        "from cs_archiver.sections.operation import Log\n"
        f"configure(Log(file={str(file) if to_file else ''!r}), to_stderr={not to_file})\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))\n"
        "logging.getLogger('cs_archiver').info('no \\x1b[2J, and %s', 'caf\\udce9')\n"
        "logging.getLogger('cs_archiver').info('last')\n"
        "logging.shutdown()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    text = file.read_text() if to_file else done.stderr
    assert [line.partition(" cs_archiver ")[2] for line in text.splitlines()] == [r"no \x1b[2J, and caf\udce9", "last"]


def test_all_that_was_logged_is_written_at_the_end(stuck: Stuck) -> None:
    handler = behind(stuck, most_waiting=1000)
    for number in range(500):
        logging.getLogger("cs_archiver").info("event %d", number)
    threading.Timer(0.05, stuck.go_on.set).start()
    handler.close()
    assert (len(stuck.taken), stuck.is_closed) == (500, True)


def test_a_file_that_hangs_at_the_end_is_left_behind(stuck: Stuck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cs_archiver.logs.behind._PATIENCE_SECONDS", 0.05)
    for most_waiting in (1, 5):
        handler = behind(stuck, most_waiting=most_waiting)
        for number in range(3):
            logging.getLogger("cs_archiver").info("event %d", number)
        handler.close()
        assert not stuck.is_closed


def test_a_file_is_opened_anew_after_what_came_before_even_if_no_place_was_left_then(stuck: Stuck) -> None:
    handler = behind(stuck, most_waiting=2)
    logging.getLogger("cs_archiver").info("first")
    assert stuck.began.wait(30)
    for number in range(2):
        logging.getLogger("cs_archiver").info("event %d", number)
    handler.reopen()
    stuck.go_on.set()
    until_written()
    assert stuck.reopened_after == -1, "there was no place for it"
    logging.getLogger("cs_archiver").info("last")
    handler.close()
    assert (stuck.reopened_after, stuck.taken[-1]) == (3, "last")


def test_a_pipe_that_nobody_reads_holds_up_nobody(file: Path) -> None:
    """The same with a real one: it takes 64 KiB, and then nothing."""
    os.mkfifo(file)
    reader = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    configure(Log(file=str(file)), to_stderr=False)
    for number in range(3000):
        logging.getLogger("cs_archiver").info("event %d %s", number, "x" * 100)
    closing = threading.Thread(target=logging.getLogger().handlers[0].close)
    closing.start()
    text = b""
    while closing.is_alive() or text.count(b"\n") < 3000:
        with contextlib.suppress(BlockingIOError):
            text += os.read(reader, 1 << 20)
    os.close(reader)
    assert re.findall(rb"event (\d+) ", text) == [b"%d" % number for number in range(3000)]
