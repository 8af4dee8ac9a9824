"""The whole product in this process: a small NAS, a Globus sandbox, the service, and a client signed in to it."""

import asyncio
import os
import random
import socket
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from click.testing import CliRunner

from cs_archiver import app, config
from cs_archiver.cli import main
from cs_archiver.sandbox import Sandbox, SandboxSettings
from cs_archiver.sandbox.tasks import Task
from cs_archiver.settings import Settings
from tests.support.glance import Glance

SOURCE = "5c000000-0000-4000-8000-000000000001"
DESTINATION = "5c000000-0000-4000-8000-000000000002"
CLIENT_ID = "5c000000-0000-4000-8000-00000000c11e"
CLIENT_SECRET = "sandbox-secret"
_TEST_PROCESSES = 16
PASSWORD = "a long enough password"
NOWHERE = "http://127.0.0.1:9/"  # the discard port: nobody answers, and the start does not ask
FINAL = {"completed", "failed", "cancelled"}
_GLANCE_SECONDS = 0.02
_LOOK_SECONDS = 5  # a job that stays in a state for longer is looked at meanwhile


@dataclass(frozen=True)
class Place:
    """The folders of one test world."""

    root: Path

    @property
    def nas(self) -> Path:
        return self.root / "nas" / "CitySpace Tech Team"

    @property
    def storage(self) -> Path:
        return self.root / "storage"

    @property
    def remote(self) -> Path:
        return self.root / "remote"

    @property
    def database(self) -> Path:
        return self.root / "state" / "cs_archiver.db"

    def folder(self, name: str = "Project_Alpha", level1: str = "Production", level2: str = "2024") -> Path:
        path = self.nas / level1 / level2 / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def archive_of(self, folder: Path, version: str = "") -> Path:
        relative = folder.relative_to(self.nas)
        return self.remote / relative.parent / f"{relative.name}{version}.tar.7z"

    def make(self) -> "Place":
        for path in (self.nas, self.storage, self.remote, self.database.parent):
            path.mkdir(parents=True, exist_ok=True)
        return self


