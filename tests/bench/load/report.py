"""The figures as claims, and as a section of docs/benchmarks.md."""

from dataclasses import dataclass

from tests.bench.frame.benchmark import Claim, Findings
from tests.bench.frame.document import table
from tests.bench.load.live import Heard
from tests.bench.load.reads import Alone, InTurn
from tests.bench.load.seed import USERS as CONNECTIONS

_P99_MS = 100
_NEWS_MS = 250
_MOST_MB = 250
_HEADS = (
    "Address", "without a pause: p50", "p99", "bare", "times", "a second", "in turn: p50", "p99", "processor", "bytes",
)  # fmt: skip


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
    in_turn: InTurn
    heard: Heard
    memory: Memory
    jobs_done: int


def short(line: Alone) -> str:
    """For who watches."""
    return (
        f"{line.name:60s} p99 {line.closed.p99_ms:7.1f} ms, bare {line.bare.p99_ms:6.1f}; {line.per_second:5.0f}/s, "
        f"{line.cpu_ms:.2f} ms of a processor, {line.length} bytes"
    )


def findings(figures: Figures) -> Findings:
    return Findings(_claims(figures), _body(figures))


def _claims(figures: Figures) -> list[Claim]:
    heard, memory = figures.heard, figures.memory
    slow = [
        line.name
        for line, spread in zip(figures.alone, figures.in_turn.of_each, strict=True)
        if spread.p99_ms >= _P99_MS
    ]
    in_turn = figures.in_turn
    met = f"{len(figures.alone) - len(slow)} of {len(figures.alone)} addresses"
    at_once = sum(line.closed.p99_ms < _P99_MS for line in figures.alone)
    bare = f"{heard.bare.p99_ms:.0f} ms"
    return [
        Claim(
            f"reads by {CONNECTIONS} people in turn, {figures.jobs:,} jobs: p99",
            f"< {_P99_MS} ms",
            f"{met}; of all {in_turn.p99_ms:.0f} ms against {in_turn.bare_p99_ms:.0f} ms; "
            f"asked without a pause, {at_once}",
            str(in_turn.ratio),
            f"one process answers all, between the turns of jobs: {', '.join(slow[:3])}" if slow else None,
        ),
        Claim(
            f"news to {heard.clients:,} live clients: p99 from before the commit",
            f"< {_NEWS_MS} ms",
            f"{heard.service.p99_ms:.0f} ms against {bare}",
            str(heard.ratio),
            None if heard.service.p99_ms < _NEWS_MS else "one process sends to each client in turn",
        ),
        Claim(
            "resident memory under load",
            f"< {_MOST_MB} MB",
            f"{memory.peak:.0f} MB",
            "",
            None if memory.peak < _MOST_MB else "what Python keeps of long answers",
        ),
    ]


def _body(figures: Figures) -> str:
    heard, memory = figures.heard, figures.memory
    return f"""The service runs as `cs-archiver serve` in a process of its own, with {figures.jobs:,} ended jobs and
{figures.log_lines:,} lines of logs in its database; {figures.jobs_done} jobs went through it meanwhile, so that one ran
all the time. The generator is another process; each of its {CONNECTIONS} connections is signed in as a user of its own.
Baseline: a bare aiohttp handler that answers as many bytes, under the same connections, in turns with the service.

- *without a pause*: all connections ask again as soon as they are answered. The service is saturated, and a request
  waits for the {CONNECTIONS - 1} others: p99 is then {CONNECTIONS} times what one takes. "bare" is the p99 of the
  baseline, "times" how many requests the baseline answers for one of the product's.
- *in turn*: each connection asks every two seconds, for one address after the other, late answers or not, and counts
  from when it should have asked: fifty requests a second, as of a hundred people who never stop to read. The p99 of
  all of them is {figures.in_turn.p99_ms:.0f} ms, of the baseline {figures.in_turn.bare_p99_ms:.0f} ms.
- The addresses are all that the API has to read, and the four pages that people leave open. What stands for one is of
  all rounds together, in turn {figures.in_turn.of_each[0].count} requests each.
- *processor*: the service's time on a processor for each request; that of the jobs that run meanwhile is in it.

{table(_HEADS, _rows(figures))}

Live updates: {heard.clients} clients, {heard.silent} of which never read, and {heard.heard} lines of logs. From the
time stamp of a line, made before its commit, to the clients that read: p50 {heard.service.p50_ms:.0f} ms, p99
{heard.service.p99_ms:.0f} ms. Baseline: a bare aiohttp handler that sends what is posted to it to as many clients,
in turns: p50 {heard.bare.p50_ms:.0f} ms, p99 {heard.bare.p99_ms:.0f} ms; the ratio of the p99 is {heard.ratio}. The
service took {heard.cpu_share * 100:.0f} % of a processor; {heard.lost} clients that read lost their connection.

Resident memory of the service: {memory.at_rest:.0f} MB after its start, {memory.after_reads:.0f} MB at most while it
was read, {memory.peak:.0f} MB at most with the live clients.

What bounds it: one process on one processor answers, sends and runs the jobs; most of each request is Python."""


def _rows(figures: Figures) -> list[list[str]]:
    return [
        [
            f"`{line.name}`",
            f"{line.closed.p50_ms:.0f} ms",
            f"{line.closed.p99_ms:.0f} ms",
            f"{line.bare.p99_ms:.0f} ms",
            f"{line.times.middle:.1f}",
            f"{line.per_second:.0f}",
            f"{spread.p50_ms:.1f} ms",
            f"{spread.p99_ms:.0f} ms",
            f"{line.cpu_ms:.2f} ms",
            f"{line.length:,}",
        ]
        for line, spread in zip(figures.alone, figures.in_turn.of_each, strict=True)
    ]
