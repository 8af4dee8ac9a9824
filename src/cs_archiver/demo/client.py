"""A plain client of the HTTP API, written from the documentation alone; shares no code with the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import aiohttp

_PAGE_LENGTH = 100
_TIMEOUT_SECONDS = 60


class ApiError(Exception):
    """The server refused; the message is the title and detail of its problem document."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that can be archived; `path` is absolute."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job as the list shows it."""

    job_id: str
    status: str
    current_operation: str

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status in {"completed", "failed", "cancelled"}


@dataclass(frozen=True, slots=True)
class Job:
    """A job in full; sizes and seconds are None until known."""

    job_id: str
    status: str
    source_path: str
    globus_path: str
    folder_size_bytes: int | None
    archive_size_bytes: int | None
    seconds: float | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a worker is doing; None where it is not known."""

    job_id: str
    step: str
    step_percent: float | None
    bytes_done: int | None
    bytes_total: int | None
    rate_bytes_per_second: float | None


@dataclass(frozen=True, slots=True)
class Workers:
    """What the two workers have in hand; None for an idle one."""

    copy_compress: Progress | None
    upload: Progress | None


class Api:
    """The calls a hands-off run needs. All raise ApiError for a refusal, aiohttp.ClientError if nobody answers."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._headers: dict[str, str] = {}

    async def sign_in(self, username: str, password: str) -> None:
        """Sign in; every later call is made as this user."""
        answer = await self._call("POST", "/api/auth/login", json={"username": username, "password": password})
        self._headers = {"Authorization": f"Bearer {answer['access_token']}"}

    async def folders(self) -> list[Folder]:
        """Scan the share anew and list what can be archived."""
        answer = await self._call("GET", "/api/folders", params={"refresh": "true"})
        return [Folder(entry["path"], entry["size_bytes"]) for entry in answer]

    async def submit(self, folder_path: str) -> str:
        """Ask for a folder to be archived; returns the job's id."""
        answer = await self._call("POST", "/api/jobs", json={"folder_path": folder_path})
        return str(answer["job_id"])

    async def jobs(self) -> list[JobLine]:
        """Every job in the list, page by page."""
        lines: list[JobLine] = []
        while True:
            params = {"sort": "created_at", "limit": _PAGE_LENGTH, "offset": len(lines)}  # so that none comes twice
            page = await self._call("GET", "/api/jobs", params=params)
            lines += [JobLine(job["job_id"], job["status"], job["current_operation"] or "") for job in page]
            if len(page) < _PAGE_LENGTH:
                return lines

    async def job(self, job_id: str) -> Job:
        """One job in full."""
        answer = await self._call("GET", f"/api/jobs/{job_id}")
        return Job(
            job_id=job_id,
            status=answer["status"],
            source_path=answer["source_path"],
            globus_path=answer["globus_destination_path"],
            folder_size_bytes=answer["folder_size_bytes"],
            archive_size_bytes=answer["archive_size_bytes"],
            seconds=_seconds_between(answer["started_at"], answer["completed_at"]),
            error_message=answer["error_message"],
        )

    async def workers(self) -> Workers:
        """What is going on right now."""
        answer = await self._call("GET", "/api/queue")
        return Workers(_progress(answer["current_copy_compress_job"]), _progress(answer["current_upload_job"]))

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        async with self._session.request(method, path, headers=self._headers, **options) as response:
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise ApiError(await _problem(response))
            return await response.json()


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Api]:
    """A client of the server at `base_url`, closed at the end."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(base_url, timeout=timeout) as session:
        yield Api(session)


async def _problem(response: aiohttp.ClientResponse) -> str:
    if response.content_type != "application/problem+json":
        return f"{response.method} {response.url.path} answered {response.status} {response.reason}"
    document = await response.json(content_type=None)
    parts = [str(document[key]) for key in ("title", "detail") if document.get(key)]
    return ": ".join(parts) or f"{response.status} {response.reason}"


def _progress(entry: dict[str, Any] | None) -> Progress | None:
    if entry is None:
        return None
    return Progress(
        job_id=entry["job_id"],
        step=entry["step"],
        step_percent=entry["step_percent"],
        bytes_done=entry["bytes_done"],
        bytes_total=entry["bytes_total"],
        rate_bytes_per_second=entry["rate_bytes_per_second"],
    )


def _seconds_between(start: str | None, end: str | None) -> float | None:
    if start is None or end is None:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
