"""Many who sign in at once: a few of them wait, and who is not let in is told when to return."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from cs_archiver.services.passwords import Passwords
from cs_archiver.services.sign_in_queue import _IN_ALL, _OF_A_NETWORK
from tests.support.api import PASSWORD, Api, refusal_of, running_api

PATIENCE_SECONDS = 20
NEW_PASSWORD = "seven lamps in the harbour"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path, trusted_proxies=("127.0.0.1",)) as running:
        yield running


@contextmanager
def hashing_held_up(api: Api) -> Iterator[Callable[[], None]]:
    """Nothing is compared until what is given is called."""
    passwords: Passwords = api.accounts._passwords
    go_on = threading.Event()
    for _ in range(passwords._threads._max_workers):
        passwords._threads.submit(go_on.wait, PATIENCE_SECONDS)
    try:
        yield go_on.set
    finally:
        go_on.set()


def _knock(api: Api, address: str, password: str = "a guess", name: str = "ann") -> asyncio.Task[ClientResponse]:
    body = {"username": name, "password": password}
    headers = {"X-Forwarded-For": address}
    return asyncio.create_task(api.call("POST", "/api/auth/login", token="", json=body, headers=headers))


async def _until_answered(tasks: list[asyncio.Task[ClientResponse]], count: int) -> list[ClientResponse]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(answered := [task.result() for task in tasks if task.done()]) < count:
            await asyncio.sleep(0.01)
    return answered


async def test_of_many_at_once_a_few_wait_and_the_others_are_told_when_to_return(api: Api) -> None:
    with hashing_held_up(api) as go_on:
        tasks = [_knock(api, f"10.0.0.{number}", name=f"user{number}") for number in range(60)]
        for refused in await _until_answered(tasks, 60 - _IN_ALL):
            document = await refusal_of(refused, 503, "sign-in-busy")
            assert refused.headers["Retry-After"] == str(document["retry_after"]) == "3"
        page: dict[str, Any] = {
            "data": {"username": "ann", "password": PASSWORD},
            "headers": {"X-Forwarded-For": "10.0.1.1"},
        }
        assert (await api.call("POST", "/login", token="", **page)).status == 503
        assert sum(not task.done() for task in tasks) == _IN_ALL
        go_on()
        answers = await asyncio.gather(*tasks)
    assert sorted(answer.status for answer in answers) == [401] * _IN_ALL + [503] * (60 - _IN_ALL)
    assert (await _knock(api, "10.0.1.1", PASSWORD)).status == 200
    trail: list[dict[str, Any]] = await api.get("/api/audit?action=auth_login&limit=100", username="root")
    assert [line["result"] for line in trail].count("login-failed") == _IN_ALL
    assert "sign-in-busy" not in {line["result"] for line in trail}


async def test_one_address_leaves_places_to_others(api: Api) -> None:
    with hashing_held_up(api) as go_on:
        tasks = [_knock(api, "10.0.0.1", name=f"user{number}") for number in range(_OF_A_NETWORK + 3)]
        for refused in await _until_answered(tasks, 3):
            await refusal_of(refused, 503, "sign-in-busy")
        owner = _knock(api, "10.0.0.2", PASSWORD)
        go_on()
        assert (await owner).status == 200
        await asyncio.gather(*tasks)


async def test_who_is_signed_in_is_refused_for_no_crowd(api: Api) -> None:
    token = await api.token_of("root")
    with hashing_held_up(api) as go_on:
        tasks = [_knock(api, f"10.0.0.{number}", name=f"user{number}") for number in range(_IN_ALL + 1)]
        await _until_answered(tasks, 1)
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        changing = asyncio.create_task(api.call("POST", "/api/auth/password", token=token, json=body))
        go_on()
        assert (await changing).status == 200
        await asyncio.gather(*tasks)


async def test_who_signs_in_waits_behind_no_row_of_new_accounts(api: Api) -> None:
    await api.get("/api/users", username="root")  # signed in
    with hashing_held_up(api) as go_on:
        made = [
            asyncio.create_task(
                api.call(
                    "POST", "/api/users", username="root", json={"username": f"new{number}", "password": NEW_PASSWORD}
                )
            )
            for number in range(20)
        ]
        passwords: Passwords = api.accounts._passwords
        async with asyncio.timeout(PATIENCE_SECONDS):
            while passwords._new_ones._waiters is None or len(passwords._new_ones._waiters) < 19:
                await asyncio.sleep(0.01)
        assert passwords._threads._work_queue.qsize() <= 1, "before who signs in now"
        task = _knock(api, "10.0.0.1", PASSWORD)
        await asyncio.sleep(0)
        go_on()
        assert (await task).status == 200
        assert [(await each).status for each in made] == [201] * 20
