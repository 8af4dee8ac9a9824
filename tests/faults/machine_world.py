"""The world of the state machine: the service on a host, a Globus sandbox, and users with their folders on a NAS.

All of it is driven by one event loop that stands still between two steps, and so do, with it, the sandbox and a
service in this process. A service in a process of its own goes on meanwhile, until it waits for Globus.
"""

import asyncio
import sqlite3
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cs_archiver.sandbox import Sandbox
from tests.faults.leftovers import processes_at
from tests.faults.life import Life, left_behind
from tests.faults.machine_folder import Folder
from tests.support.service import Place, Service, environment, sandbox_settings, service_in
from tests.support.tampering import plant

SETTINGS = {
    "MAX_UPLOAD_RETRIES": "1",
    "MAX_CONNECTION_ERROR_RETRIES": "1",
    "RETRY_DELAY_SECONDS": "0.05",
    "UPLOAD_TASK_POLL_INTERVAL_SECONDS": "0.04",
    "DISK_SPACE_CHECK_INTERVAL_SECONDS": "0.2",
    "GLOBUS_HTTP_TIMEOUT_SECONDS": "0.3",
}
_SECONDS = 40.0
T = TypeVar("T")


class Host(Protocol):
    """Where the service runs; `kill` is SIGKILL, with no clean-up of any kind."""

    can_be_killed: bool

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def kill(self) -> None: ...

    async def call(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]: ...

    async def left_behind(self) -> list[str]:
        """Processes of the service that outlived it."""


class ThisProcess:
    can_be_killed = False

    def __init__(self, place: Place, sandbox: Sandbox) -> None:
        self._place = place
        self._sandbox = sandbox
        self._stack = AsyncExitStack()
        self._service: Service

    async def start(self) -> None:
        service = service_in(self._place, self._sandbox, **SETTINGS)
        self._service = await self._stack.enter_async_context(service)

    async def stop(self) -> None:
        await self._stack.aclose()

    async def kill(self) -> None:
        raise NotImplementedError("this very process would end")

    async def call(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        return await self._service.call(method, path, **arguments)

    async def left_behind(self) -> list[str]:
        return processes_at(self._place.root)


class OwnProcess:
    can_be_killed = True

    def __init__(self, place: Place, sandbox: Sandbox, zygote: Path) -> None:
        self._place = place
        self._sandbox = sandbox
        self._zygote = zygote
        self._life: _Life

    async def start(self) -> None:
        settings = environment(self._place, self._sandbox.url, **SETTINGS)
        self._life = _Life(self._zygote, self._place, settings)
        assert await self._life.start(None, armed=False), self._life.errors()

    async def stop(self) -> None:
        code = await self._life.stopped()
        await self._life.close()
        assert code == 0, code

    async def kill(self) -> None:
        await self._life.close()
        assert self._life.returncode == -9, self._life.returncode

    async def call(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        return await self._life.call(method, path, **arguments)

    async def left_behind(self) -> list[str]:
        return await left_behind(self._zygote)


class _Life(Life):
    async def stopped(self) -> int:
        """An orderly end, as at SIGTERM."""
        self._writer.write(b"stop\n")
        return await self.ended()


class World:
    """Everything outside of the product, and the product on its host; `close` ends all of it."""

    def __init__(self, root: Path, names: Sequence[str], zygote: Path | None) -> None:
        self.place = Place(root).make()
        self.loop = asyncio.new_event_loop()
        self.sandbox = Sandbox(sandbox_settings(self.place, fault_retry_seconds=0.02))
        self.run(self.sandbox.start())
        self.host: Host = (
            ThisProcess(self.place, self.sandbox) if zygote is None else OwnProcess(self.place, self.sandbox, zygote)
        )
        self.is_up = False
        self.nas_is_away = False
        self.backup = root / "backup of the database"
        self.precious = plant(root / "nas" / "precious")
        aside = root / "nas" / "aside"
        self.folders = {name: Folder(self.place.folder(name), aside, self.precious) for name in names}
        (aside / "2024").mkdir(parents=True)
        self.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, _SECONDS))

    def start(self) -> None:
        self.run(self.host.start())
        self.is_up = True

    def stop(self) -> None:
        self.is_up = False
        self.run(self.host.stop())

    def kill(self) -> None:
        self.is_up = False
        self.run(self.host.kill())

    def pass_time(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def call(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        status, body = self.run(self.host.call(method, path, **arguments))
        self._require_sense(status, body)
        return status, body

    def call_twice(self, method: str, path: str, **arguments: Any) -> list[tuple[int, Any]]:
        """The same request from two people at the same moment."""

        async def both() -> list[tuple[int, Any]]:
            return await asyncio.gather(*(self.host.call(method, path, **arguments) for _ in range(2)))

        answers = self.run(both())
        for status, body in answers:
            self._require_sense(status, body)
        return answers

    def _require_sense(self, status: int, body: Any) -> None:
        assert status != 0, "the service died by itself"
        assert status < 500 or (status == 503 and self.nas_is_away), (status, body)

    def move_nas(self, *, leave_an_empty_folder: bool) -> None:
        """The NAS is not mounted: its mount point is missing, or empty."""
        self._rename_nas(self.place.nas, self._nas_away)
        if leave_an_empty_folder:
            self.place.nas.mkdir()
        self.nas_is_away = True

    def bring_nas_back(self) -> None:
        if self.place.nas.exists():
            self.place.nas.rmdir()  # fails if somebody wrote below the mount point
        self._rename_nas(self._nas_away, self.place.nas)
        self.nas_is_away = False

    @property
    def _nas_away(self) -> Path:
        return self.place.nas.with_name("away")

    def _rename_nas(self, before: Path, after: Path) -> None:
        before.rename(after)
        for folder in self.folders.values():
            folder.moved(before, after)

    def back_up_database(self) -> None:
        with closing(sqlite3.connect(self.place.database)) as source, closing(sqlite3.connect(self.backup)) as copy:
            source.backup(copy)

    def restore_database(self) -> None:
        for path in self.place.database.parent.glob(self.place.database.name + "*"):
            path.unlink()
        self.backup.rename(self.place.database)

    def heal(self) -> None:
        """All troubles end, and the service runs."""
        if self.nas_is_away:
            self.bring_nas_back()
        for folder in self.folders.values():
            if folder.is_swapped:
                folder.swap()
        self.sandbox.faults.clear()
        if not self.is_up:
            self.start()

    def close(self) -> None:
        try:
            self.sandbox.faults.clear()
            if self.is_up:
                self.stop()
            self.run(self.sandbox.stop())
            left = self.run(self.host.left_behind())
            self.run(self.loop.shutdown_default_executor())
        finally:
            self.loop.close()
        assert left == [], f"orphans: {left}"
