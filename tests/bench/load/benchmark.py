"""The service under load beside a bare aiohttp handler: 100 connections that read, 1,000 live clients, and jobs."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.frame.benchmark import Benchmark, Findings, Order
from tests.bench.load import live, report
from tests.bench.load.asks import asks
from tests.bench.load.feeder import make_folders, working
from tests.bench.load.generator import Generator
from tests.bench.load.reads import Alone, Reader
from tests.bench.load.world import bare_handler, running


@dataclass(frozen=True, slots=True)
class _Scale:
    """`seconds` are those of each address without a pause, `live_seconds` those of news, in all rounds together.

    `times`: so often each of a hundred connections asks for each address, where these are read in turn.
    """

    jobs: int
    lines: int
    seconds: float
    times: int
    live_seconds: float


_QUICK = _Scale(10_000, 100_000, 0.2, 1, 10)
_FULL = _Scale(100_000, 1_000_000, 0.7, 3, 25)


async def _measure(order: Order) -> Findings:
    with tempfile.TemporaryDirectory(prefix="bench-load-") as root:
        figures = await _figures(order, _FULL if order.full else _QUICK, Path(root))
    return report.findings(figures)


async def _figures(order: Order, scale: _Scale, root: Path) -> report.Figures:
    async with running(root, jobs=scale.jobs, lines=scale.lines) as service, bare_handler() as bare:
        at_rest = service.resident_mb
        folders = make_folders(service)
        await service.discover()
        askers = await service.askers()
        every = asks(service.seeded, folders=folders, deep=scale.jobs * 9 // 10)
        wanted = [ask for ask in every if ask.is_read_often and order.only in ask.name]
        async with working(service), Generator() as generator:
            reader = Reader(service, generator, bare, askers)
            alone: list[Alone] = []
            for ask in wanted:
                alone.append(await reader.alone(ask, seconds=scale.seconds, rounds=order.rounds))
                order.tell(report.short(alone[-1]))
            lengths = [line.length for line in alone]
            in_turn = await reader.in_turn(wanted, lengths, times=scale.times, rounds=order.rounds)
            after_reads = service.peak_mb
            seconds = scale.live_seconds / order.rounds
            heard = await live.hear(service, bare, askers, folders, rounds=order.rounds, seconds=seconds)
        memory = report.Memory(at_rest, after_reads, service.peak_mb)
        return report.Figures(scale.jobs, scale.lines, alone, in_turn, heard, memory, service.jobs_done)


BENCHMARK = Benchmark(
    "load", "Under load", _measure, versions=("SQLite", "aiohttp", "SQLAlchemy", "aiosqlite", "pydantic")
)
