"""What the pages need beside themselves, from memory."""

from aiohttp import web

from cs_archiver.errors import NotFound
from cs_archiver.server.files import sent
from cs_archiver.server.keys import STATIC_FILES
from cs_archiver.server.route import Call


async def static(call: Call[None, None]) -> web.Response:
    """Below the name of the whole tree, so that modules find each other, and each for ever."""
    tree = call.service(STATIC_FILES)
    name = call.in_path("name")
    version, _, rest = name.partition("/")
    is_lasting = version == tree.version
    file = tree.files.get(rest if is_lasting else name) or tree.files.get(rest)
    if file is None:
        raise NotFound("not-found", "There is nothing at this path.")
    return sent(call.request, file, is_lasting=is_lasting)
