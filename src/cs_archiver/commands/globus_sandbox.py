"""`cs-archiver globus-sandbox`: the stand-in for Globus, alone."""

from dataclasses import replace

import click

from cs_archiver.commands.common import run
from cs_archiver.sandbox import SandboxSettings
from cs_archiver.sandbox.command import parse_client, parse_collection
from cs_archiver.sandbox.command import serve as serve_sandbox


@click.command("globus-sandbox")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="0: any that is free.")
@click.option("--collection", "collections", multiple=True, required=True, metavar="UUID=DIR")
@click.option("--client", "clients", multiple=True, metavar="ID:SECRET")
@click.option("--rate", type=click.IntRange(min=1), help="Bytes a second; without it, as fast as the disk.")
def globus_sandbox(port: int, collections: tuple[str, ...], clients: tuple[str, ...], rate: int | None) -> None:
    """Run the Globus sandbox alone: a service on this machine that moves files between folders."""
    run(_sandbox(port, collections, clients, rate))


async def _sandbox(port: int, collections: tuple[str, ...], clients: tuple[str, ...], rate: int | None) -> None:
    settings = SandboxSettings(
        collections=dict(parse_collection(text) for text in collections),
        port=port,
        rate_bytes_per_second=rate,
    )
    if clients:
        settings = replace(settings, clients=dict(parse_client(text) for text in clients))
    await serve_sandbox(settings, click.echo)
