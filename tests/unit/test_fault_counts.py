"""The fault suites are run in parts, one after the other: no test is left out, and none is counted twice."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.faults.scale import part_of
from tests.support.tally import LEDGER, added_up


def line(test: str, outcome: str = "passed", failure: str | None = None, **counts: int) -> str:
    entry: dict[str, Any] = {"test": test, "outcome": outcome, "counts": counts, "failure": failure}
    return json.dumps(entry)


def test_the_parts_together_are_all_tests_and_each_is_in_one_of_them() -> None:
    tests = [*range(23)]
    parts = [part_of(f"{number}/5").among(tests) for number in range(1, 6)]
    assert sorted(test for part in parts for test in part) == tests
    assert part_of("").among(tests) == tests


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/0", "3", "1/2/3", "a/b", "-1/5", "1/5 "])
def test_a_part_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it as 3/10"):
        part_of(text)


def test_what_all_tests_counted_is_added_up() -> None:
    found = added_up([line("a", kills=2), line("b", kills=3, lives=1), line("c", "skipped")])
    assert found.totals == {"kills": 5, "lives": 1}
    assert found.outcomes == {"passed": 2, "skipped": 1}
    assert found.failures == {}


def test_of_a_test_that_ran_again_only_the_last_time_counts() -> None:
    found = added_up([line("a", "failed", "lost a byte", kills=1), line("a", kills=2), line("b", "failed", "stuck")])
    assert found.totals == {"kills": 2}
    assert found.failures == {"b": "stuck"}


def test_a_ledger_without_a_name_is_none() -> None:
    """As `make test-faults` hands it on when nobody asked for one."""
    one = f"{__file__}::test_what_all_tests_counted_is_added_up"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", one]
    ended = subprocess.run(command, env={**os.environ, LEDGER: ""}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
