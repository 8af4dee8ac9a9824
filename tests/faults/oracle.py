"""The judge of every fault test: imports nothing of the product, keeps its own copy of every byte, asks 7-Zip."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path


class Oracle:
    """Remembers a folder as it was, and says what was lost of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._content = contents(folder)

    def losses(self, remote: Path) -> list[str]:
        """Entries that are neither in the source, as they were, nor in a restorable archive at the destination."""
        source = contents(self._folder)
        missing = [path for path, what in self._content.items() if source.get(path) != what]
        if not missing:
            return []
        stored = self._stored(remote)
        return [path.decode(errors="replace") for path in missing if stored.get(path) != self._content[path]]

    def is_archived_and_gone(self, remote: Path) -> bool:
        """The folder holds its marker and nothing else, and the archive holds all of it."""
        left = os.listdir(self._folder)
        stored = self._stored(remote)
        return left == [f"{self._folder.name}-ARCHIVED-TO-GLOBUS.txt"] and all(
            stored.get(path) == what for path, what in self._content.items()
        )

    def _stored(self, remote: Path) -> dict[bytes, str]:
        found: dict[bytes, str] = {}
        for archive in remote.rglob(f"{self._folder.name}*.tar.7z"):
            with tempfile.TemporaryDirectory() as scratch:
                argv = ["7z", "x", "-y", "-spd", "-bso0", "-bsp0", f"-o{scratch}", "--", str(archive)]
                if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
                    found |= contents(Path(scratch) / self._folder.name)
        return found


def contents(folder: Path) -> dict[bytes, str]:
    """Every entry below a folder: files by digest, links by target, folders by being there."""
    found: dict[bytes, str] = {}
    root = os.fsencode(folder)
    for parent, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(parent, name)
            found[os.path.relpath(path, root)] = _what(path)
    return found


def _what(path: bytes) -> str:
    if os.path.islink(path):
        return "link to " + os.fsdecode(os.readlink(path))
    if os.path.isdir(path):
        return "folder"
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
