"""The `filter` of lists: clauses that must all match, one of the values of each suffices."""

import fnmatch
import re
from collections.abc import Callable, Iterable

from cs_archiver.sandbox.replies import Json, bad_request

TASK_KEYS = ("status", "type", "label", "task_id")
TASK_ORDER = (*TASK_KEYS, "request_time", "completion_time", "deadline", "faults", "bytes_transferred")
FILE_KEYS = ("name", "type", "size", "last_modified", "permissions", "user", "group")
# A value may hold a slash itself: only one that is followed by a key divides clauses.
_DIVIDER = re.compile(r"/(?=[a-z_]+:)")


def row_filter(texts: Iterable[str], keys: tuple[str, ...]) -> Callable[[Json], bool]:
    """A test for rows from `key:a,!b,~c*/key:d` texts; raises Refusal 400 for a key not among `keys`."""
    clauses = [_clause(part, keys) for text in texts for part in _DIVIDER.split(text) if part]

    def matches(row: Json) -> bool:
        return all(any(_matches(str(row[key] or ""), value) for value in values) for key, values in clauses)

    return matches


def ordered(rows: list[Json], orderby: str, keys: tuple[str, ...]) -> list[Json]:
    """Rows sorted by `key`, `key DESC` or a comma list of these; raises Refusal 400 for an unknown key."""
    for clause in reversed([part.split() for part in orderby.split(",") if part.strip()]):
        key, direction = clause[0], clause[1].upper() if len(clause) > 1 else "ASC"
        if direction not in {"ASC", "DESC"} or key not in keys:
            raise bad_request(f"Invalid orderby '{' '.join(clause)}'")
        rows = sorted(rows, key=lambda row: _sortable(row[key]), reverse=direction == "DESC")
    return rows


def _clause(part: str, keys: tuple[str, ...]) -> tuple[str, list[str]]:
    key, separator, values = part.partition(":")
    if not separator or key not in keys:
        raise bad_request(f"Unsupported filter '{part}'; it can be {', '.join(keys)}")
    return key, values.split(",")


def _matches(actual: str, wanted: str) -> bool:
    is_negated = wanted.startswith("!")
    wanted = wanted.removeprefix("!")
    if wanted.startswith("~"):
        return fnmatch.fnmatchcase(actual, wanted[1:]) is not is_negated
    return (actual == wanted.removeprefix("=")) is not is_negated


def _sortable(value: object) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return 1, value, ""
    return (0, 0, "") if value is None else (2, 0, str(value))
