"""A submission whose reply is lost, in any way and however often, is carried out exactly once.

A wire stands between the product and the Globus sandbox. It hands requests on, so that Globus does the work, and then
loses the reply: nothing, half of it, a reset, silence, an error of a proxy, an answer to something else. The request
itself may come late, twice or never. Afterwards Globus answers Duplicate, or 409 as it does for other identical
transfers; meanwhile the service is stopped and started again, or the job is cancelled. All of it is drawn from the seed
in the case's name. What was sent must bear one submission id until its reply arrived, and one task have moved the file.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Hold
from tests.faults.globus_world import World, executed, hurry
from tests.faults.leftovers import leftovers
from tests.faults.scale import pick
from tests.support.service import Place, Service, sandbox_settings, service_in
from tests.support.tally import Count
from tests.support.tampering import eventually, until_told

SEEDS = pick(36, 1000)

pytestmark = [pytest.mark.timeout(120)]

SUBMIT = "/v0.10/transfer"
TASK_LIST = "/v0.10/task_list"
CONFLICT = {"code": "Conflict", "message": "A transfer with identical paths has not yet completed", "request_id": "x"}
LATE_SECONDS = 0.15
ANSWERS: dict[str, tuple[int, str]] = {
    "200-html": (200, "<html><body>Welcome</body></html>"),
    "200-empty": (200, "{}"),
    "200-of-another": (200, '{"code": "Accepted", "submission_id": "5c000000-0000-4000-8000-0000000000ff"}'),
    "400-html": (400, "<html><body>Bad request</body></html>"),
    "403-html": (403, "<html><body>Forbidden</body></html>"),
    "403": (403, '{"code": "PermissionDenied", "message": "no", "request_id": "x"}'),
    "500-null-code": (500, '{"code": null}'),
    "502-list": (502, '["bad gateway"]'),
    "502-external": (502, '{"code": "ExternalError", "message": "no", "request_id": "x"}'),
    "503-html": (503, "<html><body>Unavailable</body></html>"),
    "504-html": (504, "<html><body>Time-out</body></html>"),
}
BROKEN = ("nothing", "half", "half-a-header", "reset", "silence", "late", "twice", "never")
WAYS = (*BROKEN, *ANSWERS)
REFUSAL = (400, '{"code": "ClientError.BadRequest", "message": "no", "request_id": "x"}')


class Wire:
    """Hands requests on to Globus; the replies to submissions get lost in the ways listed in `ways`, in order."""

    def __init__(self, globus: str) -> None:
        self._globus = globus
        self.url = ""
        self.ways: list[str] = []
        self.conflicts = 0
        self.is_list_late = False  # the list of tasks shows none while there are replies to lose
        self.lost: list[str] = []
        self.sent: list[tuple[str, str]] = []  # the job and the submission of each
        self.carried_out: Callable[[], Awaitable[None]]  # returns when what is refused was done all the same
        self._closing = asyncio.Event()
        self._later: list[asyncio.Task[Any]] = []
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Wire"]:
        runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=1.0)
        await runner.setup()
        async with aiohttp.ClientSession() as self._session:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = "http://127.0.0.1:{1}".format(*runner.addresses[0])
            try:
                yield self
            finally:
                self._closing.set()
                await asyncio.gather(*self._later)
                await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.path == TASK_LIST and self.is_list_late and self.ways:
            return web.json_response({"DATA_TYPE": "task_list", "DATA": [], "length": 0, "offset": 0, "total": 0})
        if request.path != SUBMIT:
            return _whole(*await self._hand_on(request, body))
        way = self.ways.pop(0) if self.ways else ""
        document = await request.json()
        if "comparison" not in document["label"]:
            self.sent.append((document["label"].split()[3], document["submission_id"]))
        if not way and self.conflicts > 0:
            self.conflicts -= 1
            return web.json_response(CONFLICT, status=409)
        if not way:
            return _whole(*await self._hand_on(request, body))
        self.lost.append(way)
        return await self._lose(way, request, body)

    async def _lose(self, way: str, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        if way == "late":
            self._later.append(asyncio.create_task(self._hand_on_late(request, body)))
            return _hung_up(request)
        if way == "never":
            return _hung_up(request)
        _, data = await self._hand_on(request, body)
        if way == "twice":
            await self._hand_on(request, body)
        if way == "refusal":
            await self.carried_out()
        if way in ANSWERS or way == "refusal":
            status, text = ANSWERS.get(way, REFUSAL)
            return web.Response(status=status, text=text, content_type="text/html" if text[0] == "<" else CONTENT)
        if way == "silence":
            await self._closing.wait()
        return await LOSSES.get(way, _nothing)(request, data)

    async def _hand_on(self, request: web.BaseRequest, body: bytes) -> tuple[int, bytes]:
        assert self._session is not None
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        url = URL(self._globus + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, data=body, headers=headers) as response:
            return response.status, await response.read()

    async def _hand_on_late(self, request: web.BaseRequest, body: bytes) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), LATE_SECONDS)
        with contextlib.suppress(aiohttp.ClientError):
            await self._hand_on(request, body)


CONTENT = "application/json"


def _whole(status: int, data: bytes) -> web.Response:
    return web.Response(status=status, body=data, content_type=CONTENT)


def _hung_up(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def _nothing(request: web.BaseRequest, _data: bytes) -> web.StreamResponse:
    return _hung_up(request)


async def _half(request: web.BaseRequest, data: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": CONTENT, "Content-Length": str(len(data))})
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    _hung_up(request)
    return response


async def _half_a_header(request: web.BaseRequest, _data: bytes) -> web.StreamResponse:
    if isinstance(request.transport, asyncio.Transport):
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
    return _hung_up(request)


async def _reset(request: web.BaseRequest, _data: bytes) -> web.StreamResponse:
    assert request.transport is not None
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
    return web.Response()


Loss = Callable[[web.BaseRequest, bytes], Awaitable[web.StreamResponse]]
LOSSES: dict[str, Loss] = {"half": _half, "half-a-header": _half_a_header, "reset": _reset}


@dataclass(frozen=True)
class Plan:
    """What happens to the submission of one job. `restart`: when the service is stopped and started again."""

    ways: tuple[str, ...]
    conflicts: int
    restart: str
    cancel: bool
    held: bool


def plan_of(seed: int) -> Plan:
    """The first seeds lose one reply in each way; then everything is drawn."""
    draw = random.Random(seed)
    if seed < len(WAYS):
        return Plan((WAYS[seed],), 0, "", cancel=False, held=False)
    ways = tuple(draw.choice(WAYS) for _ in range(draw.randint(1, 6)))
    restart = draw.choice(["", "", "while-silent", "while-it-waits"])
    if restart == "while-silent":
        ways = ("silence", *ways[:2])
    elif restart == "while-it-waits":
        ways = (draw.choice(["nothing", "half", "reset", "503-html"]),) * 3 + ways[:2]
    conflicts = draw.choice([0, 0, 1, 2])
    return Plan(ways, conflicts, restart, cancel=draw.random() < 0.2, held=draw.random() < 0.5)


def test_the_plans_have_every_way_to_lose_a_reply_and_everything_that_may_come_between() -> None:
    plans = [plan_of(seed) for seed in range(SEEDS)]
    assert {way for plan in plans for way in plan.ways} == set(WAYS)
    assert {plan.restart for plan in plans} == {"", "while-silent", "while-it-waits"}
    assert {plan.cancel for plan in plans} == {plan.held for plan in plans} == {True, False}
    assert {plan.conflicts for plan in plans} == {0, 1, 2}


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_submission_whose_reply_is_lost_is_carried_out_exactly_once(
    seed: int, root: Path, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    hurry(monkeypatch)
    plan, place = plan_of(seed), Place(root).make()
    async with Sandbox(sandbox_settings(place)) as sandbox, Wire(sandbox.url).running() as wire:
        if plan.held or plan.cancel or plan.conflicts:
            sandbox.faults.add(Operation.RUN, Hold("STUCK"))
            wire.is_list_late = True  # so it is sent again: nothing lies at its destination yet
        wire.ways, wire.conflicts = list(plan.ways), plan.conflicts
        await Run(place, sandbox, wire, plan).run()
        lost, sent = wire.lost, wire.sent
    assert lost == list(plan.ways[: len(lost)])
    assert lost == list(plan.ways) or not wire.is_list_late, "what Globus shows is not sent again"
    assert len(set(sent)) == len({job for job, _ in sent}), f"one wish under several ids: {sent}"
    assert leftovers(place) == []
    count("lost submit replies, executed exactly once")


async def test_a_submission_that_globus_carries_out_although_it_refused_it_is_not_believed_to_be_ours(
    root: Path, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    """No reply was lost: this is Globus saying what is not so. A person decides; until then all stays as it is."""
    hurry(monkeypatch)
    place = Place(root).make()
    async with Sandbox(sandbox_settings(place)) as sandbox, Wire(sandbox.url).running() as wire:
        wire.ways = ["refusal"]
        wire.carried_out = partial(
            eventually, lambda: not any(task.is_unfinished for task in sandbox.tasks.values()), what="its end"
        )
        async with service_in(place, sandbox, GLOBUS_SDK_SERVICE_URL_TRANSFER=wire.url) as service:
            world = World(service)
            await service.discover()
            job_id = await world.submit("Project_Alpha")
            assert (await service.until(job_id, "failed"))["error_message"]
            path = place.archive_of(world.folders["Project_Alpha"])
            stored = path.read_bytes()
            assert (await service.call("POST", f"/api/jobs/{job_id}/retry"))[0] == 200
            told = (await service.until(job_id, "failed"))["error_message"]
            assert "already holds a file that is not ours" in told
            assert world.losses() == []
            assert world.oracles["Project_Alpha"].missing() == []
            await world.completed("Project_Alpha", await world.submit("Project_Alpha", on_existing="new_version"))
            assert path.read_bytes() == stored
    count("refused submissions that were carried out all the same")


class Run:
    """One job, through one or two lives of the service."""

    def __init__(self, place: Place, sandbox: Sandbox, wire: Wire, plan: Plan) -> None:
        self.place = place
        self.sandbox = sandbox
        self.wire = wire
        self.plan = plan
        self.overrides = {"GLOBUS_SDK_SERVICE_URL_TRANSFER": wire.url, "GLOBUS_HTTP_TIMEOUT_SECONDS": "0.3"}

    async def run(self) -> None:
        delay = {"RETRY_DELAY_SECONDS": "1"} if self.plan.restart == "while-it-waits" else {}
        async with service_in(self.place, self.sandbox, **self.overrides, **delay) as service:
            world = World(service)
            await service.discover()
            job_id = await world.submit("Project_Alpha")
            await self._until_lost(service, job_id)
            if self.plan.cancel:
                await _cancel(service, job_id)
            if not self.plan.restart:
                await self._finish(world, job_id)
                return
        async with service_in(self.place, self.sandbox, **self.overrides) as service:
            world.service = service
            await self._finish(world, job_id)

    async def _until_lost(self, service: Service, job_id: str) -> None:
        if self.plan.restart == "while-it-waits":
            await until_told(service, job_id, "Retry 1/")
        await eventually(lambda: self.wire.lost, what="a lost reply")

    async def _finish(self, world: World, job_id: str) -> None:
        if self.plan.cancel:
            await self._cancelled(world, job_id)
            job_id = await world.submit("Project_Alpha")
        elif self.plan.held or self.plan.conflicts:
            await world.follow(job_id, lambda _job: bool(self.sandbox.tasks) and not self.wire.ways)
            await world.follow(job_id, lambda job: job["globus_task_id"] is not None)
            self.sandbox.faults.release()
        await world.completed("Project_Alpha", job_id)
        assert world.losses() == []
        assert executed(self.sandbox) == 1

    async def _cancelled(self, world: World, job_id: str) -> None:
        """Cancelled: its one task has ended, and moved nothing; the source is untouched."""
        job = await world.follow(job_id)
        assert job["status"] == "cancelled", job
        assert [task.is_unfinished for task in self.sandbox.tasks.values()] == [False]
        assert (executed(self.sandbox), world.oracles["Project_Alpha"].missing()) == (0, [])


async def _cancel(service: Service, job_id: str) -> None:
    """As a user would; a job that fails before it is cancelled is retried first, for its task may be running."""
    while (await service.call("DELETE", f"/api/jobs/{job_id}"))[0] >= 300:
        assert (await service.job(job_id))["status"] == "failed"
        assert (await service.call("POST", f"/api/jobs/{job_id}/retry"))[0] < 300
