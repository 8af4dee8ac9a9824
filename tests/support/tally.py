"""A plugin of pytest: adds up what each process of a test run counted, and prints it at the end."""

from typing import Any

import pytest

TALLY = pytest.StashKey[dict[str, int]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:  # a process of pytest-xdist hands its counts to the one that prints
        output["fault_tally"] = session.config.stash[TALLY]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    tally = node.config.stash[TALLY]
    for what, number in getattr(node, "workeroutput", {}).get("fault_tally", {}).items():
        tally[what] = tally.get(what, 0) + number


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    tally = config.stash[TALLY]
    if tally:
        terminalreporter.section("what the fault suites ran")
    for what, number in sorted(tally.items()):
        terminalreporter.line(f"{number:>9,}  {what}")
