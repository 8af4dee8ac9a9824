"""What can be asked of the service: every GET route of its table, in several forms; those read often are measured."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import hdrs

from cs_archiver.server.routes import ROUTES
from tests.bench.load.seed import Seeded

_NOT_ANSWERED = {"/ws/jobs"}  # measured by itself: how long news takes to reach its clients
_MANY_LINES = "many lines"
_JSON = "application/json"

# Beside the bare address, which every route has but those of _ALWAYS.
_FORMS: dict[str, tuple[str, ...]] = {
    "/api/jobs": (
        "?status=failed&status=cancelled&sort=-completed_at", "?q=003&limit=100", "?created_by=person007",
        "?sort=folder_name&offset={deep}", "?sort=-size&limit=1000",
    ),
    "/api/jobs/{job_id}/logs": ("?level=WARNING", "?since=2025-12-31T00:00:00Z&limit=100"),
    "/api/jobs/{job_id}/files": ("?q=take&offset=1000",),
    "/api/audit": ("?user=person007", "?action=jobs_submit&offset={deep}"),
    "/history": ("?status=failed", "?q=003", "?sort=-size&page=400", "?by=person007"),
    "/jobs/{job_id}": ("?words=copied",),
    "/folders": ("?q=Take&sort=-size",),
    "/admin/audit": ("?user=person007",),
}  # fmt: skip
_ALWAYS = {
    "/folders/archive": ("?path={folder}",),
    "/history/export.csv": ("?since=2025-12-30&until=2025-12-31",),
}
_STATUS = {"/": 303, "/settings/tokens/created": 303}


@dataclass(frozen=True, slots=True)
class Asker:
    """One of the hundred: who it is, and the session it shows."""

    user_id: int
    token: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One line of the table: `of` gives the address for the asker of this number."""

    name: str
    status: int
    of: Callable[[int, Asker], str]
    accept: str

    @property
    def is_read_often(self) -> bool:
        """The API, and the pages that people leave open."""
        return self.name.startswith("/api/") or self.name in {"/folders", "/queue", "/history", "/jobs/{job_id}"}

    def request(self, number: int, asker: Asker) -> bytes:
        headers = {
            hdrs.HOST: "127.0.0.1",
            hdrs.AUTHORIZATION: f"Bearer {asker.token}",
            hdrs.ACCEPT: self.accept,
        }
        if self.accept != _JSON:
            headers[hdrs.ACCEPT_ENCODING] = "gzip"  # as browsers do, and scripts do not
        lines = [f"GET {self.of(number, asker)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode()


def asks(seeded: Seeded, *, folders: list[str], deep: int) -> Iterator[Ask]:
    """`folders` can be archived; `deep` is an offset near the end of the jobs."""
    for route in ROUTES:
        if route.method != hdrs.METH_GET or route.path in _NOT_ANSWERED:
            continue
        accept = _JSON if route.path.startswith("/api/") else "text/html,*/*;q=0.1"
        status = _STATUS.get(route.path, route.status)
        for form in _ALWAYS.get(route.path, ("", *_FORMS.get(route.path, ()))):
            address = _address(route.path, form, seeded, folders, deep)
            yield Ask(route.path + form.replace("{deep}", str(deep)), status, address, accept)
        if route.path in {"/api/jobs/{job_id}/logs", "/jobs/{job_id}"}:
            yield Ask(f"{route.path} ({_MANY_LINES})", status, _of_job(route.path, seeded.many_lines), accept)


def _of_job(path: str, job_ids: list[str]) -> Callable[[int, Asker], str]:
    return lambda number, _asker: path.replace("{job_id}", job_ids[number % len(job_ids)])


def _address(path: str, form: str, seeded: Seeded, folders: list[str], deep: int) -> Callable[[int, Asker], str]:
    job_ids = [seeded.many_files] if path.endswith("/files") else seeded.few_lines

    def address(number: int, asker: Asker) -> str:
        values = {
            "job_id": job_ids[number % len(job_ids)],
            "user_id": str(asker.user_id % len(seeded.users) + 2),  # somebody else's
            "token_id": str(asker.user_id),
            "name:.+": "app.css",
            "folder": quote(folders[number % len(folders)]),
            "deep": str(deep),
        }
        return re.sub(r"\{([^}]+)\}", lambda found: values[found[1]], path + form)

    return address
