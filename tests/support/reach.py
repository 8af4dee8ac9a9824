"""What each route could be refused for, going by the functions that ran for it: more than a test makes happen."""

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

from cs_archiver.server.problem_names import PROBLEMS
from cs_archiver.server.route import Route

_PRODUCT = "cs_archiver"
_OF_EVERY_ROUTE = tuple(
    f"{_PRODUCT}.server.{name}"
    for name in ("auth", "csrf", "live", "middleware", "openapi", "pages", "parsing", "problem_names", "problems")
)
"""What stands before each handler, and what is there for people. By `problems_of` and other tests that is covered."""


class Reach:
    """Notes each function of the product that runs, in any thread, while a route is called; one call at a time."""

    def __init__(self) -> None:
        self.problems: dict[Route, dict[str, str]] = {}
        self._ran: dict[CodeType, dict[str, Any]] = {}

    @classmethod
    @contextmanager
    def watching(cls) -> "Iterator[Reach]":
        """Only threads that are begun inside are seen, besides the present one."""
        reach = cls()
        threading.setprofile(reach._note)
        sys.setprofile(reach._note)
        try:
            yield reach
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    @contextmanager
    def of(self, route: Route) -> Iterator[None]:
        """What runs inside is done for this route."""
        self._ran.clear()
        yield
        found = self.problems.setdefault(route, {})
        seen: set[CodeType] = set()
        for code, names in list(self._ran.items()):
            for problem, where in _named_in(code, names, seen):
                found.setdefault(problem, where)

    def _note(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_globals.get("__name__", "").startswith(f"{_PRODUCT}."):
            self._ran[frame.f_code] = frame.f_globals


def _named_in(code: CodeType, names: dict[str, Any], seen: set[CodeType]) -> Iterator[tuple[str, str]]:
    """Each name of a problem in a function, and in those it names itself, whether or not it called them this time."""
    module = names["__name__"]
    if code in seen or module.startswith(_OF_EVERY_ROUTE):
        return
    seen.add(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _named_in(constant, names, seen)
        elif isinstance(constant, str) and constant in _NAMES:
            yield constant, f"{module}.{code.co_qualname}"
    for name in code.co_names:
        named = names.get(name)
        if isinstance(named, FunctionType) and named.__module__.startswith(f"{_PRODUCT}."):
            yield from _named_in(named.__code__, named.__globals__, seen)


def _names() -> set[str]:
    """Also those that no client should ever meet."""
    spec = find_spec(_PRODUCT)
    assert spec is not None
    assert spec.origin is not None
    sources = Path(spec.origin).parent.rglob("*.py")
    return {*PROBLEMS, *(name for path in sources for name in re.findall(r'problem="([a-z-]+)"', path.read_text()))}


_NAMES = _names()
