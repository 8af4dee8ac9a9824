"""For monitors: whether the service can work, and its figures."""

from aiohttp import hdrs, web

from cs_archiver.server.auth import may_see_details
from cs_archiver.server.contract.monitoring import CheckLine, Ready
from cs_archiver.server.keys import METRICS, READINESS
from cs_archiver.server.problems import NotReady
from cs_archiver.server.route import Bare, Reply


async def ready(call: Bare) -> Reply:
    checks = await call.service(READINESS).checks()
    with_details = await may_see_details(call.request)
    lines = [CheckLine.of(check, with_details=with_details) for check in checks]
    troubles = [check.name for check in checks if check.is_trouble]
    if troubles:
        detail = f"The service cannot do its work: {', '.join(troubles)}."
        raise NotReady("not-ready", detail, checks=[line.model_dump() for line in lines])
    return Reply(Ready(status="ready", checks=lines))


async def metrics(call: Bare) -> web.Response:
    content, media_type = await call.service(METRICS).exposition(call.request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=content, headers={hdrs.CONTENT_TYPE: media_type})
