"""Where the service of the state machine runs: in this process, or in one of its own that can be killed."""

import os
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

from cs_archiver.sandbox import Sandbox
from tests.faults.leftovers import processes_at
from tests.faults.life import Life, left_behind
from tests.support.service import Place, Service, environment, service_in

_LONGEST_HALT_SECONDS = 20.0


class Host(Protocol):
    """`kill` is SIGKILL, with no clean-up of any kind; `brake` is there where the product runs in this process."""

    can_be_killed: bool
    brake: "Brake | None"

    async def start(self, settings: Mapping[str, str]) -> None: ...

    async def stop(self) -> None: ...

    async def kill(self) -> None: ...

    async def call(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]: ...

    async def left_behind(self) -> list[str]:
        """Processes of the service that outlived it."""

    def close(self) -> None: ...


class Brake:
    """Makes a deletion stand still right before it takes away its next entry from below a folder."""

    def __init__(self) -> None:
        self._really = os.unlink
        self._below: Path | None = None
        self._let_go = threading.Event()
        self.reached = threading.Event()
        os.unlink = self._unlink

    def put_on(self, below: Path) -> None:
        self.reached.clear()
        self._let_go.clear()
        self._below = below

    def let_go(self) -> None:
        self._below = None
        self._let_go.set()

    def take_off(self) -> None:
        self.let_go()
        os.unlink = self._really

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        if self._below is not None and dir_fd is not None and self._leads_below(dir_fd, self._below):
            self.reached.set()
            assert self._let_go.wait(_LONGEST_HALT_SECONDS), "nobody let the deletion go on"
        self._really(path, dir_fd=dir_fd)

    def _leads_below(self, descriptor: int, folder: Path) -> bool:
        where = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        return where == folder or folder in where.parents


class ThisProcess:
    can_be_killed = False

    def __init__(self, place: Place, sandbox: Sandbox) -> None:
        self._place = place
        self._sandbox = sandbox
        self._stack = AsyncExitStack()
        self._service: Service
        self.brake: Brake | None = Brake()

    async def start(self, settings: Mapping[str, str]) -> None:
        service = service_in(self._place, self._sandbox, **settings)
        self._service = await self._stack.enter_async_context(service)

    async def stop(self) -> None:
        await self._stack.aclose()

    async def kill(self) -> None:
        raise NotImplementedError("this very process would end")

    async def call(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        return await self._service.call(method, path, **arguments)

    async def left_behind(self) -> list[str]:
        return processes_at(self._place.root)

    def close(self) -> None:
        if self.brake is not None:
            self.brake.take_off()


class OwnProcess:
    can_be_killed = True

    def __init__(self, place: Place, sandbox: Sandbox, zygote: Path) -> None:
        self._place = place
        self._sandbox = sandbox
        self._zygote = zygote
        self._life: _Life
        self.brake: Brake | None = None

    async def start(self, settings: Mapping[str, str]) -> None:
        in_full = environment(self._place, self._sandbox.url, **settings)
        self._life = _Life(self._zygote, self._place, in_full)
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

    def close(self) -> None:
        """It has no hold on this process."""


class _Life(Life):
    async def stopped(self) -> int:
        """An orderly end, as at SIGTERM."""
        self._writer.write(b"stop\n")
        return await self.ended()
