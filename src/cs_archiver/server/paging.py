"""Lists as answers: bare arrays, with how many there are and where the neighbouring pages lie in the headers."""

from collections.abc import Sequence

from aiohttp import hdrs, web

from cs_archiver.server.links import called
from cs_archiver.server.route import Made, Reply

TOTAL_COUNT = "X-Total-Count"


def whole(rows: Sequence[object]) -> Reply:
    """A list that is answered whole."""
    return Reply(rows, {TOTAL_COUNT: str(len(rows))})


def one_page(request: web.Request, rows: Sequence[object] | Made, *, limit: int, offset: int, total: int) -> Reply:
    """The rows from `offset` on of `total`; unless they are all, with RFC 8288 links to other pages."""
    offsets = {}
    last = max(total - 1, 0) // limit * limit
    if offset > 0 or offset + limit < total:
        offsets["first"] = 0
        offsets["last"] = last
    if offset > 0:
        offsets["prev"] = max(min(offset - limit, last), 0)
    if offset + limit < total:
        offsets["next"] = offset + limit
    links = ", ".join(
        f'<{called(request).update_query(limit=limit, offset=start)}>; rel="{relation}"'
        for relation, start in offsets.items()
    )
    return Reply(rows, {TOTAL_COUNT: str(total), **({hdrs.LINK: links} if links else {})})
