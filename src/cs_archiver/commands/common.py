"""What every command does alike: read the settings, run, and end with a line for people and an exit code."""

import asyncio
import gc
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from cs_archiver import config, logs
from cs_archiver.errors import ArchiverError, ConfigError
from cs_archiver.settings import Settings

_T = TypeVar("_T")

EXIT_CONFIG = 2
EXIT_FAILED = 1

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The configuration file; without it {config.DEFAULT_FILE}, if it is there.",
)


def usable_settings(config_file: Path | None) -> Settings:
    """The settings, their folders checked and the log open; ends the program where they are wrong."""
    settings = read_settings(config_file)
    try:
        config.check_folders(settings)
        logs.configure(settings.log)
    except ConfigError as error:
        end(error, EXIT_CONFIG)
    return settings


def read_settings(config_file: Path | None) -> Settings:
    """The settings as they stand; ends the program where they are wrong."""
    try:
        return config.load(config_file, os.environ)
    except ConfigError as error:
        end(error, EXIT_CONFIG)


def run(work: Coroutine[object, object, _T]) -> _T:
    """What the work gives back; ends the program where it fails for a reason that people can mend."""
    gc.enable()  # it was off for as long as everything was imported
    try:
        return asyncio.run(work)
    except ConfigError as error:
        end(error, EXIT_CONFIG)
    except ArchiverError as error:
        end(error, EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


def end(error: ArchiverError, code: int) -> NoReturn:
    click.echo(f"cs-archiver: {error}", err=True)
    sys.exit(code)
