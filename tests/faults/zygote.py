"""A process that is warm, and forks a life of the service in a few milliseconds for whoever connects to its socket.

A connection carries one line of JSON, the plan of a life; the life tells on it that it is ready, and
where, and the zygote how it ended. A life ends with its connection, so nothing outlives the test that asked for it.
As their subreaper the zygote also sees every process that a dead life leaves behind.
"""

import asyncio
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from cs_archiver import app, config
from cs_archiver.errors import NeedsOperator
from tests.faults.instrument import Instrument, Point
from tests.faults.warm import warm_up

REFUSED = 3

_PR_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 10.0


class Notes:
    """Writes down every point, and kills the process at one of them if the plan says so."""

    def __init__(self, path: str, kill: list[str] | None) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._write = os.write
        self._kill = None if kill is None else tuple(kill)

    def before(self, point: Point) -> None:
        self._note(str(point))
        self._die_if(("before", str(point)))

    def after(self, point: Point) -> None:
        self._die_if(("after", str(point)))

    def _die_if(self, here: tuple[str, str]) -> None:
        if here == self._kill:
            self._note("KILLED " + " ".join(here))
            os.kill(os.getpid(), signal.SIGKILL)

    def _note(self, line: str) -> None:
        self._write(self._descriptor, f"{line}\n".encode())


async def live(connection: socket.socket, plan: dict[str, Any]) -> None:
    """One life: until it is killed, or its connection ends. The word `arm` on it starts the numbering of points."""
    places = {name: Path(path) for name, path in plan["places"].items()}
    settings = config.load(Path(plan["config"]), plan["environment"])
    config.check_folders(settings)
    reader, writer = await asyncio.open_connection(sock=connection)
    with Instrument(places, Notes(plan["notes"], plan["kill"])) as instrument:
        if plan["armed"]:
            instrument.arm()
        async with app.running(settings) as (address, _workers):
            writer.write(_line({"ready": address}))
            while (word := await reader.readline()) == b"arm\n":
                instrument.arm()
                writer.write(_line({"armed": True}))
            if word == b"":
                os._exit(0)


def serve(path: str) -> None:
    """Fork a life for every connection, one after the other, until standard input ends."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            readable, _, _ = select.select([server, sys.stdin], [], [])
            if sys.stdin in readable:
                return
            connection, _ = server.accept()
            with connection:
                _answer(connection, server)


def _answer(connection: socket.socket, server: socket.socket) -> None:
    with connection.makefile("rb", buffering=0) as lines:
        plan = json.loads(lines.readline())
    if plan is None:
        connection.sendall(_line({"left": _left_behind()}))
        return
    pid = os.fork()
    if pid == 0:
        server.close()
        sys.stderr = open(plan["errors"], "w", encoding="utf-8", buffering=1)  # noqa: SIM115  the life's own
        connection.sendall(_line({"pid": os.getpid()}))  # by itself, and so before anything else it says
        _live_and_exit(connection, plan)
    connection.sendall(_line({"ended": os.waitstatus_to_exitcode(_status_of(pid))}))


def _live_and_exit(connection: socket.socket, plan: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        asyncio.run(live(connection, plan))
        code = 0
    except NeedsOperator as error:
        sys.stderr.write(f"{error}\n")
        code = REFUSED
    except BaseException:  # noqa: BLE001  a fork must never go on as the zygote
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _status_of(pid: int) -> int:
    """How the life ended; what others left behind is reaped meanwhile."""
    while True:
        found, status = os.waitpid(-1, 0)
        if found == pid:
            return status


def _left_behind() -> list[str]:
    """The command lines of what still lives of the lives before, when it was given time to end."""
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline:
        try:
            found, _status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return []
        if not found:
            time.sleep(0.005)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in children]


def _line(word: dict[str, Any]) -> bytes:
    return json.dumps(word).encode() + b"\n"


def main() -> None:
    assert ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    warm_up()
    serve(sys.argv[1])


if __name__ == "__main__":
    main()
