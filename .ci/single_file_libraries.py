"""Runs first in the single file: 7-Zip, rsync and the like must take this machine's libraries, not the unpacked ones."""

import os

before = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
if before is None:
    os.environ.pop("LD_LIBRARY_PATH", None)
else:
    os.environ["LD_LIBRARY_PATH"] = before
