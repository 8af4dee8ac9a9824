"""`doctor`, `check-config` and `config show` as programs: what they print, how they end, and that no secret is told."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cs_archiver.pipeline import access_of
from cs_archiver.sandbox import Operation, Sandbox
from cs_archiver.sandbox.faults import Hang
from cs_archiver.services.globus_checks import GlobusChecks
from tests.acceptance.test_command_line import run
from tests.support.service import (
    CLIENT_SECRET,
    PASSWORD,
    Place,
    environment,
    running_service,
    service_in,
    settings_of,
)
from tests.support.tampering import eventually

SECRETS = {
    "GLOBUS_CLIENT_SECRET": CLIENT_SECRET,
    "JWT_SECRET_KEY": "a signing key that nobody may see, of 32 bytes",
    "ADMIN_INITIAL_PASSWORD": PASSWORD,
    "NOTIFY_URLS": "json://127.0.0.1:9/a-token-that-nobody-may-see",
}


@pytest.fixture(autouse=True)
def _a_production(place: Place) -> None:
    place.folder()


async def ran(*arguments: str, env: Mapping[str, str]) -> tuple[int, str, str]:
    """On a thread: the sandbox answers on this loop."""
    ended = await asyncio.to_thread(run, *arguments, env=dict(env))
    return ended.returncode, ended.stdout, ended.stderr


def rows_of(text: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(text)["checks"]}


async def test_doctor_says_that_all_is_well_before_the_first_start(place: Place, sandbox: Sandbox) -> None:
    code, text, errors = await ran("doctor", env=environment(place, sandbox.url))
    assert (code, errors) == (0, "")
    assert "ok           Path mapping" in text
    assert text.splitlines()[-1].startswith("16 checks: 1")
    assert not place.database.exists()
    assert not (place.database.parent / "app.log").exists()


async def test_doctor_works_beside_a_running_service(place: Place, sandbox: Sandbox) -> None:
    async with service_in(place, sandbox):
        code, text, errors = await ran("doctor", "--json", env=environment(place, sandbox.url))
        assert (code, errors) == (0, "")
        assert json.loads(text)["all_is_well"] is True
        rows = rows_of(text)
        assert rows["database"]["found"].startswith("sound, schema version")
        assert {row["verdict"] for row in rows.values()} <= {"ok", "warning"}
        assert set(rows["rsync"]) == {"name", "title", "verdict", "found", "advice", "checked_at"}


async def test_doctor_fails_when_one_check_fails_and_says_what_to_do(place: Place, sandbox: Sandbox) -> None:
    env = environment(place, sandbox.url, GLOBUS_SOURCE_BASE_PATH="/elsewhere")
    code, text, _ = await ran("doctor", env=env)
    assert code == 1
    assert "FAILED       Path mapping" in text
    assert "-> check [globus] source_base_path" in text
    assert "failed" in text.splitlines()[-1]


async def test_doctor_ends_in_time_though_globus_hangs(place: Place, sandbox: Sandbox) -> None:
    sandbox.faults.add(Operation.TOKEN, Hang(), times=None)
    env = environment(place, sandbox.url, CHECKS_TIMEOUT_SECONDS="1", GLOBUS_HTTP_TIMEOUT_SECONDS="600")
    start = time.monotonic()
    code, text, _ = await ran("doctor", env=env)
    assert time.monotonic() - start < 30
    sandbox.faults.clear()
    assert code == 1
    assert "NOT CHECKED  Globus                 no answer within 1 s" in text


async def test_doctor_shows_every_trouble_of_a_bare_machine(tmp_path: Path) -> None:
    code, text, errors = await ran("doctor", "--json", env={"STORAGE_BASE_PATH": str(tmp_path / "none")})
    assert (code, errors) == (1, "")
    rows = rows_of(text)
    for name in ("configuration", "nas", "storage", "space"):
        assert rows[name]["verdict"] == "failed", rows[name]
        assert rows[name]["advice"]


async def test_checks_that_are_given_up_and_then_ended_leave_nothing(place: Place, sandbox: Sandbox) -> None:
    sandbox.faults.add(Operation.STAT, Hang(), times=None)
    settings = settings_of(place, sandbox.url, GLOBUS_HTTP_TIMEOUT_SECONDS="600")
    checks = asyncio.create_task(GlobusChecks(settings, access_of(settings)).round(600))

    def probes() -> list[Path]:
        return list(place.storage.rglob(".cs-archiver-probe-check-*"))

    await eventually(probes, what="a probe")
    for _ in range(2):  # as by the time they may take, and by the end of the service
        checks.cancel()
        await asyncio.sleep(0)
    sandbox.faults.clear()
    await asyncio.wait({checks})
    assert checks.cancelled()
    await eventually(lambda: not probes(), what="the end of the probe")


async def test_doctor_that_is_interrupted_leaves_nothing(place: Place, sandbox: Sandbox) -> None:
    sandbox.faults.add(Operation.STAT, Hang(), times=None)
    env = environment(place, sandbox.url, GLOBUS_HTTP_TIMEOUT_SECONDS="600", CHECKS_TIMEOUT_SECONDS="600")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cs_archiver", "doctor", env={**os.environ, **env}, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(40):
        while not list(place.storage.glob(".cs-archiver-probe-check-*")):
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
    sandbox.faults.clear()
    assert process.returncode == 130, errors.decode()
    assert b"Traceback" not in errors, errors.decode()
    assert list(place.storage.iterdir()) == []


async def test_running_service_makes_its_checks_by_itself(place: Place, sandbox: Sandbox) -> None:
    async with service_in(place, sandbox, CHECKS_INTERVAL_MINUTES="60", GLOBUS_SOURCE_BASE_PATH="/none") as service:
        async with asyncio.timeout(40):
            while not (status := (await service.call("GET", "/api/system/status"))[1])["checks"]:
                await asyncio.sleep(0.05)
    assert len(status["checks"]) == 16
    assert any(warning.startswith("Path mapping: a file written to") for warning in status["warnings"])


def shown(place: Place, *arguments: str, env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    ended = run("config", "show", "--json", *arguments, env=dict(env))
    assert ended.returncode == 0, ended.stderr
    return {f"{row['section']}.{row['key']}": row for row in json.loads(ended.stdout)}


def test_config_show_says_where_each_value_comes_from(place: Place) -> None:
    file, secret = place.root / "mine.toml", place.root / "secret"
    file.write_text(f'[server]\nport = 8123\nhost = "127.0.0.1"\n[globus]\nclient_secret_file = "{secret}"\n')
    secret.touch(0o600)
    secret.write_text("hidden-in-a-file")
    settings = shown(place, "--config", str(file), env={"HOST": "127.0.0.2", "COPY_THREADS": "2"})
    told = {name: (row["value"], row["source"], row["where"]) for name, row in settings.items()}
    assert told["server.port"] == (8123, "file", str(file))
    assert told["server.host"] == ("127.0.0.2", "environment", "variable HOST")
    assert told["copy.threads"] == (2, "environment", "variable COPY_THREADS")
    assert told["copy.small_below_gb"] == (1.0, "default", "")
    assert told["globus.client_secret"] == ("(set)", "secret_file", str(secret))
    assert told["globus.client_secret_file"] == (str(secret), "file", str(file))
    assert told["jwt.secret_key"] == ("(not set)", "default", "")
    assert told["database.url"][0] == "sqlite:////var/lib/cs-archiver/cs_archiver.db"
    assert settings["log.level"]["variable"] == "LOG_LEVEL"


def test_no_command_prints_a_secret(place: Place) -> None:
    env = {**environment(place, "http://127.0.0.1:9/"), **SECRETS}
    for command in (["config", "show"], ["config", "show", "--json"], ["check-config"], ["doctor"]):
        ended = run(*command, env=env)
        for secret in SECRETS.values():
            assert secret not in ended.stdout + ended.stderr, command
    text = run("config", "show", env=env).stdout
    assert "client_secret = (set)" in text
    assert "# environment variable GLOBUS_CLIENT_SECRET" in text


def test_config_show_of_a_wrong_configuration_is_one_line(place: Place) -> None:
    ended = run("config", "show", env={"PORT": "80x"})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "[server] port: expected" in ended.stderr


def test_check_config_changes_nothing(place: Place) -> None:
    ended = run("check-config", env=environment(place, "http://127.0.0.1:9/"))
    assert (ended.returncode, ended.stdout) == (0, "The configuration is fine.\n")
    assert list(place.database.parent.iterdir()) == []


def test_check_config_names_a_log_file_that_leads_nowhere(place: Place) -> None:
    (place.root / "app.log").symlink_to(place.root / "nowhere" / "app.log")
    env = environment(place, "http://127.0.0.1:9/", LOG_FILE=str(place.root / "app.log"))
    ended = run("check-config", env=env)
    assert ended.returncode == 2
    assert "[log] file: expected a file, found a link that leads nowhere" in ended.stderr
    assert ended.stderr.count("\n") == 1


async def test_a_job_is_not_disturbed_by_checks_that_are_made_all_the_time(tmp_path: Path) -> None:
    async with running_service(tmp_path, CHECKS_INTERVAL_MINUTES="0.0005") as service:
        folder = service.place.folder()
        (folder / "clip.mov").write_bytes(os.urandom(300_000))
        job = await service.archive(folder)
        assert job["status"] == "completed", job
        assert len((await service.call("GET", "/api/system/status"))[1]["checks"]) == 16
    assert list(service.place.storage.rglob(".cs-archiver-probe*")) == []
