"""`cs-archiver demo`: the whole product on this machine, to look at."""

import sys
from pathlib import Path

import click

from cs_archiver.commands.common import EXIT_FAILED, run
from cs_archiver.demo.command import run_demo


@click.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-data"))
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--run", "hands_off", is_flag=True, help="Archive every folder, prove the result, and end.")
def demo(folder: Path, port: int, *, hands_off: bool) -> None:
    """Build an example NAS and run the product on it, against a Globus sandbox on this machine."""
    if not run(run_demo(folder, port=port, hands_off=hands_off, echo=click.echo)):
        sys.exit(EXIT_FAILED)
