"""`cs-archiver serve`: the service."""

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

import click

from cs_archiver.commands.common import config_option, run, usable_settings
from cs_archiver.db.soundness import begun_early

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # mallopt(3)


@click.command()
@config_option
def serve(config_file: Path | None) -> None:
    """Run the server and both workers until SIGTERM."""
    settings = usable_settings(config_file)
    _share_memory_among_threads()
    # SQLite reads the whole file on another processor while this one imports the rest: each takes half a second.
    soundness = begun_early(settings.database.path)
    from cs_archiver import app

    gc.freeze()  # what was imported stays, so no collection need look at it
    run(app.serve(settings, on_ready=_say_ready, soundness=soundness))


def _share_memory_among_threads() -> None:
    """Left to itself, glibc keeps what each of many threads has freed for that thread, and what long answers took."""
    with suppress(AttributeError):  # a C library that has no such arenas
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, 128 * 1024)


def _say_ready(address: str) -> None:
    click.echo(f"CS Archiver is ready at {address}")
