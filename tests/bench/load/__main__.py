"""Load: 100 connections and 1,000 live clients on a service with 100,000 jobs. `python -m tests.bench.load --help`."""

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import live, report
from tests.bench.load.asks import Ask, asks
from tests.bench.load.feeder import make_folders, working
from tests.bench.load.generator import Generator
from tests.bench.load.reads import Alone, Reader
from tests.bench.load.world import bare_handler, running


@dataclass(frozen=True, slots=True)
class _Scale:
    """`seconds` are those of each address without a pause, `live_seconds` those with a thousand live clients.

    `times`: so often each of a hundred connections asks for each address, where these are read in turn.
    """

    jobs: int
    lines: int
    seconds: float
    times: int
    live_seconds: float


_QUICK = _Scale(10_000, 100_000, 0.2, 1, 10)
_FULL = _Scale(100_000, 1_000_000, 0.7, 3, 25)


async def _measure(scale: _Scale, is_wanted: Callable[[Ask], bool], root: Path) -> report.Figures:
    async with running(root, jobs=scale.jobs, lines=scale.lines) as service, bare_handler() as bare:
        at_rest = service.resident_mb
        folders = make_folders(service)
        await service.discover()
        askers = await service.askers()
        wanted = list(filter(is_wanted, asks(service.seeded, folders=folders, deep=scale.jobs * 9 // 10)))
        async with working(service), Generator() as generator:
            reader = Reader(service, generator, bare, askers)
            in_turn = await reader.in_turn(wanted, times=scale.times)
            alone = [await _told(reader, ask, scale.seconds) for ask in wanted]
            after_reads = service.peak_mb
            heard = await live.hear(service, askers, folders, seconds=scale.live_seconds)
        memory = report.Memory(at_rest, after_reads, service.peak_mb)
        return report.Figures(scale.jobs, scale.lines, alone, in_turn, heard, memory, service.jobs_done)


async def _told(reader: Reader, ask: Ask, seconds: float) -> Alone:
    line = await reader.alone(ask, seconds=seconds)
    print(report.short(line), flush=True)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__)
    parser.add_argument("--full", action="store_true", help="100,000 jobs; without it, a tenth in two or three minutes")
    parser.add_argument("--every-page", action="store_true", help="not only the pages that people leave open")
    parser.add_argument("--only", default="", help="only addresses that hold this")
    parser.add_argument("--write", type=Path, help="put the figures into this file, in place of those there")
    arguments = parser.parse_args()

    def is_wanted(ask: Ask) -> bool:
        return arguments.only in ask.name and (arguments.every_page or ask.is_read_often)

    with tempfile.TemporaryDirectory(prefix="bench-load-") as root:
        figures = asyncio.run(_measure(_FULL if arguments.full else _QUICK, is_wanted, Path(root)))
    text = report.text_of(figures)
    print(text)
    if arguments.write:
        report.replace_in(arguments.write, text)


if __name__ == "__main__":
    main()
