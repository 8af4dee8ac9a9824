"""Tells systemd how the service is: ready, alive, reloading, stopping; silent where something else started it."""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

from cs_archiver.errors import ArchiverError

STOP_SECONDS = 120

_STATUS_SECONDS = 10.0
_TELL_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Systemd:
    """What this process tells its manager, after sd_notify(3); without NOTIFY_SOCKET every call does nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # WATCHDOG_PID is not asked: in the single file it names the parent, which only unpacks and waits.
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watchdog_seconds = _microseconds(environ.get("WATCHDOG_USEC", "")) / 1_000_000

    def ready(self) -> None:
        """Requests are answered."""
        self._tell("READY=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Around whatever a SIGHUP sets off."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self._tell("READY=1")

    def stopping(self) -> None:
        """The tools are being ended, which may take STOP_SECONDS."""
        self._tell("STOPPING=1", "STATUS=stopping: the tools are ended", f"EXTEND_TIMEOUT_USEC={STOP_SECONDS}000000")

    async def stay_alive(self, lives: Callable[[], bool]) -> None:
        """Tell the watchdog twice in its time that the event loop turns, until `lives` says no."""
        while self._watchdog_seconds and lives():
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_seconds / 2)

    async def show(self, status: Callable[[], Awaitable[str]]) -> None:
        """Keep the line that `systemctl status` shows up to date."""
        shown = None
        while self._address:
            try:
                now = await status()
            except ArchiverError as error:
                now = str(error)
            if now != shown:
                self._tell(f"STATUS={now}".replace("\n", " "))
                shown = now
            await asyncio.sleep(_STATUS_SECONDS)

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the zero byte of an address that lies in no folder.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
                speaker.settimeout(_TELL_SECONDS)
                speaker.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            logger.warning("systemd was not told %s: %s", lines[0], error)


def _microseconds(text: str) -> int:
    return int(text) if text.isdecimal() else 0
