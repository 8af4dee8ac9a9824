"""The command line: parse, call, return an exit code."""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from cs_archiver import __version__, app, config, logs
from cs_archiver.demo.command import run_demo
from cs_archiver.errors import ArchiverError, ConfigError
from cs_archiver.sandbox import SandboxSettings
from cs_archiver.sandbox.command import parse_client, parse_collection
from cs_archiver.sandbox.command import serve as serve_sandbox
from cs_archiver.settings import Settings

_T = TypeVar("_T")

_EXIT_CONFIG = 2
_EXIT_FAILED = 1

_config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The configuration file; without it {config.DEFAULT_FILE}, if it is there.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cs-archiver")
def main() -> None:
    """Moves finished folders from a NAS to Globus, and deletes only what is proven stored."""


@main.command()
@_config_option
def serve(config_file: Path | None) -> None:
    """Run the server and both workers until SIGTERM."""
    settings = _settings(config_file)
    _run(app.serve(settings, on_ready=lambda address: click.echo(f"CS Archiver is ready at {address}")))
    _leave_hanging_threads(0)


@main.command("check-config")
@_config_option
def check_config(config_file: Path | None) -> None:
    """Check the configuration without starting anything."""
    _settings(config_file)
    click.echo("The configuration is fine.")


@main.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-data"))
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--run", "hands_off", is_flag=True, help="Archive every folder, prove the result, and end.")
def demo(folder: Path, port: int, *, hands_off: bool) -> None:
    """Build an example NAS and run the product on it, against a Globus sandbox on this machine."""
    if not _run(run_demo(folder, port=port, hands_off=hands_off, echo=click.echo)):
        sys.exit(_EXIT_FAILED)


@main.command("globus-sandbox")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="0: any that is free.")
@click.option("--collection", "collections", multiple=True, required=True, metavar="UUID=DIR")
@click.option("--client", "clients", multiple=True, metavar="ID:SECRET")
@click.option("--rate", type=click.IntRange(min=1), help="Bytes a second; without it, as fast as the disk.")
def globus_sandbox(port: int, collections: tuple[str, ...], clients: tuple[str, ...], rate: int | None) -> None:
    """Run the Globus sandbox alone: a service on this machine that moves files between folders."""
    _run(_sandbox(port, collections, clients, rate))


async def _sandbox(port: int, collections: tuple[str, ...], clients: tuple[str, ...], rate: int | None) -> None:
    settings = SandboxSettings(
        collections=dict(parse_collection(text) for text in collections),
        port=port,
        rate_bytes_per_second=rate,
    )
    if clients:
        settings = replace(settings, clients=dict(parse_client(text) for text in clients))
    await serve_sandbox(settings, click.echo)


def _settings(config_file: Path | None) -> Settings:
    try:
        settings = config.load(config_file, os.environ)
        config.check_folders(settings)
        logs.configure(settings.log)
    except ConfigError as error:
        _end(error, _EXIT_CONFIG)
    return settings


def _run(work: Coroutine[object, object, _T]) -> _T:
    try:
        return asyncio.run(work)
    except ConfigError as error:
        _end(error, _EXIT_CONFIG)
    except ArchiverError as error:
        _end(error, _EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


def _leave_hanging_threads(code: int) -> None:
    """End now, in good order, although a thread still waits for a NAS that may never answer."""
    if threading.active_count() > 1:  # daemons too: the threads of an executor are joined whatever they are
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)


def _end(error: ArchiverError, code: int) -> NoReturn:
    click.echo(f"cs-archiver: {error}", err=True)
    _leave_hanging_threads(code)
    sys.exit(code)
