"""When something is told, in which words, and when no more than once."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.db.outcomes import Outcomes, Period
from cs_archiver.domain.events import JobUpdate, StepProgress
from cs_archiver.domain.notices import Kind, Message, Tone, shown
from cs_archiver.domain.states import JobStatus
from cs_archiver.services.notify.channel import merged
from cs_archiver.services.notify.conditions import Changes, Condition, Conditions, Findings
from cs_archiver.services.notify.movement import Movement
from cs_archiver.services.notify.state import State, StateFile, Told
from cs_archiver.services.notify.texts import Texts
from cs_archiver.services.notify.watcher import last_digest
from tests.support.jobs import a_job

EVIL = "x\r\nBcc: all@example.org\x1b[31m\u202e\udcff\\"
HELD = Condition("held:1", Kind.NEEDS_ATTENTION, Message("CS Archiver: needs attention: A", "..."), 300.0)
ABSENT, PRESENT, UNKNOWN = Findings.of([]), Findings.of([HELD]), Findings.of([], ["held:"])


def _told(changes: Changes) -> tuple[list[str], list[str]]:
    return [condition.key for condition in changes.begun], [told.what for told in changes.over]


@pytest.fixture
def conditions() -> Conditions:
    return Conditions({}, calm_seconds=600)


def test_condition_is_told_once_it_has_lasted_and_once_it_has_been_over_for_a_while(conditions: Conditions) -> None:
    begun: tuple[list[str], list[str]] = (["held:1"], [])
    over: tuple[list[str], list[str]] = ([], ["needs attention: A"])
    steps = [
        (PRESENT, 0, ([], [])), (PRESENT, 299, ([], [])), (PRESENT, 300, begun), (PRESENT, 9000, ([], [])),
        (ABSENT, 9100, ([], [])), (PRESENT, 9200, ([], [])), (ABSENT, 9300, ([], [])), (ABSENT, 9899, ([], [])),
        (ABSENT, 9900, over), (ABSENT, 20000, ([], [])), (PRESENT, 20001, ([], [])), (PRESENT, 20301, begun),
    ]  # fmt: skip
    for findings, now, expected in steps:
        assert _told(conditions.look(findings, now)) == expected, now


def test_condition_that_comes_and_goes_is_not_told(conditions: Conditions) -> None:
    for now in range(0, 100_000, 200):
        changes = conditions.look(PRESENT if now % 400 else ABSENT, now)
        assert _told(changes) == ([], [])


@pytest.mark.parametrize(("wrong_minutes", "fine_minutes"), [(6, 11), (30, 15), (60, 30), (10, 200)])
def test_condition_that_comes_back_again_and_again_is_told_a_few_times_a_day(
    conditions: Conditions, wrong_minutes: int, fine_minutes: int
) -> None:
    told = 0
    for now in range(0, 86_400, 60):
        is_wrong = now // 60 % (wrong_minutes + fine_minutes) < wrong_minutes
        changes = conditions.look(PRESENT if is_wrong else ABSENT, now)
        told += len(changes.begun) + len(changes.over)
    assert 1 <= told <= 12
    assert [told_of.what for told_of in conditions.look(ABSENT, 86_400).over] == []
    last = conditions.look(ABSENT, 86_400 + 64 * 600)
    assert not conditions.told
    assert len(last.over) <= 1


def test_condition_that_comes_back_after_a_day_is_told_as_if_for_the_first_time(conditions: Conditions) -> None:
    for begin in (0, 200_000, 400_000):
        steps = [
            (PRESENT, 0, False),
            (PRESENT, 300, False),
            (ABSENT, 400, False),
            (ABSENT, 999, False),
            (ABSENT, 1000, True),
        ]
        for findings, after, is_over in steps:
            assert bool(conditions.look(findings, begin + after).over) is is_over


def test_what_is_not_known_is_neither_over_nor_begun_and_stops_no_clock() -> None:
    told = Told(kind=Kind.NEEDS_ATTENTION, what="needs attention: A", since="2026-01-15T14:32:01.000Z")
    after_restart = Conditions({"held:1": told}, calm_seconds=600)
    for now in (0, 1000, 5000):
        assert _told(after_restart.look(UNKNOWN, now)) == ([], [])
    assert _told(after_restart.look(ABSENT, 6000)) == ([], [])
    assert _told(after_restart.look(UNKNOWN, 6300)) == ([], [])
    assert _told(after_restart.look(ABSENT, 6600)) == ([], ["needs attention: A"])


def _update(status: JobStatus = JobStatus.COPYING, percent: int = 1, bytes_done: int | None = 5) -> JobUpdate:
    return JobUpdate("1", status, percent, "words", StepProgress(None, bytes_done))


def test_queue_moves_when_a_state_or_a_figure_changes_and_not_when_it_is_repeated() -> None:
    movement = Movement(0.0)
    assert movement.has_stopped(50, seconds=100) is None, "not watched for long enough"
    assert movement.has_stopped(100, seconds=100) is True
    movement.hear(_update(), 100)
    movement.hear(_update(), 110)
    assert movement.has_stopped(111, seconds=100) is True
    for now, update in enumerate((_update(bytes_done=6), _update(percent=2), _update(JobStatus.COMPRESSING)), 200):
        movement.hear(update, now)
        assert movement.has_stopped(now + 99, seconds=100) is False
        assert movement.has_stopped(now + 100, seconds=100) is True


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_digest_is_due_at_the_hour_of_this_machine(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for now in (datetime(2026, 3, 8, 6, 59, tzinfo=UTC), datetime(2026, 11, 1, 23, 1, tzinfo=UTC)):
            found = last_digest(now, 7)
            assert found <= now
            assert (now - found).total_seconds() < 25 * 3600
            assert found.astimezone().hour == 7
    finally:
        monkeypatch.undo()
        time.tzset()


def _outcomes(count: int = 1, *, stopped: bool = False, **values: Any) -> Outcomes:
    job = a_job(JobStatus.FAILED, **values)
    return Outcomes(9, count, [job], frozenset([job.id]) if stopped else frozenset())


def test_no_name_or_reason_can_break_a_line() -> None:
    texts = Texts("")
    values: dict[str, Any] = {
        "folder_name": EVIL,
        "source_path": EVIL,
        "globus_destination_path": EVIL,
        "error_message": EVIL,
    }
    held = a_job(JobStatus.UPLOADING, current_operation=EVIL, **values)
    harmless = [
        texts.failed(_outcomes(folder_name="A", error_message="b", source_path="c", globus_destination_path="d")),
        texts.held(a_job(folder_name="A", current_operation="b", source_path="c")),
    ]
    evil = [texts.failed(_outcomes(**values)), texts.held(held)]
    for message, like in zip(evil, harmless, strict=True):
        assert message.subject.isprintable()
        assert r"x\r\nBcc: all@example.org\x1b[31m\u202e\udcff" in message.subject
        assert all(line.isprintable() for line in message.body.split("\n"))
        assert len(message.body.split("\n")) == len(like.body.split("\n"))


def test_failure_during_the_deletion_does_not_say_that_the_source_is_untouched() -> None:
    texts = Texts("https://archiver.example.org")
    assert "The source is untouched." in texts.failed(_outcomes(error_message="no")).body
    stopped = texts.failed(_outcomes(error_message="no", stopped=True)).body
    assert "untouched" not in stopped
    assert "the deletion of the source had begun" in stopped
    assert "the deletion of its source had begun" in texts.failed(_outcomes(3, stopped=True)).body


def test_many_failures_are_counted_beyond_those_that_are_listed() -> None:
    message = Texts("").failed(_outcomes(1234))
    assert message.subject == "CS Archiver: 1234 jobs failed"
    assert "- and 1233 more: see the history" in message.body


def test_failure_of_a_job_that_is_tried_again_already_gives_no_wrong_reason() -> None:
    job = a_job(JobStatus.QUEUED)
    assert "tried again meanwhile" in Texts("").failed(Outcomes(1, 1, [job], frozenset())).body
    assert Texts("").failed(Outcomes(1, 1, [], frozenset())).subject == "CS Archiver: 1 job failed"


def test_digest_names_what_waits_for_a_person() -> None:
    held = a_job(JobStatus.UPLOADING, current_operation="Held: mount it", error_problem="nas-unreachable")
    message = Texts("").digest(Period(2, 0, 5 * 10**9), "2026-01-15T07:00:00.000Z", [held, a_job()], None)
    assert "- completed: 2 jobs, 4.66 GiB freed on the NAS" in message.body
    assert "- in hand: 1 job; waiting: 1 job" in message.body
    assert "- Project_Alpha: Held: mount it" in message.body
    assert "local disk: cannot be read" in message.body
    assert message.tone is Tone.WARNING


def test_what_waited_comes_as_one_message_of_bounded_size() -> None:
    messages = [Message(f"subject {number}", "x" * 500, Tone.INFO) for number in range(50)]
    whole = merged([*messages, Message("bad", "", Tone.FAILURE), Message("good", "", Tone.SUCCESS)])
    assert whole.subject == "CS Archiver: 52 messages that could not be sent before"
    assert whole.body.startswith("subject 0\n\nxxx")
    assert whole.body.endswith("There is more: look at the dashboard.")
    assert len(whole.body) < 8200
    assert whole.tone is Tone.FAILURE
    assert merged(messages[:1]) is messages[0]


def test_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "notified.json")
    assert file.read() is None
    told = Told(kind=Kind.DISK_LOW, what="the disk", since="2026-01-15T14:32:01.000Z")
    state = State(
        outcomes={Kind.FAILED: 7},
        conditions={"disk": told},
        digest_at="2026-01-15T07:00:00.000Z",
        unsent={"1 (json)": [Message("s", "b", Tone.WARNING)]},
    )
    file.write(state.model_dump_json().encode())
    assert file.read() == state
    assert [path.name for path in tmp_path.iterdir()] == ["notified.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"outcomes": {"nonsense": 1}}', '{"unknown": 1}'])
def test_state_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "notified.json").write_text(content)
    with pytest.raises(ValueError, match="not a file of what was told"):
        StateFile(tmp_path / "notified.json").read()


def test_names_are_shown_as_what_they_are() -> None:
    assert shown(EVIL) == r"x\r\nBcc: all@example.org\x1b[31m\u202e\udcff\\"
