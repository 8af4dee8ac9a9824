"""Around every handler: a request id, and errors as problem documents, or as pages for people."""

import logging
import re
import uuid
from collections.abc import Mapping

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.logs.context import about
from cs_archiver.server.headers import REQUEST_ID_HEADER
from cs_archiver.server.keys import REQUEST_ID
from cs_archiver.server.masking import masked
from cs_archiver.server.pages.refusal import refusal
from cs_archiver.server.problems import NotReady, NotUnderstood, OurFault, Refused

_JOB_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

_log = logging.getLogger(__name__)


@web.middleware
async def request_ids(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give each request an id, or keep the one a proxy gave it; every line of the log that it causes bears it."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    request[REQUEST_ID] = given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else new_request_id()
    with about(request=request[REQUEST_ID], job=job_id_in(request.match_info)):
        return await handler(request)


def new_request_id() -> str:
    return uuid.uuid4().hex


def job_id_in(match_info: Mapping[str, str]) -> str:
    """The job whose address was called; empty for none, and for what no job can be called."""
    given = match_info.get("job_id", "").lower()
    return given if re.fullmatch(_JOB_ID, given) else ""


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error becomes an answer; one that nobody foresaw is logged and its text kept here."""
    try:
        return await handler(request)
    except InvalidRequest as error:
        return await refusal(request, error)
    except JobError as error:
        return await refusal(request, NotReady(error.problem, str(error)))
    except web.HTTPException as error:
        return await refusal(request, Refused(error.status, _words_for(error)), headers=_kept_headers(error))
    except web.RequestPayloadError as error:
        return await refusal(request, NotUnderstood("malformed-body", f"The body cannot be read: {error}"))
    except Exception:  # noqa: BLE001  the last stop: the client gets an answer, the log the reason
        _log.exception("failed: %s %s", request.method, masked(request.rel_url.raw_path))
        detail = "The server failed at this; its log says why under the request id."
        return await refusal(request, OurFault("internal-error", detail))


def _words_for(error: web.HTTPException) -> str:
    match error:
        case web.HTTPMethodNotAllowed():
            return f"This path understands {', '.join(sorted(error.allowed_methods))}."
        case web.HTTPNotFound():
            return "There is nothing at this path."
        case _:
            return error.text or error.reason


def _kept_headers(error: web.HTTPException) -> dict[str, str]:
    allow = error.headers.get(hdrs.ALLOW)
    return {} if allow is None else {hdrs.ALLOW: allow}
