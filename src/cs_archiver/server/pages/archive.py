"""Asking for folders to be archived: first what that would do, then the jobs."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from aiohttp import web
from pydantic import Field

from cs_archiver.domain.job import Job, OnExisting
from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.server.admitted_still import require_admitted_still, still_admitted
from cs_archiver.server.api.job_wishes import results_of
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.contract.jobs import FolderPath
from cs_archiver.server.keys import FOLDERS, PREVIEWS, SUBMISSIONS
from cs_archiver.server.pages.flash import Level
from cs_archiver.server.pages.frame import go_on, refused, render
from cs_archiver.server.pages.intent import Intended, Intent
from cs_archiver.server.route import Call

_PREVIEWED = 10  # more would keep people waiting: what is known from the last scan must do
_MOST_NAMED = 5

Paths = Annotated[tuple[FolderPath, ...], Field(max_length=200)]


class ArchiveQuery(PageQuery):
    path: FolderPath


class SelectionForm(Form):
    path: Paths = ()


class ArchiveForm(Form):
    path: Annotated[Paths, Field(min_length=1)]
    on_existing: OnExisting = OnExisting.FAIL


async def ask(call: Call[ArchiveQuery, None]) -> web.Response:
    plan = await call.service(PREVIEWS).of(call.query.path, OnExisting.FAIL)
    await require_admitted_still(call.request, call.who)  # it may have ended meanwhile
    return await render(call.request, "archive.html", {"intent": Intent([Intended.of_plan(plan)])})


async def ask_for_several(call: Call[None, SelectionForm]) -> web.Response:
    paths = list(dict.fromkeys(call.body.path))
    if not paths:
        return go_on(call, "/folders", "Select one folder or more, then archive them.", Level.WARNING)
    call.concerns("; ".join(paths))
    return await render(call.request, "archive.html", {"intent": await _intent(call, paths)})


async def archive(call: Call[None, ArchiveForm]) -> web.Response:
    form = call.body
    paths = list(dict.fromkeys(form.path))
    call.concerns("; ".join(paths))
    outcomes = await call.service(SUBMISSIONS).submit_each(
        paths, form.on_existing, still_admitted(call), username=call.user.username
    )
    call.came_out(results_of(paths, outcomes))
    queued = [outcome for outcome in outcomes if isinstance(outcome, Job)]
    refusals = [outcome for outcome in outcomes if not isinstance(outcome, Job)]
    if not queued:
        return await refused(call, refusals[0], "archive.html", {"intent": await _intent(call, paths)})
    return go_on(call, "/queue", *_told(queued, refusals))


async def _intent(call: Call[None, SelectionForm] | Call[None, ArchiveForm], paths: Sequence[str]) -> Intent:
    if len(paths) > _PREVIEWED:
        folders = await call.service(FOLDERS).known(paths)
        return Intent(list(map(Intended.of_folder, folders, await call.service(PREVIEWS).outlines(folders))))

    async def intended(path: str) -> Intended:
        try:
            return Intended.of_plan(await call.service(PREVIEWS).of(path, OnExisting.FAIL))
        except (InvalidRequest, JobError) as error:
            return Intended.refused(path, error)

    intent = Intent(await asyncio.gather(*map(intended, paths)))
    await require_admitted_still(call.request, call.who)
    return intent


def _told(queued: Sequence[Job], refusals: Sequence[InvalidRequest | JobError]) -> tuple[str, Level]:
    names = ", ".join(job.folder_name for job in queued[:_MOST_NAMED])
    more = f" and {len(queued) - _MOST_NAMED} more" if len(queued) > _MOST_NAMED else ""
    done = f"In the queue: {names}{more}."
    if not refusals:
        return done, Level.SUCCESS
    why = " ".join(str(error) for error in refusals[:_MOST_NAMED])
    rest = f" And {len(refusals) - _MOST_NAMED} more." if len(refusals) > _MOST_NAMED else ""
    return f"{done} Refused: {why}{rest}", Level.WARNING
