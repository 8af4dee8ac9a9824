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
from cs_archiver.logs.context import about, from_here
from cs_archiver.sections.operation import Log
from tests.support.root_logger import root_logger_as_before

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


def old_files(file: Path) -> list[str]:
    return sorted(path.name for path in file.parent.iterdir() if path != file)


def test_an_event_is_one_line_with_time_level_and_source(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log(file=str(file)))
    logging.getLogger("cs_archiver.workers").info("claimed job %s", "Grüße 日本")
    line = file.read_text(encoding="utf-8")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO cs_archiver\.workers claimed job Grüße 日本\n", line
    )
    assert capsys.readouterr().err == line


def test_times_are_utc_with_milliseconds(file: Path) -> None:
    configure(Log(file=str(file)))
    logging.getLogger().handle(record("x", 1767323045.6781, name="cs_archiver"))
    assert file.read_text() == "2026-01-02T03:04:05.678Z INFO cs_archiver x\n"


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
    assert file.read_bytes().endswith(f" WARNING cs_archiver copied {shown}\n".encode())
    assert len(file.read_text(encoding="utf-8").splitlines()) == 1


def test_a_traceback_stays_on_the_line_of_its_event(file: Path) -> None:
    configure(Log(file=str(file)))
    try:
        raise OSError("disk\ngone")
    except OSError:
        logging.getLogger("cs_archiver").exception("copy failed")
    text = file.read_text()
    assert len(text.splitlines()) == 1
    assert r"copy failed\nTraceback (most recent call last):\n" in text
    assert text.endswith("OSError: disk\\ngone\n")


def test_less_severe_events_than_the_level_are_left_out(file: Path) -> None:
    configure(Log(file=str(file), level="WARNING"))
    logging.getLogger("cs_archiver").info("quiet")
    logging.getLogger("cs_archiver").warning("loud")
    assert "quiet" not in file.read_text()
    assert "loud" in file.read_text()


def test_without_a_file_only_standard_error_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log(file=""))
    logging.getLogger("cs_archiver").info("hello")
    assert capsys.readouterr().err.endswith(" INFO cs_archiver hello\n")
    assert list(tmp_path.iterdir()) == []


def test_configuring_again_does_not_write_twice(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log(file=str(file)))
    configure(Log(file=str(file)))
    logging.getLogger("cs_archiver").info("hello")
    assert len(file.read_text().splitlines()) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_log_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[log\] file: expected a file that can be written, found .*directory"):
        configure(Log(file=str(tmp_path)))


def test_files_are_rotated_and_all_together_stay_below_the_total(file: Path) -> None:
    configure(Log(file=str(file), max_bytes=1024, max_total_bytes=4096))
    seen = set()
    for number in range(300):
        logging.getLogger("cs_archiver").info("event %d", number)
        files = list(file.parent.iterdir())
        assert all(path.stat().st_size <= 1024 for path in files)
        assert sum(path.stat().st_size for path in files) <= 4096
        seen |= {path.name for path in files}
    assert seen >= {"app.log", "app.log.1", "app.log.2", "app.log.3"}
    assert "event 299" in file.read_text()
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
    assert len(file.read_text().splitlines()) == 4


def lines_of(*files: Path) -> list[str]:
    return [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]


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
    assert len(lines_of(file)) == 50
    assert len(capsys.readouterr().err.splitlines()) == 1
    logging.getLogger("cs_archiver").info("event 50")
    assert len(lines_of(file)) == 1
    assert len(lines_of(Path(f"{file}.1"))) == 50


def test_a_rotation_that_was_cut_short_overwrites_nothing(file: Path) -> None:
    for number in (1, 3):  # as a crash between two renamings leaves them
        Path(f"{file}.{number}").write_text(f"was {number}\n")
    file.write_text("x" * 1024)
    configure(Log(file=str(file), max_bytes=1024, max_total_bytes=1024 * 20), to_stderr=False)
    logging.getLogger("cs_archiver").info("new")
    assert [Path(f"{file}.{number}").read_text()[:5] for number in (1, 2, 3)] == ["xxxxx", "was 1", "was 3"]


def test_a_full_disk_raises_nothing_and_the_gap_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = file.with_name("full")
    full.symlink_to("/dev/full")
    configure(Log(file=str(full)), to_stderr=False)
    log = logging.getLogger("cs_archiver")
    for number in range(7):
        log.info("lost %d", number)
    (told,) = capsys.readouterr().err.splitlines()
    assert "No space left on device" in told
    full.unlink()
    reopen()
    lines = lines_of(full)
    assert len(lines) == 2
    assert lines[0].endswith(" WARNING cs_archiver.logs.rotation 7 lines are missing here")
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
        if not room[0]:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[: room.pop(0)])

    with monkeypatch.context() as patch:
        patch.setattr("os.write", little_room)
        logging.getLogger("cs_archiver").info("cut short")
    logging.getLogger("cs_archiver").info("whole")
    cut, gap, whole = lines_of(file)
    assert len(cut) == 20
    assert gap.endswith("1 lines are missing here")
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
