"""The command line: parse, call, return an exit code."""

import json
import logging
import os
import sys
import threading
from pathlib import Path

import click

from cs_archiver import __version__, app
from cs_archiver.commands.common import EXIT_FAILED, config_option, usable_settings
from cs_archiver.commands.common import run as run_to_end
from cs_archiver.commands.configuration import check_config, config_group
from cs_archiver.commands.db import db
from cs_archiver.commands.doctor import doctor
from cs_archiver.commands.globus_sandbox import globus_sandbox
from cs_archiver.commands.notify import notify_child, notify_test
from cs_archiver.commands.pause import pause, resume
from cs_archiver.commands.systemd_unit import systemd_unit
from cs_archiver.commands.user import user
from cs_archiver.demo.command import run_demo
from cs_archiver.server.openapi import document
from cs_archiver.server.routes import ROUTES


def run() -> None:
    """The program: `main`, and then its end, even while a thread still waits for a NAS that may never answer."""
    try:
        main()
    except SystemExit as end:
        if threading.active_count() > 1:  # daemons too: the threads of an executor are joined whatever they are
            logging.shutdown()
            sys.stdout.flush()
            os._exit(int(end.code or 0))
        raise


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cs-archiver")
def main() -> None:
    """Moves finished folders from a NAS to Globus, and deletes only what is proven stored."""


@main.command()
@config_option
def serve(config_file: Path | None) -> None:
    """Run the server and both workers until SIGTERM."""
    settings = usable_settings(config_file)
    run_to_end(app.serve(settings, on_ready=lambda address: click.echo(f"CS Archiver is ready at {address}")))


@main.command()
def openapi() -> None:
    """Print the description of the API (OpenAPI 3.1) that the server gives at /api/openapi.json."""
    click.echo(json.dumps(document(ROUTES), indent=2))


@main.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-data"))
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--run", "hands_off", is_flag=True, help="Archive every folder, prove the result, and end.")
def demo(folder: Path, port: int, *, hands_off: bool) -> None:
    """Build an example NAS and run the product on it, against a Globus sandbox on this machine."""
    if not run_to_end(run_demo(folder, port=port, hands_off=hands_off, echo=click.echo)):
        sys.exit(EXIT_FAILED)


COMMANDS = (
    check_config,
    config_group,
    db,
    doctor,
    globus_sandbox,
    notify_child,
    notify_test,
    pause,
    resume,
    systemd_unit,
    user,
)
for command in COMMANDS:
    main.add_command(command)
