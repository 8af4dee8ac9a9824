"""Stands between the service and the world, from outside: names and spoils the calls it makes on the way of a job.

Wrapped are the calls that change a file, a folder or a name, those that read (if asked for), each COMMIT, the start of
each tool and each request to Globus. Only calls count that the product makes (the nearest frame of it is found on the
stack, and names the call; the sandbox is none of it) in one of the places that are watched. A point is such a call:
its name, its place, who makes it, and the how many-th of these it is since the numbering began: this is the same from
run to run, whatever the threads do. What happens before and after each point is up to a Watcher.
"""

import asyncio
import asyncio.base_events
import builtins
import io
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

import requests.adapters

from cs_archiver.db.connection import Connection

CHANGES = (
    "chmod",
    "fchmod",
    "fsync",
    "ftruncate",
    "mkdir",
    "pwrite",
    "rmdir",
    "truncate",
    "unlink",
    "utime",
    "write",
    "writev",
)
CHANGES_OF_TWO = ("link", "rename", "replace", "symlink")
READS = ("fstat", "listdir", "lstat", "read", "readlink", "readv", "scandir", "stat", "statvfs")

_PRODUCT, _SANDBOX = "cs_archiver.", "cs_archiver.sandbox."
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_NUMBERED_TASK = re.compile(r"Task-\d+")
_readlink = os.readlink


@dataclass(frozen=True, slots=True)
class Point:
    """A call in one of the places (nas, storage, state, globus, tool), the `number`-th of these that `caller` makes."""

    call: str
    place: str
    caller: str
    number: int

    def __str__(self) -> str:
        return f"{self.call} {self.place} {self.caller} {self.number}"

    @classmethod
    def of(cls, text: str) -> "Point":
        start, number = text.rsplit(" ", 1)
        call, place, caller = start.split(" ", 2)
        return cls(call, place, caller, int(number))


class Watcher(Protocol):
    """May kill the process or raise; called on whichever thread makes the call."""

    def before(self, point: Point) -> None: ...

    def after(self, point: Point) -> None: ...


