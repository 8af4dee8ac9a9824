"""The unit that `cs-archiver systemd-unit` prints, held against the configuration and against systemd itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cs_archiver import config
from cs_archiver.commands.systemd_unit import unit
from cs_archiver.tools.descriptors import FOR_THE_WORK, MOST_CONNECTIONS

PROGRAM = ["/opt/cs-archiver/current/bin/cs-archiver"]
NASTY = '/mnt/100% "of" $HOME; \\x20\ttab'
SECRET = "the secret of the service account"
KEY = "k" * 32


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return file


def printed(file: Path, *, is_single_file: bool = False) -> list[str]:
    return unit(config.load(file, {}), file, PROGRAM, is_single_file=is_single_file).splitlines()


def values(lines: list[str], key: str) -> list[str]:
    return [line.removeprefix(f"{key}=") for line in lines if line.startswith(f"{key}=")]


def test_the_folders_of_the_configuration_are_awaited_and_writable_and_no_others(tmp_path: Path) -> None:
    lines = printed(
        written(
            tmp_path,
            '[qnap]\nbase_path = "/mnt/nas/Tech Team"\n[storage]\nbase_path = "/data"\nfailed_path = "/data2/failed"\n'
            '[database]\nurl = "sqlite:////srv/db/cs.db"\n[log]\nfile = "/srv/logs/app.log"\n',
        )
    )
    places = ["/mnt/nas/Tech Team", "/data", "/data2/failed", "/srv/db", "/srv/logs"]
    quoted = ['"/mnt/nas/Tech Team"', *places[1:]]
    assert values(lines, "RequiresMountsFor") == [" ".join(quoted)]
    assert values(lines, "ReadWritePaths") == ['"-/mnt/nas/Tech Team" ' + " ".join(f"-{place}" for place in places[1:])]
    assert values(lines, "ProtectSystem") == ["strict"]


def test_what_lies_in_the_folders_that_systemd_makes_needs_no_more(tmp_path: Path) -> None:
    file = written(tmp_path, '[storage]\nbase_path = "/data"\n[database]\nurl = "sqlite:///cs.db"\n')
    assert values(printed(file), "ReadWritePaths") == ['"-/mnt/qnap/CitySpace Tech Team" -/data']


def test_homes_and_temporary_folders_are_hidden_unless_the_configuration_lies_there(tmp_path: Path) -> None:
    text = '[storage]\nbase_path = "{}"\n'
    lines = [
        unit(
            config.load(written(tmp_path, text.format(folder)), {}), Path("/etc/c.toml"), PROGRAM, is_single_file=False
        )
        for folder in ("/data", "/home/data", "/var/tmp/data")
    ]
    assert "\nProtectHome=yes\nPrivateTmp=yes\n" in lines[0]
    assert "\nProtectHome=read-only\nPrivateTmp=yes\n" in lines[1]
    assert "\nProtectHome=yes\nPrivateTmp=no\n" in lines[2]


def test_there_are_descriptors_for_connections_and_for_the_work(tmp_path: Path) -> None:
    assert values(printed(written(tmp_path, "")), "LimitNOFILE") == [str(MOST_CONNECTIONS + FOR_THE_WORK)]


def test_the_single_file_speaks_through_its_child_and_unpacks_where_it_may_run(tmp_path: Path) -> None:
    file = written(tmp_path, "")
    single, several = printed(file, is_single_file=True), printed(file)
    assert values(single, "NotifyAccess") == ["all"]
    assert values(several, "NotifyAccess") == ["main"]
    assert "TMPDIR=/var/lib/cs-archiver/unpacked" in values(single, "Environment")
    assert values(single, "StateDirectory") == ["cs-archiver cs-archiver/unpacked"]
    assert not values(several, "Environment")


def test_secret_files_are_handed_over_as_credentials_that_really_load(tmp_path: Path) -> None:
    secret, key = tmp_path / "globus 100%", tmp_path / "jwt"
    for path, held in ((secret, SECRET), (key, KEY)):
        path.touch(0o600)
        path.write_text(held)
    text = f'[globus]\nclient_secret_file = "{secret}"\n[jwt]\nsecret_key_file = "{key}"\n'
    lines = printed(written(tmp_path, text))

    credentials = tmp_path / "credentials"  # as systemd does it: copies under their names, %d is where they lie
    credentials.mkdir()
    for line in values(lines, "LoadCredential"):
        name, _, source = line.partition(":")
        shutil.move(source.replace("%%", "%"), credentials / name)
    environ = dict(line.replace("%d", str(credentials)).split("=", 1) for line in values(lines, "Environment"))

    settings = config.load(tmp_path / "config.toml", environ)
    assert settings.globus.client_secret.get_secret_value() == SECRET
    assert settings.jwt.secret_key.get_secret_value() == KEY
    assert SECRET not in "\n".join(lines)


def test_the_command_prints_the_unit_of_the_file_whatever_the_variables_say(tmp_path: Path) -> None:
    file = written(tmp_path, '[storage]\nbase_path = "/data"\n')
    done = command(file, {"STORAGE_BASE_PATH": "/elsewhere"})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert values(lines, "ExecStart") == [f"{sys.executable} -m cs_archiver serve --config {file}"]
    assert "/elsewhere" not in done.stdout
    assert lines[-1] == "WantedBy=multi-user.target"


def test_a_wrong_configuration_is_one_line_and_no_unit(tmp_path: Path) -> None:
    done = command(written(tmp_path, "[storage]\nbase = 1\n"), {})
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown key" in done.stderr


def command(file: Path, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cs_archiver", "systemd-unit", "--config", str(file)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@needs_systemd
@pytest.mark.parametrize("is_single_file", [False, True])
def test_systemd_accepts_the_unit_and_finds_little_exposed(tmp_path: Path, *, is_single_file: bool) -> None:
    file = written(tmp_path, f"[qnap]\nbase_path = {quoted_for_toml(NASTY)}\n")
    program = [shutil.which("true") or ""]
    text = unit(config.load(file, {}), Path(NASTY + "/config.toml"), program, is_single_file=is_single_file)
    place = tmp_path / "cs-archiver.service"
    place.write_text(text)
    verified = analyze("verify", place)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = analyze("security", "--offline=true", "--threshold=30", place)
    assert rated.returncode == 0, rated.stdout[-300:]


def analyze(*arguments: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def quoted_for_toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'
