"""What the service tells systemd, heard on a real datagram socket in systemd's place."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.systemd import STOP_SECONDS, Systemd


class Manager:
    """Systemd's end of the line: at a path or, with a leading @, at a name that lies in no folder."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self._socket.settimeout(10)

    def hear(self) -> list[str]:
        return self._socket.recv(4096).decode().splitlines()

    async def hear_soon(self) -> list[str]:
        return await asyncio.to_thread(self.hear)

    def is_told_nothing_more(self) -> bool:
        self._socket.setblocking(False)
        try:
            self._socket.recv(4096)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    is_path = request.param == "a path"
    heard = Manager(str(tmp_path / "notify") if is_path else f"@cs-archiver-{os.getpid()}-{tmp_path.name}")
    yield heard
    heard.close()


def told_to(manager: Manager, **more: str) -> Systemd:
    return Systemd({"NOTIFY_SOCKET": manager.address, **more})


def test_ready_and_stopping_reach_the_manager(manager: Manager) -> None:
    systemd = told_to(manager)
    systemd.ready()
    systemd.stopping()
    assert manager.hear() == ["READY=1"]
    stopping = manager.hear()
    assert stopping[0] == "STOPPING=1"
    assert f"EXTEND_TIMEOUT_USEC={STOP_SECONDS * 1_000_000}" in stopping


def test_a_reload_is_told_before_and_after_even_if_it_fails(manager: Manager) -> None:
    def failing_reload() -> None:
        with told_to(manager).reloading():
            raise OSError("no log")

    with pytest.raises(OSError, match="no log"):
        failing_reload()
    begun = manager.hear()
    assert begun[0] == "RELOADING=1"
    assert begun[1].removeprefix("MONOTONIC_USEC=").isdecimal()
    assert manager.hear() == ["READY=1"]


async def test_the_watchdog_hears_twice_in_its_time_and_no_more_once_the_workers_have_ended(manager: Manager) -> None:
    lives = True
    systemd = told_to(manager, WATCHDOG_USEC="400000", WATCHDOG_PID="1")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    beating = asyncio.create_task(systemd.stay_alive(lambda: lives))
    for _ in range(4):
        assert await manager.hear_soon() == ["WATCHDOG=1"]
    assert 0.6 <= loop.time() - begun < 5
    lives = False
    await asyncio.wait_for(beating, 5)
    assert manager.is_told_nothing_more()


async def test_without_a_watchdog_nothing_beats(manager: Manager) -> None:
    await told_to(manager).stay_alive(lambda: True)
    assert manager.is_told_nothing_more()


async def test_the_status_is_one_line_and_a_database_that_fails_does_not_end_it(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cs_archiver.tools.systemd._STATUS_SECONDS", 0.01)
    said: Iterator[str | NeedsOperator] = iter(
        ["1 in hand, 2 waiting", "1 in hand, 2 waiting", NeedsOperator("no\nway"), "0 in hand, 0 waiting"]
    )

    async def status() -> str:
        now = next(said, "the end")
        if isinstance(now, NeedsOperator):
            raise now
        return now

    showing = asyncio.create_task(told_to(manager).show(status))
    heard = [await manager.hear_soon() for _ in range(4)]
    showing.cancel()
    assert heard == [
        ["STATUS=1 in hand, 2 waiting"],
        ["STATUS=no way"],
        ["STATUS=0 in hand, 0 waiting"],
        ["STATUS=the end"],
    ]


async def test_where_nobody_listens_nothing_is_told_and_nothing_fails(tmp_path: Path) -> None:
    alone = Systemd({"WATCHDOG_USEC": "60000000"})
    alone.ready()
    alone.stopping()
    await alone.show(lambda: pytest.fail("nobody would see it"))


def test_a_manager_that_has_gone_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "systemd was not told READY=1" in caplog.text
