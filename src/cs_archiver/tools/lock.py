"""One service a storage folder: two would destroy each other's work."""

import fcntl
import os
from pathlib import Path

from cs_archiver.errors import NeedsOperator

_NAME = ".cs-archiver.lock"


class InstanceLock:
    """Held for life, and by every child process that inherits `descriptor`, so that an orphan counts too."""

    def __init__(self, storage: Path) -> None:
        """Raises NeedsOperator when another service, or a tool it left behind, holds the lock."""
        path = storage / _NAME
        try:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NeedsOperator(
                f"cannot open the lock file {path}: {error.strerror}: let the service's user write there"
            ) from error
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self.descriptor, 20).decode(errors="replace").strip()
            os.close(self.descriptor)
            raise NeedsOperator(
                f"another CS Archiver (process {holder or 'unknown'}), or a tool it started, works on {storage}: "
                "stop it first, or give this one another [storage] base_path"
            ) from error
        try:
            os.ftruncate(self.descriptor, 0)
            os.write(self.descriptor, str(os.getpid()).encode())
        except OSError as error:
            os.close(self.descriptor)
            raise NeedsOperator(
                f"cannot write the lock file {path}: {error.strerror}: make room on its disk"
            ) from error

    def release(self) -> None:
        os.close(self.descriptor)
