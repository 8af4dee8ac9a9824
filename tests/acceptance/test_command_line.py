"""The program as an administrator starts and stops it: exit codes, one clear line, clean ends."""

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cs_archiver import cli
from cs_archiver.sandbox import Sandbox
from tests.support.service import NOWHERE, Place, environment, free_port, sandbox_settings

PROGRAM = [sys.executable, "-m", "cs_archiver"]


def run(*arguments: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    whole = {"PATH": os.environ["PATH"], **env}
    return subprocess.run([*PROGRAM, *arguments], env=whole, capture_output=True, text=True, timeout=60, check=False)


class Started:
    """A service in a process of its own; `line` is the first thing it said."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        whole = {"PATH": os.environ["PATH"], **env}
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments], env=whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def started(place: Place) -> Iterator[Started]:
    service = Started(environment(place, NOWHERE), "serve")
    yield service
    if service.process.poll() is None:
        service.process.kill()
    service.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_cleanly(started: Started, number: signal.Signals) -> None:
    assert started.line.startswith("CS Archiver is ready at http://127.0.0.1:")
    code, errors = started.stop(number)
    assert code == 0, errors
    assert "Traceback" not in errors


def test_a_signal_to_open_the_log_anew_does_not_end_a_service_that_just_starts(place: Place, tmp_path: Path) -> None:
    told = tmp_path / "imports"
    with told.open("w") as file:
        service = subprocess.Popen(
            [sys.executable, "-X", "importtime", *PROGRAM[1:], "serve"],
            env={"PATH": os.environ["PATH"], **environment(place, NOWHERE)},
            stdout=subprocess.PIPE,
            stderr=file,
        )
    try:
        assert service.stdout is not None
        while "| cs_archiver.errors" not in re.sub(r" +", " ", told.read_text()):  # the first that the command imports
            assert service.poll() is None
        sent = 0
        while not select.select([service.stdout], [], [], 0.02)[0]:
            service.send_signal(signal.SIGHUP)
            sent += 1
        assert service.stdout.readline().startswith(b"CS Archiver is ready")
        assert sent
        service.terminate()
        assert service.wait(30) == 0
    finally:
        service.kill()
        service.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_service_cleanly_that_still_waits_for_a_file_system(tmp_path: Path, number: int) -> None:
    held = tmp_path / "config.toml"
    os.mkfifo(held)  # who reads it waits, as for a file of a NAS that hangs
    service = subprocess.Popen([*PROGRAM, "serve", "--config", held], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        with open(held, "wb"):  # waits until the service opens it
            service.send_signal(number)
            service.wait(30)
        assert service.communicate() == (b"", b"")
        assert service.returncode == 0
    finally:
        service.kill()
        service.communicate()


def test_a_second_instance_is_refused_and_the_first_goes_on(started: Started, place: Place) -> None:
    second = run("serve", env=environment(place, NOWHERE))
    assert second.returncode == 1
    assert (
        second.stderr.strip()
        .splitlines()[-1]
        .startswith(f"cs-archiver: another CS Archiver (process {started.process.pid})")
    )
    assert started.process.poll() is None


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DATABASE_URL", "postgresql://user:pass@localhost/cs_archiver", "[database] url: expected"),
        ("PORT", "80x", "[server] port: expected"),
        ("QNAP_BASE_PATH", "/nowhere/at/all", "[qnap] base_path: expected"),
        ("STORAGE_BASE_PATH", "/nowhere/at/all", "[storage] base_path: expected"),
        ("GLOBUS_CLIENT_ID", "", "[globus] client_id: expected"),
        ("GLOBUS_CLIENT_SECRET", "", "[globus] client_secret: expected"),
        ("JWT_SECRET_KEY", "short", "[jwt] secret_key: expected"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_a_wrong_setting_stops_the_start_with_one_line_that_names_it(
    place: Place, command: str, variable: str, value: str, expected: str
) -> None:
    ended = run(command, env=environment(place, NOWHERE, **{variable: value}))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert expected in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "pass@" not in ended.stderr


def test_an_unknown_key_is_named(place: Place) -> None:
    file = place.root / "mine.toml"
    file.write_text("[server]\nprot = 8000\n")
    ended = run("check-config", "--config", str(file), env=environment(place, NOWHERE))
    assert ended.returncode == 2
    assert '[server]: unknown key "prot"' in ended.stderr
    assert "port" in ended.stderr


def test_a_sound_configuration_is_said_to_be_fine(place: Place) -> None:
    ended = run("check-config", env=environment(place, NOWHERE))
    assert (ended.returncode, ended.stdout) == (0, "The configuration is fine.\n")


def test_a_log_file_that_cannot_be_opened_is_one_line(place: Place) -> None:
    (place.root / "app.log").symlink_to(place.root / "nowhere" / "app.log")
    ended = run("serve", env=environment(place, NOWHERE, LOG_FILE=str(place.root / "app.log")))
    assert ended.returncode == 2
    assert "[log] file: expected" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_an_occupied_port_is_one_line(place: Place, started: Started, tmp_path: Path) -> None:
    port = started.line.strip().rpartition(":")[2]
    other = Place(tmp_path / "other").make()
    ended = run("serve", env=environment(other, NOWHERE, PORT=port))
    assert ended.returncode == 2
    assert "[server] port: expected an address that is free" in ended.stderr.strip().splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_damaged_database_is_refused_and_left_as_it_is(place: Place) -> None:
    place.database.write_bytes(b"this is no database" * 1000)
    ended = run("serve", env=environment(place, NOWHERE))
    assert ended.returncode == 1
    assert "restore the last backup" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert place.database.read_bytes() == b"this is no database" * 1000


def test_the_sandbox_command_says_how_to_reach_it_and_ends_on_a_signal(tmp_path: Path) -> None:
    collection = f"5c000000-0000-4000-8000-000000000009={tmp_path}"
    sandbox = Started({}, "globus-sandbox", "--port", str(free_port()), "--collection", collection)
    code, errors = sandbox.stop(signal.SIGINT)
    assert sandbox.line.startswith("Globus sandbox at http://127.0.0.1:")
    assert code == 130
    assert "Traceback" not in errors


async def test_the_service_starts_while_globus_is_away(place: Place) -> None:
    async with Sandbox(sandbox_settings(place)) as sandbox:
        url = sandbox.url
    service = Started(environment(place, url), "serve")
    assert "is ready" in service.line
    assert service.stop(signal.SIGTERM)[0] == 0


def test_every_command_is_there_and_imports_what_it_needs() -> None:
    listed = re.findall(r"^  ([a-z-]+)  ", run("--help", env={}).stdout.partition("Commands:")[2], re.MULTILINE)
    assert set(listed) == set(cli._COMMANDS) - {"notify-child"}
    for name in cli._COMMANDS:
        command = cli.main.get_command(click.Context(cli.main), name)
        assert command is not None
        assert command.name == name
    assert run("nothing-like-it", env={}).returncode == 2


def test_what_needs_no_service_imports_none() -> None:
    """A service takes a second of a processor to import, which nobody should wait for who asks for the version."""
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cs_archiver", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines()}
    assert "cs_archiver.cli" in imported
    assert not {"aiohttp", "sqlalchemy", "globus_sdk", "pydantic"} & imported
