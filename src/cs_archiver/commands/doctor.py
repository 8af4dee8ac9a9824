"""`cs-archiver doctor`: every check of the installation, as a table for people or as JSON."""

import json
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from cs_archiver import app
from cs_archiver.commands.common import EXIT_FAILED, config_option, read_settings, run
from cs_archiver.domain.checks import Checked, Verdict, all_is_well
from cs_archiver.domain.text import printable

_WORDS = {
    Verdict.OK: "ok",
    Verdict.WARNING: "warning",
    Verdict.FAILED: "FAILED",
    Verdict.UNKNOWN: "NOT CHECKED",
}
_LEFT_COLUMNS = 36


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
def doctor(config_file: Path | None, *, as_json: bool) -> None:
    """Check tools, folders, space, database, clock and Globus; also while the service runs.

    Run it as the user of the service. The exit code is 0 unless a check failed or could not be made.
    """
    checks = run(app.checked_on_host(read_settings(config_file)))
    click.echo(_document(checks) if as_json else _table(checks))
    if not all_is_well(checks):
        sys.exit(EXIT_FAILED)


def _document(checks: Sequence[Checked]) -> str:
    rows = [
        {"name": check.name, "title": check.title, **check.finding._asdict(), "checked_at": check.checked_at}
        for check in checks
    ]
    return json.dumps({"all_is_well": all_is_well(checks), "checks": rows}, indent=2)


def _table(checks: Sequence[Checked]) -> str:
    counts = Counter(check.finding.verdict for check in checks)
    told = ", ".join(f"{counts[verdict]} {word.lower()}" for verdict, word in _WORDS.items() if counts[verdict])
    return "\n".join([*(_row(check) for check in checks), f"{len(checks)} checks: {told}."])


def _row(check: Checked) -> str:
    verdict, found, advice = check.finding
    width = max(shutil.get_terminal_size((120, 24)).columns - _LEFT_COLUMNS, 40)
    lines = textwrap.wrap(printable(found), width, break_on_hyphens=False)
    lines += textwrap.wrap(printable(advice), width, initial_indent="-> ", subsequent_indent="   ")
    indented = f"\n{' ' * _LEFT_COLUMNS}".join(lines)
    return f"{_WORDS[verdict]:<13}{check.title:<{_LEFT_COLUMNS - 13}}{indented}"
