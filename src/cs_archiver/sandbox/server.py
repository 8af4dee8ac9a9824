"""The loopback server: routes, middlewares and the life of one sandbox."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiohttp.typedefs import Handler

from cs_archiver.errors import ConfigError
from cs_archiver.sandbox.auth import Accounts
from cs_archiver.sandbox.control import FaultControl, answer_with, operation_of
from cs_archiver.sandbox.engine import TaskEngine
from cs_archiver.sandbox.faults import FaultScript, Operation
from cs_archiver.sandbox.filesystem import Collection
from cs_archiver.sandbox.replies import Refusal, read_form
from cs_archiver.sandbox.routes import TransferRoutes
from cs_archiver.sandbox.settings import CollectionTraits, SandboxSettings
from cs_archiver.sandbox.tasks import Task

MAX_JOURNAL = 10_000


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it came in; `body` is the JSON document, the form of a token request, or None."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    operation: Operation | None


class Sandbox:
    """A running sandbox. `stop` leaves no task, thread or socket; `start` again goes on where it stopped.

    `faults` scripts trouble, `journal` lists the last 10,000 requests in order (those of the control
    endpoint apart), `tasks` maps task ids to their records, `collections` the ids to the folders served.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.faults = FaultScript()
        self.journal: list[RecordedRequest] = []
        self.collections = {
            collection_id.lower(): Collection(collection_id.lower(), _folder(collection_id, folder), traits)
            for collection_id, folder in settings.collections.items()
            for traits in [settings.traits.get(collection_id, CollectionTraits())]
        }
        self.accounts = Accounts(settings.clients, self._takes_data_access)
        self.settings = settings
        self._engine = TaskEngine(settings, self.faults)
        self._port = settings.port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end; the port is known once started."""
        host = f"[{self.settings.address}]" if ":" in self.settings.address else self.settings.address
        return f"http://{host}:{self._port}"

    @property
    def tasks(self) -> dict[str, Task]:
        return self._engine.tasks

    async def start(self) -> None:
        """Listens; raises ConfigError when the port cannot be had."""
        self._engine.open()
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, self.settings.address, self._port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            await self._engine.close()
            where = f"{self._port} on {self.settings.address}"
            raise ConfigError(f"sandbox port: {where} cannot be had: {error}") from error
        self._port = runner.addresses[0][1]
        self._runner = runner

    async def stop(self) -> None:
        """Ends every connection, task and thread. Unfinished tasks stay unfinished."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        await self._engine.close()
        self.faults.release()
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _takes_data_access(self, collection_id: str) -> bool:
        collection = self.collections.get(collection_id)
        return collection is not None and collection.traits.needs_data_access_consent

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._refusals, self._recorded, self._faulty])
        application.add_routes(
            [
                web.post("/v2/oauth2/token", self.accounts.answer_token, name=Operation.TOKEN.value),
                web.get("/v2/oauth2/userinfo", self.accounts.answer_userinfo, name=Operation.USERINFO.value),
                *TransferRoutes(self.accounts, self.collections, self._engine).table(),
                *FaultControl(self.faults).table(),
            ]
        )
        return application

    @web.middleware
    async def _refusals(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refusal as refusal:
            return web.json_response(refusal.document(request.path), status=refusal.status)

    @web.middleware
    async def _recorded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/_sandbox/"):
            body = await _body(request)
            operation = operation_of(request)
            entry = RecordedRequest(request.method, request.path, dict(request.query), body, operation)
            self.journal.append(entry)
            del self.journal[:-MAX_JOURNAL]
        return await handler(request)

    @web.middleware
    async def _faulty(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = operation_of(request)
        body = (await request.read()).decode(errors="replace")
        text = f"{request.path}\n{' '.join(request.query.values())}\n{body}"
        effect = None if operation is None else self.faults.request_effect(operation, text)
        if effect is None:
            return await handler(request)
        return await answer_with(effect, request, handler, self.faults)


async def _body(request: web.Request) -> Any:
    if request.content_type == "application/x-www-form-urlencoded":
        return await read_form(request)
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(await request.read())
    return None


def _folder(collection_id: str, folder: Path) -> Path:
    if not folder.is_dir():
        raise ConfigError(f"sandbox collection {collection_id}: {folder} is not a folder")
    return folder
