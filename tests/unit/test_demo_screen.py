"""The hands-off run draws bars that mean what they show, and tables whose columns stand under each other."""

import re

from cs_archiver.demo.client import Progress, Workers
from cs_archiver.demo.screen import Panel, Row, bar, display_width, fit, table, workers_panel

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
ROWS = [
    Row("Events/Open Day/Take 01", 2_000_000, 1_500_000, 3.25, "completed"),
    Row("Production/2023/Café Concert – 第一部", 1_000_000, None, None, "failed"),
]


def progress(step_percent: float | None = 66.0, rate_bytes_per_second: float | None = 2e6) -> Progress:
    return Progress("1", "Step 2/3: Compressing", step_percent, 3_000_000, 4_000_000, rate_bytes_per_second)


def test_a_bar_is_filled_in_proportion_and_never_overflows() -> None:
    assert bar(0) == "░" * 24
    assert bar(50) == "█" * 12 + "░" * 12
    assert bar(99.9) == "█" * 23 + "░"
    assert bar(100) == "█" * 24
    assert (bar(-5), bar(250)) == (bar(0), bar(100))


def test_a_bar_without_a_percentage_wanders_and_keeps_its_length() -> None:
    drawn = [bar(None, tick=tick) for tick in range(40)]

    assert {(len(one), one.count("█")) for one in drawn} == {(24, 6)}
    assert len(set(drawn)) == 19


def test_the_panel_shows_both_workers_with_step_amount_and_rate() -> None:
    lines = workers_panel(
        Workers(progress(), None), {"1": "Events/Open Day/Take 01"}, summary="0 of 2", tick=0, width=120
    )

    assert lines == [
        "Copy/Compress: Events/Open Day/Take 01 - Step 2/3: Compressing",
        "  ███████████████░░░░░░░░░  66 %  2.86 MiB of 3.81 MiB  1.91 MiB/s",
        "Upload:",
        "  idle",
        "0 of 2",
    ]


def test_the_panel_leaves_out_what_is_not_known_and_fits_the_terminal() -> None:
    lines = workers_panel(Workers(None, progress(None, None)), {"1": "第" * 80}, summary="s" * 80, tick=0, width=40)

    assert lines[3] == "  ██████░░░░░░░░░░░░░░░░░░ 2.86 MiB of…"
    assert all(display_width(line) < 40 for line in lines)


def test_the_panel_is_drawn_over_its_predecessor() -> None:
    written: list[str] = []
    panel = Panel(written.append)
    panel.draw(["a", "b", "c"])
    panel.draw(["d", "e"])
    panel.draw(["f"])

    assert written == ["a\nb\nc", "\x1b[3F\x1b[Jd\ne", "\x1b[2F\x1b[Jf"]


def test_the_table_gives_bytes_ratio_seconds_and_state_and_sums_up_what_was_archived() -> None:
    lines = table(ROWS, width=120)

    assert [line.split() for line in (lines[0], lines[2], lines[-1])] == [
        ["Folder", "Bytes", "Archive", "Ratio", "Seconds", "State"],
        ["Events/Open", "Day/Take", "01", "2,000,000", "1,500,000", "75.0%", "3.2", "completed"],
        ["All", "completed", "2,000,000", "1,500,000", "75.0%", "3.2", "1", "of", "2"],
    ]
    assert lines[3].split()[-5:] == ["1,000,000", "-", "-", "-", "failed"]


def test_the_columns_stand_under_each_other_whatever_the_width_of_the_letters() -> None:
    lines = table(ROWS, width=120)
    starts = {display_width(re.split(r"State|completed$|failed|1 of", line)[0]) for line in lines if "─" not in line}

    assert len(starts) == 1
    assert {display_width(line) for line in lines if "─" in line} == {max(map(display_width, lines))}


def test_colour_changes_no_text() -> None:
    coloured = table(ROWS, width=120, colour=True)

    assert coloured != table(ROWS, width=120)
    assert [ANSI.sub("", line) for line in coloured] == table(ROWS, width=120)


def test_an_empty_folder_has_no_ratio() -> None:
    assert table([Row("f", 0, 32, 0.1, "completed")], width=120)[2].split() == [
        "f",
        "0",
        "32",
        "-",
        "0.1",
        "completed",
    ]


def test_a_table_fits_the_terminal_by_cutting_the_beginning_of_long_folders() -> None:
    lines = table([Row("Production/2024/" + "第" * 60 + "end", 1, 1, 1, "completed")], width=80)

    assert lines[2].startswith("…第")
    assert "end " in lines[2]
    assert max(map(display_width, lines)) in (79, 80)


def test_widths_count_terminal_columns() -> None:
    assert display_width("cafe\u0301") == 4
    assert display_width("第一部") == 6
    assert display_width("a\u200bb") == 2
    assert fit("第一部", 5) == "第一…"
    assert fit("short", 5) == "short"
