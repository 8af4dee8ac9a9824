"""The plug is pulled at system calls that change something, in the service and in its tools: nothing is ever lost.

strace kills the process that makes the N-th call of a kind, before the call is done. By default a spread of points
is taken; CS_ARCHIVER_KILL_POINTS=all takes the first 400 of every kind.
"""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from cs_archiver.sandbox import Sandbox
from tests.faults.oracle import Oracle
from tests.faults.process import ServiceProcess
from tests.support.service import FINAL, Place, environment, sandbox_settings

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt-get install strace"),
]

CALLS = (
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "rmdir",
    "mkdir",
    "link",
    "linkat",
    "symlink",
    "fsync",
    "fdatasync",
    "pwrite64",
    "ftruncate",
    "fchmod",
    "chmod",
    "utimensat",
    "openat",
    "execve",
)
SPREAD = (1, 4, 9)
MANY = {"openat": (1, 40, 160, 400), "pwrite64": (1, 30, 120, 260), "fdatasync": (1, 20, 45)}
ALL = os.environ.get("CS_ARCHIVER_KILL_POINTS") == "all"


def points() -> list[tuple[str, int]]:
    if ALL:
        return [(call, number) for call in CALLS for number in range(1, 400)]
    return [(call, number) for call in CALLS for number in MANY.get(call, SPREAD)]


def plant(folder: Path) -> None:
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / "empty").mkdir()
    for number in range(4):
        (folder / "sub" / f"{number} -x *.mov").write_bytes(os.urandom(40_000))
    (folder / "sub" / "deeper" / "notes.txt").write_text("text " * 2000)
    (folder / "link").symlink_to("sub/deeper")


@pytest.mark.parametrize(("call", "number"), points())
async def test_killed_at_a_system_call_nothing_is_lost_and_the_job_is_finished(
    tmp_path: Path, call: str, number: int
) -> None:
    place = Place(tmp_path).make()
    folder = place.folder()
    plant(folder)
    oracle = Oracle(folder)
    async with Sandbox(sandbox_settings(place)) as sandbox:
        env = environment(place, sandbox.url)
        done = await first_life(env, folder, call, number, tmp_path)
        assert oracle.losses(place.remote) == []
        if not done:
            await second_life(env, folder)
        assert oracle.is_archived_and_gone(place.remote)
        assert sum(task.status == "SUCCEEDED" for task in sandbox.tasks.values()) == 1


async def first_life(env: dict[str, str], folder: Path, call: str, number: int, tmp_path: Path) -> bool:
    """Run the job until it is done or the service is killed: whether it is done.

    strace counts the calls of every process anew, so a tool may die each time it is started: then the job fails.
    """
    log, jobs = tmp_path / "strace.txt", []
    service = ServiceProcess(env)
    assert await service.start()
    assert await service.sign_in()
    await service.call("GET", "/api/folders?refresh=true")
    tracer = await service.kill_at(call, number, log)
    await service.call("POST", "/api/jobs", json={"folder_path": str(folder)})
    while not await service.ended(0.05):
        jobs = await service.call("GET", "/api/jobs")
        if jobs and jobs[0]["status"] in FINAL:
            break
    survived = service.returncode is None
    await service.kill()
    await tracer.wait()
    done = survived and jobs[0]["status"] == "completed"
    assert done or "killed by SIGKILL" in log.read_text(), jobs
    return bool(done)


async def second_life(env: dict[str, str], folder: Path) -> None:
    """Start again, as systemd would, and let the job be finished; it is submitted if it had not been."""
    service = ServiceProcess(env)
    assert await service.start()
    assert await service.sign_in()
    jobs = await service.call("GET", "/api/jobs")
    if not jobs:
        await service.call("GET", "/api/folders?refresh=true")
        await service.call("POST", "/api/jobs", json={"folder_path": str(folder)})
    elif jobs[0]["status"] == "failed":
        await service.call("POST", f"/api/jobs/{jobs[0]['job_id']}/retry")
    async with asyncio.timeout(90):
        while (jobs := await service.call("GET", "/api/jobs"))[0]["status"] != "completed":
            assert jobs[0]["status"] not in ("failed", "cancelled"), jobs
            await asyncio.sleep(0.05)
    await service.kill()
