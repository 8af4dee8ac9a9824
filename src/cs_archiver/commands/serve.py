"""`cs-archiver serve`: the service."""

import gc
from pathlib import Path

import click

from cs_archiver.commands.common import config_option, run, usable_settings
from cs_archiver.db.soundness import Soundness


@click.command()
@config_option
def serve(config_file: Path | None) -> None:
    """Run the server and both workers until SIGTERM."""
    settings = usable_settings(config_file)
    path = settings.database.path
    # SQLite reads the whole file on another processor while this one imports the rest: each takes half a second.
    soundness = Soundness(path) if path.exists() else None
    from cs_archiver import app

    gc.freeze()  # what was imported stays, so no collection need look at it
    run(app.serve(settings, on_ready=_say_ready, soundness=soundness))


def _say_ready(address: str) -> None:
    click.echo(f"CS Archiver is ready at {address}")
