"""The log of the running service: who did what for which request, through rotations, signals and full disks."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from cs_archiver import logs
from cs_archiver.sections.operation import Log
from tests.support.root_logger import root_logger_as_before, until_written
from tests.support.service import NOWHERE, PASSWORD, Place, Service, environment, running_service


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    with root_logger_as_before():
        yield


def fields_of(line: str) -> dict[str, str]:
    """What stands between the source of a line and its message."""
    _, _, rest = line.split(" ", 3)[1:]
    found = re.match(r"(?:(?:job|user|request)=\S+ )*", rest)
    assert found is not None
    return dict(part.split("=", 1) for part in found[0].split())


async def test_every_step_of_a_job_is_one_line_with_job_user_and_request(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    logs.configure(Log(file=str(file)), to_stderr=False)
    async with running_service(tmp_path) as service:
        folder = service.place.folder()
        (folder / "one.bin").write_bytes(b"x" * 1000)
        service.session.headers["X-Request-Id"] = "find-me"
        job = await service.archive(folder)
        assert job["status"] == "completed", await service.log_of(job["job_id"])
        told = await service.log_of(job["job_id"])
    await asyncio.to_thread(until_written)
    lines = [line for line in file.read_text("utf-8").splitlines() if fields_of(line).get("job") == job["job_id"]]
    assert all(fields_of(line).get("user") == "admin" for line in lines)
    (created,) = [line for line in lines if "Job created by admin" in line]
    assert fields_of(created) == {"job": job["job_id"], "user": "admin", "request": "find-me"}
    for line in told:  # the job's own log and the service's say the same
        level, _, message = line.partition(" ")
        assert any(f" {level} " in of_service and of_service.endswith(message) for of_service in lines), line
    submitted = [line for line in file.read_text("utf-8").splitlines() if " POST /api/jobs 201 " in line]
    assert [fields_of(line)["request"] for line in submitted] == ["find-me"]


async def test_a_disk_full_of_logs_disturbs_no_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "app.log"
    file.symlink_to("/dev/full")
    logs.configure(Log(file=str(file), max_bytes=1024, max_total_bytes=4096), to_stderr=False)
    async with running_service(tmp_path) as service:
        folder = service.place.folder()
        (folder / "one.bin").write_bytes(b"x" * 1000)
        assert (await service.archive(folder))["status"] == "completed"
        assert (await service.call("GET", "/api/health"))[0] == 200
        await asyncio.to_thread(until_written)
        file.unlink()
        logs.reopen()
    await asyncio.to_thread(until_written)
    assert capsys.readouterr().err.count("No space left on device") == 1
    assert re.search(r" \d\d+ lines are missing here$", file.read_text().splitlines()[0])


async def test_a_signal_makes_it_go_on_in_a_new_file_and_no_line_is_lost(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    values = environment(place, NOWHERE)
    file, moved = Path(values["LOG_FILE"]), tmp_path / "app.log.moved"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cs_archiver", "serve"),
        env={**os.environ, **values},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip().rpartition(" ")[2]
        async with aiohttp.ClientSession() as session:
            service = Service(place, None, address, session)  # type: ignore[arg-type]
            await service.sign_in(PASSWORD)
            await service.call("GET", "/api/version?number=1")
            file.rename(moved)
            await service.call("GET", "/api/version?number=2")
            process.send_signal(signal.SIGHUP)
            while not file.exists():
                await service.call("GET", "/api/queue")
            await service.call("GET", "/api/version?number=3")
    finally:
        process.terminate()
        await process.wait()
    assert process.returncode == 0
    before, after = moved.read_text(), file.read_text()
    assert before.count(" GET /api/version ") == 2
    assert after.count(" GET /api/version ") == 1
    assert "the log file is opened anew" in after.splitlines()[0]


async def test_a_log_that_hangs_stops_neither_the_service_nor_its_end(tmp_path: Path) -> None:
    place = Place(tmp_path).make()
    values = environment(place, NOWHERE, LOG_LEVEL="DEBUG")
    file = Path(values["LOG_FILE"])
    os.mkfifo(file)
    reader = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # it takes 64 KiB, and then nothing
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cs_archiver", "serve"),
        env={**os.environ, **values},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip().rpartition(" ")[2]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
            service = Service(place, None, address, session)  # type: ignore[arg-type]
            await service.sign_in(PASSWORD)
            for _ in range(700):
                assert (await service.call("GET", "/api/version"))[0] == 200
        process.send_signal(signal.SIGHUP)
        process.terminate()
        async with asyncio.timeout(60):
            assert await process.wait() == 0
    finally:
        os.close(reader)
        if process.returncode is None:
            process.kill()
            await process.wait()
