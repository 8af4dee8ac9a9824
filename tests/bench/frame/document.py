"""docs/benchmarks.md: a table of claims at its top, and a section for each benchmark, each replaced by its next run."""

import re
from collections.abc import Iterable, Sequence

from tests.bench.frame.benchmark import Benchmark, Claim

_CLAIMS = "claims"
_HEADS = ("Claim", "Wanted", "Measured", "Ratio", "Command", "Met, or what bounds it")
_COMMAND = _HEADS.index("Command")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def with_section(document: str, benchmark: Benchmark, text: str, order: Sequence[str]) -> str:
    """The document with the section of a benchmark, in place of its former one or where `order`, of names, has it."""
    section = _block(benchmark.name, f"## {benchmark.heading}\n\n{text.strip()}")
    found = _find(document, benchmark.name)
    if found is not None:
        return document[: found.start()] + section + document[found.end() :]
    for name in order[order.index(benchmark.name) + 1 :]:
        later = _find(document, name)
        if later is not None:
            return f"{document[: later.start()]}{section}\n{document[later.start() :]}"
    return f"{document.rstrip()}\n\n{section}"


def with_claims(
    document: str, benchmark: Benchmark, claims: Sequence[Claim], *, full: bool, order: Sequence[str]
) -> str:
    """The document with these claims in its first table, in place of those the benchmark made before.

    Raises ValueError when the document has no place for claims.
    """
    found = _find(document, _CLAIMS)
    if found is None:
        raise ValueError("docs/benchmarks.md has lost the marks around its table of claims")
    kept = [cells for cells in _rows(found[1]) if _name_in(cells) in order and _name_in(cells) != benchmark.name]
    made = [_cells(claim, benchmark.command(full=full)) for claim in claims]
    rows = sorted([*kept, *made], key=lambda cells: order.index(_name_in(cells)))
    return document[: found.start()] + _block(_CLAIMS, table(_HEADS, rows)) + document[found.end() :]


def claims_table(claims: Sequence[Claim], command: str) -> str:
    """For who watches."""
    return table(_HEADS, [_cells(claim, command) for claim in claims])


def _cells(claim: Claim, command: str) -> list[str]:
    outcome = f"**not met**: {claim.bound}" if claim.bound is not None else "met" if claim.wanted else ""
    return [claim.what, claim.wanted, claim.measured, claim.ratio, f"`{command}`", outcome]


def _rows(block: str) -> Iterable[list[str]]:
    for line in block.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def _name_in(cells: Sequence[str]) -> str:
    """Which benchmark made this row: its command says it. Empty for the head."""
    found = re.search(r"ONLY=(\S+)", cells[_COMMAND])
    return found[1] if found else ""


def _block(name: str, text: str) -> str:
    return f"<!-- {name} -->\n{text}\n<!-- end of {name} -->\n"


def _find(document: str, name: str) -> re.Match[str] | None:
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->\n", document, re.DOTALL)
