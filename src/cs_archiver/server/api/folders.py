"""The folders that can be archived, and those that cannot."""

from cs_archiver.server.contract.folders import Folder, FoldersQuery, LeftOutFolder, Scan
from cs_archiver.server.keys import FOLDERS
from cs_archiver.server.paging import whole
from cs_archiver.server.route import Bare, Call, Reply


async def listed(call: Call[FoldersQuery, None]) -> Reply:
    return whole([Folder.of(found) for found in await call.service(FOLDERS).listed(refresh=call.query.refresh)])


async def scan(call: Bare) -> Reply:
    service = call.service(FOLDERS)
    return Reply(Scan.of(service, await service.last_scan()))


async def left_out(call: Bare) -> Reply:
    return whole([LeftOutFolder.of(found) for found in await call.service(FOLDERS).left_out()])
