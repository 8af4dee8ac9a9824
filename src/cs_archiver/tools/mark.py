"""A mark beside the archives that says how far the database had come: an older one in its place is noticed."""

import os
import re
from pathlib import Path

from cs_archiver.tools.disk import local_error

_NAME = ".cs-archiver.sent"
_WIDTH = 20


class SentMark:
    """The last number, of a submission handed to Globus or of an archive whose source was then deleted, as
    the database gave it before.
    """

    def __init__(self, storage: Path) -> None:
        self._path = os.fsencode(storage / _NAME)

    def read(self) -> int | None:
        """None when there is no mark, or none that can be understood."""
        try:
            with open(self._path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise local_error(self._path, error) from error
        return int(content) if re.fullmatch(rb"[0-9]{20}\n", content) else None

    def raise_to(self, number: int) -> None:
        """Durably, and never lowered. Raises the JobError of a disk that cannot be written."""
        present = self.read()
        if present is not None and present >= number:
            return
        try:
            # Within one sector, in place: a torn write would not be understood, and that counts as no mark.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, b"%0*d\n" % (_WIDTH, number), 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise local_error(self._path, error) from error
