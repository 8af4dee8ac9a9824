"""`cs-archiver user`: the accounts, from the host."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from cs_archiver import app
from cs_archiver.commands.common import config_option, read_settings, run
from cs_archiver.db.accounts import User
from cs_archiver.services.host_accounts import HostAccounts

_T = TypeVar("_T")


@click.group()
def user() -> None:
    """The accounts, from the host: also while the service runs."""


@user.command("add")
@click.argument("username")
@click.option("--admin", "is_admin", is_flag=True, help="May manage users and read the audit trail.")
@config_option
def add_user(config_file: Path | None, username: str, *, is_admin: bool) -> None:
    """Add a user; the password is asked for, or read from standard input, and must be changed within a week."""
    password = _new_password()

    async def add(accounts: HostAccounts) -> User:
        return await accounts.add(username, password, is_admin=is_admin)

    click.echo(
        f"Added {_on_accounts(config_file, add).username}, who must choose another password at the first sign-in."
    )


@user.command("list")
@config_option
def list_users(config_file: Path | None) -> None:
    """List the users."""
    for found in _on_accounts(config_file, HostAccounts.listed):
        role = "admin" if found.is_admin else "user"
        note = _note(found)
        seen = f"last sign-in {found.last_login}" if found.last_login else "never signed in"
        click.echo(f"{found.username}  {role}, created {found.created_at}, {seen}{note}")


@user.command("reset-password")
@click.argument("username")
@config_option
def reset_password(config_file: Path | None, username: str) -> None:
    """Give a user a new password, to be changed within a week; sessions and tokens end at once."""
    password = _new_password()

    async def reset(accounts: HostAccounts) -> User:
        return await accounts.reset_password(username, password)

    found = _on_accounts(config_file, reset)
    click.echo(f"{found.username} has a new password, to be changed at the next sign-in.")


@user.command("remove-second-factor")
@click.argument("username")
@config_option
def remove_second_factor(config_file: Path | None, username: str) -> None:
    """Switch off the second factor of a user who lost it; sessions end at once. Make sure first who asks for it."""

    async def remove(accounts: HostAccounts) -> User:
        return await accounts.remove_second_factor(username)

    click.echo(f"{_on_accounts(config_file, remove).username} signs in with the password alone now.")


def _note(found: User) -> str:
    factor = ", second factor" if found.has_second_factor else ""
    if not found.must_change_password:
        return factor
    until = f" until {found.password_expires_at}" if found.password_expires_at else ""
    return f"{factor}, must change the password{until}"


def _on_accounts(config_file: Path | None, work: Callable[[HostAccounts], Awaitable[_T]]) -> _T:
    settings = read_settings(config_file)

    async def work_on_accounts() -> _T:
        async with app.accounts_on_host(settings) as accounts:
            return await work(accounts)

    return run(work_on_accounts())


def _new_password() -> str:
    if _at_terminal():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _at_terminal() -> bool:
    return sys.stdin.isatty()
