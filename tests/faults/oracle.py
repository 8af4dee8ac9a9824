"""The judge of every fault test: imports nothing of the product, knows every byte a user left, asks 7-Zip."""

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


class Oracle:
    """Remembers what the users of one folder left in it, and says what of it is neither there nor stored.

    `store` is a folder of its own, in which every content ever seen is kept under its digest, so that what was
    lost can be looked at. The marker files of the product are not the user's.
    """

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        self._folder = folder
        self._store = store
        self.expected: dict[bytes, str] = {}
        self.note()

    def note(self, *paths: str) -> None:
        """A user created or changed these entries (none named: everything there is): they count from now on."""
        for path, what in contents(self._folder, self._store):
            if not is_marker(path) and (not paths or os.fsdecode(path) in paths):
                self.expected[path] = what

    def user_removed(self, *paths: str) -> None:
        """A user removed or renamed these entries, with all below: they are not to be missed."""
        gone = [os.fsencode(path) for path in paths]
        self.expected = {
            path: what
            for path, what in self.expected.items()
            if not any(path == name or path.startswith(name + b"/") for name in gone)
        }

    def missing(self) -> list[bytes]:
        """Entries that are no longer in the source as the user left them."""
        found = dict(contents(self._folder))
        return [path for path, what in self.expected.items() if found.get(path) != what]

    def losses(self, remote: Path) -> list[str]:
        """Entries neither in the source nor in an archive that stock 7-Zip restores; empty when all is well."""
        missing = self.missing()
        if not missing:
            return []
        stored = [self._restored(archive) for archive in self.archives(remote)]
        return [
            f"{os.fsdecode(path)!r} ({self.expected[path]})"
            for path in missing
            if not any(archive.get(path) == self.expected[path] for archive in stored)
        ]

    def is_archived_and_gone(self, remote: Path) -> bool:
        """The folder holds its marker and nothing else, and one archive holds all that the user left."""
        left = os.listdir(os.fsencode(self._folder))
        if left != [os.fsencode(self._folder.name) + b"-ARCHIVED-TO-GLOBUS.txt"]:
            return False
        return any(self.expected.items() <= self._restored(archive).items() for archive in self.archives(remote))

    def archives(self, remote: Path) -> list[Path]:
        """Every archive of this folder at the destination, whatever its version."""
        return sorted(
            archive
            for archive in remote.rglob("*.tar.7z")
            if archive.name.startswith(self._folder.name) and archive.parent.name == self._folder.parent.name
        )

    def _restored(self, archive: Path) -> dict[bytes, str]:
        with tempfile.TemporaryDirectory(dir=_scratch_of(archive)) as scratch:
            argv = ["7z", "x", "-y", "-snld20", "-spd", "-bso0", "-bsp0", f"-o{scratch}", "--", str(archive)]
            if subprocess.run(argv, capture_output=True, check=False).returncode != 0:
                return {}
            return dict(contents(Path(scratch) / self._folder.name))


def _scratch_of(archive: Path) -> str | None:
    """A place for unpacking beside the world the archive belongs to, so that large trees stay on its disk."""
    root = Path("/dev/shm")
    return str(root) if root in archive.parents else None


def is_marker(path: bytes) -> bool:
    return b"/" not in path and path.endswith(b"-ARCHIVED-TO-GLOBUS.txt")


def contents(folder: Path, store: Path | None = None) -> Iterator[tuple[bytes, str]]:
    """Every entry below a folder: files by digest, links by target, folders by being there."""
    root = os.fsencode(folder)
    for parent, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(parent, name)
            yield os.path.relpath(path, root), _what(path, store)


def _what(path: bytes, store: Path | None) -> str:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return "link to " + os.fsdecode(os.readlink(path))
    if stat.S_ISDIR(mode):
        return "folder"
    if not stat.S_ISREG(mode):
        return f"special {stat.S_IFMT(mode):o}"
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if store is not None and not (store / digest).exists():
        store.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(os.fsdecode(path), store / digest)
    return digest
