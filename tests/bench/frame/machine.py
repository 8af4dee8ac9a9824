"""Where and when figures were taken: they mean little without it."""

import os
import platform
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.bench.frame.benchmark import Benchmark, Order


def circumstances(benchmark: Benchmark, order: Order, load_before: float) -> str:
    """One paragraph. `load_before` is the load average, over one minute, when it began."""
    scale = "in full" if order.full else "at the quick scale"
    rounds = f", {order.rounds} rounds in turns, medians" if benchmark.in_rounds else ""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    programs = ", ".join(f"{name} {_version(name)}" for name in ("Python", *benchmark.versions))
    return (
        f"Taken on {datetime.now(UTC):%Y-%m-%d} {scale}{rounds}: {_processor()}, "
        f"{os.cpu_count()} processors, {memory:.0f} GB; load average {load_before:.1f} when it began and "
        f"{os.getloadavg()[0]:.1f} at the end, its own included; in `{tempfile.gettempdir()}`, {_file_system()}; "
        f"{programs}."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def _file_system() -> str:
    return _said("df", "--output=fstype", tempfile.gettempdir()).split()[-1]


def _version(name: str) -> str:
    return _PROGRAMS[name]() if name in _PROGRAMS else version(name)


def _first_line(*argv: str) -> str:
    """Its last word, which is the version where GNU's programs tell theirs."""
    return _said(*argv).split("\n")[0].split()[-1]


def _said(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


_PROGRAMS: dict[str, Callable[[], str]] = {
    "Python": platform.python_version,
    "SQLite": lambda: sqlite3.sqlite_version,
    "7-Zip": lambda: _said("7z").split(" : ")[0].split()[-1],
    "rsync": lambda: _said("rsync", "-V").split()[2],
    "coreutils": lambda: _first_line("cp", "--version"),
    "findutils": lambda: _first_line("find", "--version"),
}
