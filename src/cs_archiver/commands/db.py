"""`cs-archiver db`: the database, from the host."""

import getpass
import os
import pwd
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import click

from cs_archiver import config
from cs_archiver.commands.common import config_option, read_settings, run
from cs_archiver.db.backups import Backups, Kind
from cs_archiver.db.copies import Facts, copy, inspect
from cs_archiver.db.restore import Restored, restore
from cs_archiver.domain.sizes import counted
from cs_archiver.errors import NeedsOperator
from cs_archiver.tools.lock import lock_database, lock_storage
from cs_archiver.tools.threads import Work, in_thread

_T = TypeVar("_T")
_file = click.Path(path_type=Path, dir_okay=False, resolve_path=True)


@click.group()
def db() -> None:
    """The database, from the host: back it up, check it, put a backup in its place."""


@db.command()
@click.argument("file", type=_file, required=False)
@config_option
def backup(config_file: Path | None, file: Path | None) -> None:
    """Write a checked copy of the database to FILE, or into the folder of backups; also while the service runs."""
    settings = read_settings(config_file)

    def make(work: Work) -> Path:
        path = config.existing_database(settings)
        if file is None:
            _require_owner(path)
            return Backups(path, settings.backup.folder).make(Kind.MANUAL, work)
        copy(path, file, work)
        return file

    click.echo(f"Backed up and checked: {_in_thread(make)}")


@db.command()
@click.argument("file", type=_file, required=False)
@config_option
def check(config_file: Path | None, file: Path | None) -> None:
    """Read all of the database, or of the backup FILE, and say whether it is sound; also while the service runs."""
    settings = read_settings(config_file)

    def look(work: Work) -> tuple[Path, Facts]:
        path = file or config.existing_database(settings)
        return path, inspect(path, work)

    path, facts = _in_thread(look)
    click.echo(f"{path} is sound: {_told(facts)}.")


@db.command("restore")
@click.argument("file", type=_file)
@config_option
def restore_from(config_file: Path | None, file: Path) -> None:
    """Put a copy of the backup FILE in the place of the database, while the service is stopped.

    The database that was there is kept beside it. Everything is paused then, until somebody resumes.
    """
    settings = read_settings(config_file)

    def put(work: Work) -> Restored:
        path = settings.database.path
        _require_owner(path)
        with ExitStack() as stack:
            stack.callback(lock_storage(settings.storage.base_path).release)
            stack.callback(lock_database(path).release)
            return restore(path, file, work, by=f"{getpass.getuser()} (db restore, on the host)")

    facts, kept = _in_thread(put)
    click.echo(f"Restored from {file}: {_told(facts)}.")
    if kept is not None:
        click.echo(f"The database before it is kept: {kept}")
    click.echo(
        "Everything is paused now, all deletions too: the backup knows nothing of what was done, and paused, after it "
        "was made. Start the service, look at the queue, and then let it go on: on the queue page, or with "
        "`cs-archiver resume all`. No archive is ever overwritten. Accounts, passwords and tokens are as they were "
        "when the backup was made."
    )


def _in_thread(work: Callable[[Work], _T]) -> _T:
    return run(in_thread(work))


def _told(facts: Facts) -> str:
    jobs, archives = counted(facts.jobs, "job"), counted(facts.archives, "archive")
    return f"schema version {facts.version}, {jobs}, {archives} in the catalogue"


def _require_owner(path: Path) -> None:
    """What root makes, the service could neither read nor remove."""
    there = path if os.path.lexists(path) else path.parent
    try:
        owner = there.stat().st_uid
    except OSError as error:
        raise NeedsOperator(f"cannot use {there}: {error.strerror}: check [database] url") from error
    if owner != os.geteuid():
        raise NeedsOperator(f"{there} belongs to another user: run this as that one (sudo -u {_name_of(owner)} ...)")


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
