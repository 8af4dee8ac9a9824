"""`cs-archiver openapi`: the description of the API."""

import json

import click

from cs_archiver.server.openapi import document
from cs_archiver.server.routes import ROUTES


@click.command()
def openapi() -> None:
    """Print the description of the API (OpenAPI 3.1) that the server gives at /api/openapi.json."""
    click.echo(json.dumps(document(ROUTES), indent=2))
