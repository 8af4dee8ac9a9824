"""The sandbox as a command: its arguments, and running until told to stop."""

import asyncio
import re
import uuid
from collections.abc import Callable
from pathlib import Path

from cs_archiver.errors import ConfigError
from cs_archiver.sandbox.server import Sandbox
from cs_archiver.sandbox.settings import SandboxSettings, environment


async def serve(settings: SandboxSettings, announce: Callable[[str], None]) -> None:
    """Runs a sandbox until canceled; announces address, settings for the clients and collections, a line each."""
    async with Sandbox(settings) as sandbox:
        announce(f"Globus sandbox at {sandbox.url}")
        for name, value in environment(sandbox.url).items():
            announce(f"export {name}={value}")
        for collection in sandbox.collections.values():
            announce(f"collection {collection.id} = {collection.root}")
        await asyncio.Event().wait()


def parse_collection(text: str) -> tuple[str, Path]:
    """`UUID=DIR` as id and folder; raises ConfigError."""
    collection_id, separator, folder = text.partition("=")
    if not separator or not folder:
        raise ConfigError(f"--collection {text!r}: expected UUID=DIR")
    try:
        canonical = str(uuid.UUID(collection_id))
    except ValueError as error:
        raise ConfigError(f"--collection {text!r}: {collection_id!r} is not a UUID") from error
    path = Path(folder)
    if not path.is_dir():
        raise ConfigError(f"--collection {text!r}: {folder!r} is not a folder")
    return canonical, path


def parse_client(text: str) -> tuple[str, str]:
    """`ID:SECRET` as id and secret; raises ConfigError, never showing the secret."""
    client_id, _, secret = text.partition(":")
    if not re.fullmatch(r"[\x21-\x7e]+", client_id) or not secret:
        raise ConfigError("--client: expected ID:SECRET, both not empty")
    return client_id, secret
