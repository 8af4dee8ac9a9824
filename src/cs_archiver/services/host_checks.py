"""The checks of this machine: configuration, tools, folders, space and database."""

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from cs_archiver import config
from cs_archiver.db import schema
from cs_archiver.db.health import hash_to_be_changed, health_of
from cs_archiver.domain import checks
from cs_archiver.domain.checks import Finding, Verdict
from cs_archiver.services.accounts import FIRST_PASSWORD, FIRST_USERNAME
from cs_archiver.services.checks import Look, on_thread
from cs_archiver.services.passwords import matches
from cs_archiver.settings import Settings, mode_if_open
from cs_archiver.tools.dd import Dd
from cs_archiver.tools.disk import free_bytes, mount_of
from cs_archiver.tools.nas import nas_facts
from cs_archiver.tools.process import Processes
from cs_archiver.tools.rsync import Rsync
from cs_archiver.tools.sevenzip import SevenZip

_CONFIGURATION = "correct the configuration file or the environment variable"


class HostChecks:
    """One for the life of the process, so that what hangs is not asked twice."""

    def __init__(self, settings: Settings, processes: Processes) -> None:
        self._settings = settings
        self._processes = processes
        self._is_thorough = True
        self._looks = (
            self._on_thread("configuration", "Configuration", self._configuration, _CONFIGURATION),
            self._on_thread("user", "User", _user, "run it as the user of the service"),
            Look("seven_zip", "7-Zip", self._seven_zip, "install the package 7zip, 25.01 or newer"),
            Look("rsync", "rsync", self._rsync, "install the package rsync, 3.4.1 or newer"),
            Look("dd", "dd", self._dd, "install the package coreutils"),
            self._on_thread("nas", "NAS folder", self._nas, "check the NAS, the network and the mount"),
            self._on_thread("storage", "Storage folder", self._storage, "check the disk of [storage] base_path"),
            self._on_thread("space", "Disk space", self._space, "check the disk of [storage] base_path"),
            self._on_thread("database", "Database", self._database, "check the disk of [database] url"),
            self._on_thread("first_account", "First account", self._first_account, "check the disk of [database] url"),
        )

    def looks(self, *, is_thorough: bool) -> Sequence[Look]:
        """`is_thorough`: with a look at every page of the database."""
        self._is_thorough = is_thorough
        return self._looks

    def _on_thread(self, name: str, title: str, function: Callable[[], Finding], advice: str) -> Look:
        return Look(name, title, on_thread(function), advice)

    def _configuration(self) -> Finding:
        config.check_globus(self._settings)
        config.check_files(self._settings)
        found = config.open_file_of_secrets(self._settings)
        if found is not None:
            return Finding(Verdict.WARNING, f"others may read the secrets in {found}", "chmod o= on it")
        return Finding(Verdict.OK, f"complete ({self._settings.origin.file})")

    async def _seven_zip(self) -> Finding:
        return checks.seven_zip(await SevenZip(self._processes).reported_version())

    async def _rsync(self) -> Finding:
        return checks.rsync(await Rsync(self._processes).version())

    async def _dd(self) -> Finding:
        return checks.dd(await Dd(self._processes).version())

    def _nas(self) -> Finding:
        config.check_nas(self._settings)
        return checks.nas(nas_facts(self._settings.qnap.base_path, self._settings.storage.base_path))

    def _storage(self) -> Finding:
        config.check_storage(self._settings)
        return checks.storage(mount_of(self._settings.storage.base_path))

    def _space(self) -> Finding:
        storage, log = self._settings.storage.base_path, self._settings.log.path
        usage = psutil.disk_usage(os.fspath(storage))
        others = [("the database", self._settings.database.path.parent), *([("the log", log.parent)] if log else [])]
        return checks.space(
            free_bytes=usage.free,
            total_bytes=usage.free + usage.used,
            min_free_gb=self._settings.disk_space.min_free_gb,
            others=[(what, free_bytes(os.fspath(folder))) for what, folder in others],
        )

    def _database(self) -> Finding:
        path, is_whole = self._settings.database.path, self._is_thorough
        mount = mount_of(path.parent)
        if mount.is_network:  # nothing is read there that may hang or lie
            return checks.database(None, known=schema.VERSION, damage=None, is_whole=is_whole, mount=mount)
        health = health_of(path, is_whole=is_whole)
        mode = None if health.version is None else _mode_for_others(path)
        return checks.database(
            health.version, known=schema.VERSION, damage=health.damage, is_whole=is_whole, mount=mount, mode=mode
        )

    def _first_account(self) -> Finding:
        path = self._settings.database.path
        if mount_of(path.parent).is_network:
            return Finding(Verdict.UNKNOWN, "not checked, because the database lies on a network")
        known = hash_to_be_changed(path, FIRST_USERNAME)
        return checks.first_account(
            FIRST_USERNAME, has_known_password=known is not None and matches(known, FIRST_PASSWORD)
        )


def _user() -> Finding:
    return checks.user(psutil.Process().username(), is_root=os.geteuid() == 0)


def _mode_for_others(path: Path) -> str | None:
    """The mode of a file that others can read or change, and can reach; None for any other."""
    real = Path(os.path.realpath(path))
    is_in_reach = all(folder.stat().st_mode & stat.S_IXOTH for folder in real.parents)
    return mode_if_open(real) if is_in_reach else None
