"""File systems that forget what was not synced when the power fails: ext4 in images, each behind a loop device.

What a disk holds when the power fails is what the file system has given it by then: that is in the image, and what is
only in the memory of the kernel is not. So the image as it is at that moment is mounted in place of the file system.
Nothing is given to a disk unasked for as long as a world lives (`_OPTIONS` and the kernel's own half a minute), so this
is the most that ext4 forgets; the least, nothing, is what every other suite of crashes looks at. Its journal writes
with one fsync the names that came before it in the same file system: hence one file system for each place. Within one,
a name that is not synced is kept by the next sync of anything, so that its absence is not seen here.
"""

import functools
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

_SIZE_BYTES = 32 * 1024**2
_OPTIONS = "loop,commit=300,noauto_da_alloc"  # ext4 saves who renames without a sync, other file systems do not
_PATH = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))


class Disks:
    """Each of the `folders` of a world is a file system of its own; the images are kept in `images`."""

    def __init__(self, folders: Sequence[Path], images: Path, blank: Path) -> None:
        self._images = {folder: images / f"{folder.name}.img" for folder in folders}
        for image in self._images.values():
            _copy(blank, image)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        with ExitStack() as stack:
            for folder, image in self._images.items():
                folder.mkdir()
                _mount(image, folder)
                stack.callback(_unmount, folder)
            yield

    def sync(self) -> None:
        """What is there now is there for good."""
        _run("sync", "--file-system", *self._images)

    def cut_power(self) -> None:
        """Whoever wrote is dead. All at once is what the disks hold now, and no more."""
        left = {folder: image.with_suffix(".left") for folder, image in self._images.items()}
        for folder, image in self._images.items():
            _copy(image, left[folder])
        for folder, image in self._images.items():
            _unmount(folder)
            left[folder].rename(image)
            _mount(image, folder)


def blank_disk(folder: Path) -> Path:
    """An image with an empty file system."""
    image = folder / "blank.img"
    with open(image, "wb") as file:
        file.truncate(_SIZE_BYTES)
    _run("mkfs.ext4", "-q", "-F", "-E", "nodiscard,root_owner=0:0", "-J", "size=4", "-m", "0", image)
    with tempfile.TemporaryDirectory(dir=folder) as mounted:
        _run("mount", "-o", "loop", image, mounted)
        os.rmdir(Path(mounted) / "lost+found")
        _run("umount", mounted)
    return image


def need_disks() -> None:
    """Skip where no image can be mounted; looked at once, by really mounting one."""
    if reason := _refusal():
        pytest.skip(f"this machine mounts no file system from an image: {reason}")


@functools.cache
def _refusal() -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            disks = Disks([Path(folder) / "disk"], Path(folder), blank_disk(Path(folder)))
            with disks.mounted():
                disks.cut_power()
        except (OSError, subprocess.CalledProcessError) as error:
            return f"{error} {getattr(error, 'stderr', '')}".strip()
    return ""


def _copy(image: Path, to: Path) -> None:
    _run("cp", "--sparse=always", image, to)


def _mount(image: Path, folder: Path) -> None:
    _run("mount", "-t", "ext4", "-o", _OPTIONS, image, folder)


def _unmount(folder: Path) -> None:
    _run("umount", "--lazy", folder)


def _run(*argv: str | Path) -> None:
    environment = {**os.environ, "PATH": _PATH}
    subprocess.run(argv, env=environment, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True)
