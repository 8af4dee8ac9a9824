"""docs/security.md names the tests that show each requirement: all of them are there, and no number is missing."""

import ast
import re
from collections import Counter
from functools import cache

import pytest

from cs_archiver.resources import resource

TEXT = (resource("docs") / "security.md").read_text(encoding="utf-8")
TESTS = resource("tests")

# Of OWASP ASVS 5.0.0, levels 1 and 2: how many requirements each chapter has.
IN_CHAPTER = {
    1: 27, 2: 11, 3: 19, 4: 10, 5: 9, 6: 35, 7: 18, 8: 7, 9: 7,
    10: 29, 11: 14, 12: 9, 13: 13, 14: 9, 15: 13, 16: 16, 17: 7,
}  # fmt: skip


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT)))


def test_many_tests_are_named() -> None:
    assert len(NAMED) > 80
    assert len(NAMED) == len(set(re.findall(r"\w+\.py::\w+", TEXT))), "a test is named in another form"


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_test_that_is_named_is_there(file: str, name: str) -> None:
    assert name.startswith("test_")
    assert name in functions_of(file), f"docs/security.md: {file} has no {name}: name the test that shows it now"


def test_each_requirement_has_its_place_once() -> None:
    numbers = Counter(re.findall(r"\bV\d+\.\d+\.\d+\b", TEXT))
    assert [number for number, count in numbers.items() if count > 1] == []
    assert Counter(int(number[1:].partition(".")[0]) for number in numbers) == IN_CHAPTER
