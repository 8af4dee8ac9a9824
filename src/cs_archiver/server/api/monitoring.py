"""For monitors: whether the service can work, and its figures."""

from aiohttp import hdrs, web

from cs_archiver.server.auth import may_see_details
from cs_archiver.server.contract.monitoring import CheckLine, Ready
from cs_archiver.server.keys import METRICS, READINESS
from cs_archiver.server.problems import NotReady
from cs_archiver.server.route import Bare, Call, Reply
from cs_archiver.services.readiness import Verdict


async def ready(call: Bare) -> Reply:
    checks = await call.service(READINESS).checks()
    with_details = await may_see_details(call.request)
    lines = [CheckLine.of(check, with_detail=with_details) for check in checks]
    failing = [check.name for check in checks if check.verdict is Verdict.FAILING]
    if failing:
        detail = f"The service cannot do its work: {', '.join(failing)}."
        raise NotReady("not-ready", detail, checks=[line.model_dump() for line in lines])
    return Reply(Ready(status="ready", checks=lines))


async def metrics(call: Call[None, None]) -> web.Response:
    content, media_type = await call.service(METRICS).exposition(call.request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=content, headers={hdrs.CONTENT_TYPE: media_type})
