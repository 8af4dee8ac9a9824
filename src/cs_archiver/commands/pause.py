"""`cs-archiver pause` and `cs-archiver resume`: from the host, also while the service runs."""

from collections.abc import Sequence
from pathlib import Path

import click

from cs_archiver import app
from cs_archiver.commands.common import config_option, read_settings, run
from cs_archiver.domain.switches import RESUMED, Pause, Switch, said_of

_ALL = "all"
_name = click.argument("what", type=click.Choice([*(switch.value for switch in Switch), _ALL]))


@click.command()
@_name
@config_option
def pause(config_file: Path | None, what: str) -> None:
    """Pause a worker, all deletions, or all of these, until they are resumed; also after a restart."""
    settings = read_settings(config_file)

    async def do() -> list[tuple[Switch, Pause]]:
        async with app.switches_on_host(settings) as switches:
            return [(switch, await switches.pause(switch)) for switch in _named(what)]

    for switch, found in run(do()):
        click.echo(f"{said_of(switch, found)}.")


@click.command()
@_name
@config_option
def resume(config_file: Path | None, what: str) -> None:
    """Resume a worker, all deletions, or all of these."""
    settings = read_settings(config_file)

    async def do() -> None:
        async with app.switches_on_host(settings) as switches:
            for switch in _named(what):
                await switches.resume(switch)

    run(do())
    for switch in _named(what):
        click.echo(f"{RESUMED[switch]}.")


def _named(what: str) -> Sequence[Switch]:
    return list(Switch) if what == _ALL else [Switch(what)]
