"""Looks for words in text and in paths, the same way everywhere."""

from typing import Any

from sqlalchemy import ColumnElement, Text, cast


def holds(column: ColumnElement[Any], words: str) -> ColumnElement[bool]:
    """Whether the words stand in it as they are, but for the case of ASCII letters; in paths of raw bytes too."""
    literal = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return cast(column, Text).like(f"%{literal}%", escape="\\")
