"""The demo directory: where its NAS, storage, make-believe Globus and originals lie, and the settings for them."""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cs_archiver.demo import tree

SHARE_NAME = "CitySpace Tech Team"
SOURCE_COLLECTION = "c5a0de00-0000-4000-8000-000000000001"
DESTINATION_COLLECTION = "c5a0de00-0000-4000-8000-000000000002"
CLIENT_ID = "c5a0de00-0000-4000-8000-00000000c11e"
CLIENT_SECRET = "demo-secret"  # noqa: S105 - of the sandbox, which any process on this machine may use
ADMIN_PASSWORD = "archive-demo"  # noqa: S105 - printed for whoever runs the demo


@dataclass(frozen=True, slots=True)
class World:
    """The paths of one demo directory; `directory` is absolute."""

    directory: Path

    @property
    def nas(self) -> Path:
        """The example NAS share: three levels of folders, as discovery sees them."""
        return self.directory / "nas" / SHARE_NAME

    @property
    def originals(self) -> Path:
        """A copy of the share as it was built, which nothing ever writes to."""
        return self.directory / "originals"

    @property
    def storage(self) -> Path:
        """The archive host's local storage, shown by the source collection."""
        return self.directory / "storage"

    @property
    def remote(self) -> Path:
        """What the destination collection shows: where archives arrive."""
        return self.directory / "globus-remote"

    def remote_archive(self, globus_path: str) -> Path:
        """The file behind a path of the destination collection, such as `/Events/Open Day/Take 01.tar.7z`."""
        return self.remote / globus_path.lstrip("/")

    def original(self, folder: Path) -> Path:
        """The pristine copy of `folder`, a path below `nas`."""
        return self.originals / folder.relative_to(self.nas)


def prepare(world: World) -> bool:
    """Make the folders; build the share and its pristine copy unless they are there. True if they were built.

    The share appears in one step, complete, so a run that was broken off leaves none. Raises OSError or
    CalledProcessError (from `cp`) if the disk is too small or full.
    """
    for folder in (world.nas.parent, world.storage, world.remote):
        folder.mkdir(parents=True, exist_ok=True)
    if world.nas.exists():
        return False
    with tempfile.TemporaryDirectory(prefix="building-", dir=world.directory) as scratch:
        share, copy = Path(scratch, "share"), Path(scratch, "copy")
        share.mkdir(mode=0o755)
        tree.build(share)
        subprocess.run(["cp", "-a", "--", share, copy], check=True)  # noqa: S607
        if not world.originals.exists():
            os.rename(copy, world.originals)
        os.rename(share, world.nas)
    return True


def environment(world: World, sandbox_url: str, port: int) -> dict[str, str]:
    """The product's environment variables: `sandbox_url` is the Globus sandbox, `port` the dashboard's."""
    return {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "QNAP_BASE_PATH": str(world.nas),
        "STORAGE_BASE_PATH": str(world.storage),
        "DATABASE_URL": f"sqlite:///{world.directory / 'cs_archiver.db'}",
        "LOG_FILE": str(world.directory / "cs_archiver.log"),
        "ADMIN_INITIAL_PASSWORD": ADMIN_PASSWORD,
        "GLOBUS_CLIENT_ID": CLIENT_ID,
        "GLOBUS_CLIENT_SECRET": CLIENT_SECRET,
        "GLOBUS_SOURCE_ENDPOINT": SOURCE_COLLECTION,
        "GLOBUS_SOURCE_BASE_PATH": "/",
        "GLOBUS_DESTINATION_ENDPOINT": DESTINATION_COLLECTION,
        "GLOBUS_DESTINATION_BASE_PATH": "/",
        "GLOBUS_SDK_SERVICE_URL_AUTH": sandbox_url,
        "GLOBUS_SDK_SERVICE_URL_TRANSFER": sandbox_url,
        "UPLOAD_TASK_POLL_INTERVAL_SECONDS": "0.5",
        "MIN_FREE_SPACE_GB": "0.2",
    }
