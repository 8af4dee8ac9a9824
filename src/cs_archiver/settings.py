"""The settings as frozen models: each key with its type, bounds, default and environment variable."""

import os
import stat
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

from cs_archiver.errors import ConfigError
from cs_archiver.sections.access import Database, Jwt, Security, Server
from cs_archiver.sections.operation import Backup, Checks, Log, Metrics, Retention
from cs_archiver.sections.packing import Compression, Copy, Verification
from cs_archiver.sections.places import Discovery, DiskSpace, Qnap, Storage
from cs_archiver.sections.politeness import Politeness
from cs_archiver.sections.section import Section
from cs_archiver.sections.sending import Globus, Retry, Upload
from cs_archiver.sections.telling import Notify
from cs_archiver.setting_types import Variable

CLOSED_FILE = "a file that only its owner and group may read (chmod o= on it)"


def mode_if_open(path: str | Path) -> str | None:
    """The mode of a file that others than its owner and group may read or change, in octal; None for a closed one.

    Raises OSError for a file that is not there.
    """
    mode = os.stat(path).st_mode
    return f"{mode & 0o777:o}" if mode & (stat.S_IROTH | stat.S_IWOTH) else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the settings come from, so that a wrong one can be pointed at: the file and the variables in use.

    `keys_in_file` are the pairs of section and key that stand in the file, overridden or not.
    """

    file: str = "config.toml"
    variables: frozenset[str] = frozenset()
    keys_in_file: frozenset[tuple[str, str]] = frozenset()

    def wrong(self, section: str, key: str, expected: str, found: str = "") -> ConfigError:
        """The error of one key; `found` is shown as it is, so it must be printable and no secret."""
        but_found = f", found {found}" if found else ""
        variable = variable_of(section, key)
        source = f" (from {variable})" if variable in self.variables else ""
        return ConfigError(f"{self.file}: [{section}] {key}: expected {expected}{but_found}{source}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set; hand on the narrow section, not the whole."""

    server: Server = field(default_factory=Server)
    database: Database = field(default_factory=Database)
    jwt: Jwt = field(default_factory=Jwt)
    security: Security = field(default_factory=Security)
    qnap: Qnap = field(default_factory=Qnap)
    storage: Storage = field(default_factory=Storage)
    globus: Globus = field(default_factory=Globus)
    retry: Retry = field(default_factory=Retry)
    upload: Upload = field(default_factory=Upload)
    copy: Copy = field(default_factory=Copy)
    compression: Compression = field(default_factory=Compression)
    verification: Verification = field(default_factory=Verification)
    disk_space: DiskSpace = field(default_factory=DiskSpace)
    discovery: Discovery = field(default_factory=Discovery)
    checks: Checks = field(default_factory=Checks)
    politeness: Politeness = field(default_factory=Politeness)
    notify: Notify = field(default_factory=Notify)
    backup: Backup = field(default_factory=Backup)
    retention: Retention = field(default_factory=Retention)
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
    origin: Origin = field(default_factory=Origin, compare=False, repr=False)

    @property
    def source_base_path(self) -> str:
        """The path under which the source collection shows `storage.base_path`."""
        return self.globus.source_base_path or str(self.storage.base_path)


SECTIONS: dict[str, type[Section]] = {
    section.name: section.type
    for section in fields(Settings)
    if isinstance(section.type, type) and issubclass(section.type, Section)
}


@cache
def variable_of(section: str, key: str) -> str:
    """The environment variable that overrides the key."""
    metadata = SECTIONS[section].model_fields[key].metadata
    named = [item.name for item in metadata if isinstance(item, Variable)]
    return named[0] if named else f"{section}_{key}".upper()
