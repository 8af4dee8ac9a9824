"""`cs-archiver systemd-unit`: the service's unit, with the folders and secrets that the configuration names."""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from cs_archiver import config
from cs_archiver.commands.common import EXIT_CONFIG, config_option, end
from cs_archiver.errors import ConfigError
from cs_archiver.settings import Settings, variable_of
from cs_archiver.tools import descriptors
from cs_archiver.tools.systemd import STOP_SECONDS

_NAME = "cs-archiver"
_STATE, _LOGS, _ETC = (Path(folder, _NAME) for folder in ("/var/lib", "/var/log", "/etc"))
_UNPACKED = _STATE / "unpacked"
_SECRET_FILES = (
    ("globus", "client_secret_file"),
    ("jwt", "secret_key_file"),
    ("notify", "urls_file"),
    ("server", "tls_certificate"),
    ("server", "tls_key"),
)
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+,-]+")

_HEAD = """\
# Made by `cs-archiver systemd-unit`. Make it anew when paths or secret files in the configuration change.
[Unit]
Description=CS Archiver: moves finished folders from a NAS to Globus
Wants=network-online.target
After=network-online.target time-sync.target
RequiresMountsFor={mounts}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess={notify_access}
ExecStart={program} serve --config {config_argument}
ExecReload=/bin/sh -c "kill -HUP ${{MAINPID}}"
User=cs-archiver
Group=cs-archiver
UMask=0027
WorkingDirectory={state}
StateDirectory={state_directories}
StateDirectoryMode=0750
LogsDirectory=cs-archiver
LogsDirectoryMode=0750
# A start may have to bring a large database up to date first.
TimeoutStartSec=3600
TimeoutStopSec={stop_seconds}
KillMode=mixed
WatchdogSec=60
Restart=on-failure
RestartSec=30
# A 7-Zip that takes too much memory is tried again; the service itself goes on.
OOMPolicy=continue
# Connections, and the work beside them; fewer are made do with.
LimitNOFILE={descriptors}
CPUWeight=50
IOWeight=50
"""

_HARDENING = """\
ProtectSystem=strict
ReadWritePaths={writable}
ProtectHome={protect_home}
PrivateTmp={private_tmp}
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


@click.command("systemd-unit")
@config_option
def systemd_unit(config_file: Path | None) -> None:
    """Print a unit for systemd: folders and secrets as in the configuration file, everything else shut."""
    try:
        # Only the file counts: the service will not have the variables of whoever prints its unit.
        settings = config.load(config_file, {})
    except ConfigError as error:
        end(error, EXIT_CONFIG)
    file = (config_file or config.DEFAULT_FILE).absolute()
    click.echo(unit(settings, file, _program(), is_single_file=getattr(sys, "frozen", False)), nl=False)


def unit(settings: Settings, config_file: Path, program: Sequence[str], *, is_single_file: bool) -> str:
    """The text of the unit; `config_file` and the first of `program` are absolute.

    The single file is two processes, of which the child speaks to systemd, and unpacks itself at each start.
    """
    places = _writable(settings)
    seen = [*places, config_file, Path(program[0])]
    head = _HEAD.format(
        mounts=_words(places),
        notify_access="all" if is_single_file else "main",
        program=" ".join(_argument(part) for part in program),
        config_argument=_argument(str(config_file)),
        state=_STATE,
        state_directories=f"{_NAME} {_UNPACKED.relative_to(_STATE.parent)}" if is_single_file else _NAME,
        stop_seconds=STOP_SECONDS,
        descriptors=descriptors.WANTED,
    )
    hardening = _HARDENING.format(
        writable=_words([f"-{place}" for place in places]),
        protect_home="read-only" if _any_below(seen, "/home", "/root", "/run/user") else "yes",
        private_tmp="no" if _any_below(seen, "/tmp", "/var/tmp") else "yes",  # noqa: S108
    )
    unpacking = _unpacking() if is_single_file else ""
    return head + unpacking + "".join(f"{line}\n" for line in _secrets(settings)) + hardening


def _program() -> list[str]:
    # As it was called, so that a link such as /opt/cs-archiver/current stays one.
    called = shutil.which(sys.argv[0])
    if called is not None and os.path.basename(called) != "__main__.py":
        return [os.path.abspath(called)]
    return [sys.executable, "-m", "cs_archiver"]


def _writable(settings: Settings) -> list[Path]:
    """The NAS, the storage, and what of the database and the log lies neither there nor where systemd makes folders."""
    places = [settings.qnap.base_path, settings.storage.base_path]
    folders = [settings.storage.temp_dir, settings.storage.failed_dir, (_STATE / settings.database.path).parent]
    if settings.backup.folder:
        folders.append(Path(settings.backup.folder))
    if settings.log.path:
        folders.append((_STATE / settings.log.path).parent)
    for folder in folders:
        if not any(folder.is_relative_to(place) for place in (*places, _STATE, _LOGS)):
            places.append(folder)
    return places


def _secrets(settings: Settings) -> Iterator[str]:
    """Files that root alone need be able to read: systemd hands the service a copy that nobody else sees."""
    for section, key in _SECRET_FILES:
        file = getattr(getattr(settings, section), key)
        if file:
            name = f"{section}-{key}".replace("_", "-")
            yield f"LoadCredential={name}:{_specifiers_escaped(os.path.abspath(file))}"
            yield f"Environment={variable_of(section, key)}=%d/{name}"


def _unpacking() -> str:
    """Where programs may run, as they often may not in TMPDIR; what a killed life left is removed before the next."""
    return f"Environment=TMPDIR={_UNPACKED}\nExecStartPre=/usr/bin/find {_UNPACKED} -mindepth 1 -delete\n"


def _any_below(paths: Sequence[Path], *folders: str) -> bool:
    return any(path.is_relative_to(folder) for path in paths for folder in folders)


def _words(words: Sequence[Path | str]) -> str:
    return " ".join(_quoted(str(word)) for word in words)


def _argument(text: str) -> str:
    return _quoted(text.replace("$", "$$"))


def _quoted(text: str) -> str:
    """One word as systemd.syntax(7) reads it, whatever the path holds."""
    if _PLAIN.fullmatch(text):
        return text
    return f'"{_specifiers_escaped("".join(map(_escaped, text)))}"'


def _escaped(char: str) -> str:
    if char in '\\"':
        return f"\\{char}"
    return char if char.isprintable() else "".join(f"\\x{byte:02x}" for byte in char.encode())


def _specifiers_escaped(text: str) -> str:
    return text.replace("%", "%%")
