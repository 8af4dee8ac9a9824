"""The users of the state machine: what they do in a folder while the product is at work, and what of it counts."""

import fcntl
import os
import struct
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TypeVar

from tests.faults.oracle import Oracle, contents, is_marker
from tests.support.tampering import plant, rewrite_in_place

_TRIES = 100
_FS_IOC_SETFLAGS, _IMMUTABLE = 0x40086602, 0x10
_NUMBERS = count(1)
T = TypeVar("T")


class Folder(Oracle):
    """A folder of a user who changes things in it while the product is at work, and what of it must be kept.

    A change that comes too late, because the product has deleted the entry already, is none.
    """

    def __init__(self, path: Path, aside: Path, precious: Path) -> None:
        plant(path)
        (path / "sub" / "link").symlink_to("two.mov")
        (path / "empty").mkdir()
        super().__init__(path)
        self.home = path
        self._aside = aside / path.parent.name / path.name
        self._sub_aside = aside / f"sub of {path.name}"
        self._precious = precious
        self._frozen: int | None = None  # the descriptor of the folder below, wherever it is moved
        self.changes = 0
        self.was_missing: frozenset[bytes] = frozenset()  # when its user last removed a marker

    @property
    def path(self) -> Path:
        """Where it is now."""
        return self._folder

    @property
    def marker(self) -> Path:
        return self._folder / f"{self._folder.name}-ARCHIVED-TO-GLOBUS.txt"

    @property
    def is_swapped(self) -> bool:
        return self._folder == self._aside

    def moved(self, before: Path, after: Path) -> None:
        """With something above it that was renamed."""
        if not self.is_swapped:
            self._folder = after / self._folder.relative_to(before)

    def files(self) -> list[str]:
        """What is not the product's; nothing below a link."""
        names = (os.fsdecode(name) for name, what in _steady(lambda: list(contents(self._folder))) if what != "folder")
        return sorted(name for name in names if not is_marker(os.fsencode(name)) and not name.startswith("."))

    def missing(self) -> list[bytes]:
        return _steady(super().missing)

    def note(self, *paths: str) -> None:
        _steady(lambda: super(Folder, self).note(*paths))

    def restored(self, archive: Path) -> dict[bytes, str]:
        """What stock 7-Zip takes out of it; empty when it cannot."""
        return self._restored(archive)

    def change(self, how: str, number: int) -> bool:
        """One of CHANGES, to the `number`-th of the files; whether it was done."""
        files = self.files()
        name = files[number % len(files)] if files else ""
        if not name and how not in ("add", "add below"):
            return False
        try:
            done = bool(_CHANGES[how](self, name))
        except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError):
            return False  # the product was quicker, something else has this name, or nobody may change it
        self.changes += done
        return done

    def _edit(self, name: str) -> bool:
        names = self._names_of(name)
        if (self._folder / name).is_symlink():
            return False
        with open(self._folder / name, "r+b") as file:
            file.truncate()
            file.write(_content())
        self.note(*names)
        return True

    def _rewrite(self, name: str) -> bool:
        """Other bytes, while size, inode and time of modification stay as they were."""
        path, names = self._folder / name, self._names_of(name)
        if path.is_symlink():
            return False
        size = path.stat().st_size
        rewrite_in_place(path, _content().rjust(size)[-size:])
        self.note(*names)
        return True

    def _names_of(self, name: str) -> list[str]:
        """Every name of this file in the folder."""
        inode = (self._folder / name).lstat().st_ino
        return [other for other in self.files() if (self._folder / other).lstat().st_ino == inode]

    def _add(self, _name: str) -> bool:
        name = f"added {next(_NUMBERS)}.mov"
        (self._folder / name).write_bytes(_content())
        self.note(name)
        return True

    def _add_below(self, _name: str) -> bool:
        name = f"sub/added {next(_NUMBERS)}.mov"
        if (self._folder / "sub").is_symlink():
            return False
        (self._folder / "sub").mkdir(exist_ok=True)
        (self._folder / name).write_bytes(_content())
        self.note("sub", name)
        return True

    def _remove(self, name: str) -> bool:
        (self._folder / name).unlink()
        self.user_removed(name)
        return True

    def _rename(self, name: str) -> bool:
        new = f"renamed {next(_NUMBERS)}.mov"
        (self._folder / name).rename(self._folder / new)
        self.user_removed(name)
        self.note(new)
        return True

    def _replace(self, name: str) -> bool:
        other = self._aside.parent / "other.mov"
        other.write_bytes(_content())
        if not os.path.lexists(self._folder / name):
            return False
        other.replace(self._folder / name)
        self.note(name)
        return True

    def _link_hard(self, name: str) -> bool:
        new = f"linked {next(_NUMBERS)}.mov"
        os.link(self._folder / name, self._folder / new, follow_symlinks=False)
        self.note(new)
        return True

    def _swap_sub(self, _name: str) -> bool:
        """A link to something precious in the place of a folder below, or back again."""
        sub = self._folder / "sub"
        if sub.is_symlink() and self._sub_aside.exists():
            sub.unlink()
            self._sub_aside.rename(sub)
            self.user_removed("sub")
            self.note(*self._below_sub())
        elif sub.is_dir() and not sub.is_symlink() and not self._sub_aside.exists():
            sub.rename(self._sub_aside)
            sub.symlink_to(os.path.relpath(self._precious / "sub", self.home))
            self.user_removed("sub")
            self.note("sub")
        else:
            return False
        return True

    def _below_sub(self) -> list[str]:
        sub = self._folder / "sub"
        return ["sub", *(str(path.relative_to(self._folder)) for path in sub.rglob("*"))]

    def swap(self) -> None:
        """A link to something precious in the place of the whole folder, or the folder back in its place."""
        if self.is_swapped:
            assert self.home.is_symlink(), f"somebody changed the link at {self.home}"
            self.home.unlink()
            self._aside.rename(self.home)
            self._folder = self.home
        else:
            self.home.rename(self._aside)
            self.home.symlink_to(self._precious)
            self._folder = self._aside
        self.changes += 1

    @property
    def is_frozen(self) -> bool:
        return self._frozen is not None

    def freeze(self) -> bool:
        """Let nobody change what the folder below holds: a deletion stands still there. False where that cannot be."""
        sub = self._folder / "sub"
        if self.is_frozen or sub.is_symlink() or not sub.is_dir():
            return False
        descriptor = os.open(sub, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _set_flags(descriptor, _IMMUTABLE)
        except OSError:  # only root may, and not every file system knows it
            os.close(descriptor)
            return False
        self._frozen = descriptor
        return True

    def thaw(self) -> bool:
        if self._frozen is None:
            return False
        _set_flags(self._frozen, 0)
        os.close(self._frozen)
        self._frozen = None
        return True

    def is_held(self) -> bool:
        """Whether something that was archived is still in the frozen folder, and so cannot be deleted now."""
        if not self.is_frozen:
            return False
        missing = set(self.missing())
        return any(path.startswith(b"sub/") and path not in missing for path in self.expected)

    def remove_marker(self) -> bool:
        if not self.marker.exists():
            return False
        self.was_missing = frozenset(self.missing())
        self.marker.unlink()
        return True


_CHANGES = {
    "edit": Folder._edit,
    "rewrite": Folder._rewrite,
    "add": Folder._add,
    "add below": Folder._add_below,
    "remove": Folder._remove,
    "rename": Folder._rename,
    "replace": Folder._replace,
    "link": Folder._link_hard,
    "swap sub": Folder._swap_sub,
}
CHANGES = tuple(_CHANGES)


def _set_flags(descriptor: int, flags: int) -> None:
    """As chattr does, but wherever the folder was moved meanwhile."""
    fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, struct.pack("l", flags))


def _content() -> bytes:
    """Never the same twice, not even in its last bytes."""
    number = next(_NUMBERS)
    return b"put here by hand, %08d\n" % number * (1 + number % 4)


def _steady(look: Callable[[], T]) -> T:
    """A look at a tree in which the product deletes meanwhile."""
    for _ in range(_TRIES):
        try:
            return look()
        except (FileNotFoundError, NotADirectoryError):
            continue
    return look()
