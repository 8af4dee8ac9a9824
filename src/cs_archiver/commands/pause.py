"""`cs-archiver pause` and `cs-archiver resume`: from the host, also while the service runs."""

from pathlib import Path

import click

from cs_archiver import app
from cs_archiver.commands.common import config_option, read_settings, run
from cs_archiver.domain.switches import RESUMED, Pause, Switch, said_of

_name = click.argument("what", type=click.Choice([switch.value for switch in Switch]))


@click.command()
@_name
@config_option
def pause(config_file: Path | None, what: str) -> None:
    """Pause a worker, or all deletions, until they are resumed; also after a restart."""
    switch, settings = Switch(what), read_settings(config_file)

    async def do() -> Pause:
        async with app.switches_on_host(settings) as switches:
            return await switches.pause(switch)

    click.echo(f"{said_of(switch, run(do()))}.")


@click.command()
@_name
@config_option
def resume(config_file: Path | None, what: str) -> None:
    """Resume a worker, or all deletions."""
    switch, settings = Switch(what), read_settings(config_file)

    async def do() -> None:
        async with app.switches_on_host(settings) as switches:
            await switches.resume(switch)

    run(do())
    click.echo(f"{RESUMED[switch]}.")
