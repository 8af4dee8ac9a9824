"""Asking for a folder to be archived, and following the job."""

from aiohttp import hdrs, web

from cs_archiver.server import render
from cs_archiver.server.keys import JOBS, USER
from cs_archiver.server.parsing import body_of, query_of
from cs_archiver.server.render import total
from cs_archiver.server.schemas import JobsQuery, LogsQuery, NewJob, Query


async def submit(request: web.Request) -> web.Response:
    query_of(request, Query)
    wish = await body_of(request, NewJob)
    job = await request.app[JOBS].submit(wish.folder_path, wish.on_existing, username=request[USER].username)
    return web.json_response(render.submitted_job(job), status=201, headers={hdrs.LOCATION: f"/api/jobs/{job.id}"})


async def page(request: web.Request) -> web.Response:
    query = query_of(request, JobsQuery)
    found = await request.app[JOBS].page(statuses=query.status, limit=query.limit, offset=query.offset)
    headers = {"X-Total-Count": str(found.total)}
    if link := _links(request, query, found.total):
        headers[hdrs.LINK] = link
    return web.json_response([render.job_line(view) for view in found.jobs], headers=headers)


async def one(request: web.Request) -> web.Response:
    query_of(request, Query)
    view = await request.app[JOBS].get(request.match_info["job_id"])
    return web.json_response(render.job_in_full(view))


async def cancel(request: web.Request) -> web.Response:
    query_of(request, Query)
    await request.app[JOBS].cancel(request.match_info["job_id"], username=request[USER].username)
    return web.Response(status=204)


async def retry(request: web.Request) -> web.Response:
    query_of(request, Query)
    job = await request.app[JOBS].retry(request.match_info["job_id"], username=request[USER].username)
    return web.json_response(render.retried_job(job))


async def history(request: web.Request) -> web.Response:
    query_of(request, Query)
    lines = await request.app[JOBS].history(request.match_info["job_id"])
    return web.json_response([render.history_line(line) for line in lines], headers=total(lines))


async def logs(request: web.Request) -> web.Response:
    query = query_of(request, LogsQuery)
    job_id = request.match_info["job_id"]
    lines = await request.app[JOBS].logs(job_id, level=query.level, limit=query.limit)
    return web.json_response([render.log_line(line) for line in lines], headers=total(lines))


async def queue(request: web.Request) -> web.Response:
    query_of(request, Query)
    return web.json_response(render.queue(await request.app[JOBS].queue()))


def _links(request: web.Request, query: JobsQuery, total: int) -> str:
    """The neighbouring pages as RFC 8288 links."""
    offsets = {}
    if query.offset + query.limit < total:
        offsets["next"] = query.offset + query.limit
    if query.offset > 0:
        offsets["prev"] = max(query.offset - query.limit, 0)
    return ", ".join(
        f'<{request.rel_url.update_query(limit=query.limit, offset=offset)}>; rel="{relation}"'
        for relation, offset in offsets.items()
    )
