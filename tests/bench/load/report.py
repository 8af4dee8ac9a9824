"""The figures as a section of docs/benchmarks.md, which the next run replaces."""

import os
import platform
import re
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.bench.load.live import Heard
from tests.bench.load.reads import Alone, Spread
from tests.bench.load.seed import USERS as CONNECTIONS

_HEADING = "## Under load"
_P99_MS = 100


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident, in MB: of the service when it has started, the most until all was read, and the most of all."""

    at_rest: float
    after_reads: float
    peak: float


@dataclass(frozen=True, slots=True)
class Figures:
    """`jobs` and `log_lines` were in the database before; `jobs_done` were archived while all this was measured."""

    jobs: int
    log_lines: int
    alone: list[Alone]
    in_turn: list[Spread]
    heard: Heard
    memory: Memory
    jobs_done: int


def short(line: Alone) -> str:
    """For who watches."""
    return (
        f"{line.name:60s} p99 {line.closed.p99_ms:7.1f} ms, bare {line.bare.p99_ms:6.1f}; {line.per_second:5.0f}/s, "
        f"{line.cpu_ms:.2f} ms of a processor, {line.length} bytes"
    )


def text_of(figures: Figures) -> str:
    """The whole section."""
    heard, memory = figures.heard, figures.memory
    met = sum(spread.p99_ms < _P99_MS for spread in figures.in_turn)
    met_without_pause = sum(line.closed.p99_ms < _P99_MS for line in figures.alone)
    return f"""{_HEADING}

{_circumstances()}

The service runs as `cs-archiver serve` in a process of its own, with {figures.jobs:,} ended jobs and
{figures.log_lines:,} lines of logs in its database; {figures.jobs_done} jobs went through it meanwhile, so that one ran
all the time. The generator is another process; each of its {CONNECTIONS} connections is signed in as a user of its own.
Baseline: a bare aiohttp handler that answers as many bytes, under the same connections.

- *without a pause*: all connections ask again as soon as they are answered. The service is saturated, and a request
  waits for the {CONNECTIONS - 1} others: p99 is then {CONNECTIONS} times what one takes. "bare" is the p99 of the
  baseline, "times" how many requests the baseline answers for one of the product's.
- *in turn*: each connection asks every two seconds, for one address after the other, late answers or not, and counts
  from when it should have asked: fifty requests a second, as of a hundred people who never stop to read.
- *processor*: the service's time on a processor for each request; that of the jobs that run meanwhile is in it.

p99 is below {_P99_MS} ms for {met_without_pause} of {len(figures.alone)} addresses without a pause, and for {met}
in turn.

| Address | without a pause: p50 | p99 | bare | times | a second | in turn: p50 | p99 | processor | bytes |
|---|---|---|---|---|---|---|---|---|---|
{_rows(figures)}

Live updates: {heard.clients} clients, {heard.silent} of which never read, and {heard.heard} lines of logs. From the
time stamp of a line, made before its commit, to the clients that read: p50 {heard.delays.p50_ms:.0f} ms, p99
{heard.delays.p99_ms:.0f} ms (wanted: below 250). The service took {heard.cpu_share * 100:.0f} % of a processor;
{heard.lost} clients that read lost their connection.

Resident memory of the service: {memory.at_rest:.0f} MB after its start, {memory.after_reads:.0f} MB at most while it
was read, {memory.peak:.0f} MB at most with the live clients (wanted: below 250).
"""


def _circumstances() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "SQLAlchemy", "aiosqlite", "pydantic"))
    return f"""`.venv/bin/python -m tests.bench.load --full --write docs/benchmarks.md` writes this section. Taken on
{datetime.now(UTC):%Y-%m-%d}: {platform.machine()}, {os.cpu_count()} processors, load average {os.getloadavg()[2]:.1f}
over the last 15 minutes (other programs included); Python {platform.python_version()}, SQLite {sqlite3.sqlite_version},
{versions}."""


def _rows(figures: Figures) -> str:
    return "\n".join(
        f"| `{line.name}` | {line.closed.p50_ms:.0f} ms | {line.closed.p99_ms:.0f} ms | {line.bare.p99_ms:.0f} ms "
        f"| {line.ratio:.1f} | {line.per_second:.0f} | {spread.p50_ms:.1f} ms | {spread.p99_ms:.0f} ms "
        f"| {line.cpu_ms:.2f} ms | {line.length:,} |"
        for line, spread in zip(figures.alone, figures.in_turn, strict=True)
    )


def replace_in(path: Path, section: str) -> None:
    """Put the section, which begins with its heading, in the place of the one of that heading, or at the end."""
    text, heading = path.read_text("utf-8"), re.escape(section.split("\n", 1)[0])
    found = re.search(rf"^{heading}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    end = f"\n{text[found.end() :]}" if found and text[found.end() :] else ""
    path.write_text(f"{text[: found.start()]}{section}{end}" if found else f"{text}\n{section}", "utf-8")
