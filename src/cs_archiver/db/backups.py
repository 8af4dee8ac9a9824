"""The folder of backups: what their names tell, and which of them are kept."""

import os
import re
import sqlite3
import stat
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from cs_archiver.db.copies import CopyFailed, copy, to_read, version_in
from cs_archiver.db.troubles import advice_on
from cs_archiver.tools.disk import free_bytes
from cs_archiver.tools.removal import remove_file
from cs_archiver.tools.threads import Work

NIGHTLY_LEAVE_BYTES = 256 * 1024**2  # free on the disk of the backups, which may be that of the database
_MOMENT = "%Y%m%dT%H%M%SZ"
_CLOCK_SLACK = timedelta(hours=1)  # by so much a clock may be set back without any harm


def name_of_moment(moment: datetime) -> str:
    """As the names of backups have it: UTC, and later ones sort after earlier ones."""
    return moment.astimezone(UTC).strftime(_MOMENT)


class Kind(StrEnum):
    """Why a backup was made; only those of the first two are ever removed, each by a rule of its own."""

    NIGHTLY = "nightly"
    UPGRADE = "upgrade"
    MANUAL = "manual"


class Backup(NamedTuple):
    """As its name tells: `version` is that of the schema, `made_at` the moment as `name_of_moment` writes it."""

    path: Path
    kind: Kind
    version: int
    made_at: str

    @property
    def moment(self) -> datetime:
        return datetime.strptime(self.made_at, _MOMENT).replace(tzinfo=UTC)


class Nights(NamedTuple):
    """The newest first. Those of the `future` were made while the clock was wrong, or it is wrong now."""

    past: Sequence[Backup]
    future: Sequence[Backup]


def nights_of(found: Sequence[Backup], now: datetime) -> Nights:
    """`found`: the newest first."""
    latest = name_of_moment(now + _CLOCK_SLACK)
    past = [backup for backup in found if backup.made_at <= latest]
    return Nights(past, [backup for backup in found if backup.made_at > latest])


class Backups:
    """Of one database. Every method may block, and raises CopyFailed for whatever goes wrong."""

    def __init__(self, database: Path, folder: str) -> None:
        """`folder` empty: "backups" beside the database."""
        self._database = database
        self.folder = Path(folder) if folder else database.parent / "backups"
        self._name = re.compile(re.escape(database.stem) + r"\.(nightly|upgrade|manual)\.v(\d+)\.(\d{8}T\d{6}Z)\.db")

    def make(self, kind: Kind, work: Work, *, at: datetime | None = None, leave_bytes: int = 0) -> Path:
        """A new one, checked, in the folder, which is made where only it is missing; its name says `at`, or now."""
        try:
            if not self.folder.is_dir():
                os.mkdir(self.folder, 0o700)
            with to_read(self._database, work) as connection:
                version = version_in(connection)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        except sqlite3.Error as error:
            raise CopyFailed(f"cannot read {self._database}: {error}: {advice_on(error)}") from error
        name = f"{self._database.stem}.{kind}.v{version}.{name_of_moment(at or datetime.now(UTC))}.db"
        # Nightly ones and those before upgrades are made by one service at a time: the next finds what a crash left.
        partial = None if kind is Kind.MANUAL else self.folder / f".{self._database.stem}.{kind}.partial"
        copy(self._database, self.folder / name, work, partial=partial, leave_bytes=leave_bytes)
        return self.folder / name

    def obstacle(self) -> str | None:
        """Why this user can make none in the folder; None: nothing is in the way. Nothing is made to find out."""
        try:
            return _obstacle(self.folder)
        except FileNotFoundError:
            if self.folder.is_symlink():
                return "it is a link that leads nowhere"
        except OSError as error:
            return error.strerror or str(error)
        try:
            why = _obstacle(self.folder.parent)
        except OSError as error:
            why = error.strerror
        return f"it is not there, nor can it be made in {self.folder.parent}: {why}" if why else None

    def missing_bytes(self, size_bytes: int) -> int:
        """Of the room for a nightly one of that size; not above 0 where there is enough. Raises OSError."""
        there = self.folder if self.folder.is_dir() else self.folder.parent
        return size_bytes + NIGHTLY_LEAVE_BYTES - free_bytes(str(there))

    def nightly(self) -> list[Backup]:
        """Those of every night, the newest first."""
        return self._found(Kind.NIGHTLY)

    def remove(self, backups: Iterable[Backup]) -> None:
        try:
            for backup in backups:
                remove_file(os.fsencode(backup.path))
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def tidy_upgrades(self, made: Path) -> None:
        """Of those made before upgrades keep the first and the newest of each version, and the one `made` just now.

        So an upgrade that fails at every start fills no disk, and never pushes out what was there before it.
        """
        by_version: dict[int, list[Backup]] = {}
        for backup in self._found(Kind.UPGRADE):
            by_version.setdefault(backup.version, []).append(backup)
        between = (backup for backups in by_version.values() for backup in backups[1:-1])
        self.remove(backup for backup in between if backup.path != made)

    def _found(self, kind: Kind) -> list[Backup]:
        """The newest first; what has another name was not made here, and is nobody's to remove."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unusable(self.folder, error) from error
        matches = (match for name in names if (match := self._name.fullmatch(name)))
        found = [Backup(self.folder / match[0], Kind(match[1]), int(match[2]), match[3]) for match in matches]
        mine = (backup for backup in found if backup.kind is kind)
        return sorted(mine, key=lambda backup: backup.made_at, reverse=True)


def _obstacle(folder: Path) -> str | None:
    if not stat.S_ISDIR(folder.stat().st_mode):
        return "it is no folder"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        return "this user may not write there"
    return None


def _unusable(folder: Path, error: OSError) -> CopyFailed:
    return CopyFailed(f"cannot use the folder of backups {folder}: {error.strerror}: {advice_on(error)}")
