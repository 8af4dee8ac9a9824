"""The folders that can be archived, and those that cannot."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from cs_archiver.domain import folders
from cs_archiver.domain.access import Scope
from cs_archiver.server.admitted_still import require_admitted_still
from cs_archiver.server.auth import may_use, require_scope
from cs_archiver.server.contract.folders import Folder, FoldersQuery, LeftOutFolder, Scan
from cs_archiver.server.csrf import FORM_TOKEN, require_own_page
from cs_archiver.server.files import File, file_of, sent_unless_known
from cs_archiver.server.keys import ACCOUNTS, FOLDER_LISTS, FOLDERS
from cs_archiver.server.paging import TOTAL_COUNT
from cs_archiver.server.route import JSON, Bare, Call, Reply
from cs_archiver.server.turns import made_of

_Read = Callable[[], Awaitable[Sequence[folders.Folder]]]


async def listed(call: Call[FoldersQuery, None]) -> web.Response:
    service, refresh = call.service(FOLDERS), call.query.refresh
    if refresh:
        require_scope(call.caller, Scope.OPERATE)
        if call.is_by_cookie:  # it begins work on the NAS, which no link of another site may do
            form_token = call.service(ACCOUNTS).form_token(call.caller.credential)
            require_own_page(call.request, shown=call.request.headers.get(FORM_TOKEN, ""), expected=form_token)
    if may_use(call.caller, Scope.OPERATE):  # who may only read begins no work on the NAS, also not the first scan
        await service.scan(refresh=bool(refresh), in_full=refresh == "full")
        await require_admitted_still(call.request, call.who)  # a scan may last longer than a session
    return await _list(call, service.listed, Folder)


async def scan(call: Bare) -> Reply:
    service = call.service(FOLDERS)
    return Reply(Scan.of(service, await service.last_scan()))


async def stop_scan(call: Bare) -> Reply:
    call.service(FOLDERS).stop_scan()
    return Reply()


async def left_out(call: Bare) -> web.Response:
    return await _list(call, call.service(FOLDERS).left_out, LeftOutFolder)


async def _list(call: Call[Any, None], read: _Read, line: type[Folder | LeftOutFolder]) -> web.Response:
    """The list as it stands, which is put into JSON once for each version of it."""
    version = await call.service(FOLDERS).version()
    file, total = await call.service(FOLDER_LISTS).of(version, line, partial(_file_of, read, line))
    return sent_unless_known(call.request, file, {TOTAL_COUNT: str(total)})


async def _file_of(read: _Read, line: type[Folder | LeftOutFolder]) -> tuple[File, int]:
    lines: list[Any] = await made_of(await read(), line.of)
    return file_of(TypeAdapter(list[line]).dump_json(lines), JSON), len(lines)  # type: ignore[valid-type]
