"""What must not outlive a job or its service: working copies, unfinished archives, processes."""

from pathlib import Path

import psutil

from tests.support.service import Place


def leftovers(place: Place) -> list[str]:
    """Empty when all is well. Other tests' processes, that merely share this one's parent, are none of ours."""
    left = [str(path) for path in (place.storage / "temp").iterdir()]
    left += [str(path) for path in place.storage.rglob("*.partial")]
    return left + processes_at(place.root)


def processes_at(root: Path) -> list[str]:
    """The command lines of our descendants that are at work somewhere below this folder."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            words, places = process.cmdline(), [process.cwd(), *(file.path for file in process.open_files())]
        except psutil.NoSuchProcess:
            continue
        if any(str(root) in text for text in (*words, *places)):
            found.append(" ".join(words))
    return found
