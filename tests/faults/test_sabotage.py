"""A test that cannot fail proves nothing: break the product, rule by rule, and see the tests that claim the rule fail.

Each variant is a copy of the source in which the line that keeps one rule is broken (sabotages.py). A small selection
of the suites that claim the rule runs against it in a process of its own: each of its tests that can run must fail, in
one of its cases at least, as pytest says of it by name. The same selections pass against the source as it is. A line
that is no longer there as it was means that its sabotage went stale, and fails too.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.sabotages import SABOTAGES, Sabotage
from tests.faults.scale import pick
from tests.support.tally import Count

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

_REPOSITORY = Path(__file__).parents[2]
_BESIDE_THE_SOURCE = ("web", "schema.sql", "config.toml")
_SECONDS = 240
TRIED = SABOTAGES[:: pick(3, 1)]


@pytest.mark.parametrize("sabotage", TRIED, ids=[sabotage.rule for sabotage in TRIED])
def test_the_product_is_broken_and_its_tests_say_so_where(sabotage: Sabotage, root: Path, count: Count) -> None:
    source = copy_of_source(root)
    break_rule(source / "cs_archiver" / sabotage.file, sabotage)
    code, printed = run(source, root, sabotage.claimed_by)
    assert code == 1, printed
    failed = re.findall(r"^FAILED (\S+?::\w+)", printed, re.MULTILINE)
    assert failed, printed
    claims = {claim.split("[")[0] for claim in sabotage.claimed_by}
    assert set(failed) <= claims, printed
    assert set(failed) == claims or "skipped" in printed.splitlines()[-1], f"not all see the rule broken: {printed}"
    count("sabotaged variants caught")


def test_no_sabotage_is_stale(root: Path) -> None:
    source = copy_of_source(root)
    for sabotage in SABOTAGES:
        path = source / "cs_archiver" / sabotage.file
        before = path.read_text()
        break_rule(path, sabotage)
        path.write_text(before)


def test_the_same_tests_pass_when_nothing_is_broken(root: Path) -> None:
    claims = sorted({claim for sabotage in TRIED for claim in sabotage.claimed_by})
    code, printed = run(copy_of_source(root), root, claims)
    assert code == 0, printed


def copy_of_source(root: Path) -> Path:
    shutil.copytree(_REPOSITORY / "src", root / "src")  # with what is compiled: a file that is broken is newer
    for name in _BESIDE_THE_SOURCE:
        (root / name).symlink_to(_REPOSITORY / name)
    return root / "src"


def break_rule(path: Path, sabotage: Sabotage) -> None:
    text = path.read_text()
    for before, after in sabotage.edits:
        assert text.count(before) == 1, f"this sabotage went stale, {sabotage.file} has changed: {before!r}"
        text = text.replace(before, after)
    path.write_text(text)


def run(source: Path, root: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Exit code and output of pytest over these tests, with this source in the place of the installed one."""
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rf",
        "--tb=line",
        "--show-capture=no",
        "-p",
        "no:cacheprovider",
    ]
    environment = {**os.environ, "PYTHONPATH": f"{source}:{_REPOSITORY}", "PYTHONDONTWRITEBYTECODE": "1"}
    options = [f"--basetemp={root / 'temporary'}", "-p", "no:xdist"]
    done = subprocess.run(
        [*argv, *options, *tests],
        cwd=_REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
