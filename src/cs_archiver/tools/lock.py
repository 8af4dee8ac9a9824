"""One service a storage folder and one a database: two would destroy each other's work."""

import fcntl
import os
from pathlib import Path

from cs_archiver.errors import NeedsOperator


class InstanceLock:
    """Held for life, and by every child process that inherits `descriptor`, so that an orphan counts too."""

    def __init__(self, path: Path, guarded: Path) -> None:
        """Locks the file at `path`, made if needed, for the sole use of what is `guarded`.

        Raises NeedsOperator when another service, or a tool it left behind, holds the lock.
        """
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
                f"another CS Archiver (process {holder or 'unknown'}), or a tool it started, works on {guarded}: "
                "stop it first, or give this one a [storage] base_path and a [database] url of its own"
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


def lock_storage(folder: Path) -> InstanceLock:
    """Raises NeedsOperator as InstanceLock does."""
    return InstanceLock(folder / ".cs-archiver.lock", folder)


def lock_database(path: Path) -> InstanceLock:
    """Not the file itself, which is SQLite's to lock, but one beside it. Raises NeedsOperator as InstanceLock does."""
    real = Path(os.path.realpath(path))  # by whatever link it is reached, it is one database
    return InstanceLock(real.with_name(f".{real.name}-lock"), path)
