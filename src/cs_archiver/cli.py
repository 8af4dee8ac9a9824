"""The command line: parse, call, return an exit code."""

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from cs_archiver import __version__, app, config, logs
from cs_archiver.db.accounts import User
from cs_archiver.demo.command import run_demo
from cs_archiver.errors import ArchiverError, ConfigError
from cs_archiver.sandbox import SandboxSettings
from cs_archiver.sandbox.command import parse_client, parse_collection
from cs_archiver.sandbox.command import serve as serve_sandbox
from cs_archiver.server.openapi import document
from cs_archiver.server.routes import ROUTES
from cs_archiver.services.host_accounts import HostAccounts
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
@_config_option
def serve(config_file: Path | None) -> None:
    """Run the server and both workers until SIGTERM."""
    settings = _settings(config_file)
    _run(app.serve(settings, on_ready=lambda address: click.echo(f"CS Archiver is ready at {address}")))


@main.command("check-config")
@_config_option
def check_config(config_file: Path | None) -> None:
    """Check the configuration without starting anything."""
    _settings(config_file)
    click.echo("The configuration is fine.")


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


@main.group()
def user() -> None:
    """The accounts, from the host: also while the service runs."""


@user.command("add")
@click.argument("username")
@click.option("--admin", "is_admin", is_flag=True, help="May manage users and read the audit trail.")
@click.option("--must-change-password", is_flag=True, help="At the first sign-in, before anything else.")
@_config_option
def add_user(config_file: Path | None, username: str, *, is_admin: bool, must_change_password: bool) -> None:
    """Add a user; the password is asked for, or read from standard input."""
    password = _new_password()

    async def add(accounts: HostAccounts) -> User:
        return await accounts.add(username, password, is_admin=is_admin, must_change_password=must_change_password)

    click.echo(f"Added {_on_accounts(config_file, add).username}.")


@user.command("list")
@_config_option
def list_users(config_file: Path | None) -> None:
    """List the users."""
    for found in _on_accounts(config_file, HostAccounts.listed):
        role = "admin" if found.is_admin else "user"
        note = ", must change the password" if found.must_change_password else ""
        seen = f"last sign-in {found.last_login}" if found.last_login else "never signed in"
        click.echo(f"{found.username}  {role}, created {found.created_at}, {seen}{note}")


@user.command("reset-password")
@click.argument("username")
@_config_option
def reset_password(config_file: Path | None, username: str) -> None:
    """Give a user a new password, to be changed at the next sign-in; sessions and tokens end at once."""
    password = _new_password()

    async def reset(accounts: HostAccounts) -> User:
        return await accounts.reset_password(username, password)

    found = _on_accounts(config_file, reset)
    click.echo(f"{found.username} has a new password, to be changed at the next sign-in.")


def _on_accounts(config_file: Path | None, work: Callable[[HostAccounts], Awaitable[_T]]) -> _T:
    settings = _read_settings(config_file)

    async def run() -> _T:
        async with app.accounts_on_host(settings) as accounts:
            return await work(accounts)

    return _run(run())


def _new_password() -> str:
    if _at_terminal():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _settings(config_file: Path | None) -> Settings:
    settings = _read_settings(config_file)
    try:
        config.check_folders(settings)
        logs.configure(settings.log)
    except ConfigError as error:
        _end(error, _EXIT_CONFIG)
    return settings


def _read_settings(config_file: Path | None) -> Settings:
    try:
        return config.load(config_file, os.environ)
    except ConfigError as error:
        _end(error, _EXIT_CONFIG)


def _run(work: Coroutine[object, object, _T]) -> _T:
    try:
        return asyncio.run(work)
    except ConfigError as error:
        _end(error, _EXIT_CONFIG)
    except ArchiverError as error:
        _end(error, _EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


def _end(error: ArchiverError, code: int) -> NoReturn:
    click.echo(f"cs-archiver: {error}", err=True)
    sys.exit(code)
