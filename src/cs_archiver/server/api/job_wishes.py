"""Several folders asked for at once, and what archiving one would do."""

from collections.abc import Sequence

from aiohttp import web

from cs_archiver.domain.job import Job
from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.server.admitted_still import require_admitted_still, still_admitted
from cs_archiver.server.contract.base import Query
from cs_archiver.server.contract.job_bulk import FolderOutcome, NewJobs
from cs_archiver.server.contract.job_preview import Plan
from cs_archiver.server.contract.jobs import NewJob, SubmittedJob
from cs_archiver.server.keys import PREVIEWS, SUBMISSIONS
from cs_archiver.server.paging import whole
from cs_archiver.server.problems import NotReady, Problem, document_of
from cs_archiver.server.route import Call, Reply


async def bulk(call: Call[Query, NewJobs]) -> Reply:
    wish = call.body
    call.concerns("; ".join(wish.folder_paths))
    outcomes = await call.service(SUBMISSIONS).submit_each(
        wish.folder_paths, wish.on_existing, still_admitted(call), username=call.user.username
    )
    call.came_out(results_of(wish.folder_paths, outcomes))
    return whole(
        [_outcome(call.request, path, outcome) for path, outcome in zip(wish.folder_paths, outcomes, strict=True)]
    )


async def preview(call: Call[Query, NewJob]) -> Reply:
    wish = call.body
    call.concerns(wish.folder_path)
    plan = await call.service(PREVIEWS).of(wish.folder_path, wish.on_existing)
    await require_admitted_still(call.request, call.who)  # it may have ended meanwhile
    return Reply(Plan.of(plan))


def results_of(paths: Sequence[str], outcomes: Sequence[Job | InvalidRequest | JobError]) -> list[tuple[str, str]]:
    """Each folder with what the audit trail says came of it."""
    results = ("ok" if isinstance(outcome, Job) else outcome.problem for outcome in outcomes)
    return list(zip(paths, results, strict=True))


def _outcome(request: web.Request, path: str, outcome: Job | InvalidRequest | JobError) -> FolderOutcome:
    if isinstance(outcome, Job):
        return FolderOutcome(folder_path=path, status=201, job=SubmittedJob.of(outcome), problem=None)
    error = NotReady(outcome.problem, str(outcome)) if isinstance(outcome, JobError) else outcome
    refusal = Problem.model_validate(document_of(request, error))
    return FolderOutcome(folder_path=path, status=error.status, job=None, problem=refusal)
