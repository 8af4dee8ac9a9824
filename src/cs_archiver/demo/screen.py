"""Draws the hands-off run as text: two workers with their bars, and the table at the end."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import click

from cs_archiver.demo.client import Progress, Workers
from cs_archiver.domain.sizes import human_size

_BAR_WIDTH = 24
_PULSE_WIDTH = 6
_NARROWEST_FOLDER = 16
_GAP = "  "
_COLOURS = {"completed": "green", "failed": "red", "refused": "red", "cancelled": "yellow"}


class Row(NamedTuple):
    """One line of the table; None is shown as a dash."""

    folder: str
    size_bytes: int | None
    archive_bytes: int | None
    seconds: float | None
    state: str


@dataclass(slots=True)
class Panel:
    """A few lines at the foot of the terminal, drawn over themselves. `echo` writes a text and a line break."""

    echo: Callable[[str], None]
    drawn_lines: int = 0

    def draw(self, lines: Sequence[str]) -> None:
        """Replace what was drawn before; no line may be wider than the terminal."""
        back = f"\x1b[{self.drawn_lines}F\x1b[J" if self.drawn_lines else ""
        self.echo(back + "\n".join(lines))
        self.drawn_lines = len(lines)


def workers_panel(workers: Workers, folders: dict[str, str], *, summary: str, tick: int, width: int) -> list[str]:
    """The two workers, a title and a bar line each, then `summary`.

    `folders` gives the folder of a job id, `tick` counts the redraws (it moves the bars without a percentage).
    """
    lines = [
        *_worker_lines("Copy/Compress", workers.copy_compress, folders, tick),
        *_worker_lines("Upload", workers.upload, folders, tick),
        summary,
    ]
    return [fit(line, width - 1) for line in lines]


def bar(percent: float | None, *, tick: int = 0) -> str:
    """A bar of 24 cells for 0 to 100 percent; None draws a block that wanders with `tick`."""
    if percent is None:
        start = tick % (_BAR_WIDTH - _PULSE_WIDTH + 1)
        return "░" * start + "█" * _PULSE_WIDTH + "░" * (_BAR_WIDTH - _PULSE_WIDTH - start)
    filled = int(min(max(percent, 0.0), 100.0) * _BAR_WIDTH / 100)
    return "█" * filled + "░" * (_BAR_WIDTH - filled)


def table(rows: Sequence[Row], *, width: int, colour: bool = False) -> list[str]:
    """Folder, bytes, archive bytes, ratio, seconds and state of each row, with a line of totals.

    Folders too long for a table of `width` columns lose their beginning.
    """
    headings = ("Folder", "Bytes", "Archive", "Ratio", "Seconds", "State")
    cells = [_cells(row) for row in (*rows, _totals(rows))]
    widths = [max(display_width(line[column]) for line in (headings, *cells)) for column in range(len(headings))]
    gaps = len(_GAP) * (len(widths) - 1)
    widths[0] = min(widths[0], max(width - sum(widths[1:]) - gaps, _NARROWEST_FOLDER))
    rule = "─" * (sum(widths) + gaps)
    lines = [_aligned(line, widths) for line in (headings, *cells)]
    if colour:
        lines[1:-1] = [_coloured(line, row.state) for line, row in zip(lines[1:-1], rows, strict=True)]
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]


def display_width(text: str) -> int:
    """Terminal columns the text takes: two for wide characters, none for combining ones."""
    return sum(_columns(char) for char in text)


def fit(text: str, width: int) -> str:
    """The text cut to at most `width` columns, ending in an ellipsis if cut."""
    if display_width(text) <= width:
        return text
    while text and display_width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _worker_lines(title: str, progress: Progress | None, folders: dict[str, str], tick: int) -> tuple[str, str]:
    if progress is None:
        return f"{title}:", "  idle"
    folder = folders.get(progress.job_id, progress.job_id)
    drawn = bar(progress.step_percent, tick=tick)
    return f"{title}: {folder} - {progress.step}", f"  {drawn} {_amounts(progress)}"


def _amounts(progress: Progress) -> str:
    parts = []
    if progress.step_percent is not None:
        parts.append(f"{progress.step_percent:3.0f} %")
    if progress.bytes_done is not None and progress.bytes_total is not None:
        parts.append(f"{human_size(progress.bytes_done)} of {human_size(progress.bytes_total)}")
    if progress.rate_bytes_per_second is not None:
        parts.append(f"{human_size(progress.rate_bytes_per_second)}/s")
    return "  ".join(parts)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.folder,
        "-" if row.size_bytes is None else f"{row.size_bytes:,}",
        "-" if row.archive_bytes is None else f"{row.archive_bytes:,}",
        f"{row.archive_bytes / row.size_bytes:.1%}" if row.size_bytes and row.archive_bytes is not None else "-",
        "-" if row.seconds is None else f"{row.seconds:.1f}",
        row.state,
    )


def _totals(rows: Sequence[Row]) -> Row:
    archived = [row for row in rows if row.state == "completed"]
    return Row(
        "All completed",
        sum(row.size_bytes or 0 for row in archived),
        sum(row.archive_bytes or 0 for row in archived),
        sum(row.seconds or 0 for row in archived),
        f"{len(archived)} of {len(rows)}",
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    text_columns = {0, len(cells) - 1}
    padded = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        text = _fit_end(cell, width)
        blanks = " " * (width - display_width(text))
        padded.append(text + blanks if column in text_columns else blanks + text)
    return _GAP.join(padded).rstrip()


def _fit_end(text: str, width: int) -> str:
    return fit(text[::-1], width)[::-1]


def _coloured(line: str, state: str) -> str:
    return click.style(line, fg=_COLOURS.get(state))


def _columns(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Cf", "Me", "Mn"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
