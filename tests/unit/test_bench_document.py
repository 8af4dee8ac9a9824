"""docs/benchmarks.md keeps the sections and the claims of other benchmarks when one of them is run anew."""

from pathlib import Path

import pytest

from tests.bench.frame.benchmark import Benchmark, Claim, Findings, Order
from tests.bench.frame.document import with_claims, with_section
from tests.bench.frame.rounds import in_turns, ratio
from tests.bench.registry import BENCHMARKS

_ORDER = ["first", "second", "third"]
_EMPTY = "# Benchmarks\n\n<!-- claims -->\n<!-- end of claims -->\n"
_DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"


async def _nothing(_order: Order) -> Findings:
    return Findings([], "")


def _benchmark(name: str) -> Benchmark:
    return Benchmark(name, f"The {name}", _nothing)


def _with_sections(*names: str) -> str:
    document = _EMPTY
    for name in names:
        document = with_section(document, _benchmark(name), f"Text of {name}.", _ORDER)
    return document


def test_a_section_takes_the_place_of_its_former_one() -> None:
    document = _with_sections("first", "second", "third")

    again = with_section(document, _benchmark("second"), "Another text.", _ORDER)

    assert again == document.replace("Text of second.", "Another text.")


def test_a_new_section_stands_where_the_order_has_it() -> None:
    assert _with_sections("third", "first", "second").split() == _with_sections("first", "second", "third").split()


def _claim(what: str, bound: str | None = None) -> Claim:
    return Claim(what, "< 1", "0.5", "0.5", bound)


def test_claims_of_other_benchmarks_stay_and_all_stand_in_order() -> None:
    document = with_claims(_EMPTY, _benchmark("second"), [_claim("two", "the disk")], full=True, order=_ORDER)
    document = with_claims(document, _benchmark("first"), [_claim("old one")], full=True, order=_ORDER)

    document = with_claims(document, _benchmark("first"), [_claim("one"), _claim("more")], full=False, order=_ORDER)

    rows = [line for line in document.splitlines() if line.startswith("| ")][1:]
    assert rows == [
        "| one | < 1 | 0.5 | 0.5 | `make bench ONLY=first WRITE=1` | met |",
        "| more | < 1 | 0.5 | 0.5 | `make bench ONLY=first WRITE=1` | met |",
        "| two | < 1 | 0.5 | 0.5 | `make bench ONLY=second FULL=1 WRITE=1` | **not met**: the disk |",
    ]


def test_what_nobody_set_a_limit_for_is_not_called_met() -> None:
    told = Claim("one", "", "0.5", "", None)

    document = with_claims(_EMPTY, _benchmark("first"), [told], full=False, order=_ORDER)

    assert "| one |  | 0.5 |  | `make bench ONLY=first WRITE=1` |  |" in document


def test_claims_of_a_benchmark_that_is_gone_go() -> None:
    document = with_claims(_EMPTY, _benchmark("second"), [_claim("two")], full=True, order=_ORDER)

    document = with_claims(document, _benchmark("first"), [_claim("one")], full=True, order=["first"])

    assert "two" not in document


def test_a_document_without_a_place_for_claims_is_refused() -> None:
    with pytest.raises(ValueError, match="claims"):
        with_claims("# Benchmarks\n", _benchmark("first"), [], full=True, order=_ORDER)


async def test_sides_run_in_turns_and_none_is_always_first() -> None:
    ran: list[str] = []

    async def run(name: str) -> int:
        ran.append(name)
        return len(ran)

    found = await in_turns(3, {name: lambda name=name: run(name) for name in "abc"})  # type: ignore[misc]

    assert "".join(ran) == "abcbcacab"
    assert found == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    found = ratio([1.0, 30.0, 2.0], [1.0, 10.0, 1.0])

    assert (found.middle, found.least, found.most) == (2.0, 1.0, 3.0)


def test_the_document_has_the_marks_of_its_claims_and_of_nothing_that_is_gone() -> None:
    text = _DOCUMENT.read_text("utf-8")
    names = {benchmark.name for benchmark in BENCHMARKS}

    marked = {line.split()[1] for line in text.splitlines() if line.startswith("<!-- ") and "end of" not in line}

    assert len(names) == len(BENCHMARKS)
    assert "claims" in marked
    assert marked - {"claims"} <= names
