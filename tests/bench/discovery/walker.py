"""One process of the product's discovery: `python -m tests.bench.discovery.walker BASE THREADS` prints its seconds.

First the whole share is looked at, then again, when nothing has changed. Unless the layer is there that makes it wait,
one thread then looks at every file and does nothing else: less than that Python cannot do.
"""

import json
import os
import sys
import time
from pathlib import Path

from cs_archiver.domain.folders import Patterns
from cs_archiver.tools.discovery import Discovery

_PATTERNS = Patterns(
    (".archived", "*-ARCHIVED-TO-GLOBUS.txt"), (".@__thumb", "@eaDir", ".DS_Store", "Thumbs.db", "._*")
)


def look_at_each(base: str) -> None:
    folders = [os.fsencode(base)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)


def main(base: str, threads: int) -> None:
    discovery = Discovery(os.fsencode(base), _PATTERNS, threads=threads)
    seconds, files = [], 0
    for _ in range(2):
        began = time.perf_counter()
        files = sum(folder.file_count for folder in discovery.run().folders)
        seconds.append(time.perf_counter() - began)
    began = time.perf_counter()
    if "SLOW_BELOW" not in os.environ:
        look_at_each(base)
    alone = time.perf_counter() - began
    status = Path("/proc/self/status").read_text()
    peak_mb = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"files": files, "full": seconds[0], "again": seconds[1], "alone": alone, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
