"""A session that nobody uses ends: at the gate, in the database, and with its WebSockets."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cs_archiver import clock
from cs_archiver.db import tables
from cs_archiver.db.accounts import Accounts
from cs_archiver.domain.access import Scope
from cs_archiver.domain.events import SessionEnded
from cs_archiver.errors import NeedsOperator
from cs_archiver.services import session_use
from cs_archiver.services.session_use import SessionUse
from tests.integration.test_live_sessions import SESSION_ENDED
from tests.support.api import Api, refusal_of, running_api
from tests.support.live import listening

IDLE = timedelta(hours=8)
ALMOST = IDLE - timedelta(minutes=1)
A_BIT = timedelta(minutes=2)

Pass = Callable[[timedelta], None]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path, idle=IDLE) as running:
        yield running


@pytest.fixture
def time_passes(monkeypatch: pytest.MonkeyPatch) -> Pass:
    """For the use of sessions alone: all else stays in the present."""
    passed = timedelta(0)

    def later(*, after: timedelta = timedelta(0)) -> str:
        return clock.now_text(after=passed + after)

    def let_pass(more: timedelta) -> None:
        nonlocal passed
        passed += more

    monkeypatch.setattr(session_use, "now_text", later)
    return let_pass


async def _status(api: Api, token: str, **options: Any) -> int:
    return (await api.call("GET", "/api/queue", token=token, **options)).status


async def _rows(api: Api) -> dict[str, str]:
    async with api.database.read() as connection:
        return {row.jti: row.last_used_at for row in await connection.execute(tables.sessions.select())}


async def test_session_that_is_used_goes_on_and_one_that_is_not_ends(api: Api, time_passes: Pass) -> None:
    used, unused = await api.token_of("ann"), await api.token_of("ann")
    for _ in range(3):
        time_passes(ALMOST)
        assert await _status(api, used) == 200
    await refusal_of(await api.call("GET", "/api/queue", token=unused), 401, "not-authenticated")
    time_passes(IDLE)
    await refusal_of(await api.call("GET", "/api/queue", token=used), 401, "not-authenticated")


async def test_what_a_page_asks_for_by_itself_is_no_use(api: Api, time_passes: Pass) -> None:
    token = await api.token_of("ann")
    time_passes(ALMOST)
    assert await _status(api, token, headers={"X-Unattended": "1"}) == 200
    time_passes(A_BIT)
    assert await _status(api, token, headers={"X-Unattended": "1"}) == 401


async def test_what_other_sites_make_a_browser_send_is_no_use(api: Api, time_passes: Pass) -> None:
    token = await api.token_of("ann")
    time_passes(ALMOST)
    headers = {"Cookie": f"csa={token}", "Sec-Fetch-Site": "cross-site"}
    await refusal_of(await api.call("POST", "/api/auth/logout", token="", headers=headers), 403, "cross-site-request")
    time_passes(A_BIT)
    assert await _status(api, token) == 401


async def test_live_updates_are_no_use_and_end_with_the_session(api: Api, time_passes: Pass) -> None:
    token, root = await api.token_of("ann"), await api.token_of("root")
    async with listening(api, token=token) as listener, listening(api, token=root) as other:
        time_passes(ALMOST)
        body = {"folder_path": api.folder("Alpha")}
        submitted = await (await api.call("POST", "/api/jobs", token=root, json=body)).json()
        await listener.until(type="queue_update")
        time_passes(A_BIT)
        await api.accounts.use.look()
        assert await listener.end() == SESSION_ENDED
        assert (await api.call("DELETE", f"/api/jobs/{submitted['job_id']}", token=root)).status == 204
        await other.until(type="job_update", status="cancelled")
    assert await _status(api, token) == 401


async def test_session_that_ended_is_gone_and_told(api: Api, time_passes: Pass) -> None:
    token = await api.token_of("ann")
    jti = (await api.accounts.authenticate(token)).credential
    time_passes(IDLE)
    with api.bus.subscribe() as events:
        await api.accounts.use.look()
        assert events.get_nowait() == SessionEnded(jti)
    assert jti not in await _rows(api)


async def test_use_is_written_down_by_the_look_and_not_by_requests(api: Api, time_passes: Pass) -> None:
    token = await api.token_of("ann")
    before = await _rows(api)
    time_passes(A_BIT)
    for _ in range(5):
        assert await _status(api, token) == 200
    assert await _rows(api) == before
    await api.accounts.use.look()
    (written,) = (await _rows(api)).values()
    assert written > clock.now_text()


async def test_use_that_is_not_written_down_yet_counts(api: Api, time_passes: Pass) -> None:
    token = await api.token_of("ann")
    time_passes(ALMOST)
    assert await _status(api, token) == 200
    time_passes(A_BIT)
    await api.accounts.use.look()
    assert await _status(api, token) == 200


async def test_use_outlives_a_restart_of_the_service(api: Api, time_passes: Pass) -> None:
    token = await api.token_of("ann")
    time_passes(ALMOST)
    assert await _status(api, token) == 200
    await api.accounts.use.look()
    api.accounts.use = SessionUse(Accounts(api.database), api.bus, IDLE)
    time_passes(ALMOST)
    assert await _status(api, token) == 200


async def test_what_cannot_be_written_down_is_kept_for_the_next_look(
    api: Api, time_passes: Pass, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await api.token_of("ann")
    time_passes(ALMOST)
    assert await _status(api, token) == 200
    inode, api.database._inode = api.database._inode, 0
    with pytest.raises(NeedsOperator):
        await api.accounts.use.look()
    api.database._inode = inode
    time_passes(A_BIT)
    await api.accounts.use.look()
    assert await _status(api, token) == 200


async def test_sessions_are_listed_with_their_last_use_and_without_those_that_ended(
    api: Api, time_passes: Pass
) -> None:
    await api.token_of("ann")
    time_passes(ALMOST)
    token = await api.token_of("ann")
    first = await api.get("/api/auth/sessions", token=token)
    assert len(first) == 2
    time_passes(A_BIT)
    (session,) = await api.get("/api/auth/sessions", token=token)
    assert session["current"]
    assert session["last_used_at"] > max(line["last_used_at"] for line in first)


async def test_personal_tokens_wait_for_their_use_as_long_as_they_last(api: Api, time_passes: Pass) -> None:
    token = await api.personal_token_of("ann", Scope.READ)
    time_passes(2 * IDLE)
    await api.accounts.use.look()
    assert await _status(api, token) == 200


async def test_without_a_limit_no_session_ends_for_that(tmp_path: Path, time_passes: Pass) -> None:
    async with running_api(tmp_path) as api:
        token = await api.token_of("ann")
        time_passes(timedelta(days=300))
        await api.accounts.use.look()
        assert await _status(api, token) == 200
        (row,) = (await _rows(api)).values()
        assert row <= clock.now_text()
