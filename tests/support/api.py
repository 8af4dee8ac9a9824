"""The real web application over a real database and a small tree of folders, with a client for it."""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, DummyCookieJar
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from argon2 import PasswordHasher
from pydantic import TypeAdapter
from yarl import URL

from cs_archiver.bus import Bus
from cs_archiver.db.accounts import Accounts
from cs_archiver.db.audit import Audit
from cs_archiver.db.database import Database
from cs_archiver.db.folders import Folders
from cs_archiver.db.queue import Queue
from cs_archiver.db.second_factors import SecondFactors
from cs_archiver.db.switches import Switches
from cs_archiver.db.tokens import Tokens
from cs_archiver.db.users import Users
from cs_archiver.domain.access import Scope
from cs_archiver.domain.checks import Checked
from cs_archiver.domain.folders import Patterns
from cs_archiver.domain.job import Job
from cs_archiver.domain.notices import Kind
from cs_archiver.errors import ConnectionTrouble
from cs_archiver.sections import access, operation, places
from cs_archiver.server.application import Services, build
from cs_archiver.server.listening import Runner
from cs_archiver.server.live_hub import Limits, Live
from cs_archiver.server.problem_names import PROBLEMS, problems_of
from cs_archiver.server.problems import Problem
from cs_archiver.server.route import JSON, Route
from cs_archiver.server.routes import ROUTES
from cs_archiver.services.accounts import AccountService, Origin
from cs_archiver.services.audit import AuditService
from cs_archiver.services.checks import Checks
from cs_archiver.services.ended_jobs import EndedJobs
from cs_archiver.services.folders import FolderService
from cs_archiver.services.job_records import JobRecords
from cs_archiver.services.job_waits import JobWaits
from cs_archiver.services.jobs import JobService
from cs_archiver.services.markers import Markers
from cs_archiver.services.metrics import Elsewhere, Metrics
from cs_archiver.services.notify.notifications import Notifications
from cs_archiver.services.notify.notifier import Notifier
from cs_archiver.services.notify.state import StateFile
from cs_archiver.services.notify.texts import Texts
from cs_archiver.services.passwords import HashCost, Passwords
from cs_archiver.services.preview import Previews, PreviewSettings
from cs_archiver.services.readiness import Readiness, quick_looks
from cs_archiver.services.second_factor import SecondFactorService
from cs_archiver.services.signing import Signer
from cs_archiver.services.status import StatusService
from cs_archiver.services.submissions import Submissions
from cs_archiver.services.switches import SwitchService
from cs_archiver.services.tokens import TokenService
from cs_archiver.services.users import UserService
from cs_archiver.settings import Settings
from cs_archiver.tools.discovery import Discovery
from cs_archiver.tools.globus_threads import Tally
from tests.support.reach import Reach

CHEAP = HashCost(time=1, memory_kib=8, parallelism=1)
SECRET = "a signing key for tests, 32 bytes or more"
PASSWORD = "correct horse battery"
LIFETIME = timedelta(hours=24)
BASE_PATH = "/Archive"
ROOMY = Limits(per_user=200, in_all=1000)

ANY_PATH = {"not-found", "method-not-allowed", "malformed-request", "expectation-failed", "internal-error"}
"""Problems that the table does not name: a path or a method that is not there, no valid HTTP, and a defect of ours."""

FOR_MONITORS = {"GET /metrics"}
"""All that the addresses of monitors may call without signing in: opening another is a decision and not a slip."""

IN_PATH: dict[str, Callable[[], str]] = {
    "job_id": lambda: str(uuid.uuid4()),
    "name": lambda: "docs.css",
    "switch": lambda: "everything",
    "user_id": lambda: "999999",
    "token_id": lambda: "999999",
    "session_id": lambda: uuid.uuid4().hex,
}
"""What stands for a parameter of the path when any sound value will do, and nothing is there."""

Client = TestClient[Request, Application]


class _Server(TestServer):
    """On the same runner as the product."""

    async def _make_runner(self, **_options: Any) -> Runner:
        return Runner(self.app)


@dataclass
class Destination:
    """What lies at the destination: the reason why a path is taken. Or Globus does not say."""

    taken: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    is_silent: bool = False

    async def is_taken(self, path: str) -> str | None:
        self.asked.append(path)
        return self.taken.get(path)

    async def why_taken(self, path: str) -> str | None:
        if self.is_silent:
            raise ConnectionTrouble("Globus does not answer", problem="globus-unreachable")
        return await self.is_taken(path)


@dataclass
class Installation:
    """What a round of checks finds."""

    checks: list[Checked] = field(default_factory=list)
    rounds: int = 0

    async def looked_at(self, _is_thorough: bool) -> list[Checked]:
        self.rounds += 1
        return list(self.checks)


