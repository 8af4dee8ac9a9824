"""The demo command: the example NAS, the Globus sandbox and the service in one process."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from cs_archiver import app, config, logs
from cs_archiver.demo.run import archive_everything
from cs_archiver.demo.world import (
    ADMIN_PASSWORD,
    CLIENT_ID,
    CLIENT_SECRET,
    DESTINATION_COLLECTION,
    SOURCE_COLLECTION,
    World,
    environment,
    prepare,
)
from cs_archiver.sandbox import Sandbox, SandboxSettings

Echo = Callable[[str], None]


async def run_demo(folder: Path, *, port: int, hands_off: bool, echo: Echo) -> bool:
    """Serve the demo below `folder` until a signal; with `hands_off` archive everything and end.

    True unless a hands-off run found something wrong, which it has then said.
    """
    world = World(folder.absolute())
    built = await asyncio.to_thread(prepare, world)
    echo(f"{'Built an' if built else 'Found the'} example NAS in {world.nas}")
    sandbox = SandboxSettings(
        collections={SOURCE_COLLECTION: world.storage, DESTINATION_COLLECTION: world.remote},
        clients={CLIENT_ID: CLIENT_SECRET},
    )
    async with Sandbox(sandbox) as globus:
        behind = {} if hands_off else {"PUBLIC_URL": os.environ.get("PUBLIC_URL", "")}
        settings = config.load(_no_file(world), environment(world, globus.url, port) | behind)
        config.check_folders(settings)
        logs.configure(settings.log, to_stderr=False)
        if hands_off:
            async with app.running(settings) as (address, _workers):
                return await archive_everything(address, world, username="admin", password=ADMIN_PASSWORD, echo=echo)
        await app.serve(settings, on_ready=lambda address: _welcome(address, world, echo))
    return True


def _no_file(world: World) -> Path:
    """The demo must not pick up the configuration of a real service on this machine."""
    path = world.directory / "config.toml"
    path.touch()
    return path


def _welcome(address: str, world: World, echo: Echo) -> None:
    echo(f"The Globus sandbox keeps what is uploaded in {world.remote}")
    echo(f"CS Archiver is ready at {address}  -  sign in as admin with the password {ADMIN_PASSWORD}")
    echo("Archive everything hands-off: make demo-run (in place of this).  Stop: Ctrl-C")
