"""A log line is one event on one line, and log files neither grow nor stay without bound."""

import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cs_archiver.errors import ConfigError
from cs_archiver.logs import configure
from cs_archiver.sections.operation import Log

DAY_SECONDS = 86400


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level


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