class Instrument:
    """While entered, tells the watcher of every call in `places` (name of the place -> its folder) once it is armed."""

    def __init__(self, places: Mapping[str, Path], watcher: Watcher, *, reads: bool = False) -> None:
        self._places = [(name, str(path)) for name, path in places.items()]
        self._watcher = watcher
        self.reads = reads
        self._armed = False
        self._numbers: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()
        self._replaced: list[tuple[Any, str, Any]] = []

    def arm(self) -> None:
        """Number from one again, and tell the watcher from now on."""
        with self._lock:
            self._numbers.clear()
            self._armed = True

    def disarm(self) -> None:
        self._armed = False

    def __enter__(self) -> Self:
        for name in (*CHANGES, *(READS if self.reads else ())):
            self._wrap(os, name, lambda args, kwargs: (args[0] if args else ".", kwargs.get("dir_fd")))
        for name in CHANGES_OF_TWO:
            self._wrap(os, name, lambda args, kwargs: (args[1], kwargs.get("dst_dir_fd", kwargs.get("dir_fd"))))
        self._replace(os, "open", self._opening_descriptor)
        for module in (builtins, io):
            self._replace(module, "open", self._opening_file)
        self._replace(Connection, "commit", self._committing)
        self._replace(requests.adapters.HTTPAdapter, "send", self._asking_globus)
        self._replace(asyncio.base_events.BaseEventLoop, "subprocess_exec", self._starting_tool)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._replaced:
            owner, name, original = self._replaced.pop()
            setattr(owner, name, original)

    def file_point(self, call: str, target: Any, folder: int | None = None) -> Point | None:
        """The point that a call on this path or descriptor is, or None if it is not watched."""
        if not self._armed:
            return None
        caller = _product_caller(sys._getframe(2))
        place = None if caller is None else self._place_of(target, folder)
        return None if place is None or caller is None else self._numbered(call, place, caller)

    def told(self, point: Point | None, work: Callable[[], Any]) -> Any:
        """Do the work of a point, with the watcher told before and after."""
        if point is None:
            return work()
        self._watcher.before(point)
        try:
            return work()
        finally:  # a call that is refused has been made all the same
            self._watcher.after(point)

    def _numbered(self, call: str, place: str, caller: str) -> Point:
        with self._lock:
            self._numbers[call, place, caller] += 1
            return Point(call, place, caller, self._numbers[call, place, caller])

    def _place_of(self, target: Any, folder: int | None) -> str | None:
        try:
            path = _path_of(target, folder)
        except OSError:
            return None  # a descriptor that is closed: the call itself will say so
        for name, base in self._places:
            if (path == base or path.startswith(base + "/")) and not path.endswith("app.log"):
                return name
        return None

    def _replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        self._replaced.append((owner, name, original))
        setattr(owner, name, make(original))

    def _wrap(self, owner: Any, name: str, where: Callable[[Any, Any], tuple[Any, int | None]]) -> None:
        def make(original: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                point = self.file_point(name, *where(args, kwargs))
                return self.told(point, lambda: original(*args, **kwargs))

            return call

        self._replace(owner, name, make)

    def _opening_descriptor(self, original: Any) -> Any:
        def call(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> Any:
            name = "create" if flags & _TO_WRITE else "open"
            point = None if name == "open" and not self.reads else self.file_point(name, path, dir_fd)
            return self.told(point, lambda: original(path, flags, mode, dir_fd=dir_fd))

        return call

    def _opening_file(self, original: Any) -> Any:
        def call(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            writes = not set(mode).isdisjoint("wax+")
            if not self._armed or not (writes or self.reads) or _product_caller(sys._getframe(1)) is None:
                return original(file, mode, *args, **kwargs)
            if self._place_of(file, None) is None:
                return original(file, mode, *args, **kwargs)
            point = None if isinstance(file, int) else self.file_point("create" if writes else "open", file)
            return WatchedFile(self, self.told(point, lambda: original(file, mode, *args, **kwargs)), file)

        return call

    def _committing(self, original: Any) -> Any:
        async def call(connection: Any) -> None:
            if not self._armed:
                await original(connection)
                return
            task = asyncio.current_task()
            name = _IDS.sub("*", task.get_name()) if task is not None else "?"
            point = self._numbered("commit", "state", _NUMBERED_TASK.sub("request", name).replace(" ", "-"))
            self._watcher.before(point)
            await original(connection)
            self._watcher.after(point)

        return call

    def _asking_globus(self, original: Any) -> Any:
        def call(adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            path = _IDS.sub("*", request.path_url.partition("?")[0])
            point = self._numbered(request.method, "globus", path) if self._armed else None
            return self.told(point, lambda: original(adapter, request, *args, **kwargs))

        return call

    def _starting_tool(self, original: Any) -> Any:
        async def call(loop: Any, protocol: Any, *argv: Any, **kwargs: Any) -> Any:
            if not self._armed:
                return await original(loop, protocol, *argv, **kwargs)
            words = [os.path.basename(os.fsdecode(word)) for word in argv]
            words = words[words.index("--") + 1 :] if "setpriv" in words[0] else words
            verb = words[1] if words[1:] and words[0].startswith("7z") else ""
            point = self._numbered("start", "tool", f"{words[0]}-{verb}".rstrip("-"))
            self._watcher.before(point)
            started = await original(loop, protocol, *argv, **kwargs)
            self._watcher.after(point)
            return started

        return call


class WatchedFile:
    """A file object whose reading and writing are points of their own."""

    def __init__(self, instrument: Instrument, file: Any, target: Any) -> None:
        self._instrument = instrument
        self._file = file
        self._target = target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, *args: Any) -> Any:
        reads = self._instrument.reads
        point = self._instrument.file_point("read", self._target) if reads else None
        return self._instrument.told(point, lambda: self._file.read(*args))

    def write(self, content: Any) -> Any:
        point = self._instrument.file_point("write", self._target)
        return self._instrument.told(point, lambda: self._file.write(content))

    def flush(self) -> None:
        point = self._instrument.file_point("flush", self._target)
        self._instrument.told(point, self._file.flush)


def _path_of(target: Any, folder: int | None) -> str:
    if isinstance(target, int):
        return _readlink(f"/proc/self/fd/{target}")
    path = os.fsdecode(target)
    if folder is not None and not path.startswith("/"):
        return f"{_readlink(f'/proc/self/fd/{folder}')}/{path}"
    return path


def _product_caller(frame: FrameType | None) -> str | None:
    """The nearest function of the product on the stack, as module.function; None if a test or the sandbox is nearer."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_SANDBOX) or (module.startswith("tests.") and module != __name__):
            return None
        name = frame.f_code.co_name
        if module.startswith(_PRODUCT) and not name.endswith("comp>"):
            return f"{module.rpartition('.')[2]}.{name}"
        frame = frame.f_back
    return None
