"""Makes a process ready to be forked into lives of the service: everything imported, compiled and cached before.

It archives one folder; then every thread of that has ended or is free (it looks), no loop runs and no database is open,
and a fork of it is as sound as one of a program that has just begun. What there is now is no garbage, and no
collection of a fork looks at it: that would copy most of the memory for each fork.
"""

import asyncio
import gc
import os
import tempfile
import threading
import time
from pathlib import Path

from cs_archiver.tools.threads import FREE
from tests.support.service import running_service

_GRACE_SECONDS = 10.0


def warm_up() -> None:
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(_one_job(Path(root)))
    deadline = time.monotonic() + _GRACE_SECONDS
    while _threads_at_work() > 1:
        assert time.monotonic() < deadline, "threads are left: a fork would lose them"
        time.sleep(0.005)
    gc.collect()
    gc.freeze()


def _threads_at_work() -> int:
    return len(os.listdir("/proc/self/task")) - sum(thread.name == FREE for thread in threading.enumerate())


async def _one_job(root: Path) -> None:
    async with running_service(root) as service:
        folder = service.place.folder()
        (folder / "one.mov").write_bytes(b"one")
        job = await service.archive(folder)
        assert job["status"] == "completed", job
