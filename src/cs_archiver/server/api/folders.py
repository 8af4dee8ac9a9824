"""The folders that can be archived, and those that cannot."""

from cs_archiver.server.contract.folders import Folder, FoldersQuery, LeftOutFolder, Scan
from cs_archiver.server.keys import FOLDERS
from cs_archiver.server.paging import whole
from cs_archiver.server.route import Bare, Call, Reply


async def listed(call: Call[FoldersQuery, None]) -> Reply:
    refresh = call.query.refresh
    listed = await call.service(FOLDERS).listed(refresh=bool(refresh), in_full=refresh == "full")
    return whole([Folder.of(found) for found in listed])


async def scan(call: Bare) -> Reply:
    service = call.service(FOLDERS)
    return Reply(Scan.of(service, await service.last_scan(), await service.measured_since()))


async def stop_scan(call: Bare) -> Reply:
    call.service(FOLDERS).stop_scan()
    return Reply()


async def left_out(call: Bare) -> Reply:
    return whole([LeftOutFolder.of(found) for found in await call.service(FOLDERS).left_out()])
