"""Many rows as one, for lists: after each row that SQLite hands over, its thread waits for the interpreter again.

It waits behind every thread that copies or hashes, which made a list of a thousand lines take a tenth of a second
longer while jobs ran. What is rolled is text, whole numbers and NULL; SQLite keeps the order of the query, since it
knows that json_group_array depends on it (its `SF_OrderByReqd`).
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select

from cs_archiver.db.connection import AnyRow


def rolled(query: Any) -> Select[Any]:
    """The rows of this query as one row, for `unrolled`."""
    return select(func.json_group_array(func.json_array(*query.subquery("rows_of_one").c)))


def unrolled(rows: Sequence[AnyRow]) -> list[list[Any]]:
    """What the query had given without `rolled`: each row by position."""
    ((text,),) = rows
    found: list[list[Any]] = json.loads(text)
    return found
