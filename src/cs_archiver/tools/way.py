"""The way down to the folders of a tree: open, so that it is short, and proven again at every step."""

import os
from collections.abc import Sequence
from typing import Self

from cs_archiver.domain.manifest import shown
from cs_archiver.errors import Permanent

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Way:
    """Descriptors from the root to the folder of an entry, each opened in the one before: no link is ever followed.

    They stay open for the next entry, but every step is looked at again for every entry: a folder that was moved
    away meanwhile is not followed to where it is now.
    """

    def __init__(self, root: int, *, most_open: int) -> None:
        """With so many steps open at most: where there are more, each entry opens all of them anew."""
        self._root = root
        self._most_open = most_open
        self._device = os.fstat(root).st_dev
        self._steps: list[tuple[bytes, int, int]] = []  # name, descriptor, inode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._back_to(0)

    def to(self, folder: bytes) -> int:
        """The descriptor of the folder at this path below the root. Raises OSError, and Permanent at a mount."""
        names = folder.split(b"/") if folder else []
        if len(names) > self._most_open:
            return self._far_to(names, folder)
        parent = self._root
        for depth, name in enumerate(names):
            if depth == len(self._steps) or not self._still_leads(parent, name, *self._steps[depth]):
                self._back_to(depth)
                self._step(parent, name, folder)
            parent = self._steps[depth][1]
        return parent

    def _far_to(self, names: Sequence[bytes], folder: bytes) -> int:
        """For one so deep that the steps to it, all open, could be more than a process may have: each anew."""
        self._back_to(0)
        parent = self._root
        for name in names:
            self._step(parent, name, folder)
            if len(self._steps) > 1:
                os.close(self._steps.pop(0)[1])
            parent = self._steps[0][1]
        self._steps[0] = (b"", parent, 0)  # it is no step from the root, and leads nowhere again
        return parent

    def _still_leads(self, parent: int, name: bytes, opened: bytes, _descriptor: int, inode: int) -> bool:
        if name != opened:
            return False
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        return (status.st_ino, status.st_dev) == (inode, self._device)

    def _step(self, parent: int, name: bytes, folder: bytes) -> None:
        descriptor = os.open(name, FOLDER_FLAGS, dir_fd=parent)
        status = os.fstat(descriptor)
        self._steps.append((name, descriptor, status.st_ino))
        if status.st_dev != self._device:
            raise Permanent(
                f"'{shown(folder)}': another file system is mounted here: nothing more is deleted",
                problem="source-changed",
            )

    def _back_to(self, depth: int) -> None:
        while len(self._steps) > depth:
            os.close(self._steps.pop()[1])
