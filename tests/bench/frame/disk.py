"""The disk that benchmarks write to, made the same before each run."""

import os
from pathlib import Path

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")
CAN_FORGET = os.access(_DROP_CACHES, os.W_OK)
"""Only root can have the kernel forget what it has read and written."""

_DID = "was made to forget" if CAN_FORGET else "could not be made to forget"
FORGOTTEN = f"""Before each run the kernel {_DID} what it had cached: ext4 passes over each
inode that was deleted within the last minutes, as long as it remembers it, so that files would cost up to three times
as much to make after a run that deleted as many."""


def forget() -> None:
    """Write what is still to be written, and forget what is cached, if that is allowed."""
    os.sync()
    if CAN_FORGET:
        _DROP_CACHES.write_text("3")