@dataclass
class Api:
    client: Client
    database: Database
    bus: Bus
    nas: Path
    destination: Destination
    accounts: AccountService
    personal_tokens: TokenService
    user_service: UserService
    jobs: JobService
    live: Live
    installation: "Installation"
    notifications: Notifications
    tokens: dict[str, str] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    reach: Reach | None = None

    @property
    def queue(self) -> Queue:
        return Queue(self.database)

    def folder(self, name: str) -> str:
        return str(self.nas / "Production" / "2024" / name)

    async def add_user(self, username: str, *, is_admin: bool = False, must_change: bool = False) -> None:
        hasher = PasswordHasher(CHEAP.time, CHEAP.memory_kib, CHEAP.parallelism)
        await Accounts(self.database).add(
            username, hasher.hash(PASSWORD), is_admin=is_admin, must_change_password=must_change
        )

    async def token_of(self, username: str) -> str:
        """A new session of this user."""
        return (await self.accounts.login(username, PASSWORD, Origin())).token

    async def personal_token_of(self, username: str, scope: Scope) -> str:
        """A new personal token of this user."""
        user = await Accounts(self.database).by_name(username)
        assert user is not None
        lifetime = timedelta(days=1)
        return (await self.personal_tokens.create(user, name="a test", scope=scope, lifetime=lifetime)).token

    async def call(
        self, method: str, path: str | URL, *, token: str | None = None, username: str = "ann", **options: Any
    ) -> ClientResponse:
        """As `username`, unless another token is given; the empty token sends none.

        Whatever is answered is held against what the URL table says of this route.
        """
        if token is None:
            if username not in self.tokens:
                self.tokens[username] = await self.token_of(username)
            token = self.tokens[username]
        headers = dict(options.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        options.setdefault("allow_redirects", False)
        route = route_of(method, self.client.make_url(path).raw_path)
        with nullcontext() if route is None or self.reach is None else self.reach.of(route):
            response = await self.client.request(method, path, headers=headers, **options)
        if route is not None:
            await _hold_against(route, response)
            if response.ok:
                self.answered.add(route.operation_id)
        return response

    async def get(self, path: str, **options: Any) -> Any:
        """The JSON of a page that must be there."""
        response = await self.call("GET", path, **options)
        assert response.status == 200, await response.text()
        return await response.json()

    async def submit(self, name: str, **body: str) -> dict[str, Any]:
        response = await self.call("POST", "/api/jobs", json={"folder_path": self.folder(name), **body})
        assert response.status == 201, await response.text()
        document: dict[str, Any] = await response.json()
        return document


def route_of(method: str, path: str) -> Route | None:
    """The route of the table that answers there; HEAD is answered by none of its own."""
    return next(
        (
            route
            for route in sorted(ROUTES, key=lambda route: route.path.count("{"))
            if route.method == method and re.fullmatch(re.sub(r"{\w+(:[^}]+)?}", "[^/]+", route.path), path)
        ),
        None,
    )


def address_of(route: Route) -> str:
    """A path this route answers at, with values that name nothing."""
    return re.sub(r"{(\w+)(:[^}]+)?}", lambda found: IN_PATH[found[1]](), route.path)


async def _hold_against(route: Route, response: ClientResponse) -> None:
    content = await response.read()
    assert re.fullmatch(r"/([^/\\].*)?", response.headers.get("Location", "/")), "leads to another host"
    if not route.path.startswith(("/api/", "/ws/")) and _says_what_is_wrong(response):
        return
    if response.status >= 400:
        name = Problem.model_validate_json(content, strict=True).type.removeprefix("/problems/")
        assert name in {*problems_of(route), *ANY_PATH}, f"the table does not say that {route.operation_id} can: {name}"
        assert PROBLEMS[name].status == response.status
    elif response.status != 304:
        assert response.status == route.status
        assert response.content_type in route.media or not content
        assert bool(content) is (route.answer is not None) or response.content_type == "text/plain"  # may be empty
        if content and response.content_type == JSON:
            answer = TypeAdapter(route.answer).validate_json(content, strict=True)
            assert isinstance(answer, list) is ("X-Total-Count" in response.headers)
        assert (response.status in {201, 303}) is ("Location" in response.headers)


def _says_what_is_wrong(response: ClientResponse) -> bool:
    """Whether this is a page for people, or what leads to another one."""
    is_page = response.status >= 400 and response.content_type == "text/html"
    return is_page or (response.status == 303 and "Location" in response.headers)


async def refusal_of(response: ClientResponse, status: int, name: str) -> dict[str, Any]:
    """The problem document of a refused request, after checking what all of them have."""
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = await response.json(content_type=None)
    assert document["type"] == f"/problems/{name}", document
    assert document["status"] == status
    assert document["instance"] == response.url.raw_path
    assert document["request_id"] == response.headers["X-Request-Id"]
    assert document["title"]
    assert document["detail"]
    return document


@asynccontextmanager
async def running_api(
    tmp_path: Path,
    *,
    storage: Path | None = None,
    public_url: str = "",
    trusted_proxies: tuple[str, ...] = (),
    monitors: tuple[str, ...] = (),
    is_globus_sandbox: bool = False,
    limits: Limits = ROOMY,
    lifetime: timedelta = LIFETIME,
    idle: timedelta | None = None,
    admins_need_factor: bool = False,
    clock: Callable[[], float] = time.time,
    notifiers: Sequence[Notifier] = (),
) -> AsyncIterator[Api]:
    """Four users: `ann`, the administrator `root`, and the newcomers `new` and `newadmin`."""
    nas = tmp_path / "nas"
    await asyncio.to_thread(_plant, nas)
    database = await Database.open(tmp_path / "archiver.db", read_connections=4)
    bus = Bus()
    destination = Destination()
    passwords = Passwords(CHEAP)
    accounts = AccountService(Accounts(database), bus, passwords, Signer(SECRET, lifetime), idle=idle, clock=clock)
    discovery = Discovery(bytes(nas), Patterns(("*-ARCHIVED-TO-GLOBUS.txt",), (".DS_Store",)), threads=2)
    folders = FolderService(discovery, Folders(database), bus)
    await folders.scan(refresh=True)
    installation = Installation()
    checks = Checks(installation.looked_at)
    switches = await Switches.read_from(database)
    told = StateFile(tmp_path / "notified.json")
    notifications = Notifications(notifiers, frozenset(Kind), told, Texts(public_url))
    status = StatusService(
        database,
        checks,
        switches,
        storage_path=storage or tmp_path,
        is_globus_sandbox=is_globus_sandbox,
        notices=[],
        of_notifications=notifications.troubles,
    )
    submissions = Submissions(
        database,
        folders,
        bus,
        destination_base_path=BASE_PATH,
        destination_is_taken=destination.is_taken,
    )
    jobs = JobService(
        database,
        bus,
        discard_files=_nothing_to_discard,
        sends_again_on_retry=False,
    )
    users = UserService(Users(database), bus, passwords)
    personal_tokens = TokenService(Tokens(database), bus)
    live = Live(bus, jobs, limits)
    settings = settings_of_api(tmp_path, nas, storage)
    factors = SecondFactorService(SecondFactors(database), bus, admins_need_one=admins_need_factor, clock=clock)
    services = Services(
        accounts=accounts,
        users=users,
        second_factors=factors,
        tokens=personal_tokens,
        audit=AuditService(Audit(database)),
        folders=folders,
        submissions=submissions,
        jobs=jobs,
        job_records=JobRecords(database),
        ended_jobs=EndedJobs(database),
        job_waits=JobWaits(jobs, bus),
        markers=Markers(),
        previews=Previews(database, folders, _preview_settings(tmp_path), why_taken=destination.why_taken),
        status=status,
        switches=SwitchService(switches, bus),
        readiness=Readiness(quick_looks(settings, database, are_workers_there=lambda: True)),
        metrics=await Metrics.open(database, bus, Elsewhere(lambda: live.count, status.disk, Tally())),
        live=live,
        notifications=notifications,
    )
    app = build(
        services,
        public_url=public_url,
        trusted_proxies=trusted_proxies,
        monitors=monitors,
        is_globus_sandbox=is_globus_sandbox,
    )
    try:
        async with TestClient(_Server(app), cookie_jar=DummyCookieJar()) as client:
            api = Api(
                client,
                database,
                bus,
                nas,
                destination,
                accounts,
                personal_tokens,
                users,
                jobs,
                live,
                installation,
                notifications,
            )
            await api.add_user("ann")
            await api.add_user("root", is_admin=True)
            await api.add_user("new", must_change=True)
            await api.add_user("newadmin", is_admin=True, must_change=True)
            yield api
    finally:
        passwords.close()
        await folders.close()
        await checks.close()
        await database.close()


def settings_of_api(root: Path, nas: Path, storage: Path | None) -> Settings:
    """What the checks of readiness look at; a storage folder of its own unless one is named."""
    if storage is None:
        (storage := root / "storage").mkdir(exist_ok=True)
    return Settings(
        database=access.Database(url=f"sqlite:///{root}/archiver.db"),
        qnap=places.Qnap(base_path=nas),
        storage=places.Storage(base_path=storage),
        disk_space=places.DiskSpace(min_free_gb=0.01),
        log=operation.Log(file=""),
    )


def _preview_settings(storage: Path) -> PreviewSettings:
    return PreviewSettings(
        storage=storage, destination_base_path=BASE_PATH, min_free_gb=0.01, size_estimate_ratio=0.7, threads=2
    )


def _plant(nas: Path) -> None:
    for name in ("Alpha", "Beta", "Gamma", "Æther #1 <b>"):
        folder = nas / "Production" / "2024" / name
        (folder / "media").mkdir(parents=True)
        (folder / "media" / "one.bin").write_bytes(b"x" * 1536)
        (folder / "two.bin").write_bytes(b"")
    archived = nas / "Production" / "2023" / "Old"
    archived.mkdir(parents=True)
    (archived / "Old-ARCHIVED-TO-GLOBUS.txt").write_text("done")
    (nas / "Production" / "2023" / "Empty").mkdir()
    (nas / "Production" / "2024" / "linked").symlink_to(nas / "Production" / "2024" / "Alpha")


async def _nothing_to_discard(job: Job, *, others_archive: bool) -> None:
    """No worker runs here, so no job has made a file."""
