"""Thousands of sound and unsound requests, made by schemathesis from the API's own description, at a live service.

Whatever is sent: no answer is a 5xx, and every answer is of a status, media type and shape that the description
names. Some requests speak of jobs, users and folders that there are, so that they come further than "not found".
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case as AnyCase
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cs_archiver.server.openapi import document
from cs_archiver.server.routes import ROUTES
from tests.faults.scale import pick
from tests.support.service import PASSWORD, Service, running_service
from tests.support.tally import Count
from tests.support.tampering import plant

pytestmark = [pytest.mark.timeout(3600)]

Case = AnyCase[Any]
Operation = APIOperation[Any, Any, Any, Any]

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
LAST = ("POST /api/auth/login", "POST /api/auth/password")  # they fail, and so hold up every later sign-in
_FOUND: list[Operation] = [
    found.ok()
    for found in schemathesis.openapi.from_dict(document(ROUTES)).get_all_operations()
    if isinstance(found, Ok)
]
OPERATIONS: dict[str, Operation] = {
    operation.label: operation for operation in sorted(_FOUND, key=lambda found: found.label in LAST)
}
REQUESTS = pick(800, 120_000) // len(OPERATIONS) + 1  # to each operation
_SETTINGS = settings(
    max_examples=REQUESTS,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


class Live:
    """A service in a thread, with jobs and folders in it; spoken to by plain requests."""

    def __init__(self, service: Service, job_ids: list[str]) -> None:
        self.address = service.address
        self.known: dict[str, list[Any]] = {
            "job_id": job_ids,
            "user_id": [1, 2],
            "folder_path": [str(service.place.folder(name)) for name in ("One", "Two", "Three")],
        }
        self._http = requests.Session()
        self._sign_in()

    def sent(self, case: Case) -> schemathesis.Response:
        """By an administrator, who signs in again where the request before has ended the session."""
        response = self._call(case)
        if response.status_code == HTTPStatus.UNAUTHORIZED and case.operation.label not in LAST:
            self._sign_in()
            response = self._call(case)
        return response

    def _call(self, case: Case) -> schemathesis.Response:
        return case.call(base_url=self.address, session=self._http, timeout=30)

    def _sign_in(self) -> None:
        wish = {"username": "admin", "password": PASSWORD}
        answer = self._http.post(f"{self.address}/api/auth/login", json=wish, timeout=30)
        assert answer.status_code == HTTPStatus.OK, answer.text
        self._http.cookies.clear()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


async def _live(root: Path, ready: "Future[tuple[Service, list[str]]]", end: threading.Event) -> None:
    async with running_service(root) as service:
        folders = [plant(service.place.folder(name)) for name in ("One", "Two", "Three", "Four")]
        done = await service.archive(folders[-1])
        queued = await service.submit(folders[0])
        ready.set_result((service, [done["job_id"], queued]))
        await asyncio.to_thread(end.wait)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    ready: Future[tuple[Service, list[str]]] = Future()
    end = threading.Event()
    work = _live(tmp_path_factory.mktemp("live"), ready, end)
    thread = threading.Thread(target=lambda: asyncio.run(work))
    thread.start()
    try:
        yield Live(*ready.result(timeout=30))
    finally:
        end.set()
        thread.join(30)


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_makes_an_error_of_the_service_or_an_answer_that_is_not_described(
    live: Live, count: Count, label: str
) -> None:
    operation = OPERATIONS[label]
    sound = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    unsound = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @seed(0)
    @_SETTINGS
    @given(case=st.one_of(sound, unsound), data=st.data())
    def send(case: Case, data: st.DataObject) -> None:
        speak_of_what_there_is(case, data.draw, live.known)
        response = live.sent(case)
        case.validate_response(response, checks=CHECKS)
        count("requests made from the API's description")
        count(f"  of them answered {response.status_code // 100}xx")

    send()


def speak_of_what_there_is(case: Case, draw: Callable[[Any], Any], known: dict[str, list[Any]]) -> None:
    """Every other time, where a parameter or key of this name takes part."""
    for part in (case.path_parameters, case.body):
        if isinstance(part, dict):
            for name in part.keys() & known.keys():
                if draw(st.booleans()):
                    part[name] = draw(st.sampled_from(known[name]))