class Service:
    """A running service and its world; the methods speak to it over HTTP as a user would."""

    def __init__(self, place: Place, sandbox: Sandbox, address: str, session: aiohttp.ClientSession) -> None:
        self.place = place
        self.sandbox = sandbox
        self.address = address
        self.session = session

    async def call(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        async with self.session.request(method, f"{self.address}{path}", **arguments) as response:
            text = await response.text()
            body = await response.json(content_type=None) if text else None
            return response.status, body

    async def sign_in(self, password: str = PASSWORD) -> None:
        status, body = await self.call("POST", "/api/auth/login", json={"username": "admin", "password": password})
        assert status == 200, body
        self.session.headers["Authorization"] = f"Bearer {body['access_token']}"

    async def discover(self) -> list[dict[str, Any]]:
        status, body = await self.call("GET", "/api/folders?refresh=true")
        assert status == 200, body
        found: list[dict[str, Any]] = body
        return found

    async def submit(self, folder: Path, **more: Any) -> str:
        status, body = await self.call("POST", "/api/jobs", json={"folder_path": str(folder), **more})
        assert status == 201, body
        return str(body["job_id"])

    async def job(self, job_id: str, *, wait: int = 0) -> dict[str, Any]:
        """At once, or as soon as it leaves its state, `wait` seconds from now at the latest."""
        status, body = await self.call("GET", f"/api/jobs/{job_id}?wait={wait}")
        assert status == 200, body
        found: dict[str, Any] = body
        return found

    async def log_of(self, job_id: str) -> list[str]:
        status, body = await self.call("GET", f"/api/jobs/{job_id}/logs")
        assert status == 200, body
        return [f"{line['level']} {line['message']}" for line in body]

    async def until(self, job_id: str, *states: str, seconds: float = 40) -> dict[str, Any]:
        """The job once it is in one of these states (by default, a final one)."""
        wanted = set(states) or FINAL
        async with asyncio.timeout(seconds):
            while True:
                job = await self.job(job_id, wait=_LOOK_SECONDS)
                if job["status"] in wanted:
                    return job
                if job["status"] in FINAL:
                    raise AssertionError(f"{job}\n" + "\n".join(await self.log_of(job_id)))

    async def watched(
        self, job_id: str, enough: Callable[[dict[str, Any]], bool], *, seconds: float = 40
    ) -> dict[str, Any]:
        """What a Glance tells of the job as soon as that is `enough`. Raises TimeoutError."""
        with Glance(self.place.database) as glance:
            async with asyncio.timeout(seconds):
                while not enough(job := glance.job(job_id)):
                    await asyncio.sleep(_GLANCE_SECONDS)
        return job

    async def archive(self, folder: Path, **more: Any) -> dict[str, Any]:
        """Discover, submit and wait for the end, whichever it is."""
        await self.discover()
        return await self.until(await self.submit(folder, **more))


def environment(place: Place, sandbox_url: str, **overrides: str) -> dict[str, str]:
    values = {
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "QNAP_BASE_PATH": str(place.nas),
        "STORAGE_BASE_PATH": str(place.storage),
        "DATABASE_URL": f"sqlite:///{place.database}",
        "LOG_FILE": str(place.database.parent / "app.log"),
        "ADMIN_INITIAL_PASSWORD": PASSWORD,
        "GLOBUS_CLIENT_ID": CLIENT_ID,
        "GLOBUS_CLIENT_SECRET": CLIENT_SECRET,
        "GLOBUS_SOURCE_ENDPOINT": SOURCE,
        "GLOBUS_SOURCE_BASE_PATH": "/",
        "GLOBUS_DESTINATION_ENDPOINT": DESTINATION,
        "GLOBUS_SDK_SERVICE_URL_AUTH": sandbox_url,
        "GLOBUS_SDK_SERVICE_URL_TRANSFER": sandbox_url,
        "UPLOAD_TASK_POLL_INTERVAL_SECONDS": "0.05",
        "GLOBUS_HTTP_TIMEOUT_SECONDS": "2",
        "RETRY_DELAY_SECONDS": "0.05",
        "DISK_SPACE_CHECK_INTERVAL_SECONDS": "0.1",
        "MIN_FREE_SPACE_GB": "0.01",
        "CHECKS_INTERVAL_MINUTES": "0",
        "SECURITY_ARGON2_TIME_COST": "1",
        "SECURITY_ARGON2_MEMORY_KIB": "1024",
        "SECURITY_ARGON2_PARALLELISM": "1",
    }
    return {**values, **overrides}


def sandbox_settings(place: Place, **more: Any) -> SandboxSettings:
    return SandboxSettings(
        collections={SOURCE: place.storage, DESTINATION: place.remote},
        clients={CLIENT_ID: CLIENT_SECRET},
        **more,
    )


def settings_of(place: Place, sandbox_url: str, **overrides: str) -> Settings:
    no_file = place.root / "config.toml"
    no_file.touch()
    settings = config.load(no_file, environment(place, sandbox_url, **overrides))
    config.check_folders(settings)
    return settings


@asynccontextmanager
async def service_in(place: Place, sandbox: Sandbox, **overrides: str) -> AsyncIterator[Service]:
    """The service on an existing world and sandbox: for tests that stop it and start it again."""
    settings = settings_of(place, sandbox.url, **overrides)
    async with (
        app.running(settings) as (address, _workers),
        aiohttp.ClientSession() as session,
    ):
        service = Service(place, sandbox, address, session)
        await service.sign_in()
        yield service


@asynccontextmanager
async def running_service(root: Path, **overrides: str) -> AsyncIterator[Service]:
    place = Place(root).make()
    async with Sandbox(sandbox_settings(place)) as sandbox, service_in(place, sandbox, **overrides) as service:
        yield service


def free_port() -> int:
    """Below those that the kernel gives to others meanwhile: to every connection that is opened, and to port 0.

    Processes of one test run draw from ranges of their own: between the draw and the service's start, and between two
    lives of one service, nobody else may take the port.
    """
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first = first_given // 2
    of_each = (first_given - first) // _TEST_PROCESSES
    first += of_each * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _TEST_PROCESSES)
    while True:
        port = random.SystemRandom().randrange(first, first + of_each)  # hypothesis seeds the others
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def keep_copy(folder: Path, copies: Path) -> Path:
    """A pristine copy made by cp, which nothing of the product touches."""
    copies.mkdir(parents=True, exist_ok=True)
    copy = copies / folder.name
    subprocess.run(["cp", "-a", "--", folder, copy], check=True)
    return copy


def query(service: Service, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Read the service's database from outside, as an administrator with sqlite3 would."""
    with closing(sqlite3.connect(f"file:{service.place.database}?mode=ro", uri=True)) as connection:
        return connection.execute(statement, values).fetchall()


def history_of(service: Service, job_id: str) -> list[str]:
    rows = query(service, "SELECT to_status FROM job_history WHERE job_id = ? ORDER BY id", job_id)
    return [status for (status,) in rows]


def uploads(sandbox: Sandbox) -> list[Task]:
    """The tasks that were to send an archive; the comparisons that follow them are not among these."""
    return [task for task in sandbox.tasks.values() if "comparison" not in (task.request.label or "")]


def pause_by_command(place: Place, what: str, *, resume: bool = False) -> str:
    """As a person on the host does, also beside a service that runs; what it printed."""
    config = place.root / "config.toml"
    config.touch()
    command = ["resume" if resume else "pause", what, "--config", str(config)]
    done = CliRunner().invoke(main, command, env=environment(place, "http://127.0.0.1:9/"))
    assert done.exit_code == 0, done.output
    return done.output
