"""A plugin of pytest: adds up what the tests counted and prints it at the end; a ledger keeps it over several runs.

CS_ARCHIVER_LEDGER=FILE appends a line of JSON for each test, as soon as it has ended. `python -m tests.support.tally
FILE...` adds them up: of a test that ran several times the last one counts.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

Count = Callable[..., None]

LEDGER = "CS_ARCHIVER_LEDGER"

_PROPERTY = "counted"
_PLUGIN = "cs-archiver-tally"


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Iterator[Count]:
    """`count("kill points survived")` after each run that held; only what was counted is ever claimed."""
    counts: Counter[str] = Counter()

    def add(what: str, number: int = 1) -> None:
        counts[what] += number

    yield add
    counted(request.node, counts)


def counted(item: pytest.Item, counts: Mapping[str, int]) -> None:
    """Hand on what a test counted, to be called when it has ended: with its report, from whichever process ran it."""
    if counts:
        item.user_properties.append((_PROPERTY, dict(counts)))


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a process of pytest-xdist sends its reports to the one that prints
        config.pluginmanager.register(_Tally(os.environ.get(LEDGER)), _PLUGIN)


class _Tally:
    def __init__(self, ledger: str | None) -> None:
        self._ledger = ledger
        self._revision = _revision() if ledger else ""
        self._totals: Counter[str] = Counter()
        self._outcomes: dict[str, tuple[str, str | None]] = {}  # of tests that have not ended

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._outcomes[report.nodeid] = ("failed", report.longreprtext)
        else:
            self._outcomes.setdefault(report.nodeid, (report.outcome, None))
            if report.skipped:
                self._outcomes[report.nodeid] = ("skipped", None)
        if report.when != "teardown":
            return
        outcome, failure = self._outcomes.pop(report.nodeid)
        counts: dict[str, int] = dict(report.user_properties).get(_PROPERTY, {})  # type: ignore[assignment]
        self._totals.update(counts)
        if self._ledger:
            entry = {"test": report.nodeid, "outcome": outcome, "counts": counts, "failure": failure}
            with open(self._ledger, "a", encoding="utf-8") as file:
                file.write(json.dumps({**entry, "revision": self._revision}) + "\n")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._totals:
            terminalreporter.section("what the fault suites ran")
        for line in _lines(self._totals):
            terminalreporter.line(line)


def _revision() -> str:
    """What is tested."""
    argv = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(argv, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _lines(totals: Mapping[str, int]) -> Iterator[str]:
    return (f"{number:>9,}  {what}" for what, number in sorted(totals.items()))


class Sum(NamedTuple):
    """Of everything in a ledger: what the tests counted, how they ended, and why those failed that did."""

    totals: Counter[str]
    outcomes: Counter[str]
    failures: dict[str, str]


def added_up(lines: Iterable[str]) -> Sum:
    last = {entry["test"]: entry for entry in map(json.loads, lines)}
    totals: Counter[str] = Counter()
    for entry in last.values():
        totals.update(entry["counts"])
    failures = {test: entry["failure"] for test, entry in last.items() if entry["failure"]}
    return Sum(totals, Counter(entry["outcome"] for entry in last.values()), failures)


def main(ledgers: list[str]) -> int:
    found = added_up(line for path in ledgers for line in Path(path).read_text("utf-8").splitlines())
    report = [f"{test}\n{text}\n" for test, text in found.failures.items()]
    report += [*_lines(found.totals), ", ".join(f"{number} {how}" for how, number in sorted(found.outcomes.items()))]
    sys.stdout.write("\n".join(report) + "\n")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
