"""Tens of thousands of tokens that are nearly right, and none that is let in: not one bit may be another."""

import random
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError

from cs_archiver.domain.access import Scope
from cs_archiver.errors import NotAuthenticated
from cs_archiver.server.auth import caller_of
from tests.support.api import Api, running_api
from tests.support.forgery import Forger, long_ones, of_a_personal_token

REAL_ONES = 20
MUTATIONS_OF_A_SESSION = 750
MUTATIONS_OF_A_PERSONAL_TOKEN = 300
OVER_HTTP = 100  # of each kind, in the header, the cookie and the query


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _let_in(api: Api, token: str) -> bool:
    try:
        await caller_of(api.client.app, token)
    except NotAuthenticated:
        return False
    return True


async def _tokens_of_ann(api: Api) -> tuple[str, str]:
    """A session's and a personal one, both of which are let in."""
    session, personal = await api.token_of("ann"), await api.personal_token_of("ann", Scope.READ)
    assert await _let_in(api, session)
    assert await _let_in(api, personal)
    return session, personal


def _distinct(mutations: Iterator[str], count: int, *, but: set[str]) -> list[str]:
    return list(dict.fromkeys(token for token in islice(mutations, 3 * count) if token not in but))[:count]


async def _mutations(api: Api) -> tuple[list[str], list[str]]:
    """Those of sessions, and those of personal tokens; of each real one equally many."""
    chance = random.Random("token mutations")
    other, other_personal = await api.token_of("root"), await api.personal_token_of("root", Scope.ADMIN)
    of_sessions: list[str] = []
    of_personal: list[str] = []
    for _ in range(REAL_ONES):
        session, personal = await _tokens_of_ann(api)
        real = {session, personal, other, other_personal}
        forged = Forger(chance, session, other).mutations()
        of_sessions += _distinct(forged, MUTATIONS_OF_A_SESSION, but=real)
        guessed = of_a_personal_token(chance, personal, other_personal)
        of_personal += _distinct(guessed, MUTATIONS_OF_A_PERSONAL_TOKEN, but=real)
    chance.shuffle(of_sessions)
    chance.shuffle(of_personal)
    return of_sessions, of_personal


async def test_of_twenty_thousand_tokens_that_are_nearly_right_none_is_let_in(api: Api) -> None:
    of_sessions, of_personal = await _mutations(api)
    assert len(set(of_sessions)) + len(set(of_personal)) >= 20_000
    assert [token for token in (*of_sessions, *of_personal) if await _let_in(api, token)] == []
    await _tokens_of_ann(api)


async def test_tokens_of_a_megabyte_are_refused(api: Api) -> None:
    for token in long_ones(*await _tokens_of_ann(api)):
        assert not await _let_in(api, token), token[:40]


def _fits_a_header(token: str) -> bool:
    return token.isprintable() and token.isascii() and len(token) < 4000


def _fits_a_cookie(token: str) -> bool:
    return _fits_a_header(token) and not set(token) & set(' ",;\\')


async def _by_header(api: Api, token: str) -> int:
    return (await api.client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})).status


async def _by_cookie(api: Api, token: str) -> int:
    return (await api.client.get("/api/auth/me", headers={"Cookie": f"csa={token}"})).status


async def _by_query(api: Api, token: str) -> int:
    try:
        async with api.client.session.ws_connect(api.client.make_url("/ws/jobs").with_query(token=token)):
            return 101
    except WSServerHandshakeError as error:
        return error.status


@pytest.mark.parametrize(
    ("ask", "fits", "let_in"),
    [(_by_header, _fits_a_header, 200), (_by_cookie, _fits_a_cookie, 200), (_by_query, _fits_a_header, 101)],
)
async def test_they_are_refused_wherever_they_are_shown(
    api: Api, ask: Callable[[Api, str], Any], fits: Callable[[str], bool], let_in: int
) -> None:
    for real in await _tokens_of_ann(api):
        assert await ask(api, real) == let_in
    for mutations in await _mutations(api):
        shown = [token for token in mutations if fits(token) and token.strip() == token and token][:OVER_HTTP]
        assert len(shown) == OVER_HTTP
        for token in shown:
            assert await ask(api, token) == 401, token
