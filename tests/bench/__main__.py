"""Runs benchmarks, each in a process of its own: `python -m tests.bench [NAME ...]`. `--help` tells more."""

import argparse
import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.bench.frame.benchmark import FEWEST_ROUNDS, Benchmark, Order
from tests.bench.frame.document import claims_table, with_claims, with_section
from tests.bench.frame.machine import circumstances
from tests.bench.registry import BENCHMARKS

_DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
_NAMES = [benchmark.name for benchmark in BENCHMARKS]


async def run(benchmark: Benchmark, order: Order, *, write: bool) -> None:
    """Measure, show the figures, and put them into the document if that is wished."""
    command, load = benchmark.command(full=order.full), os.getloadavg()[0]
    found = await benchmark.measure(order)
    text = f"`{command}` writes this section. {circumstances(benchmark, order, load)}\n\n{found.body}"
    order.tell(f"\n## {benchmark.heading}\n\n{text}\n\n{claims_table(found.claims, command)}\n")
    if write:
        document = with_section(_DOCUMENT.read_text("utf-8"), benchmark, text, _NAMES)
        document = with_claims(document, benchmark, found.claims, full=order.full, order=_NAMES)
        _DOCUMENT.write_text(document, "utf-8")


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; by default all but some: {', '.join(_NAMES)}")
    parser.add_argument("--full", action="store_true", help="at the scale of the claims; without it a few minutes each")
    parser.add_argument("--rounds", type=int, default=FEWEST_ROUNDS, help="in turns; medians are taken of them")
    parser.add_argument("--cases", default="", metavar="TEXT", help="only cases that hold this in their name")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(_NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}: there are {', '.join(_NAMES)}")
    if arguments.write and (arguments.cases or arguments.rounds < FEWEST_ROUNDS):
        parser.error(f"what is written has all cases, and at least {FEWEST_ROUNDS} rounds")
    wanted = [one for one in BENCHMARKS if one.name in arguments.names or (one.by_default and not arguments.names)]
    if len(wanted) == 1:
        order = Order(arguments.full, arguments.rounds, arguments.cases, _say)
        asyncio.run(run(wanted[0], order, write=arguments.write))
        return 0
    options = [option for option in sys.argv[1:] if option not in arguments.names]
    ends = [subprocess.run([sys.executable, "-m", "tests.bench", one.name, *options]).returncode for one in wanted]
    return max(ends)


if __name__ == "__main__":
    sys.exit(main())
